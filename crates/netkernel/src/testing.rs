//! Conformance suites: what every implementation of the crate's traits has to do, as functions that panic where one
//! does not. And [`LocalMesh`], a net without a network.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let network = netkernel::MemoryNetwork::new();
//! netkernel::testing::transport(&network.host("a"), &"a:0".parse().unwrap()).await;
//! # });
//! ```

mod dispatch;
mod local;
mod net;
mod recorder;
mod security;
mod served;
mod under_way;

pub use dispatch::dispatch;
pub use local::{LocalMesh, LocalNet};
pub use net::net;
pub use recorder::{Arrived, Recorder};
pub use security::security;
pub use served::{Asked, Served, Taken};

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::Address;
use crate::transport::Transport;

/// A [`Transport`] makes ordered, reliable byte streams in both directions; port 0 asks for any free port.
///
/// # Panics
///
/// Where the transport does not conform.
pub async fn transport(transport: &dyn Transport, listen: &Address) {
    assert_eq!(listen.port(), 0, "the suite asks for any free port");
    let mut listener = transport.bind(listen).await.expect("a free port can be listened at");
    let address = listener.local_address();
    assert_ne!(address.port(), 0, "a listener knows its port");
    assert!(transport.bind(&address).await.is_err(), "a port in use was given twice");
    {
        // Cancel safety: an accept that was given up takes no connection with it.
        let accepting = listener.accept();
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            _ = accepting => panic!("nobody has connected yet"),
        }
    }
    let (near, far) = tokio::join!(transport.connect(&address), listener.accept());
    let (mut near, mut far) = (near.expect("a listener can be reached"), far.expect("a connection arrives"));
    let pattern: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let send = async {
        near.write.write_all(&pattern).await.expect("bytes can be sent");
        near.write.shutdown().await.expect("the sender can say that this is all");
    };
    let receive = async {
        let mut received = Vec::new();
        far.read.read_to_end(&mut received).await.expect("bytes arrive");
        received
    };
    let ((), received) = tokio::join!(send, receive);
    assert!(received == pattern, "bytes were lost, changed or reordered");
    far.write.write_all(b"answer").await.expect("the other direction is still open");
    far.write.flush().await.expect("bytes can be sent");
    let mut answer = [0; 6];
    near.read.read_exact(&mut answer).await.expect("bytes arrive in the other direction");
    assert_eq!(&answer, b"answer");
    drop(far);
    let end = near.read.read(&mut [0]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "the end of a connection is not seen");
    drop(listener);
    let refused = async { transport.connect(&address).await.is_err() };
    assert!(refused.await, "nobody listens any more");
}

const PATIENCE: Duration = Duration::from_secs(20);
