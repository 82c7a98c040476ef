//! Who gets which articles, and that nobody gets one twice.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, NEWS, Setup, news};
use support::smtp_sink::{Options, Sink};
use tidings::domain::attributes::Attributes;
use tidings::domain::digest::DigestState;
use tidings::domain::link::Purpose;
use tidings::domain::newsletter::Cadence;
use tidings::task::compose::{Choice, compose, newsletter, plan_now};
use tidings::task::dispatch::{Counts, DispatchReport, Stop, dispatch};
use tidings::task::schedule;

support::engines::for_each_engine! {
    the_first_sync_is_archive_and_owes_nobody_anything,
    the_first_digest_brings_the_latest_and_the_next_one_only_what_is_new,
    readers_who_stand_apart_get_different_articles_from_one_digest,
    too_few_articles_wait_for_more,
    the_latest_articles_are_sent_again_when_an_editor_says_so,
    a_thousand_readers_get_a_message_each_with_a_link_of_their_own,
    names_stand_in_every_message_as_they_are,
    a_template_that_looks_at_the_reader_is_right_for_each,
    what_is_known_of_a_reader_stands_in_their_mail,
    without_a_relay_every_message_is_a_file,
    an_outbox_that_cannot_be_written_halts_the_digest,
    who_comes_late_gets_what_the_others_had,
    who_left_or_was_removed_gets_nothing,
    what_was_withdrawn_is_left_out_and_an_empty_digest_is_skipped,
}

/// What each recipient got, one list of articles per message.
fn brought<'a>(sink: &Sink, slugs: &[&'a str]) -> BTreeMap<String, Vec<Vec<&'a str>>> {
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for message in sink.messages() {
        let letter = Letter::read(&message.bytes);
        assert_eq!(message.to, std::slice::from_ref(&letter.to), "one recipient, the one that is named");
        all.entry(letter.to.clone()).or_default().push(letter.brings(slugs));
    }
    all
}

async fn the_first_sync_is_archive_and_owes_nobody_anything(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::open(&url, Setup { archive: vec!["old", "older"], ..Setup::relay(sink.port()) }).await;
    lantern.readers(2).await;
    lantern.reader("now@reader.example", Cadence::Instant, None).await;
    for _ in 0..3 {
        assert_eq!(schedule::tick(&lantern.publication).await.unwrap(), []);
        lantern.pass(TimeDelta::days(1));
    }
    assert_eq!(lantern.dispatch().await, DispatchReport::default());
    assert_eq!(sink.connections(), 0);
}

async fn the_first_digest_brings_the_latest_and_the_next_one_only_what_is_new(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::open(&url, Setup { archive: vec!["old", "older"], ..Setup::relay(sink.port()) }).await;
    lantern.readers(2).await;
    let (first, is_new) = lantern.compose().await.unwrap();
    assert!(is_new);
    assert_eq!(lantern.dispatch().await.sent, 2);
    // The same slot again is the same digest, and it is done.
    let (again, is_new) = lantern.compose().await.map_or((first.clone(), false), |again| again);
    assert_eq!((again.id, is_new), (first.id, false));
    assert_eq!(lantern.dispatch().await.sent, 0);
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["new"]).await;
    assert!(lantern.compose().await.unwrap().1);
    assert_eq!(lantern.dispatch().await.sent, 2);
    let got = brought(&sink, &["old", "older", "new"]);
    for messages in got.values() {
        assert_eq!(*messages, [vec!["old", "older"], vec!["new"]]);
    }
    assert_eq!(got.len(), 2);
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn readers_who_stand_apart_get_different_articles_from_one_digest(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.reader("early@reader.example", Cadence::Daily, None).await;
    lantern.release(&["one"]).await;
    lantern.reader("late@reader.example", Cadence::Weekly, None).await;
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["two"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 2);
    lantern.reader("last@reader.example", Cadence::Daily, None).await;
    assert!(lantern.compose().await.is_none(), "nobody has anything to read");
    let expected = [("early@reader.example", vec![vec!["one", "two"]]), ("late@reader.example", vec![vec!["two"]])];
    assert_eq!(brought(&sink, &["one", "two"]), expected.map(|(to, got)| (to.to_owned(), got)).into());
    assert_eq!(lantern.count("SELECT COUNT(*) FROM digests").await, 1);
}

async fn too_few_articles_wait_for_more(url: String) {
    let sink = Sink::start(Options::default()).await;
    let feeds = vec![("news", format!("{NEWS}min_articles = 2\n"))];
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::relay(sink.port()) }).await;
    lantern.reader("early@reader.example", Cadence::Daily, None).await;
    lantern.release(&["one"]).await;
    lantern.reader("late@reader.example", Cadence::Daily, None).await;
    assert!(lantern.compose().await.is_none());
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["two"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1, "the late one has but one article to read");
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["three"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1);
    let got = brought(&sink, &["one", "two", "three"]);
    assert_eq!(got["early@reader.example"], [["one", "two"]]);
    assert_eq!(got["late@reader.example"], [["two", "three"]]);
}

