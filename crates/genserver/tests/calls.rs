//! Calls and casts between servers of one node: every way they end.

mod common;

use common::{
    Drop, Echo, Forget, Hold, Lab, Log, Logged, MS, PanicInCall, PanicInCast, Quit, Release, SECOND, Toil,
    Work, lab, patient, settle,
};
use genserver::{CallError, CastFailure, Executed, Exit, Stage, Stop, System};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_call_gets_its_reply() {
    assert_eq!(lab().await.call(Echo(7)).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_made_from_another_task() {
    let lab = lab().await;
    let calls = tokio::task::JoinSet::from_iter((0..10).map(|number| lab.call(Echo(number))));
    let mut replies: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
    replies.sort_unstable();
    assert_eq!(replies, Vec::from_iter(0..10));
}

#[tokio::test(start_paused = true)]
async fn replies_may_come_later_and_in_any_order() {
    let lab = lab().await;
    let (first, second, ()) = tokio::join!(lab.call(Hold), lab.call(Hold), async {
        settle().await;
        lab.cast(Release(5)).await.unwrap();
    });
    assert_eq!((first, second), (Ok(5), Ok(5)));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline() {
    let lab = lab().await;
    let began = Instant::now();
    let error = lab.call(Hold).timeout(SECOND).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { stage: Stage::Handling });
    assert_eq!(error.executed(), Executed::Maybe);
    assert!((SECOND..=SECOND + 2 * MS).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_default_deadline_is_five_seconds() {
    let lab = lab().await;
    let began = Instant::now();
    assert!(lab.call(Hold).await.is_err());
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn many_deadlines_are_each_kept() {
    let lab = lab().await;
    let mut calls = tokio::task::JoinSet::new();
    for ms in [900, 30, 400, 7_000, 30, 2] {
        let call = lab.call(Hold).timeout(ms * MS);
        let began = Instant::now();
        calls.spawn(async move {
            assert!(call.await.is_err());
            let took = began.elapsed();
            assert!((ms * MS..=(ms + 2) * MS).contains(&took), "{took:?} instead of {ms} ms");
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_timeout_a_call_waits_on() {
    let lab = lab().await;
    let mut call = tokio::task::JoinSet::from_iter([lab.call(Hold).without_timeout()]);
    tokio::time::sleep(3_600 * SECOND).await;
    assert!(call.try_join_next().is_none());
    lab.cast(Release(1)).await.unwrap();
    assert_eq!(call.join_all().await, [Ok(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_awaits_any_more_is_not_handled() {
    let lab = lab().await;
    lab.cast(Toil(2_000)).await.unwrap();
    let error = lab.call(Work(0)).timeout(SECOND).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { stage: Stage::Queued });
    assert_eq!(error.executed(), Executed::No);
    lab.idle().await;
    assert_eq!(lab.info().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_reaches_nobody() {
    let lab = lab().await;
    assert!(lab.call(Hold).timeout(SECOND).await.is_err());
    lab.cast(Release(1)).await.unwrap();
    assert_eq!(lab.call(Echo(2)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn the_handler_sees_that_its_caller_left() {
    let lab = lab().await;
    let call = lab.call(Work(1_000));
    assert!(tokio::time::timeout(100 * MS, call).await.is_err());
    assert_eq!(lab.call(Work(0)).await, Ok(false));
    assert_eq!(lab.info().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_is_reported() {
    let lab = lab().await;
    let error = lab.call(Drop).await.unwrap_err();
    assert_eq!((error.executed(), error), (Executed::Maybe, CallError::NoReply));
    let (held, ()) = tokio::join!(lab.call(Hold), async { lab.cast(Forget).await.unwrap() });
    assert_eq!(held, Err(CallError::NoReply));
}

#[tokio::test(start_paused = true)]
async fn casts_of_one_sender_are_handled_in_order() {
    let lab = lab().await;
    for number in 0..5_000 {
        lab.cast(Log(number)).await.unwrap();
    }
    assert_eq!(lab.call(Logged).await.unwrap(), Vec::from_iter(0..5_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_of_each_of_many_senders_are_handled_in_order() {
    let lab = patient().spawn("lab", Lab::default()).mailbox(16).await.unwrap();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8_u64 {
        let lab = lab.clone();
        senders.spawn(async move {
            for number in 0..1_000 {
                lab.cast(Log(sender * 10_000 + number)).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    let logged = lab.call(Logged).await.unwrap();
    assert_eq!(logged.len(), 8_000);
    for sender in 0..8 {
        let own: Vec<_> = logged.iter().filter(|number| *number / 10_000 == sender).copied().collect();
        assert_eq!(own, Vec::from_iter(sender * 10_000..sender * 10_000 + 1_000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_gives_the_message_back() {
    let lab = System::local().spawn("lab", Lab::default()).mailbox(2).await.unwrap();
    lab.cast(Toil(60_000)).await.unwrap();
    settle().await;
    lab.try_cast(Log(1)).unwrap();
    lab.try_cast(Log(2)).unwrap();
    assert_eq!(lab.info().mailbox_messages, 2);
    let error = lab.try_cast(Log(3)).unwrap_err();
    assert_eq!(*error.reason(), CastFailure::Busy);
    assert_eq!(error.into_message(), Log(3));
    let began = Instant::now();
    let error = lab.cast(Log(4)).timeout(SECOND).await.unwrap_err();
    assert_eq!((error.reason(), began.elapsed().as_secs()), (&CastFailure::Busy, 1));
    assert_eq!(error.into_message(), Log(4));
    let error = lab.call(Echo(5)).timeout(SECOND).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { stage: Stage::Queued });
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_room_get_it_in_order_and_none_is_lost() {
    let lab = System::local().spawn("lab", Lab::default()).mailbox(1).await.unwrap();
    lab.cast(Toil(1_000)).await.unwrap();
    settle().await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..10 {
        let cast = lab.cast(Log(number));
        waiting.spawn(cast);
        settle().await;
    }
    // One that gives up its place must not keep the others from theirs.
    assert!(tokio::time::timeout(MS, lab.cast(Log(99))).await.is_err());
    for sent in waiting.join_all().await {
        sent.unwrap();
    }
    assert_eq!(lab.call(Logged).await.unwrap(), Vec::from_iter(0..10));
    assert_eq!(lab.info().mailbox_messages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_server_and_everyone_learns_it() {
    let panicked = |message: &str| Exit::Panicked { message: message.into() };
    let lab = lab().await;
    let held = lab.call(Hold);
    let held = tokio::task::JoinSet::from_iter([held]);
    settle().await;
    lab.cast(PanicInCast).await.unwrap();
    let waiting = lab.call(Echo(1)).await;
    assert_eq!(waiting, Err(CallError::Exited { exit: panicked("told to"), stage: Stage::Queued }));
    let held = held.join_all().await.remove(0);
    assert_eq!(held, Err(CallError::Exited { exit: panicked("told to"), stage: Stage::Handling }));
    assert_eq!(lab.ended().await, panicked("told to"));
    let late = lab.call(Echo(1)).await.unwrap_err();
    assert_eq!(late.executed(), Executed::No);
    assert_eq!(
        *lab.cast(Log(1)).await.unwrap_err().reason(),
        CastFailure::Exited { exit: panicked("told to") }
    );
}

#[tokio::test(start_paused = true)]
async fn the_caller_of_a_panicking_handler_learns_the_message() {
    let error = lab().await.call(PanicInCall).await.unwrap_err();
    let exit = Exit::Panicked { message: "told to".into() };
    assert_eq!(error.executed(), Executed::Maybe);
    assert_eq!(error, CallError::Exited { exit, stage: Stage::Handling });
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_terminate_does_not_run() {
    let (server, mut ended) = Lab::shown();
    let lab = System::local().spawn("lab", server).await.unwrap();
    lab.cast(PanicInCast).await.unwrap();
    assert_eq!(ended.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_when_a_server_stops_are_refused() {
    let (server, mut ended) = Lab::shown();
    let lab = System::local().spawn("lab", server).await.unwrap();
    lab.cast(Quit).await.unwrap();
    let error = lab.call(Echo(1)).await.unwrap_err();
    assert_eq!(error, CallError::Exited { exit: Exit::Normal, stage: Stage::Queued });
    assert_eq!(ended.recv().await, Some(Exit::Normal));
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_handles_what_was_accepted_and_refuses_the_rest() {
    let (server, mut ended) = Lab::shown();
    let lab = System::local().spawn("lab", server).await.unwrap();
    lab.cast(Toil(1_000)).await.unwrap();
    let accepted = tokio::task::JoinSet::from_iter([lab.call(Echo(1))]);
    settle().await;
    let (exit, late, ()) = tokio::join!(lab.stop(Stop::graceful(10 * SECOND)), lab.call(Echo(2)), async {
        assert_eq!(*lab.cast(Log(1)).await.unwrap_err().reason(), CastFailure::Draining);
    });
    assert_eq!(exit, Exit::Shutdown);
    assert_eq!((late.as_ref().unwrap_err().executed(), late), (Executed::No, Err(CallError::Draining)));
    assert_eq!(accepted.join_all().await, [Ok(1)]);
    assert_eq!(ended.recv().await, Some(Exit::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_ends_by_force_when_its_time_is_up() {
    let (server, mut ended) = Lab::shown();
    let lab = System::local().spawn("lab", server).await.unwrap();
    let stuck = tokio::task::JoinSet::from_iter([lab.call(Work(3_600_000))]);
    settle().await;
    assert_eq!(lab.stop(Stop::graceful(SECOND)).await, Exit::Killed);
    let error = stuck.join_all().await.remove(0);
    assert_eq!(error, Err(CallError::Exited { exit: Exit::Killed, stage: Stage::Handling }));
    assert_eq!(ended.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn stop_now_drops_the_running_handler() {
    let lab = lab().await;
    lab.cast(Toil(3_600_000)).await.unwrap();
    settle().await;
    let began = Instant::now();
    assert_eq!(lab.stop(Stop::Now).await, Exit::Killed);
    assert_eq!(began.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_paused_server_takes_messages_and_handles_them_when_resumed() {
    let lab = lab().await;
    lab.pause();
    lab.cast(Log(1)).await.unwrap();
    settle().await;
    assert_eq!((lab.info().paused, lab.info().mailbox_messages, lab.info().handled), (true, 1, 0));
    lab.resume();
    lab.idle().await;
    assert_eq!(lab.call(Logged).await.unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_server_paused_in_the_middle_of_its_messages_stops_there() {
    let lab = lab().await;
    lab.cast(Toil(100)).await.unwrap();
    for number in 0..10 {
        lab.cast(Log(number)).await.unwrap();
    }
    settle().await;
    lab.pause();
    tokio::time::sleep(SECOND).await;
    assert_eq!((lab.info().handled, lab.info().mailbox_messages), (1, 10));
    assert_eq!(lab.stop(Stop::graceful(SECOND)).await, Exit::Shutdown);
    assert_eq!(lab.info().handled, 11, "a stop resumes, to drain");
}

#[tokio::test(start_paused = true)]
async fn idle_waits_until_all_is_handled() {
    let lab = lab().await;
    for number in 0..10 {
        lab.cast(Toil(100)).await.unwrap();
        lab.cast(Log(number)).await.unwrap();
    }
    let began = Instant::now();
    lab.idle().await;
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(lab.info().handled, 20);
}
