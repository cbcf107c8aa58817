//! The receiving side of credit: what mailboxes have taken, until the sender is told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::credit::{Grant, Load, WINDOW};
use crate::node::ServerName;

/// What mailboxes have taken and has not been given back yet.
#[derive(Debug, Default)]
pub(crate) struct Due {
    taken: BTreeMap<ServerName, Taken>,
    ripe: Vec<ServerName>,
    /// Some of it is kept back.
    keeps_back: bool,
}

/// What one server's mailbox has taken.
#[derive(Debug, Default)]
struct Taken {
    load: Load,
    refused: u64,
    /// Since when nothing was taken, nor given because of that, as far as was looked.
    quiet_since: Option<Duration>,
    /// Some was given because of that, and nothing was taken since.
    relieved: bool,
}

impl Taken {
    fn is_ripe(&self) -> bool {
        is_ripe(self.load, self.refused, WINDOW)
    }

    fn give(&mut self, server: &ServerName, load: Load) -> Grant {
        self.load = self.load.less(load);
        Grant { server: server.clone(), load, refused: std::mem::take(&mut self.refused) }
    }

    /// Whether nothing was taken for a while: at first for a short one. One that has nothing to send is given the rest
    /// slowly, and the more slowly, the more share the windows.
    fn is_in_want(&mut self, now: Duration, window: Load) -> bool {
        let parts = WINDOW.messages / window.messages.max(1);
        let while_ = if self.relieved { QUIET * u32::try_from(parts).unwrap_or(u32::MAX) } else { QUIET };
        let since = *self.quiet_since.get_or_insert(now);
        let is_in_want = now.saturating_sub(since) >= while_;
        if is_in_want {
            (self.quiet_since, self.relieved) = (Some(now), true);
        }
        is_in_want
    }
}

impl Due {
    /// A mailbox took casts, of which it refused some for good.
    pub(crate) fn took(&mut self, server: &ServerName, casts: Load, refused: u64) {
        let Some(taken) = self.taken.get_mut(server) else {
            self.taken.insert(server.clone(), Taken::default());
            return self.took(server, casts, refused);
        };
        let was_ripe = taken.is_ripe();
        taken.load.add(casts);
        taken.refused += refused;
        (taken.quiet_since, taken.relieved) = (None, false);
        if !was_ripe && taken.is_ripe() {
            self.ripe.push(server.clone());
        }
    }

    /// The grants that are worth a frame now: those that are ripe, or all when there are many.
    pub(crate) fn ripe(&mut self) -> Vec<Grant> {
        if self.taken.len() > FLOWS_MAX {
            return self.rest();
        }
        let taken = &mut self.taken;
        let grant = |server: ServerName| {
            let Taken { load, refused, .. } = taken.remove(&server)?;
            Some(Grant { server, load, refused })
        };
        self.ripe.drain(..).filter_map(grant).collect()
    }

    /// The same, where credit is kept back: of each server's, so much.
    ///
    /// The sender's window may be smaller than that, for its casts to other servers count, too: then all that it sent is kept
    /// back, and it sends nothing more. So what is left of a window is given where nothing was taken for a while and nothing
    /// of this peer is held; and again after longer whiles, for that much may not be enough. All is given in the end, whatever
    /// the sender's window is.
    pub(crate) fn ripe_but(
        &mut self,
        now: Duration,
        kept_back: impl Fn(&ServerName) -> Load,
        holds: impl Fn(&ServerName) -> bool,
    ) -> Vec<Grant> {
        if self.taken.len() > FLOWS_MAX {
            return self.rest();
        }
        self.ripe.clear();
        self.keeps_back = false;
        let mut grants = Vec::new();
        self.taken.retain(|server, taken| {
            let kept_back = kept_back(server);
            let (window, load) = (WINDOW.less(kept_back), taken.load.less(kept_back));
            if is_ripe(load, taken.refused, window) {
                grants.push(taken.give(server, load));
            } else if kept_back != Load::default() && !holds(server) && taken.is_in_want(now, window) {
                grants.push(taken.give(server, share(taken.load, window)));
            }
            let is_left = taken.load != Load::default();
            self.keeps_back |= kept_back != Load::default() && is_left;
            is_left
        });
        grants
    }