async fn the_latest_articles_are_sent_again_when_an_editor_says_so(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(1).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["two"]).await;
    lantern.compose().await.unwrap();
    lantern.dispatch().await;
    lantern.pass(TimeDelta::seconds(90));
    let (feed, letter) = newsletter(&lantern.publication, "news").unwrap();
    for expected in [true, false] {
        let plan = plan_now(&lantern.publication, feed, letter, None, None, Some(1)).await.unwrap();
        assert_eq!((plan.choice, plan.readers()), (Choice::Latest, 1));
        assert_eq!(plan.existing.is_some(), !expected, "within the minute it is the same digest");
        let (_, is_new) = compose(&lantern.publication, &plan, DigestState::Sending).await.unwrap();
        assert_eq!(is_new, expected);
        lantern.dispatch().await;
        lantern.pass(TimeDelta::seconds(5));
    }
    assert_eq!(brought(&sink, &["one", "two"])["reader0@reader.example"], [vec!["one", "two"], vec!["two"]]);
}

async fn a_thousand_readers_get_a_message_each_with_a_link_of_their_own(url: String) {
    const READERS: usize = 1000;
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(READERS).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.deliveries("queued").await, 1000, "a row per reader before the first message leaves");
    assert_eq!(sink.connections(), 0);
    assert_eq!(lantern.dispatch().await.sent, 1000);
    assert_eq!(lantern.deliveries("sent").await, 1000);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM deliveries").await, 1000);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM digests WHERE state = 'sent'").await, 1);
    assert_eq!(sink.violations(), Vec::<String>::new());

    let letters: Vec<_> = sink.messages().iter().map(|message| Letter::read(&message.bytes)).collect();
    assert_eq!(letters.len(), READERS);
    let ids: BTreeSet<_> = letters.iter().map(|letter| &letter.message_id).collect();
    let recipients: BTreeSet<_> = letters.iter().map(|letter| &letter.to).collect();
    assert_eq!((ids.len(), recipients.len()), (READERS, READERS));
    let rows = lantern.rows("SELECT address, id FROM subscribers").await;
    let subscribers: BTreeMap<_, _> = rows.iter().map(|row| (&row[0], &row[1])).collect();
    for letter in &letters {
        let token = letter.unsubscribe.as_ref().expect("a link to leave by");
        let link = lantern.publication.keyring.verify(Purpose::Leave, token, lantern.now()).expect("a genuine link");
        assert_eq!(link.subscriber.to_string(), *subscribers[&letter.to]);
        assert_eq!(link.feed, Some(news()));
        assert!(letter.text.contains(token), "the link is in the body too");
        assert_eq!(letter.subject, "News: lamp");
    }
}

/// Greetings by address, as each reader reads them.
fn greetings(sink: &Sink) -> BTreeMap<String, String> {
    let letters = sink.messages().into_iter().map(|message| Letter::read(&message.bytes));
    let greeting = |text: &str| text.lines().find(|line| line.starts_with("Hello")).unwrap_or_default().to_owned();
    letters.map(|letter| (letter.to.clone(), greeting(&letter.text))).collect()
}

async fn names_stand_in_every_message_as_they_are(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let names = ["O'Neill & Sons", ". <b>", "Ёж =20", "灯台", "From here "];
    lantern.readers(names.len()).await;
    for (number, name) in names.iter().enumerate() {
        let name = name.replace('\'', "''");
        lantern
            .rows(&format!("UPDATE subscribers SET name = '{name}' WHERE address LIKE 'reader{number}@%' RETURNING id"))
            .await;
    }
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 5);
    let greetings = greetings(&sink);
    for (number, name) in names.iter().enumerate() {
        assert_eq!(greetings[&format!("reader{number}@reader.example")], format!("Hello {},", name.trim()));
    }
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn a_template_that_looks_at_the_reader_is_right_for_each(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(2).await;
    lantern.rows("UPDATE subscribers SET name = 'Mara' WHERE address LIKE 'reader1@%' RETURNING id").await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    let mail = lantern.folder.path().join("templates/mail");
    std::fs::create_dir_all(&mail).unwrap();
    let text = "{{#if (eq reader.greeting \"Hello,\")}}Hello friend{{else}}{{reader.greeting}}{{/if}}\n";
    std::fs::write(mail.join("digest.txt.hbs"), text).unwrap();
    let (_word, stop) = Stop::new();
    let report = dispatch(&lantern.again().await, &stop, &Counts::default()).await.unwrap();
    assert_eq!(report.sent, 2);
    let expected = [("reader0@reader.example", "Hello friend"), ("reader1@reader.example", "Hello Mara,")];
    assert_eq!(greetings(&sink), expected.map(|(to, text)| (to.to_owned(), text.to_owned())).into());
}

