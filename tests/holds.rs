//! Digests that wait: for their time, for an editor, for what stands before them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use support::publication::{Lantern, NEWS, Setup, at, news};
use tidings::domain::digest::{Digest, DigestId, DigestState};
use tidings::domain::newsletter::Cadence;
use tidings::task::schedule;

support::engines::for_each_engine! {
    a_digest_with_a_hold_goes_out_by_itself_when_its_time_has_come,
    what_is_cancelled_while_it_is_held_comes_with_the_next_one,
    where_an_editor_approves_nothing_goes_without_a_yes,
    who_waits_for_a_digest_that_stands_still_gets_no_other_meanwhile,
    a_cadence_with_a_zone_is_due_for_everyone_at_once,
    a_cron_line_is_kept_to,
    gathering_takes_as_long_as_the_newsletter_says,
    late_is_what_the_newsletter_says,
    who_turns_to_instant_first_is_not_late,
    an_article_that_is_withdrawn_while_a_digest_is_held_is_not_sent,
    a_newsletter_that_is_gone_halts_its_digest_until_it_is_back,
    a_clock_that_was_put_back_keeps_nobody_waiting,
}

async fn open(url: &str, keys: &str) -> Lantern {
    let feeds = vec![("news", format!("{NEWS}{keys}\n"))];
    Lantern::open(url, Setup { feeds, ..Setup::default() }).await
}

/// One with this as its only cadence.
async fn open_daily(url: &str, daily: &str) -> Lantern {
    let news = format!("title = \"News\"\n[newsletter]\ncadences.daily = {daily}\n");
    Lantern::open(url, Setup { feeds: vec![("news", news)], ..Setup::default() }).await
}

async fn tick(lantern: &Lantern) -> Vec<Digest> {
    schedule::tick(&lantern.publication).await.expect("a tick")
}

async fn tick_at(lantern: &Lantern, time: &str) -> Vec<Digest> {
    lantern.set_clock(at(time));
    tick(lantern).await
}

async fn state(lantern: &Lantern, digest: DigestId) -> DigestState {
    lantern.publication.store.digest(digest).await.unwrap().unwrap().state
}

async fn slugs(lantern: &Lantern, digest: &Digest) -> Vec<String> {
    let articles = lantern.publication.store.articles_of(digest.id).await.unwrap();
    articles.iter().map(|released| released.article.slug.as_str().to_owned()).collect()
}

fn slots(digests: &[Digest]) -> Vec<DateTime<Utc>> {
    digests.iter().map(|digest| digest.key.slot).collect()
}

async fn a_digest_with_a_hold_goes_out_by_itself_when_its_time_has_come(url: String) {
    let lantern = open(&url, "hold = \"15m\"").await;
    lantern.readers(3).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let held = tick_at(&lantern, "2026-11-25T07:00:02Z").await;
    let until = at("2026-11-25T07:15:02Z");
    assert_eq!(held[0].state.held_until(), Some(until), "{held:?}");
    assert_eq!(held[0].state.to_string(), "held until 2026-11-25 07:15 UTC: goes out by itself unless it is cancelled");
    assert_eq!(state(&lantern, held[0].id).await, held[0].state, "the store keeps until when");
    lantern.set_clock(until - TimeDelta::milliseconds(1));
    assert_eq!(tick(&lantern).await, []);
    assert_eq!(lantern.dispatch().await.sent, 0);
    lantern.set_clock(until);
    let other = lantern.again().await;
    let (here, there) = tokio::join!(schedule::tick(&lantern.publication), schedule::tick(&other));
    assert_eq!([here.unwrap(), there.unwrap()].concat(), []);
    assert_eq!(state(&lantern, held[0].id).await, DigestState::Sending);
    assert_eq!(lantern.dispatch().await.sent, 3);
    assert_eq!(state(&lantern, held[0].id).await, DigestState::Sent);
}

async fn what_is_cancelled_while_it_is_held_comes_with_the_next_one(url: String) {
    let lantern = open(&url, "hold = \"2h\"").await;
    lantern.readers(3).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let held = tick_at(&lantern, "2026-11-25T07:00:00Z").await;
    let store = &lantern.publication.store;
    assert_eq!(store.cancel_digest(held[0].id, lantern.now()).await.unwrap(), Some(3));
    assert_eq!(tick_at(&lantern, "2026-11-25T09:30:00Z").await, []);
    assert_eq!(state(&lantern, held[0].id).await, DigestState::Cancelled, "its time has come and it stays cancelled");
    assert_eq!(lantern.dispatch().await.sent, 0);
    lantern.release(&["two"]).await;
    let next = tick_at(&lantern, "2026-11-26T07:00:00Z").await;
    assert_eq!(slugs(&lantern, &next[0]).await, ["one", "two"]);
    tick_at(&lantern, "2026-11-26T09:00:00Z").await;
    assert_eq!(lantern.dispatch().await.sent, 3);
}

