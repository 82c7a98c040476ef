//! Slots: each exactly once, whatever clocks do and however many look.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _, Utc, Weekday};
use chrono_tz::Tz;
use support::publication::{Lantern, NEWS, Setup, at, news};
use tidings::domain::address::EmailAddress;
use tidings::domain::cron::CronLine;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::{Cadence, Rhythm};
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::NewSubscription;
use tidings::task::schedule;

support::engines::for_each_engine! {
    a_thousand_slots_and_two_who_look,
    a_thousand_slots_and_eight_who_look,
    an_hour_of_each_readers_own_and_three_who_look,
}

const ZONES: [Tz; 5] = [
    chrono_tz::Europe::Lisbon,
    chrono_tz::America::New_York,
    // Half an hour.
    chrono_tz::Australia::Lord_Howe,
    // At midnight.
    chrono_tz::America::Santiago,
    chrono_tz::Africa::Cairo,
];

fn time(hour: u32, minute: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, 0).unwrap()
}

fn slots(rhythm: &Rhythm, zone: Tz) -> Vec<DateTime<Tz>> {
    let begin = zone.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).unwrap().to_utc() - TimeDelta::seconds(1);
    let end = zone.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).unwrap();
    let next = |slot: &DateTime<Utc>| rhythm.next_slot(zone, *slot);
    std::iter::successors(next(&begin), next)
        .map(|slot| slot.with_timezone(&zone))
        .take_while(|slot| *slot < end)
        .collect()
}

/// The slots of the leap year 2024: how many, and each that a change of clocks moves: the first one after it, one in a
/// gap, and one that comes twice.
#[test]
fn a_year_of_slots_in_five_zones() {
    let line = |text| Rhythm::Cron(CronLine::parse(text).unwrap());
    let rhythms = [
        Rhythm::Daily(time(0, 0)),
        Rhythm::Daily(time(0, 30)),
        Rhythm::Daily(time(1, 45)),
        Rhythm::Daily(time(2, 15)),
        Rhythm::Daily(time(7, 0)),
        Rhythm::Weekly(Weekday::Sun, time(2, 15)),
        Rhythm::Monthly(31, time(7, 0)),
        Rhythm::Monthly(29, time(7, 0)),
        line("0 7 * * mon-fri"),
        line("0 7 29 2 *"),
        line("*/30 * * * *"),
    ];
    let mut table = String::new();
    for zone in ZONES {
        for rhythm in &rhythms {
            let slots = slots(rhythm, zone);
            let _ = writeln!(table, "{} {rhythm}: {} slots", zone.name(), slots.len());
            assert!(slots.is_sorted_by(|a, b| a < b), "{zone} {rhythm}: a slot comes twice");
            if let Rhythm::Daily(_) = rhythm {
                assert_eq!(slots.len(), 366, "{zone} {rhythm}: one a day");
            }
            let wanted = match rhythm {
                Rhythm::Daily(time) | Rhythm::Weekly(_, time) | Rhythm::Monthly(_, time) => Some(*time),
                _ => None,
            };
            for (before, slot) in slots.iter().zip(&slots[1..]) {
                let mut notes = vec![];
                if before.offset().fix() != slot.offset().fix() {
                    notes.push("the clock has changed");
                }
                if wanted.is_some_and(|wanted| wanted != slot.time()) {
                    notes.push("after a gap");
                }
                if zone.from_local_datetime(&slot.naive_local()).latest() != Some(*slot) {
                    notes.push("the first of two");
                }
                if !notes.is_empty() && slot.time().second() == 0 {
                    let _ = writeln!(
                        table,
                        "  {} = {} ({})",
                        slot.format("%a %d %b %H:%M %Z"),
                        slot.to_utc().format("%d %b %H:%M UTC"),
                        notes.join(", ")
                    );
                }
            }
            // Whoever was away over any of them finds the last one that was missed.
            for pair in slots.windows(2).step_by(7) {
                let between = pair[0].to_utc() + (pair[1].to_utc() - pair[0].to_utc()) / 2;
                let last = rhythm.last_slot(zone, slots[0].to_utc() - TimeDelta::seconds(1), between);
                assert_eq!(last, Some(pair[0].to_utc()), "{zone} {rhythm}");
            }
        }
    }
    insta::assert_snapshot!(table);
}

async fn a_thousand_slots_and_two_who_look(url: String) {
    everyone_looks(&url, 2).await;
}

async fn a_thousand_slots_and_eight_who_look(url: String) {
    everyone_looks(&url, 8).await;
}

