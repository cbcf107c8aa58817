//! Layout V1 is what a second implementation, `golden/reference.py`, says it is.

// Thousands of lookups on paths that the laws take too: beyond miri's patience.
#![cfg(not(miri))]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use hashring::{Fingerprint, HashRing, LoadFactor, NodeSpec, Placement, Snapshot, Token};

/// A ring and the answers expected of it, as the reference wrote them.
struct Golden {
    ring: HashRing<Vec<u8>>,
    fingerprint: String,
    points: (usize, String),
    lookups: Vec<Lookup>,
    /// Lines about all keys together, or about the ring: their words.
    placed: Vec<Vec<String>>,
}

struct Lookup {
    key: Vec<u8>,
    token: Token,
    replicas: Vec<Vec<u8>>,
}

impl Golden {
    fn parse(text: &str) -> Self {
        let (mut seed, mut nodes, mut lookups) = (0, Vec::new(), Vec::new());
        let (mut fingerprint, mut points, mut placed) = (String::new(), (0, String::new()), Vec::new());
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["seed", value] => seed = value.parse().expect("a number"),
                ["node", id, weight, zone] => {
                    let spec = NodeSpec::new(bytes(id)).weight(weight.parse().expect("a number"));
                    nodes.push(if zone == "-" { spec } else { spec.zone(zone) });
                }
                ["fingerprint", value] => value.clone_into(&mut fingerprint),
                ["points", count, digest] => {
                    points = (count.parse().expect("a number"), digest.to_owned());
                }
                ["key", key, token, ref replicas @ ..] => lookups.push(Lookup {
                    key: bytes(key),
                    token: Token::new(u64::from_str_radix(token, 16).expect("hexadecimal")),
                    replicas: replicas.iter().map(|id| bytes(id)).collect(),
                }),
                ["spread" | "bounded" | "table" | "snapshot", ..] => {
                    placed.push(words.into_iter().map(str::to_owned).collect());
                }
                _ => panic!("unknown line: {line}"),
            }
        }
        let ring = HashRing::builder().seed(seed).nodes(nodes).build().expect("within the limits");
        Golden { ring, fingerprint, points, lookups, placed }
    }

    fn check(&self) {
        let ring = &self.ring;
        assert_eq!(ring.fingerprint().to_string(), self.fingerprint);
        assert_eq!(ring.point_count(), self.points.0);
        assert_eq!(points_digest(ring).to_string(), self.points.1);
        assert_eq!(self.lookups.len(), 1_000);
        for Lookup { key, token, replicas } in &self.lookups {
            assert_eq!(ring.token(key), *token, "{key:?}");
            assert_eq!(ring.owner(key), replicas.first(), "{key:?}");
            assert!(ring.replicas(key, 3).eq(replicas), "{key:?}");
        }
        for words in &self.placed {
            self.check_placed(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    fn check_placed(&self, words: &[&str]) {
        let (ring, keys) = (&self.ring, self.lookups.iter().map(|lookup| &lookup.key[..]));
        let number = |word: &str| word.parse::<u32>().expect("a number");
        let (told, expected) = match words {
            ["spread", count, digest] => {
                let placement = Placement::spread(number(count) as usize);
                let sets =
                    keys.flat_map(|key| ring.replica_set(key, &placement).expect("no zones are required"));
                (names_digest(sets), digest)
            }
            ["bounded", permille, digest] => {
                let factor = LoadFactor::permille_over(number(permille));
                let loads = RefCell::new(BTreeMap::<&[u8], u64>::new());
                let load = |node: &Vec<u8>| loads.borrow().get(&node[..]).copied().unwrap_or(0);
                let owners = keys.map(|key| {
                    let owner = ring.owner_bounded(key, load, factor).expect("the ring has points");
                    *loads.borrow_mut().entry(owner).or_default() += 1;
                    owner
                });
                (names_digest(owners), digest)
            }
            ["table", bits, permille, digest] => {
                let table = ring.partition_table(number(bits), LoadFactor::permille_over(number(permille)));
                let table = table.expect("the ring has points");
                (names_digest(table.iter().map(|(_, owner)| owner)), digest)
            }
            ["snapshot", hex] => {
                assert!(
                    Snapshot::<Vec<u8>>::from_bytes(&bytes(hex)).is_ok_and(|read| read == ring.snapshot())
                );
                assert_eq!(ring.snapshot().to_bytes(), bytes(hex));
                return;
            }
            _ => panic!("unknown line: {words:?}"),
        };
        assert_eq!(told, *expected, "{}", words[0]);
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_matches('-').as_bytes();
    let byte =
        |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.chunks(2).map(byte).collect()
}

fn names_digest<'a>(names: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(&u16::try_from(name.len()).expect("ids are short").to_le_bytes()).update(name);
    }
    hasher.finalize().to_string()
}

fn points_digest(ring: &HashRing<Vec<u8>>) -> Fingerprint {
    let mut hasher = blake3::Hasher::new();
    for point in ring.points() {
        hasher.update(&point.token.get().to_le_bytes());
        hasher.update(point.node);
    }
    Fingerprint::from(*hasher.finalize().as_bytes())
}

#[test]
fn five_equal_nodes_lie_where_the_reference_puts_them() {
    let golden = Golden::parse(include_str!("golden/small.txt"));
    golden.check();
    assert_eq!(golden.placed.len(), 4);
}

#[test]
fn weights_zones_odd_ids_and_a_seed_lie_where_the_reference_puts_them() {
    let golden = Golden::parse(include_str!("golden/zoned.txt"));
    golden.check();
    assert_eq!(golden.placed.len(), 4);
}

#[test]
fn points_at_one_position_lie_where_the_reference_puts_them() {
    let golden = Golden::parse(include_str!("golden/tied.txt"));
    golden.check();
    assert_eq!(golden.placed.len(), 4);
    let positions: BTreeSet<Token> = golden.ring.points().map(|point| point.token).collect();
    assert_eq!((golden.ring.point_count(), positions.len()), (86, 60));
}

#[test]
fn a_thousand_numbered_nodes_lie_where_the_reference_puts_them() {
    let golden = Golden::parse(include_str!("golden/large.txt"));
    golden.check();
    let numbered = HashRing::builder().seed(u64::MAX).nodes((0..1_000_u64).map(NodeSpec::new)).build();
    assert_eq!(numbered.expect("within the limits").fingerprint(), golden.ring.fingerprint());
}
