//! What a writer takes of the lanes, turn by turn.

use bytes::Bytes;

use super::super::bulk::PIECE_BYTES_MAX;
use super::*;
use crate::call::CallId;
use crate::link::calls::PendingCalls;
use crate::link::message::Subject;
use crate::proto::frame::{Flags, Kind};
use crate::proto::hello::SessionId;

const SESSION: SessionId = SessionId(1);
const CONTROL_MAX: usize = 100;

fn cast(server: &str, bytes: usize) -> Message {
    let server = ServerName::new(server).unwrap();
    Message::new(Subject::Cast { server }, vec![0; bytes].into())
}

fn taken_batch(lanes: &mut Lanes) -> Batch {
    let mut batch = Batch::default();
    lanes.take(&mut batch, SESSION, &PendingCalls::new(8), Instant::now());
    batch
}

/// What one turn of a writer takes, read by the peer at once: the kinds of control frames, then the sizes of bodies,
/// in order.
fn taken(lanes: &mut Lanes) -> (Vec<Kind>, Vec<usize>) {
    let batch = taken_batch(lanes);
    if let Some(milestone) = &batch.milestone {
        lanes.milestone_read(milestone.id, Instant::now());
    }
    let control = batch.control.iter().map(|piece| piece.kind).collect();
    let messages = batch.messages.iter().map(|message| message.body.len());
    (control, messages.chain(batch.bulk.iter().map(|piece| piece.body.len())).collect())
}

fn all_taken(lanes: &mut Lanes) -> Vec<usize> {
    let mut all = Vec::new();
    while !lanes.is_empty() {
        all.extend(taken(lanes).1);
    }
    all
}

fn receives(unfinished_messages: u64, unfinished_bytes: usize) -> Receives {
    Receives { message_bytes: 4 << 20, unfinished_bytes: unfinished_bytes as u64, unfinished_messages }
}

/// Empty lanes, for a peer with the default limits.
fn empty_lanes() -> Lanes {
    let mut lanes = Lanes::new(CONTROL_MAX);
    lanes.keep_to(receives(1_024, 8 << 20));
    lanes
}

/// Empty lanes of a link whose peer has read some bulk in no time.
fn lanes_of_a_fast_link() -> Lanes {
    let mut lanes = empty_lanes();
    lanes.push(cast("big", 2 << 20));
    all_taken(&mut lanes);
    lanes
}

#[tokio::test]
async fn a_small_message_overtakes_bulk_for_another_server_only() {
    let mut lanes = lanes_of_a_fast_link();
    lanes.push(cast("big", 5 * PIECE_BYTES_MAX));
    lanes.push(cast("big", 1));
    lanes.push(cast("small", 2));
    let full = PIECE_BYTES_MAX;
    assert_eq!(all_taken(&mut lanes), [2, full, full, full, full, full, 1]);
    assert_eq!(lanes.bytes(), 0);
}

#[tokio::test]
async fn large_messages_for_different_servers_take_turns() {
    let mut lanes = lanes_of_a_fast_link();
    lanes.push(cast("a", 3 * PIECE_BYTES_MAX));
    lanes.push(cast("b", PIECE_BYTES_MAX + 1));
    lanes.push(cast("a", 20_000));
    let full = PIECE_BYTES_MAX;
    assert_eq!(all_taken(&mut lanes), [full, full, full, 1, full, 20_000]);
}

#[tokio::test]
async fn bulk_gets_a_quarter_while_messages_wait() {
    let mut lanes = empty_lanes();
    lanes.push(cast("big", 1 << 20));
    for _ in 0..1_000 {
        lanes.push(cast("small", 1_000));
    }
    let (mut small, mut bulk) = (0, 0);
    while lanes.messages() > 1 {
        for bytes in taken(&mut lanes).1 {
            if bytes == 1_000 { small += bytes } else { bulk += bytes }
        }
    }
    assert!(bulk > small / 4 && small > bulk, "{small} and {bulk} bytes");
}

