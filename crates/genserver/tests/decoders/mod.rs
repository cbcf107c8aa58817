//! What is done with bytes that another node sent, for the tests here and for the fuzz target.
#![expect(clippy::unwrap_used, reason = "test support fails by panicking")]

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use genserver::{Addr, Cx, GenServer, HandleCast, LocalAddr, Outcome, Routes, System, Wire};
use netkernel::{Address, Dispatch, Incarnation, Node, NodeId, Peer, Role, ServerName};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

/// A message of every kind of field.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
    numbers: Vec<i64>,
    kind: Kind,
    back: Option<Addr<Desk>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Plain,
    Urgent { by: u64 },
}

impl Wire for Note {
    const TAG: &'static str = "note";
}

struct Desk;

impl GenServer for Desk {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Note>();
    }
}

impl HandleCast<Note> for Desk {
    async fn cast(&mut self, note: Note, _cx: &mut Cx<Self>) -> Outcome {
        drop(note);
        Outcome::Continue
    }
}

struct Office {
    runtime: Runtime,
    desk: LocalAddr<Desk>,
    dispatch: Arc<dyn Dispatch>,
    peer: Arc<Peer>,
}

/// The one office, for one caller at a time: what another sends meanwhile would be found waiting.
fn office() -> MutexGuard<'static, Office> {
    static OFFICE: OnceLock<Mutex<Office>> = OnceLock::new();
    let office = OFFICE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (desk, dispatch) = runtime.block_on(async {
            let system = System::local();
            (system.spawn("desk", Desk).await.unwrap(), system.dispatch())
        });
        let node = Node {
            id: NodeId::new("peer").unwrap(),
            address: Address::new("peer", 1).unwrap(),
            incarnation: Incarnation(1),
        };
        Mutex::new(Office { runtime, desk, dispatch, peer: Arc::new(Peer { node, role: Role::Node }) })
    });
    // A test that failed has said so already.
    office.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes bytes in as a cast for a server, and for the system's own monitors: whatever they are, the server is there
/// afterwards, has nothing waiting, and is as it was.
pub(crate) fn inbox(bytes: &[u8]) {
    let office = office();
    let Office { runtime, desk, dispatch, peer } = &*office;
    for name in ["desk", "#", "nobody"] {
        let name = ServerName::new(name).expect("a good name");
        let taken = dispatch.cast(peer, &name, Bytes::copy_from_slice(bytes));
        assert!(taken.is_err() || name.as_str() != "nobody");
    }
    runtime.block_on(desk.idle());
    assert!(desk.is_open());
    assert_eq!(desk.info().mailbox_messages, 0);
}
