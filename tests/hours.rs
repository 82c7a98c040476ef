//! The hour and the day that readers choose, from the page to the digest.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use support::place::{Place, clock_at};
use support::publication::{Lantern, NEWS, Setup, at, news};
use support::site::Site;
use tidings::domain::address::EmailAddress;
use tidings::domain::link::{Link, Purpose};
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::calendar::{Definitions, coming};
use tidings::task::confirm::subscribe;
use tidings::task::{schedule, why};

support::engines::for_each_engine! {
    digests_come_at_the_hour_and_on_the_day_of_each_readers_choice,
    who_falls_on_one_instant_shares_one_digest,
    a_newsletter_that_leaves_nothing_to_readers_ignores_what_they_chose,
    the_schedule_and_why_name_the_hour,
    a_choice_that_is_changed_doubles_and_loses_nothing,
}

const LEFT: &str = "choose = [\"hour\", \"day\"]";

async fn lantern(url: &str, keys: &str) -> Lantern {
    let feeds = vec![("news", format!("{NEWS}{keys}\n"))];
    Lantern::open(url, Setup { feeds, ..Setup::default() }).await
}

async fn reader(lantern: &Lantern, name: &str, cadence: Cadence, zone: &str, preferred: &str) -> SubscriberId {
    let who = lantern.reader(&format!("{name}@reader.example"), cadence, Some(zone)).await;
    lantern.publication.store.prefer(who, &news(), Some(preferred)).await.unwrap();
    who
}

/// Looks each half hour until then, with something new each day. Returns who had which digests.
async fn until(lantern: &Lantern, end: &str) -> Vec<(String, DateTime<Utc>)> {
    schedule::tick(&lantern.publication).await.unwrap();
    let mut day = None;
    while lantern.now() < at(end) {
        let today = lantern.now().date_naive();
        if day.replace(today) != Some(today) {
            lantern.release(&[&format!("piece-{today}")]).await;
        }
        lantern.pass(TimeDelta::minutes(30));
        schedule::tick(&lantern.publication).await.unwrap();
    }
    had(lantern).await
}

async fn had(lantern: &Lantern) -> Vec<(String, DateTime<Utc>)> {
    let sql = "SELECT s.address, g.slot FROM deliveries d JOIN digests g ON g.id = d.digest \
               JOIN subscribers s ON s.id = d.subscriber ORDER BY g.slot, s.address";
    let slot = |text: &str| DateTime::from_timestamp_millis(text.parse().unwrap()).unwrap();
    let rows = lantern.rows(sql).await;
    rows.iter().map(|row| (row[0].split('@').next().unwrap().to_owned(), slot(&row[1]))).collect()
}

fn of<'a>(had: &'a [(String, DateTime<Utc>)], name: &str) -> Vec<String> {
    let own = had.iter().filter(|(who, _): &&'a (String, _)| who == name);
    own.map(|(_, slot)| slot.format("%a %d %H:%M").to_string()).collect()
}

async fn digests_come_at_the_hour_and_on_the_day_of_each_readers_choice(url: String) {
    let lantern = lantern(&url, LEFT).await;
    reader(&lantern, "early", Cadence::Daily, "UTC", "05:00").await;
    reader(&lantern, "friday", Cadence::Weekly, "Asia/Tokyo", "fri 18:00").await;
    reader(&lantern, "weekly", Cadence::Weekly, "UTC", "18:00").await;
    reader(&lantern, "saturday", Cadence::Weekly, "UTC", "sat").await;
    reader(&lantern, "monthly", Cadence::Monthly, "UTC", "27 22:00").await;
    // A day that is not one of the cadence's is as the newsletter has it.
    reader(&lantern, "odd", Cadence::Weekly, "UTC", "27 09:00").await;
    let had = until(&lantern, "2026-12-01T06:00:00Z").await;
    let days = ["Wed 25", "Thu 26", "Fri 27", "Sat 28", "Sun 29", "Mon 30", "Tue 01"];
    assert_eq!(of(&had, "early"), days.map(|day| format!("{day} 05:00")));
    assert_eq!(of(&had, "friday"), ["Fri 27 09:00"]);
    assert_eq!(of(&had, "weekly"), ["Mon 30 18:00"]);
    assert_eq!(of(&had, "saturday"), ["Sat 28 07:00"]);
    assert_eq!(of(&had, "monthly"), ["Fri 27 22:00"]);
    assert_eq!(of(&had, "odd"), ["Mon 30 09:00"]);
}

async fn who_falls_on_one_instant_shares_one_digest(url: String) {
    let lantern = lantern(&url, LEFT).await;
    lantern.reader("usual@reader.example", Cadence::Daily, None).await;
    reader(&lantern, "tokyo", Cadence::Daily, "Asia/Tokyo", "16:00").await;
    reader(&lantern, "later", Cadence::Daily, "Asia/Tokyo", "17:00").await;
    until(&lantern, "2026-11-25T08:00:00Z").await;
    let digests = lantern.rows("SELECT COUNT(*) FROM deliveries GROUP BY digest ORDER BY digest").await;
    assert_eq!(digests, [["2"], ["1"]]);
}

async fn a_newsletter_that_leaves_nothing_to_readers_ignores_what_they_chose(url: String) {
    let lantern = lantern(&url, "").await;
    let ann = reader(&lantern, "ann", Cadence::Daily, "UTC", "18:00").await;
    lantern.reader("usual@reader.example", Cadence::Daily, Some("UTC")).await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["lamp"]).await;
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(had(&lantern).await.len(), 2);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM digests").await, 1);
    let definitions = Definitions::of(&lantern.publication);
    let calendar = coming(&lantern.publication, &definitions, None, TimeDelta::days(1)).await.unwrap();
    assert_eq!(calendar.slots.len(), 1);
    assert_eq!(calendar.slots[0].readers.iter().collect::<Vec<_>>(), [(&"UTC".to_owned(), &2)]);
    assert_eq!(lantern.publication.store.preferences_of(ann).await.unwrap().len(), 1, "it is kept for when it is");
}

