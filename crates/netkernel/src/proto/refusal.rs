//! Refusals on the wire: one byte, and for the layers above their own code, whether the message was carried out,
//! and their detail.

use bytes::{Buf, Bytes};

use crate::error::{Executed, Refusal};

/// The body of a refused reply.
pub(crate) fn encode(refusal: &Refusal) -> Bytes {
    let simple = match refusal {
        Refusal::NoProc => NO_PROC,
        Refusal::Overloaded => OVERLOADED,
        Refusal::NoReply => NO_REPLY,
        Refusal::ForeignRing => FOREIGN_RING,
        Refusal::Draining => DRAINING,
        Refusal::NotAllowed => NOT_ALLOWED,
        Refusal::Layer { code, executed, detail } => {
            let executed = match executed {
                Executed::No => 0,
                Executed::Maybe => 1,
                Executed::Yes => 2,
            };
            return [&[LAYER, *code, executed][..], detail].concat().into();
        }
    };
    Bytes::copy_from_slice(&[simple])
}

/// What a refused reply says; a code of a later version, or nonsense, reads as `NoReply`: nothing is known of
/// what happened.
pub(crate) fn decode(mut body: Bytes) -> Refusal {
    if body.is_empty() {
        return Refusal::NoReply;
    }
    match body.get_u8() {
        NO_PROC => Refusal::NoProc,
        OVERLOADED => Refusal::Overloaded,
        FOREIGN_RING => Refusal::ForeignRing,
        DRAINING => Refusal::Draining,
        NOT_ALLOWED => Refusal::NotAllowed,
        LAYER if body.len() >= 2 => {
            let code = body.get_u8();
            let executed = match body.get_u8() {
                0 => Executed::No,
                2 => Executed::Yes,
                _ => Executed::Maybe,
            };
            Refusal::Layer { code, executed, detail: body }
        }
        _ => Refusal::NoReply,
    }
}

const NO_PROC: u8 = 1;
const OVERLOADED: u8 = 2;
const NO_REPLY: u8 = 3;
const FOREIGN_RING: u8 = 4;
const DRAINING: u8 = 5;
const NOT_ALLOWED: u8 = 6;
const LAYER: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_round_trip() {
        let layer = |executed| Refusal::Layer { code: 9, executed, detail: Bytes::from_static(b"why") };
        for refusal in [
            Refusal::NoProc,
            Refusal::Overloaded,
            Refusal::NoReply,
            Refusal::ForeignRing,
            Refusal::Draining,
            Refusal::NotAllowed,
            layer(Executed::No),
            layer(Executed::Maybe),
            layer(Executed::Yes),
        ] {
            assert_eq!(decode(encode(&refusal)), refusal);
        }
    }

    #[test]
    fn nonsense_reads_as_no_reply() {
        for bytes in [&[][..], &[0], &[0x3f], &[LAYER], &[LAYER, 1], &[0xff, 1, 2]] {
            assert_eq!(decode(Bytes::copy_from_slice(bytes)), Refusal::NoReply);
        }
    }
}
