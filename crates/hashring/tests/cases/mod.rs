//! How many cases the laws are tried on, and which.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::{RngAlgorithm, RngSeed};

/// At least a thousand, the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others and for more. Miri
/// looks at memory rather than at laws, a thousand times slower, and gets fewer, drawn by a generator that does not take it
/// longer than the laws themselves.
pub(crate) fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(2_026),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let (cases, rng_algorithm) = if cfg!(miri) {
        (2, RngAlgorithm::XorShift)
    } else {
        (default.cases.max(1_024), default.rng_algorithm)
    };
    ProptestConfig { cases, rng_seed, rng_algorithm, failure_persistence: None, ..default }
}
