//! News of who is alive, told until it is stale.

use std::collections::BTreeMap;

use netkernel::NodeId;

use super::signal::{Claim, Report};

/// What this node still tells others. Interest in a report is lost once it was told often enough that everyone has it
/// with high probability: a multiple of the logarithm of the number of members, as in SWIM.
#[derive(Debug, Default)]
pub(super) struct News {
    /// By node, and for suspicions by who suspects: each confirmation is news of its own.
    items: BTreeMap<(NodeId, Option<NodeId>), Item>,
}

#[derive(Debug)]
struct Item {
    report: Report,
    told: u32,
}

impl News {
    /// Starts to tell it, instead of what it replaces.
    pub(super) fn add(&mut self, report: Report) {
        let rank = report.rank();
        let of_node = (report.id.clone(), None)..;
        let replaced = self.items.range(of_node).take_while(|((id, _), _)| *id == report.id);
        let replaced: Vec<_> =
            replaced.filter(|(_, item)| item.report.rank() < rank).map(|(key, _)| key.clone()).collect();
        replaced.iter().for_each(|key| drop(self.items.remove(key)));
        let by = match &report.claim {
            Claim::Suspect { by, .. } => Some(by.clone()),
            Claim::Alive | Claim::Down { .. } => None,
        };
        self.items.insert((report.id.clone(), by), Item { report, told: 0 });
    }

    /// Nothing about this node is worth telling any more.
    pub(super) fn forget(&mut self, id: &NodeId) {
        self.items.retain(|(of, _), _| of != id);
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What to tell one member now, the least told first, in a ring of so many members.
    pub(super) fn take(&mut self, to: &NodeId, members: usize) -> Vec<Report> {
        if self.items.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<_> =
            self.items.iter_mut().filter(|(_, item)| is_news_to(to, &item.report)).collect();
        if found.len() > REPORTS_MAX {
            found.sort_by_key(|(_, item)| item.told);
            found.truncate(REPORTS_MAX);
        }
        let enough = TOLD_FACTOR * ((members + 1) as f64).log10().ceil() as u32;
        let mut stale = Vec::new();
        let mut reports = Vec::with_capacity(found.len());
        for (key, item) in found {
            item.told += 1;
            reports.push(item.report.clone());
            if item.told >= enough {
                stale.push(key.clone());
            }
        }
        stale.iter().for_each(|key| drop(self.items.remove(key)));
        reports
    }
}

/// Nobody needs to be told what it said itself.
fn is_news_to(to: &NodeId, report: &Report) -> bool {
    report.by() != to
}

/// Times the logarithm of the ring's size, as in memberlist: told so often, a report misses nobody but by accident.
const TOLD_FACTOR: u32 = 4;

/// Reports in one message: a kilobyte or two, whatever happens.
const REPORTS_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use netkernel::Incarnation;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn report(counter: u64, claim: Claim) -> Report {
        Report { id: id("x"), incarnation: Incarnation(1), counter, claim }
    }

    fn suspect(by: &str) -> Claim {
        Claim::Suspect { by: id(by), refused: false }
    }

    #[test]
    fn a_report_is_told_so_often_and_no_more() {
        let mut news = News::default();
        news.add(report(0, suspect("a")));
        let told = (0..100).filter(|_| !news.take(&id("y"), 100).is_empty()).count();
        assert_eq!(told, 12);
        assert!(news.is_empty());
    }

    #[test]
    fn confirmations_stand_beside_each_other_until_something_weightier_comes() {
        let mut news = News::default();
        news.add(report(0, suspect("a")));
        news.add(report(0, suspect("b")));
        assert_eq!(news.take(&id("y"), 100).len(), 2);
        news.add(report(1, Claim::Alive));
        assert_eq!(news.take(&id("y"), 100), [report(1, Claim::Alive)]);
    }

    #[test]
    fn whoever_said_it_is_not_told() {
        let mut news = News::default();
        news.add(report(0, suspect("a")));
        assert!(news.take(&id("a"), 10).is_empty());
        assert_eq!(news.take(&id("x"), 10).len(), 1, "the suspect must hear of it");
    }

    #[test]
    fn a_message_holds_no_more_than_its_share() {
        let mut news = News::default();
        for node in 0..1_000 {
            news.add(Report { id: id(&format!("n{node}")), ..report(0, suspect("a")) });
        }
        assert_eq!(news.take(&id("y"), 1_000).len(), REPORTS_MAX);
    }
}
