//! Who owns a key, and who keeps its copies.

use std::hint::black_box;

use bench::{Measure, Report, Target, consume, instructions_per_op, ns_per_op};
use hashring::{HashRing, LoadFactor, NodeSpec, Placement, Token};
use peer_maglev::ConsistentHasher;

use crate::keys::{Keys, nodes};
use crate::limit::{BinarySearch, Bucketed};
use crate::peers;

pub const OURS: &str = "clusterluck-hashring";
pub const LIMIT: &str = "limit: bucket per point, window of 4";
pub const HASH: &str = "limit: the hash alone";

pub fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, 1)
}

pub fn ring(names: &[String], weight: u32) -> HashRing<String> {
    let nodes = names.iter().cloned().map(NodeSpec::new);
    HashRing::builder().default_weight(weight).nodes(nodes).build().expect("within the limits")
}

/// One owner. The target is what the project asks for in nanoseconds, over what its limit program measured then.
pub fn owners(report: &mut Report, keys: &Keys, count: usize, weight: u32, target: f64, with_peers: bool) {
    let name = format!("owner of a key, {count} × {weight}");
    if !report.wants(&name) {
        return;
    }
    let names = nodes(count);
    let (ours, limit, binary) =
        (ring(&names, weight), Bucketed::new(&names, weight), BinarySearch::new(&names, weight));
    let rivals = with_peers.then(|| {
        let (hashring, hash_rings) = (peers::hashring(&names, weight), peers::hash_rings(&names, weight));
        let (fixed, conhash) = (peers::consistent_hash(&names, weight), peers::conhash(&names, weight));
        (hashring, hash_rings, fixed, conhash, peers::coordinator(&names, weight))
    });
    let mut measure = Measure::new(&name, "ns")
        .target(Target::ratio_to(LIMIT, target))
        .target(Target::ratio_to(peers::HASHRING, 1.0 / 9.0));
    measure.contender(OURS, each(keys, |key| ours.owner(key)));
    measure.contender(LIMIT, each(keys, |key| limit.owner(key)));
    measure.contender("limit: binary search", each(keys, |key| binary.owner(key)));
    measure.contender(HASH, each(keys, hash));
    if let Some((hashring, hash_rings, fixed, conhash, coordinator)) = &rivals {
        measure.contender(peers::HASHRING, each(keys, |key| hashring.get(&key)));
        measure.contender(peers::HASH_RINGS, each(keys, |key| hash_rings.get_node(&key)));
        measure.contender(peers::CONSISTENT_HASH, each(keys, |key| fixed.calc_candidates(&key).next()));
        measure.contender(peers::CONHASH, each(keys, |key| conhash.get(key)));
        measure.contender(peers::COORDINATOR, each(keys, |key| coordinator.get(&key)));
    }
    report.run(measure);
}

/// Three distinct nodes.
pub fn replicas(report: &mut Report, keys: &Keys) {
    let name = "3 replicas of a key, 1000 × 160";
    if !report.wants(name) {
        return;
    }
    let names = nodes(1_000);
    let (ours, limit) = (ring(&names, 160), Bucketed::new(&names, 160));
    let (hashring, fixed) = (peers::hashring(&names, 160), peers::consistent_hash(&names, 160));
    let coordinator = peers::coordinator(&names, 160);
    let targets = [Target::ratio_to(LIMIT, 16.0 / 12.6), Target::ratio_to(peers::CONSISTENT_HASH, 1.0 / 9.0)];
    let mut measure = targets.into_iter().fold(Measure::new(name, "ns"), Measure::target);
    measure.contender(OURS, each(keys, |key| ours.replicas(key, 3).for_each(|node| consume(node))));
    measure.contender(LIMIT, each(keys, |key| limit.three(key).map(black_box)));
    measure.contender(
        peers::CONSISTENT_HASH,
        each(keys, |key| fixed.calc_candidates(&key).take(3).for_each(|node| consume(node))),
    );
    measure.contender(peers::HASHRING, each(keys, |key| hashring.get_with_replicas(&key, 2)));
    measure.contender(peers::COORDINATOR, each(keys, |key| coordinator.get(&key)));
    report.run(measure);
}

/// Three nodes in three of twelve zones, and an owner that is not full: what no peer has, beside three nodes anywhere.
pub fn placements(report: &mut Report, keys: &Keys) {
    let name = "3 replicas in 3 zones, or an owner within bounds, 1000 × 160";
    if !report.wants(name) {
        return;
    }
    let zoned = nodes(1_000).into_iter().enumerate();
    let specs = zoned.map(|(ix, name)| NodeSpec::new(name).zone(format!("zone-{}", ix % 12)));
    let ours = HashRing::builder().nodes(specs).build().expect("within the limits");
    let (anywhere, spread) = (Placement::anywhere(3), Placement::spread(3).at_least(3));
    let set = |placement: Placement| {
        let ours = &ours;
        each(keys, move |key| {
            ours.replica_set(key, &placement).expect("there are twelve zones").for_each(|node| consume(node));
        })
    };
    let mut measure = Measure::new(name, "ns");
    measure.contender("replica_set, spread over zones", set(spread));
    measure.contender("replica_set, anywhere", set(anywhere));
    measure.contender("replicas", each(keys, |key| ours.replicas(key, 3).for_each(|node| consume(node))));
    let factor = LoadFactor::percent_over(25);
    // Half of all nodes are full.
    let load = |node: &String| u64::from(node.as_bytes()[9] % 2) * 2;
    measure.contender("owner_bounded_of", each(keys, |key| ours.owner_bounded_of(key, load, 1_000, factor)));
    measure.contender("owner_bounded", each(keys, |key| ours.owner_bounded(key, load, factor)));
    report.run(measure);
}