async fn the_schedule_and_why_name_the_hour(url: String) {
    let lantern = lantern(&url, LEFT).await;
    lantern.reader("usual@reader.example", Cadence::Daily, Some("UTC")).await;
    reader(&lantern, "ann", Cadence::Daily, "UTC", "18:00").await;
    let definitions = Definitions::of(&lantern.publication);
    let calendar = coming(&lantern.publication, &definitions, None, TimeDelta::days(1)).await.unwrap();
    let slots: Vec<_> =
        calendar.slots.iter().map(|one| (one.slot.to_rfc3339(), one.readers.keys().next().unwrap().as_str())).collect();
    assert_eq!(
        slots,
        [("2026-11-24T18:00:00+00:00".to_owned(), "UTC 18:00"), ("2026-11-25T07:00:00+00:00".to_owned(), "UTC")]
    );
    assert_eq!(schedule::next_slot(&lantern.publication).await.unwrap().unwrap().0, at("2026-11-24T18:00:00Z"));
    let address = EmailAddress::parse("ann@reader.example").unwrap();
    let account = why::why(&lantern.publication, &address, None).await.unwrap();
    let expected = &account.newsletters[0];
    assert_eq!(expected.next_slot, Some(at("2026-11-24T18:00:00Z")));
    let said = "subscribed daily: each day at 18:00, on the reader's clock, as this reader chose";
    assert!(expected.reasons.iter().any(|reason| reason == said), "{:?}", expected.reasons);
}

async fn a_choice_that_is_changed_doubles_and_loses_nothing(url: String) {
    let lantern = lantern(&url, LEFT).await;
    let ann = reader(&lantern, "ann", Cadence::Daily, "UTC", "18:00").await;
    let had = until(&lantern, "2026-11-24T18:30:00Z").await;
    assert_eq!(of(&had, "ann"), ["Tue 24 18:00"]);
    // Later on the same day, with nothing new: no second one.
    lantern.publication.store.prefer(ann, &news(), Some("20:00")).await.unwrap();
    lantern.set_clock(at("2026-11-24T20:30:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    // From a slot to come to one that is over: what is new comes with the next.
    lantern.release(&["lamp"]).await;
    lantern.publication.store.prefer(ann, &news(), Some("06:00")).await.unwrap();
    lantern.set_clock(at("2026-11-25T05:30:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.publication.store.prefer(ann, &news(), None).await.unwrap();
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(of(&self::had(&lantern).await, "ann"), ["Tue 24 18:00", "Wed 25 07:00"]);
}

#[tokio::test]
async fn the_clocks_of_readers_are_read_from_an_index_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("tidings.db").display());
    let lantern = lantern(&url, LEFT).await;
    let plan = lantern
        .rows(
            "EXPLAIN QUERY PLAN SELECT DISTINCT time_zone, preferred FROM subscriptions \
             WHERE feed = 'news' AND state = 'active' AND cadence = 'daily'",
        )
        .await;
    let plan = format!("{plan:?}");
    assert!(plan.contains("COVERING INDEX subscriptions_feed"), "{plan}");
}

#[tokio::test]
async fn a_reader_chooses_hour_and_day_on_the_page_of_choices() {
    let place = Place::sample();
    place.write("feeds/news.toml", format!("{NEWS}{LEFT}\n"));
    let site = Site::serve(place, clock_at("2026-11-24T12:00:00Z")).await;
    let publication = &site.app.publication;
    let ann = Subscriber {
        id: SubscriberId::new(at("2026-11-24T12:00:00Z")),
        address: EmailAddress::parse("ann@reader.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    subscribe(publication, &ann, &[(news(), Cadence::Weekly)], SubscriptionState::Active).await.unwrap();
    let link = Link { purpose: Purpose::Preferences, subscriber: ann.id, feed: None, expires_at: None };
    let path = format!("/preferences/{}", publication.keyring.sign(&link));
    let page = site.get(&path).await.text();
    assert!(page.contains("name=\"hour.news\"") && page.contains("name=\"day.news\""), "{page}");
    assert!(!page.contains("name=\"hour.offers\""), "where it is not left to readers");
    let chosen = async |hour: &str, day: &str| {
        let fields = [("feed", "news"), ("cadence.news", "weekly"), ("hour.news", hour), ("day.news", day)];
        let page = site.post(&path, &fields).await.text();
        let preferred = publication.store.preferences_of(ann.id).await.unwrap();
        (page, preferred.into_iter().next().map(|(_, text)| text))
    };
    let (page, preferred) = chosen("18:00", "fri").await;
    assert_eq!(preferred.as_deref(), Some("fri 18:00"));
    assert!(page.contains("<option value=\"18:00\" selected>") && page.contains("<option value=\"fri\" selected>"));
    assert_eq!(chosen("", "15").await.1.as_deref(), Some("15"));
    for (hour, day) in [("", ""), ("25:00", "32"), ("07:30", "someday"), ("' OR 1=1", "0")] {
        assert_eq!(chosen(hour, day).await.1, None, "{hour} {day}");
    }
}
