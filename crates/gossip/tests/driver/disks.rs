//! A disk that takes nothing: the node goes on, says so, and tells nobody what it could not store; or it does not start.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gossip::{
    Config, Event, FileStore, Gossip, InsertError, MemoryStore, Reach, StartError, Store, StoreError,
    Unavailable, UpdateError,
};
use netkernel::MemoryNetwork;

use super::common::{SECOND, TestNode, id, kernel, next, ring, start, start_with};

/// A store that takes nothing while it is full.
#[derive(Debug, Default)]
struct Full {
    inner: MemoryStore,
    full: AtomicBool,
}

impl Full {
    fn set(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl Store for Full {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.load()
    }

    fn save(&self, state: &[u8]) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            let (path, source) = ("full".into(), Arc::new(std::io::ErrorKind::StorageFull.into()));
            return Err(StoreError::Io { attempt: "write", path, source });
        }
        self.inner.save(state)
    }
}

fn config() -> Config {
    Config::builder().ring(ring("ring")).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_told_to_nobody() {
    let network = MemoryNetwork::new();
    let store = Arc::new(Full::default());
    let a = start_with(&network, "a", config(), store.clone()).await;
    let b = start(&network, "b", "ring").await;
    a.gossip.meet(&b.address()).await.unwrap();
    b.knows(2).await;
    let mut events = a.gossip.events();

    store.set(true);
    let refused = a.gossip.update(&b.id(), 7).await;
    assert!(matches!(refused, Err(UpdateError::Unavailable(Unavailable::NotStored { .. }))), "{refused:?}");
    next(&mut events, |event| matches!(event, Event::NotStored { .. })).await;
    let ghost = netkernel::Address::new("ghost", 1).unwrap();
    let refused = a.gossip.insert(id("ghost"), ghost, None, false).await;
    assert!(matches!(refused, Err(InsertError::Unavailable(Unavailable::NotStored { .. }))), "{refused:?}");

    // It still hears what others write, and others hear nothing of what failed: this write comes after.
    let operation = b.gossip.update(&a.id(), 40).await.unwrap();
    b.gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    for node in [&a, &b] {
        let view = node.gossip.view();
        assert_eq!(view.member(&a.id()).unwrap().weight, 40);
        assert_eq!(view.member(&b.id()).unwrap().weight, hashring::WEIGHT_DEFAULT);
        assert!(view.member(&id("ghost")).is_none());
    }

    store.set(false);
    let operation = a.gossip.update(&b.id(), 9).await.unwrap();
    a.gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    assert_eq!(b.gossip.view().member(&b.id()).unwrap().weight, 9);
    assert!(b.gossip.view().conflicts().is_empty());
    a.stop().await;

    // What it heard while the disk was full was stored later.
    let again = start_with(&network, "a", config(), store).await;
    let view = again.gossip.view();
    assert_eq!((view.member(&id("a")).unwrap().weight, view.member(&id("b")).unwrap().weight), (40, 9));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_disk_takes_nothing_does_not_start() {
    let network = MemoryNetwork::new();
    let store = Arc::new(Full::default());
    store.set(true);
    let kernel = kernel(&network, "a").await;
    let started = Gossip::start(Arc::new(kernel), config(), store).await;
    assert!(matches!(started, Err(StartError::Store(StoreError::Io { .. }))), "{started:?}");
}

/// A file system of 64 KiB, while it is mounted.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn mount() -> Option<Self> {
        let tiny = Self(tempfile::tempdir().unwrap());
        tiny.mounted("size=64k").then_some(tiny)
    }

    fn mounted(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "clusterluck-test"]).arg(self.path());
        mount.output().is_ok_and(|output| output.status.success())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let mut size = 64 * 1024;
        for at in 0.. {
            // Blocks of half the size, until not even a byte fits.
            while fs::write(self.path().join(format!("filler{at}")), vec![1; size]).is_err() && size > 0 {
                size /= 2;
            }
            if size == 0 {
                return;
            }
        }
    }

    fn empty(&self) {
        for file in fs::read_dir(self.path()).unwrap() {
            let path = file.unwrap().path();
            if path.to_string_lossy().contains("filler") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // What is not mounted any more cannot be unmounted.
        let _unmounted = Command::new("umount").arg(self.path()).output();
    }
}