/// Sixteen owners at once, in a ring larger than the cache; for one of them.
pub fn batch(report: &mut Report, keys: &Keys) {
    let name = "owner of a token, 16 at once, 10000 × 256";
    if !report.wants(name) {
        return;
    }
    let names = nodes(10_000);
    let (ours, limit) = (ring(&names, 256), Bucketed::new(&names, 256));
    let batches = keys.batches(|key| ours.token(key).get());
    let mut measure = Measure::new(name, "ns").target(Target::ratio_to(LIMIT, 35.0 / 30.0));
    measure.contender(OURS, each_of(&batches, |tokens| consume(ours.owners_batch(tokens.map(Token::new)))));
    measure.contender(LIMIT, each_of(&batches, |tokens| consume(limit.sixteen(*tokens))));
    measure.contender(
        "clusterluck-hashring, one by one",
        each_of(&batches, |tokens| {
            tokens.iter().for_each(|&token| consume(ours.owner_at(Token::new(token))));
        }),
    );
    report.run(measure);
}

/// A partition table and what else has no ring.
pub fn tables(report: &mut Report, keys: &Keys) {
    let name = "owner of a key without a ring, 1000 nodes, table of 65536";
    if !report.wants(name) {
        return;
    }
    let names = nodes(1_000);
    let table =
        ring(&names, 160).partition_table(16, LoadFactor::percent_over(5)).expect("the ring has points");
    let (maglev, anchor) = (peers::maglev(&names), peers::anchor(&names));
    let ahead = |peer| Target::ratio_to(peer, 1.0);
    let targets =
        [Target::ratio_to(HASH, 8.0 / 3.1), ahead(peers::MAGLEV), ahead(peers::ANCHOR), ahead(peers::JUMP)];
    let mut measure = targets.into_iter().fold(Measure::new(name, "ns"), Measure::target);
    measure.contender(OURS, each(keys, |key| table.owner(key)));
    measure.contender(HASH, each(keys, hash));
    measure.contender(peers::MAGLEV, each(keys, |key| maglev.get(key)));
    measure.contender(peers::ANCHOR, each(keys, |key| anchor.get_resource(key)));
    measure.contender(peers::JUMP, each(keys, |key| peers::jump(&names, key)));
    report.run(measure);
}

/// Instructions for one owner.
pub fn instructions(report: &mut Report) {
    let name = "instructions for the owner of a key, 1000 × 160";
    if !report.wants(name) {
        return;
    }
    let mut measure = Measure::new(name, "instructions").target(Target::ratio_to(LIMIT, 110.0 / 94.0));
    for contender in [OURS, LIMIT, peers::HASHRING, peers::CONSISTENT_HASH] {
        let Some(count) = instructions_per_op(contender) else {
            report.note("Instructions are not counted: valgrind is not installed.");
            return;
        };
        measure.constant(contender, count);
    }
    report.run(measure);
}

/// The job that callgrind counts.
pub fn count(keys: &Keys, contender: &str, times: u64) {
    let names = nodes(1_000);
    match contender {
        OURS => {
            let ring = ring(&names, 160);
            keys.each(times, |key| consume(ring.owner(key)));
        }
        LIMIT => {
            let ring = Bucketed::new(&names, 160);
            keys.each(times, |key| consume(ring.owner(key)));
        }
        peers::HASHRING => {
            let ring = peers::hashring(&names, 160);
            keys.each(times, |key| consume(ring.get(&key)));
        }
        peers::CONSISTENT_HASH => {
            let ring = peers::consistent_hash(&names, 160);
            keys.each(times, |key| consume(ring.calc_candidates(&key).next()));
        }
        _ => panic!("no contender is named {contender}"),
    }
}

/// Nanoseconds an operation, over all keys in turn.
pub fn each<'a, T>(keys: &'a Keys, mut lookup: impl FnMut(&'a [u8]) -> T + 'a) -> impl FnMut() -> f64 + 'a {
    ns_per_op(move |n| keys.each(n, |key| consume(lookup(key))))
}

/// For one of the sixteen.
fn each_of<'a>(
    batches: &'a [[u64; 16]],
    mut lookup: impl FnMut(&[u64; 16]) + 'a,
) -> impl FnMut() -> f64 + 'a {
    let mut sample = ns_per_op(move |n| {
        let times = usize::try_from(n).expect("fewer than an address space");
        batches.iter().cycle().take(times).for_each(&mut lookup);
    });
    move || sample() / 16.0
}
