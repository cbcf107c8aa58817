//! Monitors across nodes.
//!
//! The watching system asks with a call, so that it learns at once whether there is such a server. The end is
//! reported by a cast. If the session is lost, the watching side concludes `NoConnection` by itself, and the
//! watched side forgets. Whoever takes a monitor out of the table tells its server: so it is told once.
//!
//! ```text
//! watching system                       watched system
//!   insert into `ours`
//!   ── call Monitor{monitor, server} ──▶  watch the server, insert into `theirs`
//!   ◀── Some(pid), or None ─────────────
//!   ◀── cast Ended{monitor, pid, exit} ─  it ended, remove from `theirs`
//!   or  the session is lost               the session is lost: remove from `theirs`
//!   remove from `ours`, tell the server
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use netkernel::{Incarnation, Net, NodeId, PeerEvent, PeerEvents, Refusal, Responder, SendError, ServerName};
use serde::{Deserialize, Serialize};

use super::body::{self, Header, Target};
use crate::exit::Exit;
use crate::lock::Lock;
use crate::message::{Request, Wire};
use crate::monitor::{DownReason, Place, Subject, Watcher, down};
use crate::pid::Pid;
use crate::process::AnyProcess;
use crate::system::{System, WeakSystem};

/// Which server of a node is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServerKey {
    Name(ServerName),
    Number { incarnation: Incarnation, number: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Monitor {
    monitor: u64,
    server: ServerKey,
}

impl Request for Monitor {
    /// The server, if there is one.
    type Reply = Option<Pid>;
}

impl Wire for Monitor {
    const TAG: &'static str = "monitor";
}

#[derive(Debug, Serialize, Deserialize)]
struct Demonitor {
    monitor: u64,
}

impl Wire for Demonitor {
    const TAG: &'static str = "demonitor";
}

#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    monitor: u64,
    pid: Pid,
    exit: Exit,
}

impl Wire for Ended {
    const TAG: &'static str = "ended";
}

/// The monitors of a system that reach across nodes.
pub(crate) struct Monitors {
    ours: Mutex<BTreeMap<u64, Ours>>,
    theirs: Mutex<BTreeMap<(NodeId, u64), Theirs>>,
    /// How many monitors other nodes may have here.
    theirs_max: usize,
}

/// A monitor of a server here.
struct Ours {
    node: NodeId,
    watcher: Weak<dyn AnyProcess>,
    pid: Option<Pid>,
}

/// A monitor of a server there: whom it watches here, and under which number.
struct Theirs {
    watched: Weak<dyn AnyProcess>,
    number: u64,
}

impl Theirs {
    /// Watches no more.
    fn forget(self) {
        if let Some(watched) = self.watched.upgrade() {
            watched.unwatch(self.number);
        }
    }
}

impl Default for Monitors {
    fn default() -> Self {
        Self { ours: Mutex::default(), theirs: Mutex::default(), theirs_max: THEIRS_MAX }
    }
}

impl Monitors {
    /// Sets up a monitor of a server on another node.
    fn begin(system: &System, number: u64, watcher: &Arc<dyn AnyProcess>, node: NodeId, server: ServerKey) {
        let ours = Ours { node: node.clone(), watcher: Arc::downgrade(watcher), pid: None };
        system.monitors().ours.locked().insert(number, ours);
        let Some(net) = system.net().cloned() else {
            return system.monitors().end(number, DownReason::NoConnection);
        };
        let system_too = system.clone();
        system.run(async move {
            let request = Monitor { monitor: number, server };
            let timeout = system_too.config().timeout;
            let reply = net.call(&node, system_too.direct(), encoded(&request), timeout).await;
            let found = reply.map(|reply| body::decode::<Option<Pid>>(&system_too, &reply[..]));
            system_too.monitors().begun(&net, system_too.direct(), &node, number, found);
        });
    }