/// Past the test harness, which shows nothing of a test that passes.
fn skipped() {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "NOT TESTED: a real disk that takes nothing (it takes root and `mount`)").unwrap();
}

async fn started(network: &MemoryNetwork, tiny: &Tiny) -> TestNode {
    start_with(network, "a", config(), Arc::new(FileStore::new(tiny.path().join("state")))).await
}

/// A node on that file system, and another that it has met.
async fn two(network: &MemoryNetwork, tiny: &Tiny) -> (TestNode, TestNode) {
    let (a, b) = (started(network, tiny).await, start(network, "b", "ring").await);
    a.gossip.meet(&b.address()).await.unwrap();
    b.knows(2).await;
    (a, b)
}

/// What `a` cannot store is told to nobody, and it hears what `b` writes.
async fn tells_nobody_and_listens(a: &TestNode, b: &TestNode) {
    let refused = a.gossip.update(&b.id(), 7).await;
    assert!(matches!(refused, Err(UpdateError::Unavailable(Unavailable::NotStored { .. }))), "{refused:?}");
    let operation = b.gossip.update(&a.id(), 40).await.unwrap();
    b.gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    assert_eq!(b.gossip.view().member(&b.id()).unwrap().weight, hashring::WEIGHT_DEFAULT);
}

#[tokio::test(start_paused = true)]
async fn a_real_disk_that_is_full_is_survived() {
    let Some(tiny) = Tiny::mount() else { return skipped() };
    let network = MemoryNetwork::new();
    let (a, b) = two(&network, &tiny).await;
    tiny.fill();
    tells_nobody_and_listens(&a, &b).await;
    tiny.empty();
    a.gossip.update(&b.id(), 9).await.unwrap();
    b.until(|view| view.member(&id("b")).is_some_and(|member| member.weight == 9)).await;
    a.stop().await;
    let again = started(&network, &tiny).await;
    let view = again.gossip.view();
    assert_eq!((view.member(&id("a")).unwrap().weight, view.member(&id("b")).unwrap().weight), (40, 9));
}

#[tokio::test(start_paused = true)]
async fn a_real_folder_that_cannot_be_written_refuses_the_start() {
    let Some(tiny) = Tiny::mount() else { return skipped() };
    let network = MemoryNetwork::new();
    let a = started(&network, &tiny).await;
    a.stop().await;
    assert!(tiny.mounted("remount,ro"), "what is mounted and not in use can be made read-only");
    let kernel = kernel(&network, "a").await;
    let store = Arc::new(FileStore::new(tiny.path().join("state")));
    let started = Gossip::start(Arc::new(kernel), config(), store).await;
    assert!(matches!(started, Err(StartError::Store(StoreError::Io { .. }))), "{started:?}");
}

#[tokio::test(start_paused = true)]
async fn a_real_folder_that_becomes_read_only_is_survived() {
    let Some(tiny) = Tiny::mount() else { return skipped() };
    let network = MemoryNetwork::new();
    let (a, b) = two(&network, &tiny).await;
    // As a file system does of itself when its device fails. What is open for writing keeps the kernel from it.
    if !tiny.mounted("remount,ro") {
        return skipped();
    }
    let mut events = a.gossip.events();
    tells_nobody_and_listens(&a, &b).await;
    next(&mut events, |event| matches!(event, Event::NotStored { .. })).await;
    tokio::time::sleep(3 * SECOND).await;
    assert!(a.gossip.report().stats.failed_stores > 0);
    assert!(tiny.mounted("remount,rw"));
    let operation = a.gossip.update(&b.id(), 9).await.unwrap();
    a.gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    assert_eq!(b.gossip.view().member(&b.id()).unwrap().weight, 9);
}