#[tokio::test]
async fn messages_half_sent_by_a_broken_session_are_dropped_and_reset() {
    let mut lanes = empty_lanes();
    lanes.push(cast("big", 5 * PIECE_BYTES_MAX));
    lanes.push(cast("big", 1));
    lanes.push(cast("bigger", 9 * PIECE_BYTES_MAX));
    assert!(taken(&mut lanes).1.len() > 1);
    assert!(lanes.session_lost(SessionId(9), false).is_empty());
    let lost = lanes.session_lost(SESSION, true);
    let mut lost: Vec<_> = lost.into_iter().flatten().map(|(server, _)| server.to_string()).collect();
    lost.sort_unstable();
    assert_eq!(lost, ["big", "bigger"]);
    assert_eq!(taken(&mut lanes), (vec![Kind::Reset, Kind::Reset], vec![]));
    assert_eq!(taken(&mut lanes), (vec![], vec![1]));
    assert!(lanes.is_empty());
}

#[tokio::test]
async fn a_call_nobody_waits_for_is_not_sent() {
    let mut lanes = empty_lanes();
    let server = ServerName::new("server").unwrap();
    let subject = Subject::Call { id: CallId(1), server, deadline: Instant::now() };
    lanes.push(Message::new(subject, Bytes::new()));
    assert_eq!(taken(&mut lanes), (vec![], vec![]));
    assert_eq!(lanes.bytes(), 0);
}

#[tokio::test]
async fn small_messages_do_not_wait_for_bulk_to_be_sealed_nor_bulk_for_them_twice() {
    let mut lanes = lanes_of_a_fast_link();
    lanes.push(cast("big", 1 << 20));
    for _ in 0..3 {
        lanes.push(cast("small", 10));
        assert_eq!(taken(&mut lanes).1, [10]);
        lanes.push(cast("small", 10));
        let both = taken(&mut lanes).1;
        assert!(both[0] == 10 && both[1] == PIECE_BYTES_MAX, "{both:?}");
    }
}

#[tokio::test]
async fn bulk_waits_until_it_is_read_and_small_messages_do_not() {
    let mut lanes = empty_lanes();
    lanes.push(cast("big", 4 << 20));
    let mut milestones = Vec::new();
    while lanes.is_ready() {
        milestones.extend(taken_batch(&mut lanes).milestone.map(|milestone| milestone.id));
    }
    assert!(!lanes.is_empty() && milestones.len() > 1, "{milestones:?}");
    lanes.push(cast("small", 1));
    assert!(lanes.is_ready());
    assert_eq!(taken(&mut lanes).1, [1]);
    assert!(!lanes.is_ready());
    assert!(lanes.milestone_read(milestones[1], Instant::now()));
    assert!(lanes.is_ready());
}

#[tokio::test]
async fn the_last_milestone_read_is_answered_however_many_control_frames_wait() {
    let mut lanes = empty_lanes();
    let milestones: Vec<u64> = {
        let mut peer = empty_lanes();
        peer.push(cast("big", 1 << 20));
        std::iter::from_fn(|| taken_batch(&mut peer).milestone.map(|milestone| milestone.id)).collect()
    };
    while lanes.control(Control::Pong(1)) {}
    assert!(milestones.iter().all(|milestone| lanes.control(Control::Pong(*milestone))));
    let batch = taken_batch(&mut lanes);
    assert_eq!(batch.control.len(), CONTROL_MAX + 1);
    assert_eq!(batch.control[0].id, milestones[milestones.len() - 1]);
}

#[tokio::test]
async fn what_goes_ahead_overtakes_all_that_waits() {
    let mut lanes = empty_lanes();
    lanes.push(cast("sink", 1 << 20));
    lanes.push(cast("other", 5));
    assert!(lanes.has_room_ahead(100));
    lanes.push_ahead(cast("sink", 7));
    lanes.control(Control::Ping(0));
    let mut batch = Batch::default();
    lanes.take(&mut batch, SESSION, &PendingCalls::new(8), Instant::now());
    let first: Vec<_> = batch.control.iter().map(|piece| (piece.kind, piece.body.len())).collect();
    assert_eq!(first, [(Kind::Ping, 0), (Kind::Cast, 7)]);
    assert!(!lanes.has_room_ahead(AHEAD_BYTES_MAX));
}

