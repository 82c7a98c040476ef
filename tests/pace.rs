//! The pace that was set is the pace that is kept: per relay, per domain of recipients, per day; and nobody waits for
//! somebody else's.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use support::publication::{Lantern, Setup};
use support::smtp_sink::{Answer, Moment, Options, Sink, Step, say};
use tidings::domain::newsletter::Cadence;
use tidings::task::dispatch::{Counts, Stop, Vigil, dispatch};

support::engines::for_each_engine! {
    the_rate_of_a_relay_is_the_rate_that_goes_out,
    relays_get_their_shares_by_weight,
    a_relay_of_weight_0_helps_out_when_the_others_are_away,
    a_relay_that_refuses_us_is_passed_over_while_another_works,
    a_warm_up_sends_what_the_day_allows_and_goes_on_tomorrow,
    a_slow_domain_does_not_hold_up_the_rest,
    a_domain_gets_no_more_messages_at_once_than_it_may,
    a_digest_that_is_cancelled_stops_within_a_moment,
    a_digest_that_is_paused_stops_and_goes_on_where_it_stopped,
    what_a_dead_process_had_in_hand_is_taken_over,
    the_next_envelope_rides_with_the_dot,
    chunks_follow_one_another_as_deep_as_is_set,
    a_refused_reader_among_chunks_stops_nobody,
    a_connection_that_breaks_among_chunks_loses_nobody,
    a_digest_that_too_many_refuse_stops_and_can_be_resumed,
    a_digest_has_a_life_of_its_own,
    a_connection_that_breaks_among_many_chunks_is_one_failure,
    an_answer_to_nothing_refuses_nobody_whose_envelope_rode_along,
    a_domain_that_is_slow_for_a_moment_is_not_slow_for_hours,
}

async fn composed(lantern: &Lantern, readers: usize) -> tidings::domain::digest::Digest {
    lantern.readers(readers).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.expect("somebody to write to").0
}

async fn the_rate_of_a_relay_is_the_rate_that_goes_out(url: String) {
    let sink = Sink::start(Options::default()).await;
    let setup = Setup { relay_keys: vec!["rate = \"40/s\"\n"], ..Setup::relay(sink.port()) };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 60).await;
    let started = Instant::now();
    assert_eq!(lantern.dispatch().await.sent, 60);
    // 60 messages at 40 a second, less the slack of a tenth of a second; a busy machine may take longer.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1350), "{took:?}");
}

async fn relays_get_their_shares_by_weight(url: String) {
    let sinks = [Sink::start(Options::default()).await, Sink::start(Options::default()).await];
    let relays = sinks.iter().map(Sink::port).collect();
    let setup = Setup { relays, relay_keys: vec!["weight = 3\n", "weight = 1\n"], ..Setup::default() };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 400).await;
    assert_eq!(lantern.dispatch().await.sent, 400);
    let shares = sinks.each_ref().map(Sink::count);
    assert!((280..=320).contains(&shares[0]), "{shares:?}");
}

async fn a_relay_of_weight_0_helps_out_when_the_others_are_away(url: String) {
    let is_bad = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_bad);
    let first = Sink::start(Options::script(move |moment| {
        let is_bad = flag.load(Ordering::SeqCst) && matches!(moment.step, Step::Greeting | Step::Mail);
        if is_bad { Answer::SayAndDrop("421 4.3.2 closing".into()) } else { Answer::Usual }
    }))
    .await;
    let spare = Sink::start(Options::default()).await;
    let relays = vec![first.port(), spare.port()];
    let setup = Setup { relays, relay_keys: vec!["", "weight = 0\n"], ..Setup::default() };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 50).await;
    assert_eq!(lantern.dispatch().await.sent, 50);
    assert_eq!((first.count(), spare.count()), (50, 0));
    is_bad.store(true, Ordering::SeqCst);
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["rope"]).await;
    lantern.compose().await.unwrap();
    let report = lantern.dispatch().await;
    assert_eq!((report.sent + report.deferred, report.relay_away), (50, None));
    lantern.pass(TimeDelta::hours(1));
    lantern.dispatch().await;
    assert_eq!((first.count(), spare.count()), (50, 50));
}

async fn a_relay_that_refuses_us_is_passed_over_while_another_works(url: String) {
    let bad = Sink::start(Options::at(Step::Greeting, say("554 5.7.1 you are blocked"))).await;
    let good = Sink::start(Options::default()).await;
    let setup = Setup { relays: vec![bad.port(), good.port()], ..Setup::default() };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 40).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.halted.len()), (40, 0), "{report:?}");
}

