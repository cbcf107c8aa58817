//! A save that is cut short at any step, by a crash or an error: what is found afterwards was saved.

use std::path::PathBuf;
use std::sync::Arc;

use super::virtual_disk::{Names, SECTOR, Tear, VirtualDisk};
use super::{FileStore, Store};

pub(super) fn store(disk: &VirtualDisk) -> FileStore {
    FileStore::on(Arc::new(disk.clone()), PathBuf::from("/data/gossip.state"))
}

/// A state of several sectors, no two alike.
fn state(number: u8) -> Vec<u8> {
    (0..5 * SECTOR / 2).map(|at| number ^ (at / SECTOR) as u8).collect()
}

/// Every disk that a crash now may leave.
pub(super) fn crash_images(disk: &VirtualDisk) -> Vec<VirtualDisk> {
    let tears = (0..=disk.sectors()).flat_map(|sectors| [Tear::Front(sectors), Tear::Back(sectors)]);
    let tears = tears.chain([Tear::Lost, Tear::Kept]);
    let names = [Names::Lost, Names::Kept, Names::Latest];
    tears.flat_map(|tear| names.map(|names| disk.crashed(tear, names))).collect()
}

/// Disks on which `before` was saved, and then a save of `after` crashed at every step.
fn crashed_saves(disk: &VirtualDisk, after: &[u8]) -> Vec<VirtualDisk> {
    let mut images = Vec::new();
    for step in 0.. {
        let disk = disk.crashed(Tear::Kept, Names::Kept);
        let store = store(&disk);
        store.load().expect("the disk before the crash is whole");
        disk.fail_after(Some(step));
        let saved = store.save(after);
        images.extend(crash_images(&disk));
        if saved.is_ok() {
            return images;
        }
    }
    images
}

fn saved(states: &[&[u8]]) -> VirtualDisk {
    let disk = VirtualDisk::default();
    let store = store(&disk);
    states.iter().for_each(|state| store.save(state).expect("the disk works"));
    disk
}

#[test]
fn a_crash_at_any_step_leaves_the_state_before_or_after() {
    let (first, second, third) = (state(1), state(2), state(3));
    let disk = saved(&[&first, &second]);
    let images = crashed_saves(&disk, &third);
    assert!(images.len() > 100, "{} images", images.len());
    for image in images {
        let found = store(&image).load().expect("one of the two is whole").expect("there was a state");
        assert!(found == second || found == third);
    }
}

#[test]
fn a_crash_of_the_first_save_leaves_nothing_or_all() {
    let first = state(1);
    for image in crashed_saves(&VirtualDisk::default(), &first) {
        let found = store(&image).load().expect("nothing, or what was saved");
        assert!(found.is_none_or(|found| found == first));
    }
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_more() {
    let (first, second, third) = (state(1), state(2), state(3));
    let disk = saved(&[&first]);
    for image in crashed_saves(&disk, &second) {
        let recovered = store(&image).load().expect("readable").expect("there was a state");
        for image in crashed_saves(&image, &third) {
            let found = store(&image).load().expect("readable").expect("there was a state");
            assert!(found == recovered || found == third);
        }
    }
}

#[test]
fn a_save_that_ends_well_survives_every_crash() {
    let (first, second) = (state(1), state(2));
    let disk = saved(&[&first, &second]);
    for image in crash_images(&disk) {
        assert_eq!(store(&image).load().expect("readable").as_deref(), Some(&second[..]));
    }
}

#[test]
fn a_full_disk_is_an_error_and_the_next_save_succeeds() {
    let (first, second, third) = (state(1), state(2), state(3));
    let disk = saved(&[&first]);
    let before = disk.steps();
    store(&disk).save(&second).expect("the disk works");
    let steps = disk.steps() - before;
    for step in 0..steps {
        let disk = saved(&[&first]);
        let store = store(&disk);
        store.load().expect("readable");
        disk.fail_after(Some(step));
        store.save(&second).expect_err("the disk is full");
        disk.fail_after(None);
        let found = store.load().expect("readable").expect("there was a state");
        assert!(found == first || found == second, "step {step}");
        store.save(&third).expect("the disk has room again");
        assert_eq!(store.load().expect("readable").as_deref(), Some(&third[..]));
    }
}
