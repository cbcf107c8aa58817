//! Watching servers and nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use netkernel::{Incarnation, Net, NodeId, PeerEvent, Role};
use tokio::sync::oneshot;

use crate::address::{Addr, LocalAddr};
use crate::envelope::{InfoOf, seal};
use crate::exit::Exit;
use crate::pid::Pid;
use crate::process::{AnyProcess, Process};
use crate::remote::monitors::ServerKey;
use crate::server::GenServer;
use crate::system::System;

/// What the system tells a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Info {
    /// A [monitored](crate::Cx::monitor) server has ended, or is out of reach.
    Down(Down),
    /// A node is connected. After [`Cx::watch_nodes`](crate::Cx::watch_nodes).
    NodeUp {
        /// Its id.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// A node is not connected any more. After [`Cx::watch_nodes`](crate::Cx::watch_nodes).
    NodeDown {
        /// Its id.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
}

/// The end of what a monitor watched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// Which monitor: what [`Cx::monitor`](crate::Cx::monitor) returned.
    pub monitor: MonitorRef,
    /// The server; `None` if the monitor never reached one.
    pub pid: Option<Pid>,
    /// Why.
    pub reason: DownReason,
}

/// Why a monitor ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The server ended.
    #[error("{0}")]
    Exited(Exit),
    /// There was no such server when the monitor was set up.
    #[error("there is no such server")]
    NoProc,
    /// The session with its node was lost, or there was none, or the node takes no more monitors: the server may well
    /// live.
    #[error("there is no connection to its node")]
    NoConnection,
}

/// One monitor of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorRef(pub(crate) u64);

/// What can be monitored: a [`LocalAddr`] or an [`Addr`].
pub trait Watch: sealed::Sealed {
    #[doc(hidden)]
    fn subject(&self) -> Subject;
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<S: super::GenServer> Sealed for super::LocalAddr<S> {}
    impl<S: super::GenServer> Sealed for super::Addr<S> {}
}

impl<S: GenServer> Watch for LocalAddr<S> {
    fn subject(&self) -> Subject {
        Subject(Place::Here(self.process()))
    }
}

impl<S: GenServer> Watch for Addr<S> {
    fn subject(&self) -> Subject {
        Subject(self.place())
    }
}

/// A server that is watched.
#[derive(Clone)]
#[doc(hidden)]
pub struct Subject(pub(crate) Place);

impl std::fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Subject")
    }
}

#[derive(Clone)]
pub(crate) enum Place {
    Here(Arc<dyn AnyProcess>),
    There { node: NodeId, server: ServerKey },
    Nowhere,
}

/// Who wants to know of a server's end.
pub(crate) enum Watcher {
    /// A server of this system.
    Server(Weak<dyn AnyProcess>),
    /// Somebody who waits for it.
    Waiting(oneshot::Sender<Exit>),
    /// A server of another node, by the number of its monitor there.
    Remote { node: NodeId, monitor: u64 },
}

impl Watcher {
    pub(crate) fn tell(self, system: &System, number: u64, pid: &Pid, exit: &Exit) {
        match self {
            Self::Server(watcher) => {
                if let Some(watcher) = watcher.upgrade() {
                    watcher.tell(down(number, Some(pid.clone()), DownReason::Exited(exit.clone())));
                }
            }
            Self::Waiting(waiting) => {
                let _gone = waiting.send(exit.clone());
            }
            Self::Remote { node, monitor } => system.monitors().report(system, node, monitor, pid, exit),
        }
    }
}

pub(crate) fn down(monitor: u64, pid: Option<Pid>, reason: DownReason) -> Info {
    Info::Down(Down { monitor: MonitorRef(monitor), pid, reason })
}

/// Tells a server which nodes come and go, one event at a time; what changes meanwhile is summed up.
pub(crate) async fn watch_nodes<S: GenServer>(net: Arc<dyn Net>, process: Arc<Process<S>>) {
    let mut events = net.events();
    let mut told = BTreeMap::new();
    loop {
        for info in changes(&mut told, nodes(&*net)) {
            let (waiting, begun) = oneshot::channel();
            let letter = seal::<S, _>(InfoOf { info, waiting: Some(waiting) });
            if process.mailbox.push_system(letter).is_err() {
                return;
            }
            // Ends, with an error since nothing is ever sent, when the handler begins.
            let _begun = begun.await;
        }
        loop {
            match events.recv().await {
                Ok(Some(PeerEvent::Up { .. } | PeerEvent::Down { .. })) | Err(_) => break,
                Ok(Some(_)) => {}
                Ok(None) => return,
            }
        }
    }
}

/// The nodes that are connected now.
fn nodes(net: &dyn Net) -> BTreeMap<NodeId, Incarnation> {
    let connected = net.peers().into_iter().filter(|peer| peer.connected && peer.role == Some(Role::Node));
    connected.filter_map(|peer| Some((peer.id, peer.incarnation?))).collect()
}

/// Makes `told` what `now` is, and gives what to tell for that.
fn changes(told: &mut BTreeMap<NodeId, Incarnation>, now: BTreeMap<NodeId, Incarnation>) -> Vec<Info> {
    let was = std::mem::replace(told, now);
    let gone = was.iter().filter(|(node, incarnation)| told.get(*node) != Some(*incarnation));
    let come = told.iter().filter(|(node, incarnation)| was.get(*node) != Some(*incarnation));
    let gone = gone.map(|(node, &incarnation)| Info::NodeDown { node: node.clone(), incarnation });
    let come = come.map(|(node, &incarnation)| Info::NodeUp { node: node.clone(), incarnation });
    gone.chain(come).collect()
}