    /// The other node has answered whether there is such a server.
    fn begun(
        &self,
        net: &Arc<dyn Net>,
        direct: &ServerName,
        node: &NodeId,
        number: u64,
        found: Result<Result<Option<Pid>, body::DecodeError>, netkernel::CallError>,
    ) {
        // What cannot be sent is forgotten there when the session ends.
        let take_back = || drop(net.try_cast(node, direct, encoded(&Demonitor { monitor: number })));
        match found {
            Ok(Ok(Some(pid))) => match self.ours.locked().get_mut(&number) {
                Some(ours) => ours.pid = Some(pid),
                // Taken back meanwhile.
                None => take_back(),
            },
            Ok(Ok(None)) => self.end(number, DownReason::NoProc),
            Ok(Err(_)) | Err(_) => {
                self.end(number, DownReason::NoConnection);
                // It may have been set up, and only the answer be late.
                take_back();
            }
        }
    }

    /// Ends one of our monitors and tells its server, unless that has been done.
    fn end(&self, number: u64, reason: DownReason) {
        let ours = self.ours.locked().remove(&number);
        if let Some(ours) = ours
            && let Some(watcher) = ours.watcher.upgrade()
        {
            watcher.tell(down(number, ours.pid, reason));
        }
    }

    /// A node is not connected any more: its monitors are forgotten, ours of it end.
    fn lost(&self, lost: impl Fn(&NodeId) -> bool) {
        let numbers: Vec<u64> = self
            .ours
            .locked()
            .iter()
            .filter(|(_, ours)| lost(&ours.node))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.end(number, DownReason::NoConnection);
        }
        let mut theirs = self.theirs.locked();
        let kept = |(node, _): &(NodeId, u64)| !lost(node);
        let (kept, forgotten) = std::mem::take(&mut *theirs).into_iter().partition(|(key, _)| kept(key));
        *theirs = kept;
        drop(theirs);
        let forgotten: BTreeMap<(NodeId, u64), Theirs> = forgotten;
        forgotten.into_values().for_each(Theirs::forget);
    }

    /// A server here that another node watches has ended: says so until it is sent or the session is lost.
    pub(crate) fn report(&self, system: &System, node: NodeId, monitor: u64, pid: &Pid, exit: &Exit) {
        let known = self.theirs.locked().remove(&(node.clone(), monitor)).is_some();
        let (true, Some(net)) = (known, system.net().cloned()) else { return };
        let ended = encoded(&Ended { monitor, pid: pid.clone(), exit: exit.clone() });
        let direct = system.direct().clone();
        system.run(async move {
            while let Err(SendError::Busy { .. }) = net.cast(&node, &direct, ended.clone(), RETRY_AFTER).await
            {
                tracing::debug!(%node, "a node takes no report of an ended server yet");
            }
        });
    }

    /// Takes a message of another system's monitors.
    pub(crate) fn take_cast(
        &self,
        system: &System,
        from: &NodeId,
        header: &Header<'_>,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let known = match (header.tag, header.version) {
            (Demonitor::TAG, Demonitor::VERSION) => body::decode::<Demonitor>(system, body).map(|message| {
                let theirs = self.theirs.locked().remove(&(from.clone(), message.monitor));
                if let Some(theirs) = theirs {
                    theirs.forget();
                }
            }),
            (Ended::TAG, Ended::VERSION) => body::decode::<Ended>(system, body).map(|message| {
                let mut ours = self.ours.locked();
                if let Some(ours) = ours.get_mut(&message.monitor).filter(|ours| ours.node == *from) {
                    ours.pid = Some(message.pid);
                } else {
                    return;
                }
                drop(ours);
                self.end(message.monitor, DownReason::Exited(message.exit));
            }),
            (tag, version) => return Err(super::refusal::unsupported(tag, version)),
        };
        known.map_err(|_| super::refusal::undecodable(header.tag, header.version))
    }

    /// Takes a call of another system's monitors.
    pub(crate) fn take_call(
        &self,
        system: &System,
        from: &NodeId,
        header: &Header<'_>,
        body: &[u8],
        responder: Responder,
    ) {
        if (header.tag, header.version) != (Monitor::TAG, Monitor::VERSION) {
            return responder.refuse(super::refusal::unsupported(header.tag, header.version));
        }
        let Ok(request) = body::decode::<Monitor>(system, body) else {
            return responder.refuse(super::refusal::undecodable(header.tag, header.version));
        };
        let found = system
            .find(&request.server)
            .map_or(Ok(None), |watched| self.watch(system.number(), from, &request, &watched));
        match found {
            Ok(found) => {
                let reply =
                    body::encode_reply::<Option<Pid>>(&found).expect("plain data, and a growing buffer");
                responder.reply(reply);
            }
            Err(refusal) => responder.refuse(refusal),
        }
    }

    /// Watches a server here for another node.
    fn watch(
        &self,
        number: u64,
        from: &NodeId,
        request: &Monitor,
        watched: &Arc<dyn AnyProcess>,
    ) -> Result<Option<Pid>, Refusal> {
        let key = (from.clone(), request.monitor);
        let mut theirs = self.theirs.locked();
        if theirs.len() >= self.theirs_max {
            return Err(Refusal::Overloaded);
        }
        // In the table first: the server may end while it is being watched.
        let before = theirs.insert(key.clone(), Theirs { watched: Arc::downgrade(watched), number });
        drop(theirs);
        // A peer that uses a number twice has one monitor by it.
        if let Some(before) = before {
            before.forget();
        }
        let watcher = Watcher::Remote { node: from.clone(), monitor: request.monitor };
        if watched.watch(number, watcher).is_err() {
            self.theirs.locked().remove(&key);
            return Ok(None);
        }
        Ok(Some(watched.pid().clone()))
    }
}

