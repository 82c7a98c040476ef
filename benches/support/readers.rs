//! Readers of the newsletter `news`, for benches of sending and composing.

use chrono::TimeDelta;
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::NewSubscription;
use tidings::task::Publication;

/// So many of them, daily.
pub async fn subscribe(publication: &Publication, readers: usize) {
    let now = publication.clock.now();
    let feed = FeedName::parse("news").unwrap();
    for first in (0..readers).step_by(2000) {
        let new: Vec<_> = (first..readers.min(first + 2000))
            .map(|number| {
                let address = EmailAddress::parse(&format!("reader{number:07}@reader.example")).unwrap();
                NewSubscription {
                    address_hash: publication.keyring.address_hash(&address.key()),
                    subscriber: Subscriber {
                        // One after another, as sign-ups and imports make them: their order is that of the rows.
                        id: SubscriberId::new(now + TimeDelta::milliseconds(i64::try_from(number).unwrap())),
                        address,
                        name: None,
                        language: None,
                        time_zone: None,
                    },
                    feed: feed.clone(),
                    cadence: Cadence::Daily,
                    state: SubscriptionState::Active,
                }
            })
            .collect();
        publication.store.subscribe(&new, true, now).await.unwrap();
    }
}
