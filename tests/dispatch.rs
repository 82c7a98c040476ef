//! Nobody is lost, nobody is written to twice, whatever the relay does and whenever the program ends.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, Setup, rows};
use support::smtp_sink::{Answer, Moment, Options, Sink, Step, say};
use tidings::domain::digest::{Digest, DigestState};
use tidings::task::dispatch::{Counts, Stop, dispatch};

support::engines::for_each_engine! {
    an_address_that_does_not_exist_is_suppressed_and_the_others_are_sent,
    a_relay_that_refuses_us_halts_the_digest_and_resume_goes_on,
    a_single_mailbox_that_takes_no_mail_from_outside_halts_nothing,
    a_few_mailboxes_among_many_that_take_nothing_from_outside_halt_nothing,
    a_relay_that_says_nothing_holds_up_neither_the_others_nor_a_stop,
    a_digest_that_is_resumed_while_others_are_sent_goes_on_in_the_same_round,
    what_is_deferred_is_tried_again_when_its_time_has_come,
    a_relay_that_is_away_is_asked_once_a_round_and_nobody_counts_as_attempted,
    a_port_that_is_closed_keeps_everything,
    a_relay_that_takes_few_connections_is_not_away,
    one_relay_of_two_may_be_away,
    a_relay_that_breaks_off_every_time_is_left_alone_soon,
    a_goodbye_in_the_middle_puts_off_one_reader_at_most,
    a_message_whose_answer_was_lost_goes_again_under_the_same_id,
    a_stop_finishes_what_is_under_way_and_leaves_the_rest_due,
    a_crash_loses_nobody_and_doubles_no_more_than_was_in_flight,
    two_processes_send_each_message_once,
    what_waited_too_long_for_its_turn_is_claimed_anew,
    a_claim_is_committed_and_no_transaction_open_while_the_relay_speaks,
}

/// A digest of one article for this many readers, composed and not sent.
async fn composed(lantern: &Lantern, readers: usize) -> Digest {
    lantern.readers(readers).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.expect("somebody to write to").0
}

/// Message-IDs and recipients of all messages taken, and how many were.
fn taken(sink: &Sink) -> (BTreeSet<(String, String)>, usize) {
    assert_eq!(sink.violations(), Vec::<String>::new());
    let letters: Vec<_> = sink.messages().iter().map(|message| Letter::read(&message.bytes)).collect();
    (letters.iter().map(|letter| (letter.message_id.clone(), letter.to.clone())).collect(), letters.len())
}

/// Every reader got the message, and nobody two.
fn assert_each_once(sink: &Sink, readers: usize) {
    let (distinct, all) = taken(sink);
    assert_eq!((distinct.len(), all), (readers, readers));
}

async fn state(lantern: &Lantern, digest: &Digest) -> DigestState {
    lantern.publication.store.digest(digest.id).await.unwrap().unwrap().state
}

/// A script that misbehaves while the flag is up.
fn while_up(flag: &Arc<AtomicBool>, step: Step, answer: Answer) -> Options {
    let flag = Arc::clone(flag);
    Options::script(
        move |moment| {
            if moment.step == step && flag.load(Ordering::SeqCst) { answer.clone() } else { Answer::Usual }
        },
    )
}

async fn an_address_that_does_not_exist_is_suppressed_and_the_others_are_sent(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_unknown = moment.step == Step::Rcpt && moment.line.contains("reader3@");
        if is_unknown { say("550 5.1.1 no such user") } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 10).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.refused), (9, 1));
    assert_eq!(state(&lantern, &digest).await, DigestState::Sent);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions WHERE cause = 'refused'").await, 1);
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["tide"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 9);
    let asked = sink.lines().iter().filter(|(_, line)| line.contains("reader3@")).count();
    assert_eq!(asked, 1, "a refusal is never tried again");
}

