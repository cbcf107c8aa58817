//! Time as the machine is told it.

/// The present, as the driver sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since an arbitrary start, never going back. Every timeout counts in these.
    pub mono_ms: u64,
    /// Milliseconds since 1970 by the wall clock, which may jump. Used to mint incarnations and to stamp
    /// writes, never to decide what is newer between causally related ones.
    pub wall_ms: u64,
}
