//! A library without `std` that uses the ring. See `Cargo.toml`.

#![no_std]

use core::panic::PanicInfo;

use hashring::{HashRing, RingError};

/// The owner of a key in a ring of three nodes.
///
/// # Errors
///
/// None: three nodes are within every limit.
pub fn owner(key: &[u8]) -> Result<Option<u64>, RingError> {
    Ok(HashRing::from_nodes([1_u64, 2, 3])?.owner(key).copied())
}

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
