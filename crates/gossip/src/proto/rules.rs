//! The rules of the protocol that were found necessary by taking them out.

/// A rule of the protocol. Each has a test that fails when the rule is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A version that is not here though its event was seen was replaced: it does not come back.
    CoveredIsIgnored,
    /// Nothing is merged of a frame whose sender was removed.
    RemovedBringsNothing,
    /// A sender of whose record something was not seen is asked before it is judged.
    UnknownIsPulled,
    /// A sender that brings its own record is judged with that merged.
    BroughtIsTried,
    /// A removal beats concurrent members of its own or an older incarnation.
    RemovalBeatsMember,
    /// Among concurrent members of one node the one with the highest incarnation counts.
    HighestIncarnationWins,
    /// Of concurrent writes of one incarnation the one stamped last counts.
    LatestStampWins,
    /// A change of weight keeps the incarnation, so that it does not undo a concurrent removal.
    UpdateKeepsIncarnation,
    /// A removal bears the highest incarnation its writer knows.
    RemovalBearsHighest,
    /// A member at or below the floor of its node is dead.
    FloorKills,
    /// An insert over a removal starts above its incarnation.
    InsertIsAboveRemoval,
    /// A peer's context is joined only after a delta that held everything.
    DeltaIsComplete,
    /// A peer's context is joined only if the digest it answered is still covered here.
    BaseIsCovered,
    /// A write of a record that was collected starts from the past of its floor.
    WriteStartsFromFloor,
    /// An acknowledgement counts what the peer has on disk, not what it has seen.
    AcknowledgementIsDurable,
    /// A tombstone is collected once all current members have acknowledged it.
    AllAcknowledge,
    /// A tombstone outlives every message that may be under way.
    TombstoneAges,
    /// Nodes that have seen the same and have not the same exchange everything.
    DivergenceIsHealed,
    /// Whoever has not seen the tombstone of a floor is told of the floor.
    FloorIsTold,
    /// A node replaces what its earlier runs wrote of it without knowing of each other.
    RunsAreGathered,
    /// Whoever still counts the events of a retired actor is told that it is.
    RetiredIsTold,
    /// An actor is retired only once nothing of it is left.
    UnusedIsRetired,
    /// A removed node is told so until it is known to have heard, or its tombstone is collected.
    RemovedIsTold,
    /// A node that is told of its removal goes only if that covers what it is a member by.
    RemovalCoversOwn,
    /// A node in no ring answers the frames of its old one.
    GoneIsAnswered,
}

/// Which rules are kept: all of them, but in a simulation that shows why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    #[cfg(feature = "sim")]
    off: Option<Rule>,
}

#[cfg(not(feature = "sim"))]
impl Rules {
    pub(crate) const fn keep(self, _rule: Rule) -> bool {
        true
    }
}

#[cfg(feature = "sim")]
impl Rules {
    pub(crate) fn without(rule: Rule) -> Self {
        Self { off: Some(rule) }
    }

    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }
}

#[cfg(feature = "sim")]
impl Rule {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::CoveredIsIgnored,
        Self::RemovedBringsNothing,
        Self::UnknownIsPulled,
        Self::BroughtIsTried,
        Self::RemovalBeatsMember,
        Self::HighestIncarnationWins,
        Self::LatestStampWins,
        Self::UpdateKeepsIncarnation,
        Self::RemovalBearsHighest,
        Self::FloorKills,
        Self::InsertIsAboveRemoval,
        Self::DeltaIsComplete,
        Self::BaseIsCovered,
        Self::WriteStartsFromFloor,
        Self::AcknowledgementIsDurable,
        Self::AllAcknowledge,
        Self::TombstoneAges,
        Self::DivergenceIsHealed,
        Self::FloorIsTold,
        Self::RunsAreGathered,
        Self::RetiredIsTold,
        Self::UnusedIsRetired,
        Self::RemovedIsTold,
        Self::RemovalCoversOwn,
        Self::GoneIsAnswered,
    ];
}
