//! Throw-away programs that do only the unavoidable work: what a ring could cost at best.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::hint::black_box;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Points in one sorted list, owners in another.
pub struct BinarySearch {
    seed: u64,
    points: Vec<u64>,
    owners: Vec<u32>,
}

impl BinarySearch {
    pub fn new(nodes: &[String], weight: u32) -> Self {
        let (points, owners) = sorted_points(nodes, weight).into_iter().unzip();
        BinarySearch { seed: SEED, points, owners }
    }

    pub fn owner(&self, key: &[u8]) -> u32 {
        let token = xxh3_64_with_seed(key, self.seed);
        let position = self.points.partition_point(|&point| point < token);
        self.owners[if position == self.points.len() { 0 } else { position }]
    }
}

/// The same with a bucket for each point, or half of one, and four points counted without a branch.
#[derive(Clone)]
pub struct Bucketed {
    /// Known only at run time, as that of a ring that can be given one.
    seed: u64,
    points: Vec<u64>,
    owners: Vec<u32>,
    starts: Vec<u32>,
    shift: u32,
}

impl Bucketed {
    pub fn new(nodes: &[String], weight: u32) -> Self {
        let sorted = sorted_points(nodes, weight);
        let bits = sorted.len().ilog2();
        let shift = u64::BITS - bits;
        let start = |bucket: u64| sorted.partition_point(|(point, _)| point >> shift < bucket) as u32;
        let starts = (0..1 << bits).map(start).collect();
        let first = sorted[0].1;
        let (mut points, mut owners): (Vec<u64>, Vec<u32>) = sorted.into_iter().unzip();
        points.resize(points.len() + WINDOW, u64::MAX);
        owners.resize(owners.len() + WINDOW, first);
        points.shrink_to_fit();
        owners.shrink_to_fit();
        Bucketed { seed: black_box(SEED), points, owners, starts, shift }
    }

    #[inline]
    fn position(&self, token: u64) -> usize {
        let mut start = self.starts[(token >> self.shift) as usize] as usize;
        loop {
            let window = &self.points[start..start + WINDOW];
            let below: usize = window.iter().map(|&point| usize::from(point < token)).sum();
            start += below;
            if below < WINDOW {
                return start;
            }
        }
    }

    #[inline]
    pub fn owner(&self, key: &[u8]) -> u32 {
        self.owners[self.position(xxh3_64_with_seed(key, self.seed))]
    }

    /// Three distinct owners.
    #[inline]
    pub fn three(&self, key: &[u8]) -> [u32; 3] {
        let mut position = self.position(xxh3_64_with_seed(key, self.seed));
        let first = self.owners[position];
        let mut next_except = |a: u32, b: u32| loop {
            position = if position + 1 >= self.owners.len() { 0 } else { position + 1 };
            let owner = self.owners[position];
            if owner != a && owner != b {
                return owner;
            }
        };
        let second = next_except(first, first);
        [first, second, next_except(first, second)]
    }

    /// The owners of sixteen tokens, each of three steps fetched ahead for all.
    pub fn sixteen(&self, tokens: [u64; 16]) -> [u32; 16] {
        for token in tokens {
            prefetch(&self.starts, (token >> self.shift) as usize);
        }
        for token in tokens {
            let start = self.starts[(token >> self.shift) as usize] as usize;
            prefetch(&self.points, start);
            prefetch(&self.owners, start);
        }
        tokens.map(|token| self.owners[self.position(token)])
    }

    /// Inserts a node's points where they are, and shifts all starts.
    pub fn add(&mut self, run: &[u64], owner: u32) {
        let places: Vec<usize> = run.iter().map(|&point| self.position(point)).collect();
        let mut end = self.points.len();
        self.points.resize(end + run.len(), 0);
        self.owners.resize(end + run.len(), 0);
        for (ix, &place) in places.iter().enumerate().rev() {
            self.points.copy_within(place..end, place + ix + 1);
            self.owners.copy_within(place..end, place + ix + 1);
            self.points[place + ix] = run[ix];
            self.owners[place + ix] = owner;
            end = place;
        }
        self.shift_starts(run, u32::wrapping_add);
    }

    /// Takes them out again.
    pub fn remove(&mut self, run: &[u64]) {
        let places: Vec<usize> = run.iter().map(|&point| self.position(point)).collect();
        let mut write = places[0];
        for (ix, &place) in places.iter().enumerate() {
            let end = places.get(ix + 1).copied().unwrap_or(self.points.len());
            self.points.copy_within(place + 1..end, write);
            self.owners.copy_within(place + 1..end, write);
            write += end - place - 1;
        }
        self.points.truncate(write);
        self.owners.truncate(write);
        self.shift_starts(run, u32::wrapping_sub);
    }

    fn shift_starts(&mut self, run: &[u64], by: fn(u32, u32) -> u32) {
        for (ix, point) in run.iter().enumerate() {
            let end = run.get(ix + 1).map_or(self.starts.len(), |next| (next >> self.shift) as usize + 1);
            for start in &mut self.starts[(point >> self.shift) as usize + 1..end] {
                *start = by(*start, ix as u32 + 1);
            }
        }
    }
}

/// The points of one node, sorted.
pub fn run(node: &str, weight: u32) -> Vec<u64> {
    sorted_points(&[node.to_owned()], weight).into_iter().map(|(point, _)| point).collect()
}

fn sorted_points(nodes: &[String], weight: u32) -> Vec<(u64, u32)> {
    let of_node = |(ix, node): (usize, &String)| {
        let name = node.clone().into_bytes();
        (0..weight).map(move |number| {
            let point = xxh3_64_with_seed(&[&name[..], &number.to_le_bytes()].concat(), SEED);
            (point, ix as u32)
        })
    };
    let mut points: Vec<(u64, u32)> = nodes.iter().enumerate().flat_map(of_node).collect();
    points.sort_unstable();
    points
}

fn prefetch<T>(list: &[T], ix: usize) {
    // SAFETY: a hint about an address inside the list, which the slice expression checked.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(list[ix..].as_ptr().cast()) }
}

const SEED: u64 = 0x5eed;
const WINDOW: usize = 4;
