//! A store with readers and articles in it, for the tests of what comes of them.

#![allow(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use tidings::domain::address::EmailAddress;
use tidings::domain::article::{Article, ArticleId, Slug};
use tidings::domain::digest::{DigestId, DigestKey, DigestState, Tally};
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::{Clocks, FileRow, NewDigest, NewSubscription, Store, SyncBatch};

/// Some minutes after the beginning of time in these tests.
pub fn at(minutes: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 6, 0, 0).unwrap() + TimeDelta::minutes(minutes)
}

pub fn feed(name: &str) -> FeedName {
    FeedName::parse(name).unwrap()
}

pub fn news() -> FeedName {
    feed("news")
}

/// A person with the address `NAME@reader.example`.
pub fn person(name: &str) -> Subscriber {
    let address = EmailAddress::parse(&format!("{name}@reader.example")).unwrap();
    Subscriber { id: SubscriberId::new(at(0)), address, name: Some(name.into()), language: None, time_zone: None }
}

/// An active subscription of a person whose address hash is `hash of NAME`.
pub fn subscription(name: &str, feed_name: &str, cadence: Cadence) -> NewSubscription {
    NewSubscription {
        subscriber: person(name),
        address_hash: format!("hash of {name}"),
        feed: feed(feed_name),
        cadence,
        state: SubscriptionState::Active,
    }
}

/// A daily one.
pub fn active(name: &str, feed_name: &str) -> NewSubscription {
    subscription(name, feed_name, Cadence::Daily)
}

pub async fn keep(store: &Store, new: &[NewSubscription]) {
    store.subscribe(new, false, at(0)).await.unwrap();
}

/// Writes and releases so many articles, in the feeds `news` and `sport`. Returns their ids with their numbers.
pub async fn release_articles(store: &Store, count: i64) -> Vec<(ArticleId, i64)> {
    let newest = store.newest_release().await.unwrap();
    let numbers = newest + 1..=newest + count;
    let rows: Vec<FileRow> = numbers
        .clone()
        .map(|n| {
            let article = Article {
                id: ArticleId::new(at(n)),
                key: format!("a{n}.md"),
                slug: Slug::from_text(&format!("a{n}")).unwrap(),
                title: format!("Article {n}"),
                label: None,
                place: None,
                section: None,
                language: None,
                date: at(n),
                updated: None,
                authors: vec![],
                tags: vec![],
                summary: String::new(),
                summary_given: false,
                html: "<p>…</p>".into(),
                image: None,
                enclosure: None,
                featured: false,
                related: vec![],
                faq: vec![],
                original: None,
                draft: false,
                words: 1,
            };
            let feeds = vec![news(), feed("sport")];
            FileRow {
                article,
                archive: false,
                aliases: vec![],
                size: 1,
                modified_ns: 1,
                content_hash: String::new(),
                feeds,
            }
        })
        .collect();
    let ids = rows.iter().map(|row| row.article.id).zip(numbers).collect();
    store.write_sync("folder", &SyncBatch { rows, ..SyncBatch::default() }).await.unwrap();
    assert_eq!(store.release_due("folder", "tag:", false, at(100_000)).await.unwrap(), count.cast_unsigned());
    ids
}

/// A daily digest of everything released so far, for all who have not had it.
pub async fn new_digest(store: &Store, newsletter: &FeedName, slot: DateTime<Utc>) -> NewDigest {
    let cut_off = store.newest_release().await.unwrap();
    let released = store.released_between(newsletter, 0, cut_off).await.unwrap();
    NewDigest {
        key: DigestKey { newsletter: newsletter.clone(), cadence: Some(Cadence::Daily), slot, segment: None },
        segment: None,
        cut_off,
        articles: released.iter().map(|one| (one.article.id, one.release.number)).collect(),
        cursor_from: -1,
        cursor_below: Some(cut_off),
        clocks: Clocks::All,
        default_zone: "Europe/Lisbon".into(),
        state: DigestState::Sending,
        note: None,
        trial: None,
        day: slot.date_naive().to_string(),
    }
}

pub async fn compose(store: &Store, newsletter: &FeedName, slot: DateTime<Utc>) -> DigestId {
    let (digest, is_new) = store.compose(&new_digest(store, newsletter, slot).await, slot).await.unwrap();
    assert!(is_new);
    digest.id
}

pub async fn tally(store: &Store, digest: DigestId) -> Tally {
    store.tally(digest).await.unwrap()
}

/// How many would get a digest.
pub async fn readers(store: &Store, newsletter: &FeedName) -> u64 {
    store.readers(newsletter).await.unwrap().iter().map(|group| group.readers).sum()
}
