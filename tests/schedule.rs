//! Slots that have come become digests, once, and in the reader's own time.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use support::publication::{Lantern, Setup, at, news};
use tidings::domain::digest::{Digest, DigestState};
use tidings::domain::newsletter::Cadence;
use tidings::task::compose::{compose, newsletter, plan_now};
use tidings::task::schedule;

support::engines::for_each_engine! {
    each_reader_gets_the_daily_digest_at_seven_on_their_own_clock,
    a_slot_becomes_one_digest_however_many_look,
    an_outage_of_days_is_one_digest,
    a_slot_that_was_missed_by_hours_waits_for_an_editor,
    an_instant_digest_waits_a_little_for_more_and_breaking_news_does_not,
    who_turns_to_instant_late_does_not_wait_for_the_next_article,
    who_comes_back_while_a_digest_is_composed_misses_nothing,
    in_a_month_of_changes_each_reader_gets_each_article_once,
}

async fn tick(lantern: &Lantern) -> Vec<Digest> {
    schedule::tick(&lantern.publication).await.expect("a tick")
}

async fn each_reader_gets_the_daily_digest_at_seven_on_their_own_clock(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (name, zone) in [("lisbon", None), ("tokyo", Some("Asia/Tokyo")), ("kathmandu", Some("Asia/Kathmandu"))] {
        lantern.reader(&format!("{name}@reader.example"), Cadence::Daily, zone).await;
    }
    tick(&lantern).await;
    lantern.release(&["lamp"]).await;
    let mut sent = BTreeMap::new();
    let end = lantern.now() + TimeDelta::days(2);
    while lantern.now() < end {
        lantern.pass(TimeDelta::minutes(15));
        for digest in tick(&lantern).await {
            assert_eq!(digest.state, DigestState::Sending);
            let whose = format!(
                "SELECT s.address FROM deliveries d JOIN subscribers s ON s.id = d.subscriber WHERE d.digest = '{}'",
                digest.id
            );
            sent.insert(lantern.now(), lantern.rows(&whose).await.concat());
        }
    }
    let expected = [
        ("2026-11-24T22:00:00Z", "tokyo@reader.example"),
        ("2026-11-25T01:15:00Z", "kathmandu@reader.example"),
        ("2026-11-25T07:00:00Z", "lisbon@reader.example"),
    ];
    assert_eq!(sent, expected.map(|(time, to)| (at(time), vec![to.to_owned()])).into());
}

async fn a_slot_becomes_one_digest_however_many_look(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(50).await;
    tick(&lantern).await;
    lantern.release(&["lamp"]).await;
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    let others = [lantern.again().await, lantern.again().await];
    let ticks: Vec<_> = (0..8)
        .map(|number| {
            let publication = others[number % 2].clone();
            tokio::spawn(async move { schedule::tick(&publication).await.expect("a tick").len() })
        })
        .collect();
    let mut composed = 0;
    for tick in ticks {
        composed += tick.await.unwrap();
    }
    assert_eq!(composed, 1, "one of them made it");
    assert_eq!(lantern.count("SELECT COUNT(*) FROM digests").await, 1);
    assert_eq!(lantern.deliveries("queued").await, 50);
}

async fn an_outage_of_days_is_one_digest(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(3).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::days(2));
    lantern.release(&["two"]).await;
    lantern.set_clock(at("2026-11-29T08:00:00Z"));
    let composed = tick(&lantern).await;
    assert_eq!(composed.iter().map(|digest| digest.key.slot).collect::<Vec<_>>(), [at("2026-11-29T07:00:00Z")]);
    assert_eq!(composed[0].state, DigestState::Sending, "an hour is not late");
    assert_eq!(lantern.publication.store.articles_of(composed[0].id).await.unwrap().len(), 2);
    assert_eq!(tick(&lantern).await, []);
}

async fn a_slot_that_was_missed_by_hours_waits_for_an_editor(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(3).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.set_clock(at("2026-11-25T13:30:00Z"));
    let composed = tick(&lantern).await;
    assert!(matches!(&composed[0].state, DigestState::Held { why, .. } if why.contains("6 hours")), "{composed:?}");
    assert_eq!(lantern.dispatch().await.sent, 0);
    lantern.set_clock(at("2026-11-26T07:00:00Z"));
    assert_eq!(tick(&lantern).await, [], "what is held is not composed a second time");
    let store = &lantern.publication.store;
    assert!(store.move_digest(composed[0].id, "held", &DigestState::Sending).await.unwrap());
    assert_eq!(lantern.dispatch().await.sent, 3);
}

async fn an_instant_digest_waits_a_little_for_more_and_breaking_news_does_not(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.reader("ann@reader.example", Cadence::Instant, None).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::seconds(90));
    assert_eq!(tick(&lantern).await, []);
    lantern.release(&["two"]).await;
    lantern.pass(TimeDelta::seconds(119));
    assert_eq!(tick(&lantern).await, [], "the second one is waited for as well");
    lantern.pass(TimeDelta::seconds(1));
    let composed = tick(&lantern).await;
    assert_eq!(lantern.publication.store.articles_of(composed[0].id).await.unwrap().len(), 2);
    lantern.write("fire", lantern.now(), "label = \"Breaking news\"");
    lantern.sync().await;
    assert_eq!(tick(&lantern).await.len(), 1, "at once");
    assert_eq!(tick(&lantern).await, []);
    assert_eq!(lantern.dispatch().await.sent, 2);
}