async fn a_warm_up_sends_what_the_day_allows_and_goes_on_tomorrow(url: String) {
    let sink = Sink::start(Options::default()).await;
    let keys = "warm_up = { start = 20, since = 2026-11-24 }\n";
    let lantern = Lantern::open(&url, Setup { relay_keys: vec![keys], ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 45).await;
    for _ in 0..3 {
        let report = lantern.dispatch().await;
        assert!(report.relay_away.is_some_and(|why| why.contains("warm-up allows 20 messages today")));
        assert_eq!(sink.count(), 20);
        lantern.pass(TimeDelta::minutes(2));
    }
    lantern.pass(TimeDelta::days(1));
    assert_eq!(lantern.dispatch().await.sent, 25, "30 are allowed");
}

/// Readers of two domains: many of `slow.example`, few of `quick.example`.
async fn readers_of_two_domains(lantern: &Lantern, slow: usize, quick: usize) {
    for number in 0..slow {
        lantern.reader(&format!("r{number}@slow.example"), Cadence::Daily, None).await;
    }
    for number in 0..quick {
        lantern.reader(&format!("r{number}@quick.example"), Cadence::Daily, None).await;
    }
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
}

async fn a_slow_domain_does_not_hold_up_the_rest(url: String) {
    let sink = Sink::start(Options::default()).await;
    let more = "[[pace]]\ndomains = [\"slow.example\"]\nrate = \"1/m\"\n";
    let lantern = Lantern::open(&url, Setup { more, ..Setup::relay(sink.port()) }).await;
    readers_of_two_domains(&lantern, 150, 30).await;
    let report = lantern.dispatch().await;
    let to = |domain: &str| sink.messages().iter().filter(|message| message.to[0].ends_with(domain)).count();
    assert_eq!((to("quick.example"), report.deferred), (30, 0));
    assert_eq!(to("slow.example"), 1);
    assert_eq!(lantern.count("SELECT MAX(attempts) FROM deliveries WHERE state = 'queued'").await, 0);
    let spread = "SELECT COUNT(DISTINCT due_at) FROM deliveries WHERE state = 'queued'";
    assert!(lantern.count(spread).await > 100, "they do not all come back at once");
}

async fn a_domain_gets_no_more_messages_at_once_than_it_may(url: String) {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, top) = (Arc::clone(&under_way), Arc::clone(&most));
    let sink = Sink::start(Options::script(move |moment: &Moment<'_>| {
        match moment.step {
            Step::Content => {
                let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                top.fetch_max(count, Ordering::SeqCst);
            }
            Step::Dot => {
                now.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Answer::Usual
    }))
    .await;
    let more = "[[pace]]\ndomains = [\"slow.example\"]\nconnections = 2\n";
    let lantern = Lantern::open(&url, Setup { more, connections: 8, ..Setup::relay(sink.port()) }).await;
    readers_of_two_domains(&lantern, 20, 0).await;
    assert_eq!(lantern.dispatch().await.sent, 20);
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
}

/// A sink that gives a word once it has taken so many messages, and then answers no dot until it is told to go on.
async fn until_told(after: usize) -> (Sink, Arc<tokio::sync::Notify>) {
    let word = Arc::new(tokio::sync::Notify::new());
    let (told, count) = (Arc::clone(&word), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment: &Moment<'_>| {
        if moment.step == Step::Dot && count.fetch_add(1, Ordering::SeqCst) + 1 == after {
            told.notify_one();
        }
        Answer::Usual
    }))
    .await;
    (sink, word)
}

async fn a_digest_that_is_cancelled_stops_within_a_moment(url: String) {
    let (sink, word) = until_told(20).await;
    let more = "[mail]\ntake_over_after = \"1s\"\n";
    let setup = Setup { more, relay_keys: vec!["rate = \"100/s\"\n"], ..Setup::relay(sink.port()) };
    let lantern = Lantern::open(&url, setup).await;
    let digest = composed(&lantern, 400).await;
    let cancelled = async {
        word.notified().await;
        lantern.publication.store.cancel_digest(digest.id, lantern.now()).await.unwrap()
    };
    let (report, cancelled) = tokio::join!(lantern.dispatch(), cancelled);
    assert!(cancelled.is_some_and(|left_out| left_out > 200));
    assert!((20..300).contains(&report.sent), "{report:?}");
    assert_eq!(lantern.deliveries("sent").await, i64::try_from(sink.count()).unwrap());
    assert_eq!(lantern.deliveries("sent").await + lantern.deliveries("skipped").await, 400);
    let given_back = "SELECT COUNT(*) FROM subscriptions WHERE cursor = 0";
    assert_eq!(lantern.count(given_back).await, lantern.deliveries("skipped").await);
}

