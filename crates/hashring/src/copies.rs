//! What tells of nodes by reference is copied whatever they are: `derive` would ask that nodes be `Copy` themselves.

use crate::diff::RangeMove;
use crate::members::Member;
use crate::plan::{NodeMove, Owners};
use crate::table::PartitionMove;
use crate::walk::Point;

macro_rules! copied {
    ($($told:ident)*) => {$(
        impl<N> Clone for $told<'_, N> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<N> Copy for $told<'_, N> {}
    )*};
}

copied! { Member NodeMove Owners PartitionMove Point RangeMove }
