//! The welcome: once for each reader and newsletter, with what no digest will bring, whatever relays and processes do.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, NEWS, Setup, URL, news};
use support::smtp_sink::{Answer, Options, Sink, Step, say};
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::link::Purpose;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::confirm::{confirm, subscribe};
use tidings::task::dispatch::Stop;
use tidings::task::{Publication, welcome};

support::engines::for_each_engine! {
    whoever_confirms_is_welcomed_once_with_the_latest_articles,
    a_welcome_brings_only_what_no_digest_will,
    what_is_confirmed_at_once_is_one_mail_and_its_link_leaves_just_that,
    a_welcome_waits_for_a_relay_that_is_away_and_is_not_doubled,
    a_process_that_died_leaves_its_welcomes_to_others,
    two_processes_send_one_welcome,
    whoever_left_or_is_suppressed_is_not_welcomed,
    without_the_key_there_is_no_welcome,
}

const ARCHIVE: [&str; 7] = ["one", "two", "three", "four", "five", "six", "seven"];

fn offers() -> FeedName {
    FeedName::parse("offers").unwrap()
}

fn setup(port: u16) -> Setup {
    let offers = NEWS.replace("Latest news", "Offers").replace("\"news\" }", "\"offers\" }");
    Setup {
        feeds: vec![("news", format!("{NEWS}welcome = true\n")), ("offers", format!("{offers}welcome = true\n"))],
        archive: ARCHIVE.to_vec(),
        more: "[mail]\nbounces = \"bounces@bounces.lantern.example\"\n",
        ..Setup::relay(port)
    }
}

async fn lantern(url: &str, sink: &Sink) -> Lantern {
    Lantern::open(url, setup(sink.port())).await
}

/// Asks for feeds and confirms them.
async fn join(lantern: &Lantern, address: &str, feeds: &[FeedName]) -> SubscriberId {
    let subscriber = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse(address).unwrap(),
        name: Some("Ann".into()),
        language: None,
        time_zone: None,
    };
    let feeds: Vec<_> = feeds.iter().map(|feed| (feed.clone(), Cadence::Daily)).collect();
    subscribe(&lantern.publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
    let who = lantern.who(address).await;
    assert_eq!(confirm(&lantern.publication, who, lantern.publication.clock.now()).await.unwrap().len(), feeds.len());
    who
}

async fn send_from(publication: &Publication) -> u64 {
    let (_word, stop) = Stop::new();
    welcome::send_welcomes(publication, &stop).await.unwrap()
}

async fn send(lantern: &Lantern) -> u64 {
    send_from(&lantern.publication).await
}

fn letters(sink: &Sink) -> Vec<Letter> {
    sink.messages().iter().map(|message| Letter::read(&message.bytes)).collect()
}

