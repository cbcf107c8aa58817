//! The receiving side of credit: what mailboxes have taken, until the sender is told.

use std::collections::BTreeMap;

use super::credit::{Grant, Load, WINDOW};
use crate::node::ServerName;

/// What mailboxes have taken and has not been given back yet.
#[derive(Debug, Default)]
pub(crate) struct Due {
    taken: BTreeMap<ServerName, (Load, u64)>,
    ripe: Vec<ServerName>,
    /// Some of it is kept back.
    keeps_back: bool,
}

impl Due {
    /// A mailbox took casts, of which it refused some for good.
    pub(crate) fn took(&mut self, server: &ServerName, casts: Load, refused: u64) {
        let Some((load, refusals)) = self.taken.get_mut(server) else {
            self.taken.insert(server.clone(), Default::default());
            return self.took(server, casts, refused);
        };
        let was_ripe = is_ripe(*load, *refusals, WINDOW);
        load.add(casts);
        *refusals += refused;
        if !was_ripe && is_ripe(*load, *refusals, WINDOW) {
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
            let (load, refused) = taken.remove(&server)?;
            Some(Grant { server, load, refused })
        };
        self.ripe.drain(..).filter_map(grant).collect()
    }

    /// The same, where credit is kept back: of each server's, so much.
    pub(crate) fn ripe_but(&mut self, kept_back: impl Fn(&ServerName) -> Load) -> Vec<Grant> {
        if self.taken.len() > FLOWS_MAX {
            return self.rest();
        }
        self.ripe.clear();
        self.keeps_back = false;
        let mut grants = Vec::new();
        self.taken.retain(|server, (taken, refusals)| {
            let kept_back = kept_back(server);
            let (load, refused) = (taken.less(kept_back), *refusals);
            if is_ripe(load, refused, WINDOW.less(kept_back)) {
                *taken = taken.less(load);
                *refusals = 0;
                grants.push(Grant { server: server.clone(), load, refused });
            }
            self.keeps_back |= kept_back != Load::default() && *taken != Load::default();
            *taken != Load::default()
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
        taken.map(|(server, (load, refused))| Grant { server, load, refused }).collect()
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
        let given = |grants: Vec<Grant>| grants.iter().map(|grant| grant.load.messages).sum::<u64>();
        let one = Load { messages: 1, bytes: 0 };
        (0..WINDOW.messages - 64 + 15).for_each(|_| due.took(&a, one, 0));
        assert_eq!(given(due.ripe_but(all_but(64))), 0);
        assert!(due.keeps_back());
        due.took(&a, one, 0);
        assert_eq!(given(due.ripe_but(all_but(64))), 16);
        due.took(&a, Load { messages: 1, bytes: 9 }, 1);
        let refused = due.ripe_but(all_but(64));
        assert_eq!((refused[0].load.messages, refused[0].refused), (1, 1), "a refusal is told at once");
        assert_eq!(given(due.ripe_but(all_but(128))), 64);
        assert_eq!(given(due.ripe_but(|_| Load::default())), WINDOW.messages - 128);
        assert!(!due.keeps_back() && due.taken.is_empty());
        due.took(&a, one, 0);
        assert_eq!((given(due.ripe_but(|_| Load::default())), due.keeps_back()), (0, false));
        assert_eq!(given(due.rest()), 1);
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
