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
    ring_ended: bool,
    links_ended: bool,
}

impl Events {
    pub(crate) fn new(ring: gossip::Events, links: netkernel::PeerEvents) -> Self {
        Self { ring, links, ring_ended: false, links_ended: false }
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
        // Each ends at its time, and what the other still has to tell is told first.
        while !(self.ring_ended && self.links_ended) {
            tokio::select! {
                event = self.ring.recv(), if !self.ring_ended => match event? {
                    Some(event) => return Ok(Some(Event::Ring(event))),
                    None => self.ring_ended = true,
                },
                event = self.links.recv(), if !self.links_ended => match event {
                    Ok(Some(event)) => return Ok(Some(Event::Link(event))),
                    Ok(None) => self.links_ended = true,
                    Err(lagged) => return Err(MissedEvents { count: lagged.missed }),
                },
            }
        }
        Ok(None)
    }
}