async fn a_relay_that_refuses_us_halts_the_digest_and_resume_goes_on(url: String) {
    let (blocked, handed_over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (is_blocked, count) = (Arc::clone(&blocked), Arc::clone(&handed_over));
    let sink = Sink::start(Options::script(move |moment| {
        if moment.step != Step::Dot || !is_blocked.load(Ordering::SeqCst) {
            return Answer::Usual;
        }
        count.fetch_add(1, Ordering::SeqCst);
        say("550 5.7.1 your address is blocked")
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 50).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.refused, report.halted.len()), (0, 0, 1), "{report:?}");
    assert!(matches!(state(&lantern, &digest).await, DigestState::Halted { why } if why.contains("5.7.1")));
    assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions").await, 0);
    assert_eq!(lantern.deliveries("queued").await, 50);
    let handed_over = handed_over.load(Ordering::SeqCst);
    assert!(handed_over <= 4, "one message for each connection at most, not {handed_over}");

    let connections = sink.connections();
    assert_eq!(lantern.dispatch().await.sent, 0, "a halted digest is not sent");
    assert_eq!(sink.connections(), connections);
    blocked.store(false, Ordering::SeqCst);
    assert!(lantern.publication.store.move_digest(digest.id, "halted", &DigestState::Sending).await.unwrap());
    assert_eq!(lantern.dispatch().await.sent, 50);
    assert_each_once(&sink, 50);
}

async fn a_single_mailbox_that_takes_no_mail_from_outside_halts_nothing(url: String) {
    let all = Arc::new(AtomicBool::new(false));
    let for_all = Arc::clone(&all);
    let sink = Sink::start(Options::script(move |moment| {
        let is_refused =
            moment.step == Step::Rcpt && (for_all.load(Ordering::SeqCst) || moment.line.contains("reader3@"));
        if is_refused { say("550 5.7.1 not from outside") } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 10).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred, report.halted.len()), (9, 1, 0), "{report:?}");
    assert_eq!(state(&lantern, &digest).await, DigestState::Sending);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions").await, 0);

    all.store(true, Ordering::SeqCst);
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["tide"]).await;
    let (next, _) = lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.halted.len(), 1, "when nobody is let in, it is us");
    assert!(matches!(state(&lantern, &next).await, DigestState::Halted { .. }));
}

async fn a_few_mailboxes_among_many_that_take_nothing_from_outside_halt_nothing(url: String) {
    let (dots, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment| match moment.step {
        Step::Dot => {
            dots.fetch_add(1, Ordering::SeqCst);
            Answer::Usual
        }
        Step::Rcpt if dots.load(Ordering::SeqCst) >= 80 && refused.fetch_add(1, Ordering::SeqCst) < 4 => {
            say("550 5.7.1 not from outside")
        }
        _ => Answer::Usual,
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 120).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred, report.halted.len()), (116, 4, 0), "{report:?}");
}

async fn a_relay_that_says_nothing_holds_up_neither_the_others_nor_a_stop(url: String) {
    let silent = Sink::start(Options::at(Step::Greeting, Answer::Silence)).await;
    let good = Sink::start(Options::default()).await;
    let setup = Setup { relays: vec![silent.port(), good.port()], ..Setup::default() };
    let lantern = Lantern::open(&url, setup).await;
    composed(&lantern, 300).await;
    let (word, stop) = Stop::new();
    let told = async {
        good.wait_for(298).await;
        // What falls due meanwhile goes out as well.
        lantern.pass(TimeDelta::minutes(1));
        lantern.reader("ann@reader.example", tidings::domain::newsletter::Cadence::Daily, None).await;
        lantern.release(&["tide"]).await;
        lantern.compose().await.unwrap();
        good.wait_for(400).await;
        word.send(true).unwrap();
    };
    let counts = Counts::default();
    let sending = async { tokio::join!(dispatch(&lantern.publication, &stop, &counts), told).0.unwrap() };
    let report =
        tokio::time::timeout(std::time::Duration::from_secs(100), Box::pin(sending)).await.expect("it is stuck");
    assert!(report.stopped && report.sent >= 400, "{report:?}");
    assert_eq!(lantern.deliveries("claimed").await, 0);
}