#[tokio::test]
async fn control_frames_are_bounded() {
    let mut lanes = empty_lanes();
    let admitted = (0..2 * CONTROL_MAX as u64).filter(|&id| lanes.control(Control::Pong(id))).count();
    assert_eq!(admitted, CONTROL_MAX);
}

#[tokio::test]
async fn a_large_message_waits_for_room_at_the_peer_and_none_begins_before_it() {
    let mut lanes = lanes_of_a_fast_link();
    let full = PIECE_BYTES_MAX;
    lanes.keep_to(receives(8, 6 * full));
    lanes.push(cast("a", 3 * full + 1));
    assert_eq!(taken(&mut lanes).1, [full]);
    lanes.push(cast("b", 4 * full + 2));
    // It would fit beside the first, but not before the second. What is whole in one piece needs no room.
    lanes.push(cast("c", full + 3));
    lanes.push(cast("d", 20_000));
    assert_eq!(all_taken(&mut lanes), [full, 20_000, full, 1, full, full, full, 3, full, full, 2]);
}

/// A sender's lanes, read by a receiver that takes what it says and no more, while sessions break and messages expire.
#[tokio::test]
async fn whatever_is_sent_fits_what_the_peer_holds() {
    use crate::proto::reassembly::{PartialKey, Reassembly};

    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let (messages, bytes) = (1 + below(4), 200_000 + below(800_000) as usize);
        let mut lanes = empty_lanes();
        lanes.keep_to(receives(messages, bytes));
        let mut peer = Reassembly::new(200_000, bytes);
        let mut session = SessionId(1);
        let (mut pushed, mut whole, mut lost) = (0, 0, 0);
        let mut unfinished = std::collections::BTreeSet::new();
        for step in 0..300 {
            match below(if step < 250 { 10 } else { 3 }) {
                7..=8 => {
                    lanes.push(cast(&format!("server {}", below(12)), 20_000 + below(180_000) as usize));
                    pushed += 1;
                }
                9 if below(4) == 0 => {
                    lost += lanes.session_lost(session, true).len();
                    session.0 += 1;
                }
                9 if below(8) == 0 => lost += lanes.link_lost(Instant::now()),
                _ => {}
            }
            let mut batch = Batch::default();
            lanes.take(&mut batch, session, &PendingCalls::new(8), Instant::now());
            for control in batch.control.iter().filter(|piece| piece.kind == Kind::Reset) {
                peer.forget(PartialKey { reply: false, id: control.id });
                unfinished.remove(&control.id);
            }
            for piece in &batch.bulk {
                let (key, last) =
                    (PartialKey { reply: false, id: piece.id }, piece.flags.contains(Flags::LAST));
                match &piece.head {
                    Some(_) if last => whole += 1,
                    Some((_, head)) => {
                        peer.begin(key, (), head.total_bytes, &piece.body).unwrap();
                        unfinished.insert(piece.id);
                    }
                    None => {
                        whole += usize::from(peer.proceed(key, &piece.body, last).unwrap().is_some());
                        if last {
                            unfinished.remove(&piece.id);
                        }
                    }
                }
                assert!(unfinished.len() as u64 <= messages, "seed {seed}");
            }
            if let Some(milestone) = &batch.milestone {
                lanes.milestone_read(milestone.id, Instant::now());
            }
        }
        while !lanes.is_empty() {
            let batch = taken_batch(&mut lanes);
            assert!(!batch.bulk.is_empty(), "seed {seed}: bulk that waits goes on");
            whole += batch.bulk.iter().filter(|piece| piece.flags.contains(Flags::LAST)).count();
            if let Some(milestone) = &batch.milestone {
                lanes.milestone_read(milestone.id, Instant::now());
            }
        }
        assert_eq!(whole + lost, pushed, "seed {seed}");
    }
}
