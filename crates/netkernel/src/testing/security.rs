//! What every [`Security`] has to do.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::node::Address;
use crate::security::{Channel, Open, Seal, Security};
use crate::transport::Connection;

/// A [`Security`] carries one message each way, reports a dialer as authentic once and before it answers, and gives
/// channels whose records open in the order they were sealed and, where it seals at all, not otherwise. With `stranger`,
/// security of another secret, neither end accepts the other.
///
/// # Panics
///
/// Where the security does not conform.
pub async fn security(security: &dyn Security, stranger: Option<&dyn Security>) {
    let (mut dialer, mut acceptor) = channels(security).await;
    for plain in [&b""[..], b"x", &[7; 65_000]] {
        pass(&mut *dialer.seal, &mut *acceptor.open, plain);
        pass(&mut *acceptor.seal, &mut *dialer.open, plain);
    }
    if dialer.seal.overhead_bytes() > 0 {
        forgeries_are_refused(security).await;
    }
    if let Some(stranger) = stranger {
        strangers_are_refused(security, stranger).await;
        strangers_are_refused(stranger, security).await;
    }
    let (near, mut far) = pair();
    far.write.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("a pipe takes bytes");
    drop(far);
    let never = || panic!("nonsense was found authentic");
    assert!(security.server(near, b"welcome".to_vec(), &never).await.is_err(), "nonsense was accepted");
    let (near, far) = pair();
    drop(far);
    assert!(security.client(near, b"hello".to_vec()).await.is_err(), "nobody was accepted");
}

/// Both ends of a channel, after they have told each other something.
async fn channels(security: &dyn Security) -> (Channel, Channel) {
    let (near, far) = pair();
    let reported = AtomicUsize::new(0);
    let authentic = || {
        reported.fetch_add(1, Ordering::Relaxed);
    };
    let (hello, welcome) = (vec![1; 600], vec![2; 700]);
    let (dialed, accepted) =
        tokio::join!(security.client(near, hello.clone()), security.server(far, welcome.clone(), &authentic));
    let (dialer, told) = dialed.expect("the dialer gets a channel");
    assert_eq!(told, welcome, "the acceptor's message was changed");
    let (acceptor, told) = accepted.expect("the acceptor gets a channel");
    assert_eq!(told, hello, "the dialer's message was changed");
    assert_eq!(reported.load(Ordering::Relaxed), 1, "an authentic dialer is reported once");
    assert_eq!(dialer.seal.overhead_bytes(), acceptor.open.overhead_bytes());
    assert_eq!(acceptor.seal.overhead_bytes(), dialer.open.overhead_bytes());
    (dialer, acceptor)
}

/// Seals a record: its header, and what follows it.
fn sealed(seal: &mut dyn Seal, plain: &[u8]) -> ([u8; 2], Vec<u8>) {
    let bytes = plain.len() + seal.overhead_bytes();
    let header = u16::try_from(bytes).expect("a record's length fits its header").to_be_bytes();
    let mut record = [&header[..], plain].concat();
    seal.seal(header, &mut record, header.len()).expect("a record can be sealed");
    assert_eq!(record.len(), header.len() + bytes, "sealing adds what it says");
    (header, record.split_off(header.len()))
}

fn opens(open: &mut dyn Open, (header, record): &([u8; 2], Vec<u8>)) -> Option<Vec<u8>> {
    let mut record = record.clone();
    let plain_bytes = open.open(*header, &mut record).ok()?;
    record.truncate(plain_bytes);
    Some(record)
}

fn pass(seal: &mut dyn Seal, open: &mut dyn Open, plain: &[u8]) {
    let record = sealed(seal, plain);
    assert_eq!(opens(open, &record).as_deref(), Some(plain), "a record of {} bytes", plain.len());
}

/// A record that was changed, repeated, moved or turned back opens nowhere.
async fn forgeries_are_refused(security: &dyn Security) {
    for forgery in
        ["changed", "its header changed", "repeated", "reordered", "reflected", "of another channel"]
    {
        let (mut dialer, mut acceptor) = channels(security).await;
        let mut first = sealed(&mut *dialer.seal, b"first");
        let opened = match forgery {
            "changed" => {
                first.1[0] ^= 1;
                opens(&mut *acceptor.open, &first)
            }
            "its header changed" => {
                first.0[0] ^= 1;
                opens(&mut *acceptor.open, &first)
            }
            "repeated" => {
                assert!(opens(&mut *acceptor.open, &first).is_some());
                opens(&mut *acceptor.open, &first)
            }
            "reordered" => opens(&mut *acceptor.open, &sealed(&mut *dialer.seal, b"second")),
            "reflected" => opens(&mut *dialer.open, &first),
            _ => opens(&mut *channels(security).await.1.open, &first),
        };
        assert_eq!(opened, None, "a record that was {forgery} was accepted");
    }
}

async fn strangers_are_refused(dialer: &dyn Security, acceptor: &dyn Security) {
    let (near, far) = pair();
    let never = || panic!("a stranger was found authentic");
    let (dialed, accepted) = tokio::join!(
        dialer.client(near, b"hello".to_vec()),
        acceptor.server(far, b"welcome".to_vec(), &never)
    );
    assert!(dialed.is_err() && accepted.is_err(), "a stranger was accepted");
}

/// Two ends of one connection.
fn pair() -> (Connection, Connection) {
    let (near, far) = tokio::io::duplex(64 * 1_024);
    let connection = |stream| {
        let (read, write) = tokio::io::split(stream);
        let remote = Address::new("pipe", 1).expect("a good address");
        Connection::new(read, write, remote)
    };
    (connection(near), connection(far))
}
