//! The body of a MARK: the sessions its sender sent by before, and whether each broke.

use super::hello::SessionId;
use super::varint;

/// A session that was sent by before the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Predecessor {
    pub(crate) session: SessionId,
    /// It broke: the receiver gives up what it has not yet read of it.
    pub(crate) lost: bool,
}

pub(crate) fn encode(before: &[Predecessor]) -> Vec<u8> {
    let mut body = Vec::new();
    for predecessor in before {
        varint::put(&mut body, predecessor.session.0);
        body.push(u8::from(predecessor.lost));
    }
    body
}

/// The predecessors; `None` if the body is malformed or names too many.
pub(crate) fn decode(mut body: &[u8]) -> Option<Vec<Predecessor>> {
    let mut before = Vec::new();
    while !body.is_empty() {
        let session = SessionId(varint::take(&mut body)?);
        let (&lost, rest) = body.split_first()?;
        if before.len() == PREDECESSORS_MAX {
            return None;
        }
        before.push(Predecessor { session, lost: lost != 0 });
        body = rest;
    }
    Some(before)
}

/// Sessions a MARK names. More than two in a row within one drain is already unusual.
pub(crate) const PREDECESSORS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predecessors_round_trip() {
        let before: Vec<Predecessor> =
            (0..8).map(|id| Predecessor { session: SessionId(id << 60), lost: id % 2 == 1 }).collect();
        assert_eq!(decode(&encode(&before)), Some(before));
        assert_eq!(decode(&[]), Some(Vec::new()));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for body in [&[1][..], &[0x80], &[1, 0, 2], &[1, 0].repeat(9)] {
            assert_eq!(decode(body), None, "{body:?}");
        }
    }
}
