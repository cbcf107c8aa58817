//! The hashring tables: the crate beside its peers and beside programs that do only the unavoidable work.

mod changes;
mod evenness;
mod keys;
mod limit;
mod lookups;
mod peers;

use bench::{CountingAllocator, Report};

use crate::keys::Keys;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    let keys = Keys::random();
    if let Some((contender, times)) = bench::counting_job() {
        return lookups::count(&keys, &contender, times);
    }
    let mut report = Report::from_args("hashring");
    lookups::instructions(&mut report);
    // Each target is the one set in nanoseconds over what the limit program took when it was set.
    lookups::owners(&mut report, &keys, 100, 160, 7.0 / 5.4, false);
    lookups::owners(&mut report, &keys, 1_000, 160, 10.0 / 8.7, true);
    lookups::owners(&mut report, &keys, 10_000, 256, 80.0 / 62.5, false);
    lookups::replicas(&mut report, &keys);
    lookups::placements(&mut report, &keys);
    lookups::batch(&mut report, &keys);
    lookups::tables(&mut report, &keys);
    changes::in_place(&mut report);
    changes::shared(&mut report);
    changes::builds(&mut report, &keys);
    changes::comparisons(&mut report, &keys);
    changes::bytes(&mut report);
    evenness::balance(&mut report);
    evenness::movement(&mut report);
    report.finish().expect("the report is written");
}
