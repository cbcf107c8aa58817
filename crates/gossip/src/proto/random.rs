//! The machine's only randomness: a generator seeded from outside, so that a run can be repeated.

/// SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator that `seed` determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product is as good as unbiased for the small bounds used here, without a division.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether an event of this probability, in percent, happens.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Copies of up to `count` of the items, each at most once, without looking at the others (Floyd's algorithm; Bentley,
    /// *Programming Pearls: a sample of brilliance*, 1987).
    pub fn choose<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let count = count.min(items.len());
        let mut places: Vec<usize> = Vec::with_capacity(count);
        for last in items.len() - count..items.len() {
            let place = self.below(last as u64 + 1) as usize;
            places.push(if places.contains(&place) { last } else { place });
        }
        places.into_iter().map(|place| items[place].clone()).collect()
    }

    /// Up to `count` of the items, each at most once, by a partial Fisher-Yates shuffle.
    pub fn sample<T>(&mut self, mut items: Vec<T>, count: usize) -> Vec<T> {
        let count = count.min(items.len());
        for at in 0..count {
            let other = at + self.below((items.len() - at) as u64) as usize;
            items.swap(at, other);
        }
        items.truncate(count);
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut left, mut right) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| left.bits() == right.bits()));
    }

    #[test]
    fn sample_never_repeats_an_item() {
        let mut random = Random::new(1);
        for count in 0..12 {
            let mut drawn = random.sample((0..10).collect(), count);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(10));
        }
    }

    #[test]
    fn choose_takes_each_item_as_often() {
        let (mut random, mut taken) = (Random::new(2), [0; 5]);
        for _ in 0..5_000 {
            let mut chosen = random.choose(&[0, 1, 2, 3, 4], 3);
            chosen.iter().for_each(|item: &usize| taken[*item] += 1);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3);
        }
        assert!(taken.iter().all(|times| (2_800..3_200).contains(times)), "{taken:?}");
        assert!(random.choose::<usize>(&[], 3).is_empty());
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(3);
        assert!((1..200).all(|bound| random.below(bound) < bound));
        assert_eq!(random.below(0), 0);
    }
}
