//! What a change costs and how fast it spreads, held to the figures that are promised. The links, disks and clocks are
//! simulated and one seed derives everything, so each run gives the same. `cargo xtask sim --figures` prints the figures of
//! rings of up to 5,000.

use gossip::sim::fleet::Fleet;

/// Measures so many inserts into a calm ring, up to 2 % of packets lost.
fn hold(nodes: usize, inserts: usize, ticks_max: u64, insert_bytes_max: u64) {
    let mut ticks = Vec::new();
    let (mut rumours, mut bytes, mut idle_bytes, mut idle_seconds) = (0, 0, 0, 0);
    for seed in 0..3 {
        let mut fleet = Fleet::settled(nodes, seed % 3, seed);
        fleet.run_for(3_000);
        let before = fleet.traffic();
        fleet.run_for(10_000);
        idle_bytes += (fleet.traffic() - before).total().bytes;
        idle_seconds += 10;
        for at in 0..inserts {
            let spread = fleet.insert(at * 7 % nodes).expect("everyone hears of it");
            ticks.push(spread.all_ms.div_ceil(100));
            rumours += spread.traffic.rumours.frames;
            bytes += spread.traffic.of_changes().bytes;
        }
    }
    ticks.sort_unstable();
    let slowest = ticks[(ticks.len() * 99).div_ceil(100) - 1];
    assert!(slowest <= ticks_max, "{nodes} nodes: {ticks:?} ticks");
    let inserts = 3 * inserts as u64;
    assert!(bytes / inserts <= insert_bytes_max, "{nodes} nodes: {} bytes an insert", bytes / inserts);
    let each = rumours as f64 / (inserts * nodes as u64) as f64;
    assert!(each <= 8.0, "{nodes} nodes: {each} rumours a node an insert");
    let idle = idle_bytes / nodes as u64 / idle_seconds;
    assert!(idle <= 300, "{nodes} nodes: {idle} bytes a node a second");
}

#[test]
fn an_insert_in_a_ring_of_ten() {
    hold(10, 40, 5, 12_000);
}

#[test]
fn an_insert_in_a_ring_of_a_hundred() {
    hold(100, 8, 14, 100_000);
}

#[test]
fn a_hundred_that_meet_one_at_once_know_all_within_five_seconds() {
    let spread = Fleet::strangers(100, 1, 7).bootstrap().expect("all know all");
    assert!(spread.all_ms <= 5_000, "{} ms", spread.all_ms);
}
