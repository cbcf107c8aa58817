//! What is warned of. Alone in its program: `tracing` asks only the thread that comes to a line first whether anybody
//! wants it.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Lab, SECOND, Toil};
use genserver::{Config, System};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Counts the warnings that name this crate.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("genserver") && *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_warned_of_ever_more_rarely() {
    let warnings = Warnings::default();
    let _counting = tracing::subscriber::set_default(warnings.clone());
    let lab = System::local_with(Config::default().slow_handler(SECOND));
    let lab = lab.spawn("lab", Lab::default()).await.unwrap();
    for _ in 0..100 {
        lab.cast(Toil(900)).await.unwrap();
    }
    lab.idle().await;
    assert_eq!(warnings.0.load(Ordering::Relaxed), 0, "none took a second");
    lab.cast(Toil(70_000)).await.unwrap();
    lab.idle().await;
    assert_eq!(warnings.0.load(Ordering::Relaxed), 7, "after 1, 2, 4, 8, 16, 32 and 64 seconds");
}