/// 50 newsletters with 20 slots each, one reader, and something new before each slot.
async fn everyone_looks(url: &str, schedulers: usize) {
    const NEWSLETTERS: usize = 50;
    const SLOTS: usize = 20;
    let definition =
        "title = \"News\"\n[newsletter]\ncadences.daily = { cron = \"*/30 * * * *\", zone = \"Asia/Kathmandu\" }\n";
    let names: Vec<&'static str> = (0..NEWSLETTERS).map(|number| &*format!("news-{number}").leak()).collect();
    let feeds = names.iter().map(|name| (*name, definition.to_owned())).collect();
    let lantern = Lantern::open(url, Setup { feeds, ..Setup::default() }).await;
    let address = EmailAddress::parse("ann@reader.example").unwrap();
    let subscriptions: Vec<_> = names
        .iter()
        .map(|name| NewSubscription {
            address_hash: lantern.publication.keyring.address_hash(&address.key()),
            subscriber: Subscriber {
                id: SubscriberId::new(lantern.now()),
                address: address.clone(),
                name: None,
                language: None,
                time_zone: None,
            },
            feed: FeedName::parse(name).unwrap(),
            cadence: Cadence::Daily,
            state: SubscriptionState::Active,
        })
        .collect();
    lantern.publication.store.subscribe(&subscriptions, true, lantern.now()).await.unwrap();
    let mut others = vec![];
    for _ in 0..schedulers {
        others.push(lantern.again().await);
    }
    schedule::tick(&lantern.publication).await.unwrap();
    let mut composed = 0;
    for number in 0..SLOTS {
        lantern.release(&[&format!("piece-{number}")]).await;
        lantern.pass(TimeDelta::minutes(30));
        let ticks: Vec<_> = others
            .iter()
            .cloned()
            .map(|publication| tokio::spawn(async move { schedule::tick(&publication).await.unwrap().len() }))
            .collect();
        for tick in ticks {
            composed += tick.await.unwrap();
        }
    }
    assert_eq!(composed, NEWSLETTERS * SLOTS, "each slot was made by one of them");
    let all = i64::try_from(NEWSLETTERS * SLOTS).unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM digests").await, all);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM deliveries WHERE state = 'queued'").await, all);
    let slots = "SELECT COUNT(*) FROM (SELECT slot FROM digests GROUP BY slot HAVING COUNT(*) = 50) AS t";
    assert_eq!(lantern.count(slots).await, i64::try_from(SLOTS).unwrap());
    assert_eq!(lantern.now(), at("2026-11-24T22:00:00Z"));
}

/// Every hour in four zones, over the days on which New York puts its clocks forward: who prefers an hour has each day's
/// digest at that hour, and those who share an instant share the digest.
async fn an_hour_of_each_readers_own_and_three_who_look(url: String) {
    const HOURS: u32 = 24;
    const STEPS: usize = 2 * 48;
    let zones = ["Europe/Lisbon", "Asia/Kathmandu", "America/New_York", "Asia/Tokyo"];
    let feeds = vec![("news", format!("{NEWS}choose = [\"hour\"]\n"))];
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    lantern.set_clock(at("2027-03-13T11:45:00Z"));
    for zone in zones {
        for hour in 0..HOURS {
            let name = zone.rsplit('/').next().unwrap().to_lowercase();
            let who = lantern.reader(&format!("{name}{hour}@reader.example"), Cadence::Daily, Some(zone)).await;
            lantern.publication.store.prefer(who, &news(), Some(&format!("{hour:02}:00"))).await.unwrap();
        }
    }
    let others = [lantern.again().await, lantern.again().await];
    schedule::tick(&lantern.publication).await.unwrap();
    for number in 0..STEPS {
        // Something new for each reader on each day.
        if number % 12 == 0 {
            lantern.release(&[&format!("piece-{number}")]).await;
        }
        lantern.pass(TimeDelta::minutes(30));
        let looked =
            tokio::join!(schedule::tick(&lantern.publication), schedule::tick(&others[0]), schedule::tick(&others[1]));
        for looked in [looked.0, looked.1, looked.2] {
            looked.unwrap();
        }
    }
    let sql = "SELECT s.time_zone, n.preferred, g.slot FROM deliveries d JOIN digests g ON g.id = d.digest \
               JOIN subscribers s ON s.id = d.subscriber JOIN subscriptions n ON n.subscriber = s.id";
    let mut days: BTreeMap<(String, String), Vec<NaiveDate>> = BTreeMap::new();
    for row in lantern.rows(sql).await {
        let (zone, preferred): (Tz, _) = (row[0].parse().unwrap(), row[1].clone());
        let slot = DateTime::from_timestamp_millis(row[2].parse().unwrap()).unwrap().with_timezone(&zone);
        let is_skipped = zone == chrono_tz::America::New_York && preferred == "02:00" && slot.hour() == 3;
        assert!(slot.format("%H:%M").to_string() == preferred || is_skipped, "{zone} {preferred}: {slot}");
        days.entry((row[0].clone(), preferred)).or_default().push(slot.date_naive());
    }
    assert_eq!(days.len(), zones.len() * 24);
    for (who, days) in &mut days {
        days.sort_unstable();
        assert!(days.windows(2).all(|pair| pair[0].succ_opt() == Some(pair[1])), "{who:?}: {days:?}");
        assert!((2..=3).contains(&days.len()), "{who:?}: {days:?}");
    }
    assert_eq!(
        lantern.count("SELECT COUNT(*) FROM digests").await,
        lantern.count("SELECT COUNT(*) FROM (SELECT DISTINCT slot FROM digests) AS t").await
    );
    // Whole hours in three zones, and Kathmandu's, a quarter past.
    assert!(lantern.count("SELECT COUNT(*) FROM digests").await <= 2 * 48 + 2);
}
