//! Many healthy peers that cast to one full server: what is held for it does not grow with their number.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::collections::HashMap;
use std::time::Duration;

use common::{SECOND, TestNode, id, node, server, settle, small};
use netkernel::{MemoryNetwork, Net};
use shim::{MARK, Shim, cast, define, frame, put_varint};

const MIB: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn a_crowd_of_casters_at_one_full_server_shares_four_windows_and_loses_nothing() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 16).await;
    let (peers, count, bytes) = (24, 300_u32, 16_000);
    let mut casters = Vec::new();
    for number in 0..peers {
        let caster = node(&network, &format!("caster-{number}")).await;
        caster.kernel.dial(&b.local().address, None, SECOND).await.unwrap();
        caster.kernel.connect(&id("b"), &b.local().address);
        casters.push(caster);
    }
    let casting = async {
        let mut tasks = tokio::task::JoinSet::new();
        for caster in &casters {
            let kernel = caster.kernel.clone();
            tasks.spawn(async move {
                for number in 0..count {
                    let mut body = number.to_be_bytes().to_vec();
                    body.resize(bytes, 0);
                    kernel.cast(&id("b"), &server("sink"), body.into(), 600 * SECOND).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
    };
    let held = || b.peers().iter().map(|peer| peer.casts_held.bytes).sum::<usize>();
    let receiving = async {
        let (mut next, mut most) = (HashMap::new(), 0);
        for step in 0..peers * count {
            let (from, body) = mailbox.recv().await.unwrap();
            let expected: &mut u32 = next.entry(from.node.id.clone()).or_default();
            assert_eq!(u32::from_be_bytes(body[..4].try_into().unwrap()), *expected);
            *expected += 1;
            if step % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                most = held().max(most);
                for peer in b.peers() {
                    // Its first window is taken: now it shares four with the others.
                    let shares = next.get(&peer.id).is_some_and(|taken| *taken > 140);
                    let held = peer.casts_held.bytes;
                    assert!(!shares || held < 4 * 2 * MIB / 24 + 3 * bytes, "{held} bytes of {}", peer.id);
                }
            }
        }
        most
    };
    let ((), most) = tokio::join!(casting, receiving);
    assert!((45 * MIB..51 * MIB).contains(&most), "each peer has a window at first: {most}");
    settle().await;
    assert_eq!(b.peers().iter().map(|peer| peer.traffic.casts_refused).sum::<u64>(), 0);
    assert_eq!(held(), 0);
    // All of a window is there again, but for what is not worth a frame: a quarter at most.
    tokio::time::sleep(SECOND).await;
    for caster in &casters {
        let spent = caster.kernel.peers()[0].casts_unacknowledged.bytes;
        assert!(spent < MIB / 2, "{spent} bytes of credit are kept back for ever");
    }
}

/// A sender of small casts has a smaller window than a receiver of large ones keeps back.
#[tokio::test(start_paused = true)]
async fn no_caster_of_a_crowd_starves_whatever_its_casts_are() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 16).await;
    let mut casters = Vec::new();
    for number in 0..36 {
        let caster = node(&network, &format!("caster-{number}")).await;
        caster.kernel.dial(&b.local().address, None, SECOND).await.unwrap();
        caster.kernel.connect(&id("b"), &b.local().address);
        casters.push(caster);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (number, caster) in casters.iter().enumerate() {
        let kernel = caster.kernel.clone();
        let mut body = (number as u32).to_be_bytes().to_vec();
        // Six keep it full.
        body.resize(if number < 6 { 16_000 } else { 600 }, 0);
        tasks.spawn(async move {
            while kernel.cast(&id("b"), &server("sink"), body.clone().into(), 60 * SECOND).await.is_ok() {}
        });
    }
    // Each has a window at first.
    for second in 0..20 {
        let mut taken = [0; 36];
        for _ in 0..1_000 {
            for (_, body) in std::iter::from_fn(|| mailbox.try_recv().ok()).take(3) {
                taken[u32::from_be_bytes(*body.first_chunk().unwrap()) as usize] += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(second < 10 || taken.iter().all(|taken| *taken > 0), "second {second}: {taken:?}");
    }
    assert!(std::iter::from_fn(|| tasks.try_join_next()).next().is_none(), "a cast failed");
}

/// One that takes the place of a session and then breaks, while the first still brings what it was sent.
#[tokio::test(start_paused = true)]
async fn windows_are_whole_again_after_links_that_ended_with_casts_held() {
    let network = MemoryNetwork::new();
    let (kernel, mut mailbox) = small(&network, "b", 16).await;
    let (casts, held) = (tokio::sync::mpsc::channel(1).1, tokio::sync::mpsc::channel(1).1);
    let b = TestNode { kernel, casts, held };
    for name in ["x", "y", "z", "v", "w"] {
        let (mut first, session) = Shim::welcomed(&network, &b, name, Shim::hello(name, 1)).await;
        assert_eq!(first.finish().await.unwrap()[0], 0);
        first.record(&[frame(MARK, 0, 0, None, b""), define(1, "sink")].concat()).await;
        let mut second = Shim::connect_as(&network, &b, name, Shim::hello(name, 1)).await;
        let mut before = Vec::new();
        put_varint(&mut before, session);
        before.push(0);
        second.record(&frame(MARK, 0, 0, None, &before)).await;
        settle().await;
        drop(second);
        settle().await;
        first.record(&cast(1, &[0; 300]).repeat(40)).await;
        settle().await;
        drop(first);
        tokio::time::sleep(15 * SECOND).await;
    }
    assert_eq!(b.kernel.peers().len(), 0);
    while mailbox.try_recv().is_ok() {}
    let (count, mut tasks) = (300, tokio::task::JoinSet::new());
    let mut casters = Vec::new();
    for number in 0..6 {
        let caster = node(&network, &format!("caster-{number}")).await;
        caster.kernel.dial(&b.address(), None, SECOND).await.unwrap();
        caster.kernel.connect(&id("b"), &b.address());
        let kernel = caster.kernel.clone();
        tasks.spawn(async move {
            for _ in 0..count {
                kernel.cast(&id("b"), &server("sink"), vec![0; 16_000].into(), 600 * SECOND).await.unwrap();
            }
        });
        casters.push(caster);
    }
    for step in 0..6 * count {
        mailbox.recv().await.unwrap();
        if step % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    tasks.join_all().await;
    tokio::time::sleep(SECOND).await;
    for caster in &casters {
        let spent = caster.kernel.peers()[0].casts_unacknowledged.bytes;
        assert!(spent < MIB / 2, "{spent} bytes of credit are kept back for ever");
    }
}
