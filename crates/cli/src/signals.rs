//! What ends a program from outside: an interrupt or a request to terminate.

use std::io;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears signals from when it is made, so that none is missed between two waits.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Option<Signal>,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        let terminate = Some(signal(SignalKind::terminate())?);
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Hears interrupts alone. A process that has once listened for a signal is never ended by it again, and a request
    /// to terminate is to end a session whatever that has done before.
    #[cfg(unix)]
    pub(crate) fn interrupts() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: None })
    }

    #[cfg(not(unix))]
    pub(crate) fn interrupts() -> io::Result<Self> {
        Self::listen()
    }

    /// A signal of someone who means it: one who stops a group of processes may well signal each of them twice.
    pub(crate) async fn another(&mut self) {
        let settled = tokio::time::sleep(SAME);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                () = self.next() => {}
            }
        }
        self.next().await;
    }

    /// The next signal.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken none.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        let terminated = async {
            match &mut self.terminate {
                Some(terminate) => terminate.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = terminated => {}
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Signals this close together are one.
const SAME: Duration = Duration::from_millis(300);
