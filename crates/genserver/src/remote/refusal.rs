//! This layer's own refusals, within netkernel's [`Refusal::Layer`].

use bytes::Bytes;
use netkernel::{Executed, Incarnation, NodeId, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chain::Path;
use crate::error::{CallError, Stage};
use crate::exit::Exit;
use crate::pid::Pid;

/// The server has no route for the message.
pub(crate) fn unsupported(tag: &str, version: u16) -> Refusal {
    layer(UNSUPPORTED, Executed::No, &(tag, version))
}

/// The message cannot be read.
pub(crate) fn undecodable(tag: &str, version: u16) -> Refusal {
    layer(UNDECODABLE, Executed::No, &(tag, version))
}

/// The message was carried out, but its reply cannot be written.
pub(crate) fn reply_lost(tag: &str, version: u16) -> Refusal {
    layer(REPLY_LOST, Executed::Yes, &(tag, version))
}

/// The server has ended.
pub(crate) fn exited(exit: &Exit, stage: Stage) -> Refusal {
    let executed = if stage == Stage::Queued { Executed::No } else { Executed::Maybe };
    layer(EXITED, executed, exit)
}

/// The call would wait for itself.
pub(crate) fn cycle(path: &Path) -> Refusal {
    layer(CYCLE, Executed::No, &path.servers())
}

/// The instance belongs to a run of the node that is over.
pub(crate) fn node_down(incarnation: Incarnation) -> Refusal {
    layer(NODE_DOWN, Executed::No, &incarnation)
}

fn layer(code: u8, executed: Executed, detail: &impl Serialize) -> Refusal {
    let detail = postcard::to_extend(detail, Vec::new()).expect("plain data, and a growing buffer");
    Refusal::Layer { code, executed, detail: detail.into() }
}

/// What a refused call ends with. One that cannot be understood, of a later version say, is `NoReply`: nothing
/// is known of what happened.
pub(crate) fn error(refusal: Refusal, node: &NodeId, server: &str) -> CallError {
    match refusal {
        Refusal::NoProc => CallError::NoProc { node: node.clone(), name: server.to_owned() },
        Refusal::Overloaded => CallError::Overloaded,
        Refusal::Draining => CallError::Draining,
        Refusal::ForeignRing | Refusal::NotAllowed => CallError::Refused { node: node.clone() },
        Refusal::Layer { code, executed, detail } => {
            own(code, executed, &detail, node).unwrap_or(CallError::NoReply)
        }
        _ => CallError::NoReply,
    }
}

fn own(code: u8, executed: Executed, detail: &Bytes, node: &NodeId) -> Option<CallError> {
    Some(match code {
        UNSUPPORTED => {
            let (tag, version) = read(detail)?;
            CallError::Unsupported { tag, version }
        }
        UNDECODABLE => {
            let (tag, version) = read(detail)?;
            CallError::Decode { tag, version }
        }
        REPLY_LOST => {
            let (tag, version) = read(detail)?;
            CallError::Reply { tag, version }
        }
        EXITED => {
            let stage = if executed == Executed::No { Stage::Queued } else { Stage::Handling };
            CallError::Exited { exit: read(detail)?, stage }
        }
        CYCLE => CallError::Cycle(Path(read::<Vec<Pid>>(detail)?)),
        NODE_DOWN => CallError::NodeDown { node: node.clone(), incarnation: read(detail)? },
        _ => return None,
    })
}

fn read<T: DeserializeOwned>(detail: &Bytes) -> Option<T> {
    postcard::from_bytes(detail).ok()
}

const UNSUPPORTED: u8 = 1;
const UNDECODABLE: u8 = 2;
const REPLY_LOST: u8 = 3;
const EXITED: u8 = 4;
const CYCLE: u8 = 5;
const NODE_DOWN: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_become_the_errors_they_stand_for() {
        let node = NodeId::new("b").unwrap();
        let exit = Exit::Panicked { message: "boom".into() };
        let path = Path(vec![Pid::new(node.clone(), Incarnation(1), 2, None)]);
        let tag = || "get".to_owned();
        for (refusal, wanted) in [
            (unsupported("get", 2), CallError::Unsupported { tag: tag(), version: 2 }),
            (undecodable("get", 2), CallError::Decode { tag: tag(), version: 2 }),
            (reply_lost("get", 2), CallError::Reply { tag: tag(), version: 2 }),
            (exited(&exit, Stage::Queued), CallError::Exited { exit: exit.clone(), stage: Stage::Queued }),
            (
                exited(&exit, Stage::Handling),
                CallError::Exited { exit: exit.clone(), stage: Stage::Handling },
            ),
            (cycle(&path), CallError::Cycle(path)),
            (
                node_down(Incarnation(3)),
                CallError::NodeDown { node: node.clone(), incarnation: Incarnation(3) },
            ),
        ] {
            assert_eq!(refusal.executed(), wanted.executed(), "{wanted}");
            assert_eq!(error(refusal, &node, "x"), wanted);
        }
    }

    #[test]
    fn nonsense_and_codes_of_later_versions_say_that_nothing_is_known() {
        let node = NodeId::new("b").unwrap();
        let refusal = |code| Refusal::Layer { code, executed: Executed::No, detail: Bytes::new() };
        for code in [0, UNSUPPORTED, EXITED, NODE_DOWN, 99] {
            assert_eq!(error(refusal(code), &node, "x"), CallError::NoReply);
        }
    }
}