async fn what_is_known_of_a_reader_stands_in_their_mail(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(3).await;
    for (number, known) in [(0, r#"{"city": "Port <b>", "tags": ["harbour", "history"]}"#), (1, r#"{"vip": true}"#)] {
        let who = lantern.who(&format!("reader{number}@reader.example")).await;
        let known = Attributes::parse(known).unwrap();
        lantern.publication.store.change_attributes(who, &known, &[]).await.unwrap().unwrap();
    }
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    let mail = lantern.folder.path().join("templates/mail");
    std::fs::create_dir_all(&mail).unwrap();
    let text = "Hello from {{reader.attributes.city}}: {{reader.attributes.tags}}.{{#reader}}{{#if reader.attributes.vip}}!{{/if}}{{/reader}}\n";
    std::fs::write(mail.join("digest.txt.hbs"), text).unwrap();
    let (_word, stop) = Stop::new();
    assert_eq!(dispatch(&lantern.again().await, &stop, &Counts::default()).await.unwrap().sent, 3);
    let expected = ["Hello from Port <b>: harbour and history.", "Hello from : .!", "Hello from : ."];
    let expected =
        expected.iter().enumerate().map(|(at, text)| (format!("reader{at}@reader.example"), (*text).to_owned()));
    assert_eq!(greetings(&sink), expected.collect());
}

async fn without_a_relay_every_message_is_a_file(url: String) {
    const READERS: usize = 300;
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(READERS).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 300);
    let outbox = lantern.folder.path().join("outbox");
    let files: Vec<_> = std::fs::read_dir(outbox).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), READERS);
    let letters = files.iter().map(|file| {
        assert_eq!(file.extension().unwrap(), "eml");
        Letter::read(&std::fs::read(file).unwrap())
    });
    let recipients: BTreeSet<_> = letters.map(|letter| letter.to).collect();
    assert_eq!(recipients.len(), READERS);
}

async fn an_outbox_that_cannot_be_written_halts_the_digest(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(10).await;
    lantern.release(&["lamp"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    let outbox = lantern.folder.path().join("outbox");
    std::fs::write(&outbox, "a file where the folder should be").unwrap();
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, &report.relay_away), (0, &None));
    assert!(report.halted[0].contains("cannot write to"), "{report:?}");
    std::fs::remove_file(&outbox).unwrap();
    let store = &lantern.publication.store;
    assert!(store.move_digest(digest.id, "halted", &DigestState::Sending).await.unwrap());
    assert_eq!(lantern.dispatch().await.sent, 10);
}

async fn who_comes_late_gets_what_the_others_had(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.reader("late@reader.example", Cadence::Daily, None).await;
    lantern.rows("UPDATE subscriptions SET state = 'paused' RETURNING state").await;
    lantern.reader("early@reader.example", Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    lantern.dispatch().await;
    lantern.pass(TimeDelta::hours(1));
    let late = lantern.who("late@reader.example").await;
    lantern.publication.store.choose(late, &news(), Cadence::Daily, lantern.now()).await.unwrap();
    assert!(lantern.compose().await.unwrap().1);
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert!(lantern.compose().await.is_none());
    for messages in brought(&sink, &["lamp"]).values() {
        assert_eq!(*messages, [["lamp"]]);
    }
}

async fn who_left_or_was_removed_gets_nothing(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(6).await;
    lantern.release(&["lamp"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    let store = &lantern.publication.store;
    let now = lantern.now();
    let (left, removed) = (lantern.who("reader0@reader.example").await, lantern.who("reader1@reader.example").await);
    assert_eq!(store.leave(left, Some(&news()), now).await.unwrap(), 1);
    assert!(store.remove_subscriber(removed).await.unwrap());
    // One who leaves while a worker that died holds the delivery; one whose address is banned in that time.
    store.claim("dead", now + TimeDelta::minutes(20), 10, now).await.unwrap();
    let gone = lantern.who("reader2@reader.example").await;
    store.leave(gone, None, now).await.unwrap();
    assert!(store.remove_subscriber(lantern.who("reader5@reader.example").await).await.unwrap());
    let hash = lantern.publication.keyring.address_hash("reader3@reader.example");
    store.suppress(&hash, "complaint", "spam", now).await.unwrap();
    lantern.pass(TimeDelta::minutes(21));
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, sink.count()), (1, 1));
    assert_eq!(sink.messages()[0].to, ["reader4@reader.example"]);
    let tally = store.tally(digest.id).await.unwrap();
    assert_eq!((tally.sent, tally.skipped, tally.total()), (1, 3, 4));
    assert_eq!(store.digest(digest.id).await.unwrap().unwrap().state, DigestState::Sent);
}

async fn what_was_withdrawn_is_left_out_and_an_empty_digest_is_skipped(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.reader("early@reader.example", Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    lantern.reader("late@reader.example", Cadence::Daily, None).await;
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["tide"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    lantern.withdraw("tide");
    lantern.sync().await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.skipped), (1, 1), "the late one has nothing left to read");
    assert_eq!(
        brought(&sink, &["lamp", "tide"]),
        BTreeMap::from([("early@reader.example".into(), vec![vec!["lamp"]])])
    );
    let state = lantern.publication.store.digest(digest.id).await.unwrap().unwrap().state;
    assert_eq!(state, DigestState::Sent);
}
