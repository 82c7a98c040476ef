//! Subjects on trial: a share of the readers gets each, the others what wins or what an editor picks.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, Letter, NEWS, Setup, at, news};
use support::smtp_sink::{Options, Sink};
use tidings::domain::digest::{Digest, DigestState};
use tidings::domain::newsletter::Cadence;
use tidings::domain::trial::Part;
use tidings::task::{compose, schedule, trial};

support::engines::for_each_engine! {
    the_others_wait_until_the_time_is_over_and_get_a_where_nothing_tells_them_apart,
    an_editor_picks_and_that_is_final,
    the_subject_that_loses_fewer_readers_wins,
    a_scheduled_digest_tries_the_subjects_of_its_newsletter,
    a_clock_that_is_put_back_lets_nobody_go_before_the_pick,
    a_trial_that_is_paused_or_cancelled_loses_nobody,
}

const KEYS: &str = "subjects = [\"First {{articles.0.title}}\", \"Second {{articles.0.title}}\"]\n";

async fn lantern(url: &str, port: u16, keys: &str) -> Lantern {
    let feeds = vec![("news", format!("{NEWS}{KEYS}{keys}\n"))];
    Lantern::open(url, Setup { feeds, ..Setup::relay(port) }).await
}

/// Composes a digest with its subjects on trial, for so many readers.
async fn begun(lantern: &Lantern, readers: usize) -> Digest {
    lantern.readers(readers).await;
    lantern.release(&["one"]).await;
    let (feed, newsletter) = compose::newsletter(&lantern.publication, "news").unwrap();
    let mut plan = compose::plan_now(&lantern.publication, feed, newsletter, None, None, None).await.unwrap();
    plan.trial = newsletter.trial(&newsletter.subjects);
    compose::compose(&lantern.publication, &plan, DigestState::Sending).await.unwrap().0
}

/// Looks for trials, then sends what is due. How many were sent.
async fn go(lantern: &Lantern) -> u64 {
    trial::look(&lantern.publication).await.unwrap();
    lantern.dispatch().await.sent
}

/// Who got which subject; nobody got two.
fn subjects(sink: &Sink) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for message in sink.messages() {
        let letter = Letter::read(&message.bytes);
        let before = all.insert(letter.to, letter.subject);
        assert_eq!(before, None);
    }
    all
}

fn count(subjects: &BTreeMap<String, String>, subject: &str) -> usize {
    subjects.values().filter(|known| *known == subject).count()
}

async fn the_others_wait_until_the_time_is_over_and_get_a_where_nothing_tells_them_apart(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "").await;
    let digest = begun(&lantern, 200).await;
    let tried = go(&lantern).await;
    assert!((20..60).contains(&tried), "about a fifth: {tried}");
    let first = subjects(&sink);
    for (to, subject) in &first {
        let who = lantern.who(to).await;
        let expected = match digest.trial.as_ref().unwrap().part(digest.id, who) {
            Part::Tried(0) => "First one",
            Part::Tried(_) => "Second one",
            Part::Rest => "none yet",
        };
        assert_eq!(subject, expected, "{to}");
    }
    assert!(count(&first, "First one") > 4 && count(&first, "Second one") > 4, "{first:?}");
    for _ in 0..11 {
        lantern.pass(TimeDelta::minutes(10));
        assert_eq!(go(&lantern).await, 0, "nobody before the pick");
    }
    assert_eq!(lantern.publication.store.waiting_for_pick(digest.id).await.unwrap(), 200 - tried);
    lantern.pass(TimeDelta::minutes(10));
    let picked = trial::look(&lantern.publication).await.unwrap();
    assert_eq!(picked.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [0]);
    assert!(trial::look(&lantern.publication).await.unwrap().is_empty(), "once");
    assert_eq!(lantern.dispatch().await.sent, 200 - tried);
    let all = subjects(&sink);
    assert_eq!(all.len(), 200);
    assert_eq!(count(&all, "Second one"), count(&first, "Second one"));
    assert_eq!(lantern.publication.store.digest(digest.id).await.unwrap().unwrap().state, DigestState::Sent);
}

async fn an_editor_picks_and_that_is_final(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "").await;
    let digest = begun(&lantern, 60).await;
    let tried = go(&lantern).await;
    let store = &lantern.publication.store;
    assert!(store.pick(digest.id, 1, lantern.now()).await.unwrap());
    assert!(!store.pick(digest.id, 0, lantern.now()).await.unwrap());
    assert_eq!(go(&lantern).await, 60 - tried);
    let second = count(&subjects(&sink), "Second one") as u64;
    assert!(second >= 60 - tried, "{second}");
    let kept = store.digest(digest.id).await.unwrap().unwrap();
    assert_eq!(kept.trial.unwrap().picked, Some(1));
    lantern.pass(TimeDelta::hours(3));
    assert!(trial::look(&lantern.publication).await.unwrap().is_empty());
}

async fn the_subject_that_loses_fewer_readers_wins(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "test_share = 0.6\ntest_for = \"30m\"").await;
    let digest = begun(&lantern, 250).await;
    go(&lantern).await;
    lantern.pass(TimeDelta::minutes(1));
    let mut left = BTreeSet::new();
    for (to, _) in subjects(&sink).into_iter().filter(|(_, subject)| subject == "First one").take(20) {
        let who = lantern.who(&to).await;
        lantern.publication.store.leave(who, Some(&news()), lantern.now()).await.unwrap();
        left.insert(to);
    }
    let results = trial::results(&lantern.publication, digest.id, digest.trial.as_ref().unwrap()).await.unwrap();
    assert_eq!((results[0].lost, results[1].lost), (20, 0));
    lantern.pass(TimeDelta::minutes(30));
    let picked = trial::look(&lantern.publication).await.unwrap();
    assert_eq!(picked.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [1]);
}

