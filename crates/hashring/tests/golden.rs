//! Layout V1 is what a second implementation, `golden/reference.py`, says it is.

use hashring::{Fingerprint, HashRing, NodeSpec, Token};

/// A ring and the answers expected of it, as the reference wrote them.
struct Golden {
    ring: HashRing<Vec<u8>>,
    fingerprint: String,
    points: (usize, String),
    lookups: Vec<Lookup>,
}

struct Lookup {
    key: Vec<u8>,
    token: Token,
    replicas: Vec<Vec<u8>>,
}

impl Golden {
    fn parse(text: &str) -> Self {
        let (mut seed, mut nodes, mut lookups) = (0, Vec::new(), Vec::new());
        let (mut fingerprint, mut points) = (String::new(), (0, String::new()));
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
                _ => panic!("unknown line: {line}"),
            }
        }
        let ring = HashRing::builder().seed(seed).nodes(nodes).build().expect("within the limits");
        Golden { ring, fingerprint, points, lookups }
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
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_matches('-').as_bytes();
    let byte =
        |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.chunks(2).map(byte).collect()
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
    Golden::parse(include_str!("golden/small.txt")).check();
}

#[test]
fn weights_zones_odd_ids_and_a_seed_lie_where_the_reference_puts_them() {
    Golden::parse(include_str!("golden/zoned.txt")).check();
}

#[test]
fn a_thousand_numbered_nodes_lie_where_the_reference_puts_them() {
    let golden = Golden::parse(include_str!("golden/large.txt"));
    golden.check();
    let numbered = HashRing::builder().seed(u64::MAX).nodes((0..1_000_u64).map(NodeSpec::new)).build();
    assert_eq!(numbered.expect("within the limits").fingerprint(), golden.ring.fingerprint());
}