impl System {
    pub(crate) fn monitor(&self, number: u64, watcher: &Arc<dyn AnyProcess>, subject: Subject) {
        match subject.0 {
            Place::Here(watched) => {
                let us = Watcher::Server(Arc::downgrade(watcher));
                if let Err((us, exit)) = watched.watch(number, us) {
                    us.tell(self, number, watched.pid(), &exit);
                }
            }
            Place::There { node, server } => Monitors::begin(self, number, watcher, node, server),
            Place::Nowhere => watcher.tell(down(number, None, DownReason::NoProc)),
        }
    }

    pub(crate) fn demonitor(&self, number: u64, subject: &Subject) {
        match &subject.0 {
            Place::Here(watched) => watched.unwatch(number),
            Place::There { node, .. } => {
                let ours = self.monitors().ours.locked().remove(&number);
                if let (Some(_), Some(net)) = (ours, self.net()) {
                    // What cannot be sent is forgotten there when the session ends.
                    drop(net.try_cast(node, self.direct(), encoded(&Demonitor { monitor: number })));
                }
            }
            Place::Nowhere => {}
        }
    }
}

/// Follows the sessions, for as long as there is a system to tell.
pub(crate) async fn follow(system: WeakSystem, mut events: PeerEvents) {
    loop {
        let event = events.recv().await;
        let Some(system) = system.upgrade() else { return };
        match event {
            Ok(Some(PeerEvent::Down { peer, .. })) => system.monitors().lost(|node| *node == peer.node.id),
            Ok(Some(_)) => {}
            Ok(None) => return system.monitors().lost(|_| true),
            Err(_lagged) => {
                let peers = system.net().map(|net| net.peers()).unwrap_or_default();
                let up = |node: &NodeId| peers.iter().any(|peer| peer.connected && peer.id == *node);
                system.monitors().lost(|node| !up(node));
            }
        }
    }
}

fn encoded<M: Wire>(message: &M) -> Bytes {
    body::encode(Target::Named, &[], message).expect("plain data, and a growing buffer")
}

/// How long one attempt to report an end may take.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Ten times what a busy node is expected to have, some 200 MB.
const THEIRS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