async fn where_an_editor_approves_nothing_goes_without_a_yes(url: String) {
    let lantern = open(&url, "approve = true").await;
    lantern.readers(2).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let held = tick_at(&lantern, "2026-11-25T07:00:00Z").await;
    let waits = DigestState::Held { why: "waits for an editor's yes".into(), until: None };
    assert_eq!(held[0].state, waits);
    for day in 26..30 {
        assert_eq!(tick_at(&lantern, &format!("2026-11-{day}T12:00:00Z")).await, []);
    }
    assert_eq!(lantern.dispatch().await.sent, 0);
    let store = &lantern.publication.store;
    assert!(store.move_digest(held[0].id, "held", &DigestState::Sending).await.unwrap());
    assert!(!store.move_digest(held[0].id, "held", &DigestState::Sending).await.unwrap(), "a second yes is none");
    assert_eq!(lantern.dispatch().await.sent, 2);
}

async fn who_waits_for_a_digest_that_stands_still_gets_no_other_meanwhile(url: String) {
    let lantern = open(&url, "approve = true").await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let first = tick_at(&lantern, "2026-11-25T07:00:00Z").await;
    lantern.release(&["two"]).await;
    lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    lantern.release(&["three"]).await;
    let second = tick_at(&lantern, "2026-11-26T07:00:00Z").await;
    assert_eq!(slugs(&lantern, &second[0]).await, ["three"], "for ben alone: ann waits for the first");
    assert_eq!(lantern.compose().await, None, "nor does an editor send ann the rest before");
    // Cancelled, the first gives ann everything back: nothing later was sent to her.
    let store = &lantern.publication.store;
    assert_eq!(store.cancel_digest(first[0].id, lantern.now()).await.unwrap(), Some(1));
    assert!(store.move_digest(second[0].id, "held", &DigestState::Sending).await.unwrap());
    let third = tick_at(&lantern, "2026-11-27T07:00:00Z").await;
    assert_eq!(slugs(&lantern, &third[0]).await, ["one", "two", "three"]);
    assert_eq!(store.tally(third[0].id).await.unwrap().total(), 1);
}

async fn a_cadence_with_a_zone_is_due_for_everyone_at_once(url: String) {
    let lantern = open_daily(&url, "{ at = \"07:00\", zone = \"America/New_York\" }").await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    lantern.reader("kenji@reader.example", Cadence::Daily, Some("Asia/Tokyo")).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    assert_eq!(tick_at(&lantern, "2026-11-25T11:59:00Z").await, []);
    let composed = tick_at(&lantern, "2026-11-25T12:00:00Z").await;
    assert_eq!(slots(&composed), [at("2026-11-25T12:00:00Z")]);
    assert_eq!(lantern.dispatch().await.sent, 2);
}

async fn a_cron_line_is_kept_to(url: String) {
    let lantern = open_daily(&url, "{ cron = \"0 7 * * mon-fri\" }").await;
    lantern.readers(1).await;
    tick(&lantern).await;
    let mut composed = vec![];
    for day in 0..7 {
        lantern.set_clock(at("2026-11-26T20:00:00Z") + TimeDelta::days(day));
        lantern.release(&[&format!("piece-{day}")]).await;
        lantern.pass(TimeDelta::hours(12));
        composed.extend(tick(&lantern).await);
    }
    // 27 November is a Friday.
    let expected = ["27", "30"].map(|day| at(&format!("2026-11-{day}T07:00:00Z"))).into_iter();
    let expected = expected.chain((1..=3).map(|day| at(&format!("2026-12-0{day}T07:00:00Z"))));
    assert_eq!(slots(&composed), expected.collect::<Vec<_>>());
}

async fn gathering_takes_as_long_as_the_newsletter_says(url: String) {
    let lantern = open(&url, "gather = \"10m\"").await;
    lantern.reader("ann@reader.example", Cadence::Instant, None).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::minutes(9));
    assert_eq!(tick(&lantern).await, []);
    lantern.pass(TimeDelta::minutes(1));
    assert_eq!(tick(&lantern).await.len(), 1);
    lantern.write("fire", lantern.now(), "label = \"BREAKING NEWS\"");
    lantern.sync().await;
    assert_eq!(tick(&lantern).await.len(), 1, "at once");
}

