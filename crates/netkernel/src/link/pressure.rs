//! What is held for this node's full servers, of all peers together, and who waits for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::bells::Bells;
use crate::node::ServerName;
use crate::proto::credit::{Grant, Load};
use crate::proto::due::Due;
use crate::proto::pressure::Pressure;

/// Shared by the links of a kernel.
#[derive(Debug)]
pub(crate) struct Pressed {
    start: Instant,
    pressure: Mutex<Pressure>,
    /// Windows may be cut. While none is, readers that give credit do not meet here.
    cuts: AtomicBool,
    pub(crate) bells: Bells,
}

impl Pressed {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            pressure: Mutex::default(),
            cuts: AtomicBool::new(false),
            bells: Bells::default(),
        }
    }

    fn pressure(&self) -> MutexGuard<'_, Pressure> {
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Casts are held for a server, of a peer that had none there, or some.
    pub(super) fn hold(&self, server: &ServerName, casts: Load, is_first: bool) {
        let mut pressure = self.pressure();
        pressure.hold(server, casts, is_first);
        if !pressure.is_calm() {
            self.cuts.store(true, Ordering::Relaxed);
        }
    }

    /// Casts are held no longer; with `is_last`, none of that peer there.
    pub(super) fn release(&self, server: &ServerName, casts: Load, is_last: bool) {
        self.pressure().release(server, casts, is_last, self.start.elapsed());
    }

    /// The credit that is worth a frame, but for what is kept back. `is_held` says whether anything of this peer is held
    /// for a server.
    pub(super) fn grants(&self, due: &mut Due, is_held: impl Fn(&ServerName) -> bool) -> Vec<Grant> {
        if !self.cuts.load(Ordering::Relaxed) && !due.keeps_back() {
            return due.ripe();
        }
        let now = self.start.elapsed();
        let mut pressure = self.pressure();
        pressure.relax(now);
        self.cuts.store(!pressure.is_calm(), Ordering::Relaxed);
        drop(pressure);
        // One by one: whoever holds casts has that lock before this one.
        due.ripe_but(now, |server| self.pressure().kept_back(server), is_held)
    }

    /// Whether nothing is held for any server, and no window is cut.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.pressure().is_at_rest()
    }
}