async fn who_turns_to_instant_late_does_not_wait_for_the_next_article(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.reader("ann@reader.example", Cadence::Instant, None).await;
    let ben = lantern.reader("ben@reader.example", Cadence::Monthly, None).await;
    tick(&lantern).await;
    lantern.release(&["one"]).await;
    lantern.pass(TimeDelta::minutes(3));
    assert_eq!(tick(&lantern).await.len(), 1);
    lantern.pass(TimeDelta::hours(10));
    lantern.publication.store.choose(ben, &news(), Cadence::Instant, lantern.now()).await.unwrap();
    let late = tick(&lantern).await;
    assert_eq!(late.iter().map(|digest| &digest.state).collect::<Vec<_>>(), [&DigestState::Sending]);
    assert_eq!(tick(&lantern).await, []);
    assert_eq!(lantern.dispatch().await.sent, 2);
}

async fn who_comes_back_while_a_digest_is_composed_misses_nothing(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let ben = lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    lantern.rows("UPDATE subscriptions SET state = 'paused' RETURNING state").await;
    lantern.release(&["one"]).await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["two"]).await;
    let (feed, letter) = newsletter(&lantern.publication, "news").unwrap();
    let plan = plan_now(&lantern.publication, feed, letter, None, None, None).await.unwrap();
    assert_eq!(plan.articles.len(), 1, "what ann has not had");
    lantern.publication.store.choose(ben, &news(), Cadence::Daily, lantern.now()).await.unwrap();
    compose(&lantern.publication, &plan, DigestState::Sending).await.unwrap();
    assert_eq!(lantern.deliveries("queued").await, 1, "the digest lacks an article that ben has not had");
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["three"]).await;
    let (next, _) = lantern.compose().await.unwrap();
    assert_eq!(lantern.publication.store.articles_of(next.id).await.unwrap().len(), 3);
    assert_eq!(lantern.dispatch().await.sent, 3);
}

/// Numbers that look random and are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }
}

const ZONES: [&str; 6] =
    ["Europe/Lisbon", "Asia/Tokyo", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"];

/// One hour of an editor's and the readers' doings. Returns how many articles were released.
async fn an_hour(lantern: &Lantern, random: &mut Random, readers: usize, written: usize) -> usize {
    let store = &lantern.publication.store;
    let who = lantern.who(&format!("reader{}@reader.example", random.below(readers))).await;
    match random.below(10) {
        0 | 1 => store.choose(who, &news(), random.pick(&Cadence::ALL), lantern.now()).await.unwrap(),
        2 => {
            let pause = format!("UPDATE subscriptions SET state = 'paused' WHERE subscriber = '{who}' RETURNING state");
            lantern.rows(&pause).await;
        }
        3 => store.set_profile(who, None, Some(random.pick(&ZONES).parse().unwrap())).await.unwrap(),
        _ => {}
    }
    let new = if random.below(6) == 0 { 1 + random.below(3) } else { 0 };
    for number in written..written + new {
        // Some are dated back by up to three weeks.
        let back = if random.below(3) == 0 { i64::try_from(random.below(500)).unwrap() } else { 0 };
        let label = if random.below(5) == 0 { "label = \"Breaking news\"" } else { "" };
        lantern.write(&format!("piece-{number}"), lantern.now() - TimeDelta::hours(back), label);
    }
    if new > 0 {
        assert_eq!(lantern.sync().await.released, new as u64);
    }
    new
}

async fn in_a_month_of_changes_each_reader_gets_each_article_once(url: String) {
    const READERS: usize = 12;
    let lantern = Lantern::open(&url, Setup { archive: vec!["old"], ..Setup::default() }).await;
    let other = lantern.again().await;
    lantern.readers(READERS).await;
    let mut random = Random(20_261_124);
    let (mut written, mut digests) = (0, 0);
    let end = lantern.now() + TimeDelta::days(30);
    while lantern.now() < end {
        written += an_hour(&lantern, &mut random, READERS, written).await;
        // Now and then nobody looks for up to a day, and now and then two look at once.
        let hours = if random.below(60) == 0 { 1 + random.below(24) } else { 1 };
        lantern.pass(TimeDelta::hours(i64::try_from(hours).unwrap()));
        let mut composed = if random.below(10) == 0 {
            let (here, there) = tokio::join!(schedule::tick(&lantern.publication), schedule::tick(&other));
            [here.unwrap(), there.unwrap()].concat()
        } else {
            tick(&lantern).await
        };
        digests += composed.len();
        for held in composed.extract_if(.., |digest| matches!(digest.state, DigestState::Held { .. })) {
            lantern.publication.store.move_digest(held.id, "held", &DigestState::Sending).await.unwrap();
        }
    }
    // In the end everybody wants what they have not had, at once.
    for number in 0..READERS {
        let who = lantern.who(&format!("reader{number}@reader.example")).await;
        lantern.publication.store.choose(who, &news(), Cadence::Instant, lantern.now()).await.unwrap();
    }
    lantern.pass(TimeDelta::minutes(5));
    digests += tick(&lantern).await.len();
    let twice = "SELECT COUNT(*) FROM (SELECT 1 AS x FROM deliveries d JOIN digest_articles a ON a.digest = d.digest \
                 AND a.release_number > d.cursor_from GROUP BY d.subscriber, a.article HAVING COUNT(*) > 1) AS t";
    let brought = "SELECT COUNT(*) FROM deliveries d JOIN digest_articles a ON a.digest = d.digest \
                   AND a.release_number > d.cursor_from";
    assert!(written > 150 && digests > 100, "{written} articles, {digests} digests: this month is too quiet");
    assert_eq!(lantern.count(twice).await, 0, "nobody gets an article twice");
    assert_eq!(lantern.count(brought).await, i64::try_from(READERS * written).unwrap(), "nobody misses one");
}
