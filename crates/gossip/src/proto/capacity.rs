//! How much a node may come to know of its ring.

use postcard::experimental::serialized_size;

use crate::message::{Delta, Message, Snapshot};

use super::machine::Machine;
use super::record::{Context, Ended};
use super::time::Now;

/// How much more a node may come to know.
///
/// Whatever a frame makes it know is not longer than the frame, so it counts the bytes of frames, and measures what it
/// knows only when these are used up: most of a frame is known already.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    left: usize,
    /// When it was measured last.
    measured_ms: Option<u64>,
}

impl Machine {
    /// Whether there is room for what a message of so many bytes brings. Without this a member that invents nodes could
    /// fill the memory of all others, and one that invents actors could make their digests longer than a frame.
    pub(super) fn has_room_for(&mut self, message: &Message, bytes: usize, now: Now) -> bool {
        if !message.brings_something() {
            return true;
        }
        let is_due = self.capacity.measured_ms.is_none_or(|at| now.mono_ms >= at + MEASURED_EVERY_MS);
        if self.capacity.left < bytes && is_due {
            let left = self.settings.known_bytes_max.saturating_sub(self.known_bytes());
            self.capacity = Capacity { left, measured_ms: Some(now.mono_ms) };
        }
        let has_room = self.capacity.left >= bytes && self.can_count_what(message);
        self.capacity.left = self.capacity.left.saturating_sub(if has_room { bytes } else { 0 });
        has_room
    }

    /// Whether the context stays within its limit with the events that the message tells of.
    fn can_count_what(&self, message: &Message) -> bool {
        let known = self.roster.context();
        let unseen = match message {
            Message::Delta(Delta { upto: Some(context), .. })
            | Message::Snapshot(Snapshot { context: Some(context), .. })
            | Message::Meet(Snapshot { context: Some(context), .. })
            | Message::MeetAck(Snapshot { context: Some(context), .. }) => {
                context.missing_from(known).count()
            }
            _ => 0,
        };
        let dots = message.records().iter().flat_map(|record| record.versions.siblings());
        let unseen = unseen + dots.filter(|(dot, _)| !self.roster.has_seen_dot(dot)).count();
        unseen == 0 || runs(known) + unseen <= self.settings.context_runs_max
    }

    /// What this node knows of the ring, in bytes as they are stored.
    fn known_bytes(&self) -> usize {
        let records = self.roster.iter().map(|(_, entry)| serialized_size(entry.record()));
        let floors = self.roster.floors().map(|floor| serialized_size(&**floor));
        let context = std::iter::once(serialized_size(self.roster.context()));
        let retired = self.roster.retired().count() * size_of::<Ended>();
        let sizes = records.chain(floors).chain(context).map(|size| size.unwrap_or(usize::MAX));
        sizes.fold(retired, usize::saturating_add)
    }
}

fn runs(context: &Context) -> usize {
    context.clock().len() + context.ahead().as_slice().len()
}

/// The pause between measurements, for one takes a while where there is much.
const MEASURED_EVERY_MS: u64 = 1_000;