async fn whoever_confirms_is_welcomed_once_with_the_latest_articles(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    let ann = join(&lantern, "ann@reader.example", &[news()]).await;
    assert_eq!((send(&lantern).await, send(&lantern).await), (1, 0));
    let letter = &letters(&sink)[0];
    assert_eq!(letter.brings(&ARCHIVE), ARCHIVE[..welcome::ARTICLES], "the newest");
    assert_eq!((letter.to.as_str(), letter.subject.as_str()), ("ann@reader.example", "Welcome to Latest news"));
    assert!(letter.text.contains("Hello Ann,") && letter.text.contains(&format!("{URL}/feeds/of/")), "{}", letter.text);
    let keyring = &lantern.publication.keyring;
    let leave = keyring.verify(Purpose::Leave, letter.unsubscribe.as_ref().unwrap(), lantern.now()).unwrap();
    assert_eq!((leave.subscriber, leave.feed), (ann, Some(news())));

    // The digest that follows begins behind it, and nothing that is undone brings a second.
    lantern.release(&["lamp"]).await;
    assert!(lantern.compose().await.is_some());
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert_eq!(letters(&sink)[1].brings(&[&ARCHIVE[..], &["lamp"]].concat()), ["lamp"]);
    lantern.publication.store.leave(ann, None, lantern.now()).await.unwrap();
    join(&lantern, "ann@reader.example", &[news()]).await;
    lantern.pass(TimeDelta::days(2));
    assert_eq!(send(&lantern).await, 0);
    assert_eq!(sink.count(), 2);
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn a_welcome_brings_only_what_no_digest_will(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    lantern.release(&["before"]).await;
    join(&lantern, "ann@reader.example", &[news()]).await;
    lantern.pass(TimeDelta::minutes(1));
    lantern.release(&["after"]).await;
    assert_eq!(send(&lantern).await, 1);
    assert!(lantern.compose().await.is_some());
    assert_eq!(lantern.dispatch().await.sent, 1);
    let letters = letters(&sink);
    assert_eq!(letters[0].brings(&["before", "after"]), ["before"]);
    assert_eq!(letters[1].brings(&["before", "after"]), ["after"]);
}

async fn what_is_confirmed_at_once_is_one_mail_and_its_link_leaves_just_that(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    let leaves = |letter: &Letter| {
        let token = letter.unsubscribe.clone().unwrap();
        lantern.publication.keyring.verify(Purpose::Leave, &token, lantern.now()).unwrap().feed
    };
    join(&lantern, "ann@reader.example", &[news(), offers()]).await;
    assert_eq!(send(&lantern).await, 1);
    let letter = &letters(&sink)[0];
    assert_eq!((letter.subject.as_str(), leaves(letter)), ("Welcome to Latest news and Offers", None));
    // Who has something else as well would leave that too.
    join(&lantern, "ben@reader.example", &[news()]).await;
    assert_eq!(send(&lantern).await, 1);
    join(&lantern, "ben@reader.example", &[offers()]).await;
    assert_eq!(send(&lantern).await, 1);
    let letter = &letters(&sink)[2];
    assert_eq!((letter.subject.as_str(), leaves(letter)), ("Welcome to Offers", Some(offers())));
    // Nor is there a way by mail, which leaves everything.
    let by_mail: Vec<bool> =
        sink.messages().iter().map(|message| message.text().contains("<mailto:bounces+")).collect();
    assert_eq!(by_mail, [true, true, false]);
    assert!(sink.messages().iter().all(|message| message.from.starts_with("bounces+")));
}

async fn a_welcome_waits_for_a_relay_that_is_away_and_is_not_doubled(url: String) {
    let fault = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&fault);
    let sink = Sink::start(Options::script(move |moment| match (current.load(Ordering::SeqCst), moment.step) {
        (0, Step::Greeting) => Answer::Drop,
        (1, Step::Mail) => say("530 5.7.0 authenticate first"),
        (2, Step::Rcpt) => say("451 4.2.0 come back later"),
        _ => Answer::Usual,
    }))
    .await;
    let lantern = lantern(&url, &sink).await;
    for number in 0..3 {
        join(&lantern, &format!("reader{number}@reader.example"), &[news()]).await;
    }
    for kind in 0..3 {
        fault.store(kind, Ordering::SeqCst);
        let before = sink.connections();
        assert_eq!(send(&lantern).await, 0);
        assert_eq!(sink.connections() - before, 1, "asked once, not once for each");
        assert_eq!(send(&lantern).await, 0);
        assert_eq!(sink.connections() - before, 1, "and left alone for a while");
        lantern.pass(TimeDelta::minutes(2));
    }
    fault.store(3, Ordering::SeqCst);
    assert_eq!(send(&lantern).await, 0, "what was put off waits its time");
    lantern.pass(TimeDelta::hours(4));
    assert_eq!(send(&lantern).await, 3);
    lantern.pass(TimeDelta::days(5));
    assert_eq!((send(&lantern).await, sink.count()), (0, 3));
}

async fn a_process_that_died_leaves_its_welcomes_to_others(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    join(&lantern, "ann@reader.example", &[news()]).await;
    assert_eq!(send(&lantern).await, 1);
    // As if it had died before it noted that.
    lantern.rows("UPDATE welcomes SET settled_at = NULL RETURNING feed").await;
    assert_eq!(send(&lantern).await, 0);
    lantern.pass(TimeDelta::minutes(21));
    assert_eq!(send(&lantern).await, 1);
    let letters = letters(&sink);
    assert_eq!(letters[0].message_id, letters[1].message_id);
}

async fn two_processes_send_one_welcome(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    let other = lantern.again().await;
    for number in 0..10 {
        join(&lantern, &format!("reader{number}@reader.example"), &[news()]).await;
    }
    let (here, there) = tokio::join!(send(&lantern), send_from(&other));
    assert_eq!((here + there, sink.count()), (10, 10));
}

async fn whoever_left_or_is_suppressed_is_not_welcomed(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &sink).await;
    let ann = join(&lantern, "ann@reader.example", &[news()]).await;
    lantern.publication.store.leave(ann, None, lantern.now()).await.unwrap();
    join(&lantern, "ben@reader.example", &[news()]).await;
    let hash = lantern.publication.keyring.address_hash("ben@reader.example");
    lantern.publication.store.suppress(&hash, "complaint", "spam", lantern.now()).await.unwrap();
    let cleo = join(&lantern, "cleo@reader.example", &[news()]).await;
    assert!(lantern.publication.store.remove_subscriber(cleo).await.unwrap());
    assert_eq!((send(&lantern).await, sink.count()), (0, 0));
    assert_eq!(lantern.count("SELECT COUNT(*) FROM welcomes WHERE settled_at IS NULL").await, 0);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM welcomes").await, 2, "who is erased is in no table");
}

async fn without_the_key_there_is_no_welcome(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    join(&lantern, "ann@reader.example", &[news()]).await;
    assert_eq!((send(&lantern).await, sink.count()), (0, 0));
}