/// Runs a future to its end within a script, which cannot wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

async fn a_digest_that_is_resumed_while_others_are_sent_goes_on_in_the_same_round(url: String) {
    let resume: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>> = Arc::default();
    let (editor, dots) = (Arc::clone(&resume), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment| match moment.step {
        Step::Dot => match dots.fetch_add(1, Ordering::SeqCst) {
            0 => say("550 5.7.1 blocked for a moment"),
            10 => {
                editor.get().unwrap()();
                Answer::Usual
            }
            _ => Answer::Usual,
        },
        _ => Answer::Usual,
    }))
    .await;
    let lantern = Lantern::open(&url, Setup { connections: 1, ..Setup::relay(sink.port()) }).await;
    let first = composed(&lantern, 15).await;
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["tide"]).await;
    lantern.compose().await.unwrap();
    let store = lantern.publication.store.clone();
    let resumed = move || assert!(now(store.move_digest(first.id, "halted", &DigestState::Sending)).unwrap());
    assert!(resume.set(Box::new(resumed)).is_ok());
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.halted.len()), (30, 1), "{report:?}");
    assert_each_once(&sink, 30);
}

async fn what_is_deferred_is_tried_again_when_its_time_has_come(url: String) {
    let busy = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&busy);
    let sink = Sink::start(Options::script(move |moment| {
        let is_busy = moment.step == Step::Rcpt && moment.line.contains("reader0@") && flag.load(Ordering::SeqCst);
        if is_busy { say("451 4.7.1 grey-listed, come back later") } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 5).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred), (4, 1));
    assert_eq!(state(&lantern, &digest).await, DigestState::Sending);
    busy.store(false, Ordering::SeqCst);
    lantern.pass(TimeDelta::minutes(14));
    assert_eq!(lantern.dispatch().await.sent, 0, "not before its time");
    lantern.pass(TimeDelta::minutes(17));
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert_eq!(state(&lantern, &digest).await, DigestState::Sent);
    assert_each_once(&sink, 5);
    let id = lantern.publication.keyring.message_id(digest.id, lantern.who("reader0@reader.example").await);
    assert_eq!(Letter::read(&sink.messages()[4].bytes).message_id, format!("{id}@lantern.example"));
    assert_eq!(lantern.count("SELECT MAX(attempts) FROM deliveries").await, 2);
}

async fn a_relay_that_is_away_is_asked_once_a_round_and_nobody_counts_as_attempted(url: String) {
    let words = ["", "421 4.3.2 shutting down", "421 4.7.0 too busy for you", "451 4.7.0 policy server is away"];
    let way_of_being_away = Arc::new(AtomicUsize::new(0));
    let way = Arc::clone(&way_of_being_away);
    let sink = Sink::start(Options::script(move |moment| match (moment.step, words.get(way.load(Ordering::SeqCst))) {
        (Step::Greeting, Some(&"")) => Answer::Drop,
        (Step::Greeting, Some(words)) => Answer::SayAndDrop((*words).to_owned()),
        _ => Answer::Usual,
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 100).await;
    for round in 1..=12 {
        way_of_being_away.store(round % words.len(), Ordering::SeqCst);
        let report = lantern.dispatch().await;
        assert!(report.relay_away.is_some() && report.sent + report.deferred == 0, "{report:?}");
        assert_eq!(sink.connections(), round);
    }
    assert_eq!(lantern.deliveries("queued").await, 100);
    assert_eq!(lantern.count("SELECT MAX(attempts) FROM deliveries").await, 0);
    way_of_being_away.store(words.len(), Ordering::SeqCst);
    lantern.pass(TimeDelta::minutes(1));
    assert_eq!(lantern.dispatch().await.sent, 100);
    assert_each_once(&sink, 100);
}

async fn a_port_that_is_closed_keeps_everything(url: String) {
    let lantern = Lantern::with_relay(&url, closed_port().await).await;
    composed(&lantern, 100).await;
    let report = lantern.dispatch().await;
    assert!(report.relay_away.is_some_and(|why| why.contains("refused")));
    assert_eq!(lantern.deliveries("queued").await, 100);
    assert_eq!(lantern.count("SELECT MAX(attempts) FROM deliveries").await, 0);
}

/// A port that nobody listens on.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn a_relay_that_takes_few_connections_is_not_away(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_enough = moment.step == Step::Greeting && moment.connection > 2;
        if is_enough { Answer::SayAndDrop("421 4.7.0 too many connections".into()) } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 100).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred, report.relay_away), (100, 0, None));
    assert!(sink.connections() <= 4);
    assert_each_once(&sink, 100);
}

