//! Many insertions into one vector, or removals from it, moving every item once.

use alloc::vec::Vec;

use crate::cells::PADDING;

/// Inserts `values(0), values(1), …` so that the one of number `ix` comes before the item now at `positions[ix]`.
/// The positions are in ascending order.
pub(crate) fn insert_at<T: Copy>(items: &mut Vec<T>, positions: &[u32], values: impl Fn(usize) -> T) {
    let Some(&first) = positions.first() else { return };
    make_room(items, positions.len());
    let mut end = items.len();
    items.resize(end + positions.len(), values(0));
    debug_assert!(first as usize <= end);
    for (ix, &position) in positions.iter().enumerate().rev() {
        let position = position as usize;
        items.copy_within(position..end, position + ix + 1);
        items[position + ix] = values(ix);
        end = position;
    }
}

/// Removes the items at these positions, which are distinct and in ascending order.
pub(crate) fn remove_at<T: Copy>(items: &mut Vec<T>, positions: &[u32]) {
    let Some(&first) = positions.first() else { return };
    let mut write = first as usize;
    for (ix, &position) in positions.iter().enumerate() {
        let kept = position as usize + 1..positions.get(ix + 1).map_or(items.len(), |&next| next as usize);
        let length = kept.len();
        items.copy_within(kept, write);
        write += length;
    }
    items.truncate(write);
}

/// A copy that will grow at once, and so has the room to.
pub(crate) fn copy_with_room<T: Copy>(items: &[T]) -> Vec<T> {
    let mut copy = Vec::with_capacity(items.len() + items.len() / 16 + 2 * PADDING);
    copy.extend_from_slice(items);
    copy
}

/// Grows by a sixteenth instead of doubling, and by what padding may follow: rings change seldom and are read from
/// cache.
fn make_room<T>(items: &mut Vec<T>, more: usize) {
    let more = more + PADDING;
    if items.capacity() - items.len() < more {
        items.reserve_exact(more + items.len() / 16);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn insertions_land_before_the_items_they_name() {
        let mut items = vec![10, 20, 30];
        insert_at(&mut items, &[0, 1, 1, 3], |ix| ix);
        assert_eq!(items, [0, 10, 1, 2, 20, 30, 3]);
        insert_at(&mut items, &[], |ix| ix);
        assert_eq!(items.len(), 7);
        let mut empty = vec![];
        insert_at(&mut empty, &[0, 0], |ix| ix);
        assert_eq!(empty, [0, 1]);
    }

    #[test]
    fn removals_close_every_gap() {
        let mut items = vec![0, 1, 2, 3, 4, 5];
        remove_at(&mut items, &[0, 2, 3, 5]);
        assert_eq!(items, [1, 4]);
        remove_at(&mut items, &[]);
        remove_at(&mut items, &[0, 1]);
        assert_eq!(items, []);
    }
}
