//! What the fuzz targets call, and what replays their inputs on stable: each takes any bytes and must return.
//!
//! Not part of the crate's interface.

mod credit;
mod crowd;
mod pace;

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Runtime;

pub use self::credit::credit;
pub use self::pace::pace;
use crate::node::{Address, Incarnation};
use crate::proto::arbiter::{Arbiter, Confirmed, Verdict};
use crate::proto::credit::Grant;
use crate::proto::frame::{self, Frame};
use crate::proto::hello::{self, Answer, Finish, Goaway, Hello, SessionId, Welcome};
use crate::proto::reassembly::{PartialKey, Reassembly};
use crate::proto::{mark, refusal};
use crate::security::{Cookie, Insecure, Noise, Open, RecordError, Security};
use crate::session::RecordReader;
use crate::transport::Connection;

/// Frames of a record: what decodes encodes back to an equal frame.
pub fn frames(data: &[u8]) {
    let mut record = Bytes::copy_from_slice(data);
    while let Ok(Some(frame)) = frame::take(&mut record) {
        let Frame { kind, flags, id, head, body } = &frame;
        let mut again = Vec::new();
        frame::put(&mut again, *kind, *flags, *id, head.as_ref(), body);
        let decoded = frame::take(&mut again.into());
        assert_eq!(decoded, Ok(Some(frame)));
    }
}

/// Records that arrive in pieces, whose sizes are the first bytes: the same records as if they had come at once.
pub fn records(data: &[u8]) {
    let (sizes, stream) = data.split_at(data.len().min(8));
    let whole = read_all(stream, &[]);
    assert_eq!(read_all(stream, sizes), whole);
}

fn read_all(stream: &[u8], sizes: &[u8]) -> Vec<Bytes> {
    let pieces = Pieces { rest: stream.to_vec(), sizes: sizes.to_vec(), turn: 0 };
    let mut reader = RecordReader::new(Box::new(pieces), Box::new(Unsealed));
    let mut records = Vec::new();
    while let Some(Ok((record, _))) = now(reader.next()) {
        records.push(record);
    }
    records
}

/// A handshake from either end, with and without security: an error or a channel, at once.
pub fn handshake(data: &[u8]) {
    let cookie: Cookie = "5a".repeat(32).parse().expect("a cookie is 64 digits");
    let noise = Noise::new(&cookie);
    let connection = || {
        let read = Pieces { rest: data.to_vec(), sizes: Vec::new(), turn: 0 };
        Connection::new(read, tokio::io::sink(), Address::new("fuzz", 1).expect("a good address"))
    };
    let authentic = || {};
    for security in [&noise as &dyn Security, &Insecure] {
        assert!(now(security.server(connection(), b"welcome".to_vec(), &authentic)).is_some());
        assert!(now(security.client(connection(), b"hello".to_vec())).is_some());
    }
}

/// Bodies of control frames and handshake messages: what decodes encodes back to something that decodes alike.
pub fn control(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Some(before) = mark::decode(&body) {
        assert_eq!(mark::decode(&mark::encode(&before)), Some(before));
    }
    if let Some(grant) = Grant::decode(&body) {
        assert_eq!(Grant::decode(&grant.encode()), Some(grant));
    }
    let refused = refusal::decode(body);
    assert_eq!(refusal::decode(refusal::encode(&refused)), refused);
    if let Some(answer) = hello::decode::<Answer>(data) {
        assert_eq!(hello::decode(&hello::encode(&answer)), Some(answer));
    }
    if let Some(finish) = hello::decode::<Finish>(data) {
        assert_eq!(hello::decode(&hello::encode(&finish)), Some(finish));
    }
    if let Some(goaway) = hello::decode::<Goaway>(data) {
        assert_eq!(hello::decode(&hello::encode(&goaway)), Some(goaway));
    }
    let _hello: Option<Hello> = hello::decode(data);
    let _welcome: Option<Welcome> = hello::decode(data);
}

/// Parts of messages in any order, five bytes each: never more bytes are held than arrived, nor than the limit.
pub fn reassembly(data: &[u8]) {
    let mut parts = Reassembly::new(64, 128);
    for step in data.chunks_exact(5) {
        let key = PartialKey { reply: step[1] & 1 == 1, id: u64::from(step[1] >> 5) };
        let body = vec![step[4]; usize::from(step[2] & 0x3f)];
        match step[0] % 4 {
            0 => drop(parts.begin(key, step[3], u64::from(step[3]), &body)),
            1 => parts.forget(key),
            last => {
                if let Ok(Some((total, whole))) = parts.proceed(key, &body, last == 2) {
                    assert_eq!(whole.len(), usize::from(total));
                }
            }
        }
        assert!(parts.held_bytes() <= 128);
    }
}