async fn a_digest_that_is_paused_stops_and_goes_on_where_it_stopped(url: String) {
    use tidings::domain::digest::DigestState;
    let (sink, word) = until_told(20).await;
    let more = "[mail]\ntake_over_after = \"1s\"\n";
    let setup = Setup { more, relay_keys: vec!["rate = \"100/s\"\n"], ..Setup::relay(sink.port()) };
    let lantern = Lantern::open(&url, setup).await;
    let digest = composed(&lantern, 300).await;
    let store = &lantern.publication.store;
    let paused = async {
        word.notified().await;
        assert!(store.move_digest(digest.id, "sending", &DigestState::Paused).await.unwrap());
    };
    let (report, ()) = tokio::join!(lantern.dispatch(), paused);
    assert!((20..250).contains(&report.sent), "{report:?}");
    assert_eq!(sink.count() as u64, report.sent);
    assert_eq!(lantern.deliveries("claimed").await, 0);
    assert!(store.move_digest(digest.id, "paused", &DigestState::Sending).await.unwrap());
    assert_eq!(lantern.dispatch().await.sent, 300 - report.sent);
    assert_eq!(sink.count(), 300);
}

async fn what_a_dead_process_had_in_hand_is_taken_over(url: String) {
    let (sink, word) = until_told(30).await;
    let more = "[mail]\ntake_over_after = \"1s\"\n";
    let lantern = Lantern::open(&url, Setup { more, ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 200).await;
    let (_word, stop) = Stop::new();
    let counts = Counts::default();
    tokio::select! {
        _ = dispatch(&lantern.publication, &stop, &counts) => panic!("it was to die"),
        () = word.notified() => {}
    }
    assert!(lantern.deliveries("claimed").await > 0);
    let mut vigil = Vigil::default();
    let mut now = Instant::now();
    // At different times: a sender that moves in between is alive.
    assert_eq!(vigil.look(&lantern.publication, now).await.unwrap().taken_over, 0);
    let mut taken_over = 0;
    // The store may have had a last sign of life in hand, written between two looks: the sender is then given more time.
    for _ in 0..5 {
        now += Duration::from_secs(2);
        taken_over += vigil.look(&lantern.publication, now).await.unwrap().taken_over;
    }
    assert!(taken_over > 0);
    assert_eq!(lantern.deliveries("claimed").await, 0);
    lantern.dispatch().await;
    assert_eq!(lantern.deliveries("sent").await, 200);
    assert!((200..=204).contains(&sink.count()), "no more doubled than connections: {}", sink.count());
}

async fn the_next_envelope_rides_with_the_dot(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::open(&url, Setup { connections: 1, ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 30).await;
    assert_eq!(lantern.dispatch().await.sent, 30);
    assert_eq!(sink.connections(), 1);
    assert_eq!(sink.violations(), Vec::<String>::new());
    assert!(sink.rides() >= 25, "only {} envelopes came with the message before", sink.rides());
}

async fn an_answer_to_nothing_refuses_nobody_whose_envelope_rode_along(url: String) {
    let dots = AtomicUsize::new(0);
    let sink = Sink::start(Options::script(move |moment| {
        let is_it = moment.step == Step::Dot && dots.fetch_add(1, Ordering::SeqCst) == 5;
        let confused = b"354 go on\r\n552 5.2.3 that was too much\r\n";
        if is_it { Answer::Raw(confused.to_vec()) } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::open(&url, Setup { connections: 1, ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 30).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred, report.refused, report.halted.len()), (29, 1, 0, 0), "{report:?}");
}

async fn a_domain_that_is_slow_for_a_moment_is_not_slow_for_hours(url: String) {
    let sink = Sink::start(Options::default()).await;
    let more = "[[pace]]\ndomains = [\"reader.example\"]\nrate = \"50/s\"\n";
    let lantern = Lantern::open(&url, Setup { more, ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 1500).await;
    lantern.dispatch().await;
    // 1500 at 50 a second are half a minute.
    let late = format!(
        "SELECT COUNT(*) FROM deliveries WHERE state = 'queued' AND due_at > {}",
        (lantern.now() + TimeDelta::seconds(60)).timestamp_millis()
    );
    assert_eq!(lantern.count(&late).await, 0);
}

fn chunks(script: impl Fn(&Moment<'_>) -> Answer + Send + Sync + 'static) -> Options {
    Options { chunking: true, ..Options::script(script) }
}

async fn with_depth(url: &str, sink: &Sink) -> Lantern {
    let setup = Setup { relay_keys: vec!["depth = 4\n"], connections: 2, ..Setup::relay(sink.port()) };
    Lantern::open(url, setup).await
}

async fn chunks_follow_one_another_as_deep_as_is_set(url: String) {
    let sink = Sink::start(chunks(|_| Answer::Usual)).await;
    let lantern = with_depth(&url, &sink).await;
    composed(&lantern, 80).await;
    assert_eq!(lantern.dispatch().await.sent, 80);
    assert_eq!(sink.violations(), Vec::<String>::new());
    let lines = sink.lines();
    assert!(lines.iter().all(|(_, line)| !line.starts_with("DATA")), "chunks alone");
    assert_eq!(sink.count(), 80);
}

async fn a_refused_reader_among_chunks_stops_nobody(url: String) {
    let sink = Sink::start(chunks(|moment| {
        let is_unknown = moment.step == Step::Rcpt && moment.line.contains("reader7@");
        if is_unknown { say("550 5.1.1 no such user") } else { Answer::Usual }
    }))
    .await;
    let lantern = with_depth(&url, &sink).await;
    composed(&lantern, 40).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.refused, sink.count()), (39, 1, 39));
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn a_connection_that_breaks_among_chunks_loses_nobody(url: String) {
    let dots = AtomicUsize::new(0);
    let sink = Sink::start(chunks(move |moment| {
        let is_it = moment.step == Step::Dot && dots.fetch_add(1, Ordering::SeqCst) == 10;
        if is_it { Answer::TakeAndDrop } else { Answer::Usual }
    }))
    .await;
    let lantern = with_depth(&url, &sink).await;
    composed(&lantern, 60).await;
    let report = lantern.dispatch().await;
    assert!((1..=4).contains(&report.deferred), "as deep as is set is in doubt: {report:?}");
    lantern.pass(TimeDelta::minutes(31));
    assert_eq!(lantern.dispatch().await.sent, report.deferred);
    assert!((61..=64).contains(&sink.count()), "{}", sink.count());
}

async fn a_connection_that_breaks_among_many_chunks_is_one_failure(url: String) {
    let dots = AtomicUsize::new(0);
    let sink = Sink::start(chunks(move |moment| {
        let is_it = moment.step == Step::Dot && dots.fetch_add(1, Ordering::SeqCst) == 20;
        if is_it { Answer::TakeAndDrop } else { Answer::Usual }
    }))
    .await;
    let setup = Setup { relay_keys: vec!["depth = 8\n"], connections: 1, ..Setup::relay(sink.port()) };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 120).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent + report.deferred, report.relay_away), (120, None));
    assert!((1..=8).contains(&report.deferred));
    assert_eq!(sink.connections(), 2, "it is opened anew at once");
}

async fn a_digest_that_too_many_refuse_stops_and_can_be_resumed(url: String) {
    use tidings::domain::digest::DigestState;
    let sink = Sink::start(Options::script(|moment| {
        let is_gone = moment.step == Step::Rcpt && (moment.line.contains("3@") || moment.line.contains("7@"));
        if is_gone { say("550 5.1.1 no such user") } else { Answer::Usual }
    }))
    .await;
    let more = "[brakes]\nat_least = 50\n";
    let lantern = Lantern::open(&url, Setup { more, ..Setup::relay(sink.port()) }).await;
    let digest = composed(&lantern, 300).await;
    let report = lantern.dispatch().await;
    assert_eq!(report.halted.len(), 1, "{report:?}");
    assert!((50..80).contains(&(report.sent + report.refused)), "{report:?}");
    // An editor who resumes it has seen why: it goes on for as long again.
    let store = &lantern.publication.store;
    assert!(store.move_digest(digest.id, "halted", &DigestState::Sending).await.unwrap());
    let again = lantern.dispatch().await;
    assert!((50..80).contains(&(again.sent + again.refused)), "{again:?}");
}

async fn a_digest_has_a_life_of_its_own(url: String) {
    let sink = Sink::start(Options::at(Step::Rcpt, say("450 4.2.1 later"))).await;
    let news = support::publication::NEWS.replace("[newsletter]\n", "[newsletter]\nlife = \"2h\"\n");
    let lantern = Lantern::open(&url, Setup { feeds: vec![("news", news)], ..Setup::relay(sink.port()) }).await;
    composed(&lantern, 3).await;
    assert_eq!(lantern.dispatch().await.deferred, 3);
    for _ in 0..4 {
        lantern.pass(TimeDelta::minutes(31));
        lantern.dispatch().await;
    }
    assert_eq!(lantern.deliveries("failed").await, 3);
}
