//! A node whose machine crashes at any step of any write, and crashes again while it starts: it comes back with the roster
//! it had published, or with the one it was about to publish, and never with another.

use netkernel::{Address, NodeId};

use super::Store;
use super::crashes::{crash_images, store};
use super::virtual_disk::{Names, Tear, VirtualDisk};
use crate::proto::{Action, Command, Image, Input, Insertion, Machine, Now, Settings, Token};
use crate::ring_name::RingName;

/// Members and their weights.
type Members = Vec<(NodeId, u32)>;

/// A node on a disk that may fail.
struct Node {
    machine: Machine,
    /// What others may know of.
    published: Members,
    /// What a write under way will publish.
    underway: Option<Members>,
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).expect("a short name")
}

fn members(machine: &Machine) -> Members {
    machine.members().map(|member| (member.id, member.weight)).collect()
}

fn of_image(image: &Image) -> Members {
    members(&boot(Some(image.clone())))
}

fn boot(state: Option<Image>) -> Machine {
    let address = Address::new("local", 7_022).expect("a host and a port");
    let settings = Settings { ring: RingName::new("ring").ok(), ..Settings::new(id("local"), address) };
    Machine::new(settings, state, 1, NOW).expect("the state is this node's")
}

impl Node {
    /// Starts from the disk. `None` when that fails while it does.
    fn start(disk: &VirtualDisk) -> Option<Self> {
        let state = store(disk).load().expect("what was saved can be read");
        let state = state.map(|bytes| Image::decode(&bytes).expect("what was saved whole can be decoded"));
        let machine = boot(state);
        let mut node = Self { published: members(&machine), machine, underway: None };
        node.settle(disk).then_some(node)
    }

    fn ask(&mut self, command: Command, disk: &VirtualDisk) -> bool {
        self.machine.handle(Input::Command { token: Token(1), command }, NOW);
        self.settle(disk)
    }

    /// Carries out what the machine wants. `false` when the disk failed.
    fn settle(&mut self, disk: &VirtualDisk) -> bool {
        let store = store(disk);
        // Every store knows what is there before it writes.
        store.load().expect("what was saved can be read");
        while let Some(action) = self.machine.poll_action() {
            if let Action::Store { image, state } = action {
                self.underway = Some(of_image(&state));
                if store.save(&state.encode()).is_err() {
                    return false;
                }
                self.machine.handle(Input::Stored { image, result: Ok(()) }, NOW);
                self.underway = None;
                self.published = members(&self.machine);
            }
        }
        true
    }
}

fn script() -> Vec<Command> {
    let insert = |name: &str| {
        let insertion = Insertion::new(id(name), Address::new(name, 1).expect("a host and a port"));
        Command::Insert { nodes: vec![insertion], force: false }
    };
    vec![
        insert("x"),
        Command::Update { id: id("x"), weight: 7 },
        insert("y"),
        Command::Remove { ids: vec![id("x")], force: false },
        Command::Update { id: id("y"), weight: 9 },
    ]
}

/// Runs the script on a disk that fails after so many steps. Gives the disk, and the rosters a crash then may leave; none
/// when the script came to its end.
fn crashed(steps: usize) -> Option<(VirtualDisk, [Members; 2])> {
    let disk = VirtualDisk::default();
    disk.fail_after(Some(steps));
    let Some(mut node) = Node::start(&disk) else {
        return Some((disk, [Vec::new(), vec![(id("local"), 160)]]));
    };
    for command in script() {
        if !node.ask(command, &disk) {
            let underway = node.underway.unwrap_or_else(|| node.published.clone());
            return Some((disk, [node.published, underway]));
        }
    }
    None
}

/// Whether a node came back with a roster that the crash may have left. With nothing on its disk, where nothing but itself
/// was published, it founds the ring anew.
fn is_expected(members: &Members, rosters: &[Members; 2]) -> bool {
    let founded = vec![(id("local"), 160)];
    rosters.contains(members) || *members == founded && (rosters[0].is_empty() || rosters[0] == founded)
}

#[test]
fn a_crash_at_any_step_leaves_a_roster_that_was_published_or_was_about_to_be() {
    let mut found_first = 0;
    for steps in 0.. {
        let Some((disk, rosters)) = crashed(steps) else {
            assert!(steps > 30 && found_first > 100, "{steps} steps, {found_first} images");
            return;
        };
        for image in crash_images(&disk) {
            let node = Node::start(&image).expect("the disk works again");
            // With nothing on its disk it founds the ring anew.
            let found = &node.published;
            assert!(is_expected(found, &rosters), "step {steps}: {found:?} is none of {rosters:?}");
            found_first += 1;
        }
    }
}

#[test]
fn so_does_a_crash_while_it_starts_again() {
    for steps in (0..).step_by(3) {
        let Some((disk, rosters)) = crashed(steps) else { return };
        let image = disk.crashed(Tear::Front(1), Names::Kept);
        for again in 0.. {
            let image = image.crashed(Tear::Kept, Names::Kept);
            image.fail_after(Some(again));
            let started = Node::start(&image).is_some();
            for tear in [Tear::Lost, Tear::Kept, Tear::Front(1), Tear::Back(1)] {
                let node = Node::start(&image.crashed(tear, Names::Latest)).expect("the disk works again");
                let members = &node.published;
                assert!(is_expected(members, &rosters), "{members:?} is none of {rosters:?}");
            }
            if started {
                break;
            }
        }
    }
}

const NOW: Now = Now { mono_ms: 0, wall_ms: 1_780_000_000_000 };
