//! Waiting for a server to have its name.

mod common;

use common::{Echo, Lab, MS, PanicInCall, SECOND, Toil, patient, settle};
use genserver::{Child, GenServer, LocalAddr, Stop, Strategy, Supervisor, System};
use tokio::task::JoinSet;

struct Other;

impl GenServer for Other {}

/// A task that waits for a lab of that name.
fn waiting(system: &System, name: &'static str) -> JoinSet<Option<LocalAddr<Lab>>> {
    let system = system.clone();
    JoinSet::from_iter([async move { system.wait_for::<Lab>(name).await }])
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_the_name_is_found_at_once_and_one_that_will_have_it_when_it_does() {
    let system = System::local();
    let mut found = waiting(&system, "lab");
    settle().await;
    system.spawn("another", Lab::default()).await.unwrap();
    settle().await;
    assert!(found.try_join_next().is_none());
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    assert_eq!(found.join_all().await, [Some(lab.clone())]);
    assert_eq!(system.wait_for::<Lab>("lab").await, Some(lab));
}

#[tokio::test(start_paused = true)]
async fn one_of_another_type_or_that_ends_is_not_what_is_waited_for() {
    let system = System::local();
    let other = system.spawn("lab", Other).await.unwrap();
    let found = waiting(&system, "lab");
    settle().await;
    other.stop(Stop::Now).await;
    let first = system.spawn("lab", Lab::default()).await.unwrap();
    assert_eq!(found.join_all().await, [Some(first.clone())]);

    first.cast(Toil(1_000)).await.unwrap();
    settle().await;
    let (_exit, (found, second)) = tokio::join!(first.stop(Stop::graceful(2 * SECOND)), async {
        settle().await;
        assert_eq!(system.whereis::<Lab>("lab"), Some(first.clone()), "it still has the name");
        let found = waiting(&system, "lab");
        first.ended().await;
        (found, system.spawn("lab", Lab::default()).await.unwrap())
    });
    assert_eq!(found.join_all().await, [Some(second)]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_name_in_a_system_that_shuts_down() {
    let system = System::local();
    system.spawn("busy", Lab::default()).await.unwrap().cast(Toil(1_000)).await.unwrap();
    let found = waiting(&system, "lab");
    settle().await;
    let shutdown = system.clone();
    let shutdown = JoinSet::from_iter([async move { shutdown.shutdown(10 * SECOND).await }]);
    let began = tokio::time::Instant::now();
    assert_eq!(found.join_all().await, [None]);
    assert!(began.elapsed() < 100 * MS, "it is told when the shutdown begins");
    shutdown.join_all().await;
    assert_eq!(system.wait_for::<Lab>("lab").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_a_server_that_is_started_again_and_again_find_it() {
    let system = patient();
    let pool = Supervisor::new(Strategy::OneForOne).intensity(1_000, SECOND);
    system.spawn("pool", pool.child(Child::new("lab", Lab::default))).await.unwrap();
    for number in 0..200 {
        let lab = system.wait_for::<Lab>("lab").await.unwrap();
        assert_eq!(lab.call(Echo(number)).await, Ok(number), "one that is found takes messages");
        assert!(lab.call(PanicInCall).await.is_err());
    }
}
