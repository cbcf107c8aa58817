//! What is done with bytes that another node sent or a disk gave back, for the tests here and for the fuzz targets.
#![expect(clippy::unwrap_used, reason = "test support fails by panicking")]

use std::path::PathBuf;
use std::sync::OnceLock;

use bytes::Bytes;
use gossip::message::Frame;
use gossip::proto::{Action, Command, DialError, Image, Input, Insertion, Machine, Now, Settings, Token};
use gossip::{FileStore, RingName, Store, StoreError};
use netkernel::{Address, NodeId};

/// A name under which inputs are kept, and what is done with them.
pub(crate) type Decoder = (&'static str, fn(&[u8]));

pub(crate) const ALL: [Decoder; 4] =
    [("frame", frame), ("image", image), ("state_file", state_file), ("machine", machine)];

/// A frame is refused, or says the same once it was written again.
pub(crate) fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        let again = Frame::encode(&frame.header, &frame.message);
        assert_eq!(Frame::decode(&again).unwrap(), frame);
    }
}

/// A state is refused, or is the same once it was written again, and a node starts from it or says why not.
pub(crate) fn image(bytes: &[u8]) {
    let Ok(image) = Image::decode(bytes) else { return };
    let again = image.encode();
    assert_eq!(Image::decode(&again).unwrap().encode(), again);
    let settings = Settings::new(image.id().clone(), address("local"));
    if let Ok(mut machine) = Machine::new(settings, Some(image), 1, now(0)) {
        settle(&mut machine, 0);
    }
}

/// A file is refused with the place that is wrong, or read; either way the next save is what is found after it.
pub(crate) fn state_file(bytes: &[u8]) {
    let path = folder().join("state");
    std::fs::write(&path, bytes).unwrap();
    let store = FileStore::new(&path);
    let found = store.load();
    if bytes.is_empty() {
        assert!(found.is_err(), "an empty file is damage, not a first start");
    }
    match found {
        Ok(state) => assert!(state.is_some_and(|state| state.len() <= bytes.len())),
        Err(StoreError::Damaged { newest, older, .. }) => {
            let end = bytes.len().max(HEAD_BYTES) as u64;
            assert!(newest <= end && older <= end);
        }
        Err(error) => assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}"),
    }
    store.save(b"next").unwrap();
    assert_eq!(store.load().unwrap().as_deref(), Some(&b"next"[..]));
}

/// Frames that members and a stranger send to a node: it goes on, and what it has can be stored and started from.
pub(crate) fn machine(bytes: &[u8]) {
    let mut machine = member_of_three();
    let mut rest = bytes;
    let mut now_ms = 1_000;
    while let Some(([who, low, high], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (said, after) = after.split_at(len);
        rest = after;
        now_ms += 50;
        match who {
            0..3 => {
                let from = id(["a", "b", "x"][usize::from(*who)]);
                machine.handle(Input::Frame { from, bytes: framed(said) }, now(now_ms));
            }
            3..6 => {
                machine.handle(Input::Down { id: id(["a", "b", "x"][usize::from(who - 3)]) }, now(now_ms));
            }
            6..9 => machine.handle(Input::Up { id: id(["a", "b", "x"][usize::from(who - 6)]) }, now(now_ms)),
            _ => {
                now_ms += u64::from(*who) * 100;
                machine.wake(now(now_ms));
            }
        }
        settle(&mut machine, now_ms);
    }
    check(&machine);
    let state = Image::decode(&machine.image(now(now_ms)).encode()).unwrap();
    let again =
        Machine::new(Settings::new(id("local"), address("local")), Some(state), 2, now(now_ms)).unwrap();
    let records = |machine: &Machine| machine.records().cloned().collect::<Vec<_>>();
    assert_eq!(records(&again), records(&machine));
}

/// What a frame begins with is not worth guessing.
fn framed(said: &[u8]) -> Bytes {
    [b"CLKG\x01", said].concat().into()
}

/// A node that has met two others, each of which has a session with it.
fn member_of_three() -> Machine {
    let mut settings = Settings::new(id("local"), address("local"));
    settings.ring = RingName::new("ring").ok();
    let mut machine = Machine::new(settings, None, 1, now(0)).unwrap();
    settle(&mut machine, 0);
    let nodes = ["a", "b"].map(|name| Insertion::new(id(name), address(name))).to_vec();
    let insert = Command::Insert { nodes, force: false };
    machine.handle(Input::Command { token: Token(1), command: insert }, now(1));
    settle(&mut machine, 1);
    for name in ["a", "b", "x"] {
        machine.handle(Input::Up { id: id(name) }, now(2));
    }
    settle(&mut machine, 2);
    machine
}

/// Carries out what a machine wants: every write succeeds, nobody answers a dial.
fn settle(machine: &mut Machine, now_ms: u64) {
    for _ in 0..SETTLED_MAX {
        let Some(action) = machine.poll_action() else { return };
        match action {
            Action::Store { image, state } => {
                assert_eq!(Image::decode(&state.encode()).unwrap().encode(), state.encode());
                machine.handle(Input::Stored { image, result: Ok(()) }, now(now_ms));
            }
            Action::Dial { dial, .. } => {
                let result = Err(DialError::Failed { reason: "nobody answers".to_owned() });
                machine.handle(Input::Dialed { dial, result }, now(now_ms));
            }
            Action::Send { bytes, .. } => {
                assert!(Frame::decode(&bytes).is_ok(), "it says what nobody can read");
            }
            _ => {}
        }
    }
    panic!("it never comes to rest");
}

/// What holds of a machine whatever it was told.
fn check(machine: &Machine) {
    let members: Vec<_> = machine.members().map(|member| member.id).collect();
    assert!(members.is_sorted_by(|left, right| left < right));
    for record in machine.records() {
        for (dot, _) in record.versions.siblings() {
            assert!(machine.context().contains(dot), "{dot:?} is there and was not seen");
        }
    }
}

fn now(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 1_780_000_000_000 + mono_ms }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn address(name: &str) -> Address {
    Address::new(name, 7_022).unwrap()
}

/// A folder of this process's own, in memory where there is one.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = place.join(format!("clusterluck-state-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// What comes before the states in a file.
const HEAD_BYTES: usize = 104;

/// More than any input leads to.
const SETTLED_MAX: usize = 10_000;