/// Sessions confirmed and ended in any order, three bytes each: the one that stays ranks highest of those confirmed
/// since there was last none, and it is the same in whatever order they come.
pub fn arbiter(data: &[u8]) {
    let mut arbiter = Arbiter::default();
    let mut seen: Vec<Confirmed> = Vec::new();
    for step in data.chunks_exact(3) {
        let session = SessionId(u64::from(step[1] >> 4));
        if step[0] & 1 == 0 {
            arbiter.ended(session);
            if arbiter.present().is_none() {
                seen.clear();
            }
            continue;
        }
        let newcomer = Confirmed {
            session,
            incarnations: [step[0] >> 6, step[0] >> 4 & 3]
                .map(|incarnation| Incarnation(u64::from(incarnation))),
            dialed_by_lower: step[1] & 1 == 1,
            connection: u64::from(step[2]),
        };
        let before = arbiter.present();
        match arbiter.confirmed(newcomer) {
            Verdict::First => assert!(before.is_none()),
            Verdict::Supersedes(loser) => assert_eq!(before.map(|before| before.session), Some(loser)),
            Verdict::Loses => assert_eq!(arbiter.present(), before),
        }
        seen.push(newcomer);
        let rank = |one: &Confirmed| (one.incarnations, one.dialed_by_lower, one.connection);
        let highest = seen.iter().map(rank).max();
        assert_eq!(arbiter.present().as_ref().map(rank), highest);
        let mut backwards = Arbiter::default();
        for one in seen.iter().rev() {
            backwards.confirmed(*one);
        }
        assert_eq!(backwards.present().as_ref().map(rank), highest);
    }
}

/// The sessions of a pair, at both its ends: see `link::two_ends`.
pub fn sessions(data: &[u8]) {
    crate::link::sessions_of_two_ends(data);
}

/// The outcome of a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    // Reads that leave much room behind wait by a clock, too.
    static CLOCK: LazyLock<Runtime> = LazyLock::new(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().expect("a runtime starts")
    });
    let _entered = CLOCK.enter();
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// Bytes that are read in pieces of the sizes given, in turn; all at once without any.
struct Pieces {
    rest: Vec<u8>,
    sizes: Vec<u8>,
    turn: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wanted = match self.sizes.get(self.turn % self.sizes.len().max(1)) {
            Some(&size) => usize::from(size) + 1,
            None => usize::MAX,
        };
        self.turn += 1;
        let bytes = wanted.min(self.rest.len()).min(buffer.remaining());
        buffer.put_slice(&self.rest[..bytes]);
        self.rest.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

struct Unsealed;

impl Open for Unsealed {
    fn overhead_bytes(&self) -> usize {
        1
    }

    fn open(&mut self, _header: [u8; 2], record: &mut [u8]) -> Result<usize, RecordError> {
        record.len().checked_sub(1).ok_or(RecordError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays the inputs kept for a target, each also with every byte changed and cut short at every byte.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = format!("{}/tests/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            run(&input);
            for index in 0..input.len().min(400) {
                run(&input[..index]);
                for change in [1, 0x80, 0xff] {
                    let mut changed = input.clone();
                    changed[index] ^= change;
                    run(&changed);
                }
            }
            inputs += 1;
        }
        assert!(inputs > 1, "{folder} holds {inputs} inputs");
    }

    #[test]
    fn inputs_of_the_frame_decoder() {
        replay("netkernel_frame", frames);
    }

    #[test]
    fn inputs_of_the_record_reader() {
        replay("netkernel_record", records);
    }

    #[test]
    fn inputs_of_the_handshake() {
        replay("netkernel_handshake", handshake);
    }

    #[test]
    fn inputs_of_the_control_bodies() {
        replay("netkernel_control", control);
    }

    #[test]
    fn inputs_of_the_reassembler() {
        replay("netkernel_reassembly", reassembly);
    }

    #[test]
    fn inputs_of_the_arbiter() {
        replay("netkernel_arbiter", arbiter);
    }

    #[test]
    fn inputs_of_the_sessions() {
        replay("netkernel_sessions", sessions);
    }

    #[test]
    fn inputs_of_the_pace() {
        replay("netkernel_pace", pace);
    }

    #[test]
    fn inputs_of_credit() {
        replay("netkernel_credit", credit);
    }
}
