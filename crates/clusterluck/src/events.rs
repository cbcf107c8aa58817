//! What happens on a node, in one stream.

use gossip::MissedEvents;
use netkernel::PeerEvent;

/// Something that happened to the ring or to a link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// To the ring, or to this node's place in it.
    Ring(gossip::Event),
    /// To a session with another node.
    Link(PeerEvent),
}

/// A stream of [`Event`]s, in order for each of the two kinds. A reader that falls more than 1,024 behind is told how
/// many it missed.
#[derive(Debug)]
pub struct Events {
    ring: gossip::Events,
    links: netkernel::PeerEvents,
}

impl Events {
    pub(crate) fn new(ring: gossip::Events, links: netkernel::PeerEvents) -> Self {
        Self { ring, links }
    }

    /// The next event, or `None` once the node has stopped.
    ///
    /// # Errors
    ///
    /// [`MissedEvents`] if some were overwritten: [`Cluster::view`](crate::Cluster::view) tells the present state.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no event.
    pub async fn recv(&mut self) -> Result<Option<Event>, MissedEvents> {
        tokio::select! {
            event = self.ring.recv() => Ok(event?.map(Event::Ring)),
            event = self.links.recv() => match event {
                Ok(event) => Ok(event.map(Event::Link)),
                Err(lagged) => Err(MissedEvents { count: lagged.missed }),
            },
        }
    }
}