    /// Whether some is kept back, which may be due by now.
    pub(crate) fn keeps_back(&self) -> bool {
        self.keeps_back
    }

    /// All grants: nothing more is read of this session.
    pub(crate) fn rest(&mut self) -> Vec<Grant> {
        self.ripe.clear();
        self.keeps_back = false;
        let taken = std::mem::take(&mut self.taken).into_iter();
        taken.map(|(server, Taken { load, refused, .. })| Grant { server, load, refused }).collect()
    }
}

/// Grants that wait to be sent: one for each server, however often more is added to it.
#[derive(Debug, Default)]
pub(crate) struct Grants(BTreeMap<ServerName, (Load, u64)>);

impl Grants {
    pub(crate) fn add(&mut self, grant: Grant) {
        let (load, refused) = self.0.entry(grant.server).or_default();
        load.add(grant.load);
        *refused = refused.saturating_add(grant.refused);
    }

    pub(crate) fn take(&mut self) -> impl Iterator<Item = Grant> + use<> {
        let grants = std::mem::take(&mut self.0).into_iter();
        grants.map(|(server, (load, refused))| Grant { server, load, refused })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A quarter of the window: rare frames, and a sender that keeps sending never waits for one. Refusals are told at
/// once.
fn is_ripe(load: Load, refused: u64, window: Load) -> bool {
    refused > 0 || load.messages >= window.messages / 4 || load.bytes >= window.bytes / 4
}

/// What of casts is given where so little is left of a window: as many of their average size as fill it, one at least. All
/// casts come with all of their bytes, as the sender has nothing under way any more when the last of them is given.
fn share(casts: Load, window: Load) -> Load {
    let average_bytes = casts.bytes / casts.messages.max(1);
    let filling = if average_bytes == 0 { u64::MAX } else { window.bytes.div_ceil(average_bytes) };
    let messages = filling.clamp(1, window.messages.max(1));
    if messages >= casts.messages { casts } else { Load { messages, bytes: messages * average_bytes } }
}

/// How long nothing is taken of a sender that has used up its window; no shorter than a reader's pause between two looks.
const QUIET: Duration = Duration::from_millis(32);

/// Servers whose credit may be due at once.
const FLOWS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn a_quarter_of_the_window_or_a_refusal_is_worth_a_frame() {
        let (mut due, a, b, c) = (Due::default(), server("a"), server("b"), server("c"));
        for _ in 0..WINDOW.messages / 4 - 1 {
            due.took(&a, Load::cast(1), 0);
        }
        assert!(due.ripe().is_empty());
        due.took(&a, Load::cast(1), 0);
        due.took(&b, Load::cast(1), 1);
        due.took(&c, Load::cast(1), 0);
        let granted: Vec<_> =
            due.ripe().into_iter().map(|grant| (grant.server, grant.load.messages, grant.refused)).collect();
        assert_eq!(granted, [(a, WINDOW.messages / 4, 0), (b, 1, 1)]);
        assert_eq!(due.rest().into_iter().map(|grant| grant.server).collect::<Vec<_>>(), [c]);
        assert!(due.rest().is_empty());
    }

    #[test]
    fn credit_of_many_servers_is_not_kept_back() {
        let mut due = Due::default();
        for number in 0..=FLOWS_MAX {
            due.took(&server(&format!("server {number}")), Load::cast(1), 0);
        }
        assert_eq!(due.ripe().len(), FLOWS_MAX + 1);
        assert!(due.taken.is_empty());
    }

    #[test]
    fn credit_that_is_kept_back_is_given_later_and_the_rest_by_quarters_of_what_is_left() {
        let (mut due, a) = (Due::default(), server("a"));
        let all_but =
            |messages| move |_: &ServerName| Load { messages: WINDOW.messages - messages, bytes: 0 };
        let but = |due: &mut Due, kept_back: &dyn Fn(&ServerName) -> Load| {
            due.ripe_but(Duration::ZERO, kept_back, |_| false)
        };
        let given = |grants: Vec<Grant>| grants.iter().map(|grant| grant.load.messages).sum::<u64>();
        let one = Load { messages: 1, bytes: 0 };
        (0..WINDOW.messages - 64 + 15).for_each(|_| due.took(&a, one, 0));
        assert_eq!(given(but(&mut due, &all_but(64))), 0);
        assert!(due.keeps_back());
        due.took(&a, one, 0);
        assert_eq!(given(but(&mut due, &all_but(64))), 16);
        due.took(&a, Load { messages: 1, bytes: 9 }, 1);
        let refused = but(&mut due, &all_but(64));
        assert_eq!((refused[0].load.messages, refused[0].refused), (1, 1), "a refusal is told at once");
        assert_eq!(given(but(&mut due, &all_but(128))), 64);
        assert_eq!(given(but(&mut due, &|_| Load::default())), WINDOW.messages - 128);
        assert!(!due.keeps_back() && due.taken.is_empty());
        due.took(&a, one, 0);
        assert_eq!((given(but(&mut due, &|_| Load::default())), due.keeps_back()), (0, false));
        assert_eq!(given(due.rest()), 1);
    }

    #[test]
    fn a_sender_in_want_is_given_what_is_left_of_a_window_soon_and_then_slowly() {
        let (mut due, a) = (Due::default(), server("a"));
        let kept_back = |_: &ServerName| Load { messages: WINDOW.messages - 64, bytes: WINDOW.bytes - 4_096 };
        let given = |due: &mut Due, ms, held| {
            let grants = due.ripe_but(Duration::from_millis(ms), kept_back, |_| held);
            grants.iter().map(|grant| (grant.load.messages, grant.load.bytes)).collect::<Vec<_>>()
        };
        due.took(&a, Load { messages: 200, bytes: 100_000 }, 0);
        assert_eq!(given(&mut due, 1_000, false), []);
        assert_eq!(given(&mut due, 1_031, false), []);
        assert_eq!(given(&mut due, 1_040, true), [], "more of it waits to be taken");
        assert_eq!(given(&mut due, 1_040, false), [(9, 4_500)]);
        assert_eq!(given(&mut due, 3_087, false), [], "it has nothing to send, as it seems");
        assert_eq!(given(&mut due, 3_088, false), [(9, 4_500)]);
        due.took(&a, Load { messages: 9, bytes: 4_500 }, 0);
        assert_eq!(given(&mut due, 9_001, false), []);
        assert_eq!(given(&mut due, 9_033, false), [(9, 4_500)]);
        assert_eq!(
            due.rest()[0].load,
            Load { messages: 182, bytes: 91_000 },
            "nothing is given twice or lost"
        );
    }

    /// A sender takes everything for given with the last of its casts: what is kept back of their bytes would open its
    /// window a second time.
    #[test]
    fn the_last_cast_is_given_with_the_last_byte() {
        let window = Load { messages: 64, bytes: 32_768 };
        let cases = [((0, 0), (0, 0)), ((9, 0), (9, 0)), ((65, 64), (64, 0)), ((1, 4 << 20), (1, 4 << 20))];
        for ((messages, bytes), given) in cases {
            let given = Load { messages: given.0, bytes: given.1 };
            assert_eq!(share(Load { messages, bytes }, window), given);
        }
        for (messages, bytes) in [(42, 2_900_000), (3, 32_767), (4_096, 2 << 20), (65, 32_769), (2, 1)] {
            let mut left = Load { messages, bytes };
            while left != Load::default() {
                let given = share(left, window);
                assert!(given.messages > 0, "{left:?}");
                left = left.less(given);
                assert_eq!(left.messages == 0, left == Load::default(), "{given:?} of it left {left:?}");
            }
        }
    }

    #[test]
    fn grants_for_one_server_wait_as_one() {
        let mut grants = Grants::default();
        for refused in [0, 1, 2] {
            grants.add(Grant { server: server("a"), load: Load::cast(10), refused });
            grants.add(Grant { server: server("b"), load: Load::cast(1), refused: 0 });
        }
        assert_eq!(grants.len(), 2);
        let told: Vec<_> =
            grants.take().map(|grant| (grant.server, grant.load.bytes, grant.refused)).collect();
        assert_eq!(told, [(server("a"), 30, 3), (server("b"), 3, 0)]);
        assert!(grants.is_empty());
    }
}