async fn one_relay_of_two_may_be_away(url: String) {
    let sink = Sink::start(Options::default()).await;
    let relays = vec![closed_port().await, sink.port()];
    let lantern = Lantern::open(&url, Setup { relays, ..Setup::default() }).await;
    composed(&lantern, 60).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.relay_away), (60, None));
    assert_each_once(&sink, 60);
}

async fn a_relay_that_breaks_off_every_time_is_left_alone_soon(url: String) {
    let bad = Arc::new(AtomicBool::new(true));
    let sink = Sink::start(while_up(&bad, Step::Mail, Answer::SayAndDrop("421 4.7.28 slow down".into()))).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 100).await;
    let report = lantern.dispatch().await;
    assert!(report.relay_away.is_some(), "{report:?}");
    assert!(sink.connections() <= 12, "three attempts for each of four connections, not {}", sink.connections());
    assert!((1..=12).contains(&report.deferred), "{report:?}");
    bad.store(false, Ordering::SeqCst);
    lantern.pass(TimeDelta::minutes(31));
    assert_eq!(lantern.dispatch().await.sent, 100);
    assert_each_once(&sink, 100);
}

async fn a_goodbye_in_the_middle_puts_off_one_reader_at_most(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_it = moment.step == Step::Mail && moment.connection == 1 && moment.transaction == 5;
        if is_it { Answer::SayAndDrop("421 4.4.2 enough for one connection".into()) } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 60).await;
    let report = lantern.dispatch().await;
    // An envelope that rode with the message before is offered again at once; one that came alone was put off.
    assert!(report.deferred <= 1 && report.relay_away.is_none(), "{report:?}");
    assert_eq!(report.sent + report.deferred, 60);
    lantern.pass(TimeDelta::minutes(31));
    assert_eq!(lantern.dispatch().await.sent, report.deferred);
    assert_each_once(&sink, 60);
}

async fn a_message_whose_answer_was_lost_goes_again_under_the_same_id(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_it = moment.step == Step::Dot && moment.connection == 1 && moment.transaction == 2;
        if is_it { Answer::TakeAndDrop } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 60).await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.deferred), (59, 1));
    lantern.pass(TimeDelta::minutes(31));
    assert_eq!(lantern.dispatch().await.sent, 1);
    let (distinct, all) = taken(&sink);
    assert_eq!((distinct.len(), all), (60, 61));
}