async fn a_scheduled_digest_tries_the_subjects_of_its_newsletter(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "hold = \"1h\"").await;
    lantern.readers(50).await;
    lantern.reader("instant@reader.example", Cadence::Instant, None).await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    let composed = schedule::tick(&lantern.publication).await.unwrap();
    let (instant, daily): (Vec<_>, Vec<_>) =
        composed.iter().partition(|digest| digest.key.cadence == Some(Cadence::Instant));
    assert!(instant[0].trial.is_none(), "what is to be there at once waits for nothing");
    assert_eq!(daily[0].trial.as_ref().unwrap().subjects.len(), 2);
    assert_eq!(lantern.dispatch().await.sent, 0, "held");
    lantern.set_clock(at("2026-11-25T08:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    let tried = lantern.dispatch().await.sent;
    assert!((3..25).contains(&tried), "{tried}");
    let until = lantern.publication.store.digest(daily[0].id).await.unwrap().unwrap().trial.unwrap().until;
    assert_eq!(until, Some(at("2026-11-25T10:00:00Z")), "from when it began to go out");
    lantern.set_clock(at("2026-11-25T10:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 51 - tried);
}

async fn a_clock_that_is_put_back_lets_nobody_go_before_the_pick(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "").await;
    schedule::tick(&lantern.publication).await.unwrap();
    let digest = begun(&lantern, 50).await;
    lantern.pass(TimeDelta::hours(-9));
    schedule::tick(&lantern.publication).await.unwrap();
    let waiting = lantern.publication.store.waiting_for_pick(digest.id).await.unwrap();
    assert_eq!(go(&lantern).await + waiting, 50);
    assert!(waiting > 25);
}

async fn a_trial_that_is_paused_or_cancelled_loses_nobody(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port(), "").await;
    let digest = begun(&lantern, 40).await;
    let tried = go(&lantern).await;
    let store = &lantern.publication.store;
    store.move_digest(digest.id, "sending", &DigestState::Paused).await.unwrap();
    lantern.pass(TimeDelta::hours(5));
    assert_eq!(go(&lantern).await, 0, "nothing is picked while it is paused");
    store.move_digest(digest.id, "paused", &DigestState::Sending).await.unwrap();
    assert_eq!(store.cancel_digest(digest.id, lantern.now()).await.unwrap(), Some(40 - tried));
    lantern.release(&["two"]).await;
    let (next, _) = lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 40);
    let texts: Vec<Letter> = sink.messages().iter().map(|message| Letter::read(&message.bytes)).collect();
    let both = texts.iter().filter(|letter| letter.brings(&["one", "two"]).len() == 2).count() as u64;
    assert_eq!(both, 40 - tried, "whoever had not got it gets its articles with {}", next.id);
}

#[test]
fn subjects_are_tried_and_picked_on_the_command_line() {
    let place = Place::new();
    place.write("articles/old.md", "+++\ntitle = \"Old\"\ndate = 2026-01-01\n+++\nOld.\n");
    place.run(&["sync"]).ended(0);
    let list: Vec<_> = (0..40).map(|number| format!("reader{number}@reader.example")).collect();
    place.write("list.csv", format!("address\n{}\n", list.join("\n")));
    place.run(&["subscribers", "import", "list.csv"]).ended(0);
    let dry = place.run(&["digest", "send", "news", "--subjects", "One", "Two", "--dry-run"]).ended(0);
    assert!(dry.err.contains("on trial with about 8 of them; the others wait for 2h") && dry.err.contains("  B: Two"));
    let all = place.run(&["digest", "send", "--dry-run", "--json"]).ended(0).json();
    assert_eq!((&all[0]["newsletter"], &all[0]["zones"][0]["readers"]), (&"news".into(), &40.into()), "{all}");
    assert!(place.run(&["digest", "send", "--dry-run"]).ended(0).err.contains("    UTC: 40"));
    place.run(&["digest", "send", "--yes"]).ended(2);
    place.run(&["digest", "send", "news", "--subjects", "One", "--yes"]).ended(2);
    let bad = place.run(&["digest", "send", "news", "--subjects", "One", "{{nothing}}", "--yes"]).ended(1);
    assert!(bad.err.contains("there is no field"), "{bad:?}");
    let sent = place.run(&["digest", "send", "news", "--subjects", "One", "Two", "--yes"]).ended(0);
    assert!(sent.err.contains("for a subject") && sent.err.contains("digest pick"), "{sent:?}");
    let id = place.run(&["digest", "list", "--json"]).ended(0).json()[0]["digest"]["id"].as_str().unwrap().to_owned();
    let shown = place.run(&["digest", "show", &id]).ended(0).out;
    assert!(shown.contains("Subject A") && shown.contains("Two (") && shown.contains("wait until"), "{shown}");
    let pick = |subject: &str| place.run(&["digest", "pick", &id, subject, "--yes"]);
    pick("C").ended(2);
    place.run(&["digest", "pick", &id, "B"]).ended(2);
    let picked = pick("b").ended(0);
    assert!(picked.err.contains("readers get B (Two)") && picked.out.contains("B it is"), "{picked:?}");
    assert!(pick("B").ended(0).out.contains("B was picked before; nothing was changed"));
    assert!(pick("A").ended(1).out.contains("B was picked before"));
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    let shown = place.run(&["digest", "show", &id, "--json"]).ended(0).json();
    assert_eq!((&shown["digest"]["trial"]["picked"], &shown["deliveries"]["sent"]), (&1.into(), &40.into()));
    let sent: u64 = shown["subjects"].as_array().unwrap().iter().map(|one| one["sent"].as_u64().unwrap()).sum();
    assert!(sent < 40, "{shown}");
}