async fn late_is_what_the_newsletter_says(url: String) {
    let lantern = open(&url, "late_after = \"20m\"\nhold = \"15m\"").await;
    lantern.readers(1).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let late = tick_at(&lantern, "2026-11-25T07:21:00Z").await;
    let missed = DigestState::Held { why: "its slot was missed by 21 minutes".into(), until: None };
    assert_eq!(late[0].state, missed, "it does not go by itself");
    assert_eq!(tick_at(&lantern, "2026-11-25T12:00:00Z").await, []);
    assert_eq!(lantern.dispatch().await.sent, 0);
}

async fn who_turns_to_instant_first_is_not_late(url: String) {
    let lantern = open(&url, "").await;
    let ann = lantern.reader("ann@reader.example", Cadence::Monthly, None).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::hours(10));
    tick(&lantern).await;
    lantern.publication.store.choose(ann, &news(), Cadence::Instant, lantern.now()).await.unwrap();
    lantern.pass(TimeDelta::seconds(2));
    let composed = tick(&lantern).await;
    assert_eq!(composed[0].state, DigestState::Sending, "nobody missed a slot: there was none for ann");
}

async fn an_article_that_is_withdrawn_while_a_digest_is_held_is_not_sent(url: String) {
    let lantern = open(&url, "hold = \"15m\"").await;
    lantern.readers(2).await;
    tick(&lantern).await;
    lantern.release(&["one", "two"]).await;
    let held = tick_at(&lantern, "2026-11-25T07:00:00Z").await;
    lantern.withdraw("one");
    lantern.sync().await;
    assert_eq!(slugs(&lantern, &held[0]).await, ["two"]);
    lantern.withdraw("two");
    lantern.sync().await;
    tick_at(&lantern, "2026-11-25T07:15:00Z").await;
    let report = lantern.dispatch().await;
    assert_eq!((report.sent, report.skipped), (0, 2), "nothing is left to bring");
    assert_eq!(state(&lantern, held[0].id).await, DigestState::Sent);
}

async fn a_newsletter_that_is_gone_halts_its_digest_until_it_is_back(url: String) {
    let mut lantern = open(&url, "hold = \"15m\"").await;
    lantern.readers(2).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    let held = tick_at(&lantern, "2026-11-25T07:00:00Z").await;
    let definition = lantern.folder.path().join("feeds/news.toml");
    let text = std::fs::read_to_string(&definition).unwrap();
    std::fs::rename(&definition, definition.with_extension("off")).unwrap();
    lantern.publication = lantern.again().await;
    // Its time comes all the same: whoever sends says what is missing.
    tick_at(&lantern, "2026-11-25T07:15:00Z").await;
    let report = lantern.dispatch().await;
    assert_eq!(report.sent, 0);
    let halted = state(&lantern, held[0].id).await;
    assert!(matches!(&halted, DigestState::Halted { why } if why.contains("news")), "{halted:?}");
    assert_eq!(lantern.deliveries("queued").await, 2, "nobody is lost");
    std::fs::write(&definition, text).unwrap();
    lantern.publication = lantern.again().await;
    assert!(lantern.publication.store.move_digest(held[0].id, "halted", &DigestState::Sending).await.unwrap());
    assert_eq!(lantern.dispatch().await.sent, 2);
}

async fn a_clock_that_was_put_back_keeps_nobody_waiting(url: String) {
    let lantern = open(&url, "").await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    lantern.reader("ben@reader.example", Cadence::Instant, None).await;
    tick(&lantern).await;
    let now = lantern.now();
    // For a moment the machine believes that it is a year later.
    lantern.set_clock(now + TimeDelta::days(365));
    lantern.release(&["one"]).await;
    tick(&lantern).await;
    lantern.set_clock(now);
    let composed = tick(&lantern).await;
    assert_eq!(composed.len(), 1, "ben need not wait for a year: {composed:?}");
    assert_eq!(lantern.dispatch().await.sent, 2, "nor need ann, whose digest was made that day");
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["two"]).await;
    lantern.pass(TimeDelta::minutes(2));
    assert_eq!(tick(&lantern).await.len(), 1);
    assert_eq!(slots(&tick_at(&lantern, "2026-11-25T07:00:00Z").await), [at("2026-11-25T07:00:00Z")]);
    assert_eq!(lantern.dispatch().await.sent, 2);
}