async fn a_stop_finishes_what_is_under_way_and_leaves_the_rest_due(url: String) {
    let (word, stop) = Stop::new();
    let dots = AtomicUsize::new(0);
    let sink = Sink::start(Options::script(move |moment: &Moment<'_>| {
        if moment.step == Step::Dot && dots.fetch_add(1, Ordering::SeqCst) == 50 {
            word.send_replace(true);
        }
        Answer::Usual
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 300).await;
    let report = dispatch(&lantern.publication, &stop, &Counts::default()).await.unwrap();
    assert!(report.stopped);
    assert!((50..60).contains(&report.sent), "{report:?}");
    assert_eq!(sink.count() as u64, report.sent);
    let due = format!(
        "SELECT COUNT(*) FROM deliveries WHERE state = 'queued' AND claim IS NULL AND due_at <= {}",
        lantern.now().timestamp_millis()
    );
    let queued = lantern.count(&due).await;
    assert_eq!(queued.cast_unsigned(), 300 - report.sent, "all of the rest is due at once");
    assert_eq!(lantern.dispatch().await.sent, 300 - report.sent);
    assert_each_once(&sink, 300);
}

async fn a_crash_loses_nobody_and_doubles_no_more_than_was_in_flight(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let digest = composed(&lantern, 300).await;
    let mut crashes = 0;
    for done in [20, 80, 150] {
        let (_word, stop) = Stop::new();
        let counts = Counts::default();
        tokio::select! {
            report = dispatch(&lantern.publication, &stop, &counts) => panic!("it ended by itself: {report:?}"),
            _ = sink.wait_for(done) => crashes += 1,
        }
        lantern.pass(TimeDelta::minutes(20));
    }
    lantern.dispatch().await;
    assert_eq!(state(&lantern, &digest).await, DigestState::Sent);
    assert_eq!(lantern.deliveries("sent").await, 300);
    let (distinct, all) = taken(&sink);
    assert_eq!(distinct.len(), 300, "nobody is lost, and a second copy bears the same Message-ID");
    assert!(all <= 300 + 4 * crashes, "{all} messages after {crashes} crashes");
}

async fn two_processes_send_each_message_once(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 300).await;
    let other = lantern.again().await;
    let (_word, stop) = Stop::new();
    let counts = Counts::default();
    let (here, there) = tokio::join!(lantern.dispatch(), dispatch(&other, &stop, &counts));
    let there = there.unwrap();
    assert_eq!(here.sent + there.sent, 300);
    assert_each_once(&sink, 300);
}

async fn what_waited_too_long_for_its_turn_is_claimed_anew(url: String) {
    let hand: Arc<OnceLock<Arc<std::sync::atomic::AtomicI64>>> = Arc::default();
    let (clock, dots) = (Arc::clone(&hand), AtomicUsize::new(0));
    let sink = Sink::start(Options::script(move |moment| {
        // Every third message takes the relay six minutes.
        if moment.step == Step::Dot && dots.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
            clock.get().unwrap().fetch_add(6 * 60 * 1000, Ordering::SeqCst);
        }
        Answer::Usual
    }))
    .await;
    let lantern = Lantern::open(&url, Setup { connections: 1, ..Setup::relay(sink.port()) }).await;
    assert!(hand.set(lantern.hand()).is_ok());
    composed(&lantern, 60).await;
    assert_eq!(lantern.dispatch().await.sent, 60);
    assert_each_once(&sink, 60);
}

async fn a_claim_is_committed_and_no_transaction_open_while_the_relay_speaks(url: String) {
    let database = url.clone();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let sink = Sink::start(Options::script(move |moment| {
        if moment.step == Step::Rcpt {
            let address = moment.line.split(['<', '>']).nth(1).unwrap();
            let claimed = format!(
                "SELECT COUNT(*) FROM deliveries d JOIN subscribers s ON s.id = d.subscriber \
                 WHERE s.address = '{address}' AND d.state = 'claimed'"
            );
            assert_eq!(now(rows(&database, &claimed)), [["1"]]);
            // Nobody could write now if a transaction were kept open while the relay is waited for.
            now(rows(&database, "UPDATE counters SET value = value WHERE name = 'revision' RETURNING value"));
            count.fetch_add(1, Ordering::SeqCst);
        }
        Answer::Usual
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    composed(&lantern, 20).await;
    assert_eq!(lantern.dispatch().await.sent, 20);
    assert_eq!(seen.load(Ordering::SeqCst), 20);
}
