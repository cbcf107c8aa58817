//! Whether a session to the peer is wished for, and where.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Link;
use crate::node::Address;

/// The wish to keep a session to the peer.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) address: Address,
    /// Ends the supervisor that fulfils it.
    pub(crate) over: CancellationToken,
    /// Wakes the supervisor when the address has changed.
    pub(crate) changed: Arc<Notify>,
    /// A supervisor sees to it.
    taken_up: bool,
}

impl Link {
    pub(crate) fn wish(&self) -> Option<Wish> {
        self.state().wish.clone()
    }

    /// Wishes for a session at this address.
    pub(crate) fn set_wish(&self, address: &Address) {
        let mut state = self.state();
        match &mut state.wish {
            Some(wish) if wish.address == *address => {}
            Some(wish) => {
                wish.address = address.clone();
                wish.changed.notify_one();
            }
            None => {
                state.wish = Some(Wish {
                    address: address.clone(),
                    over: CancellationToken::new(),
                    changed: Arc::new(Notify::new()),
                    taken_up: false,
                });
            }
        }
    }

    /// The wish, for the one who is to see to it: given out once, whoever asks first.
    pub(crate) fn take_up_wish(&self) -> Option<Wish> {
        let mut state = self.state();
        let wish = state.wish.as_mut().filter(|wish| !wish.taken_up)?;
        wish.taken_up = true;
        Some(wish.clone())
    }

    /// Gives the wish up.
    pub(crate) fn end_wish(&self) {
        if let Some(wish) = self.state().wish.take() {
            wish.over.cancel();
        }
    }
}
