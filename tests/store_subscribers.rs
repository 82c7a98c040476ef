//! Subscribers, their subscriptions and the addresses that are banned. On both engines.

#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use support::engines::for_each_engine;
use support::store::{active, at, compose, feed, keep, news, person, readers, release_articles, subscription, tally};
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{SubscriberId, SubscriptionState};
use tidings::store::{NewSubscription, Store};

for_each_engine! {
    people_and_subscriptions_are_added_once,
    an_address_in_other_letters_is_the_same_person,
    an_import_overwrites_no_choice,
    many_subscriptions_are_added_all_or_none,
    a_subscription_begins_at_the_newest_release,
    an_ended_subscription_is_taken_up_again_only_by_its_reader,
    the_same_subscription_said_twice_counts_once,
    a_ban_keeps_its_first_cause_and_is_found_among_many,
    what_is_pending_is_confirmed_once,
    leaving_ends_one_subscription_or_all,
    leaving_skips_only_what_waits_of_that_newsletter,
    a_change_of_cadence_keeps_the_cursor_and_a_return_begins_anew,
    nobody_is_subscribed_who_is_not_there,
    who_is_removed_leaves_nothing_behind,
    subscribers_are_listed_page_by_page,
    one_confirmation_a_day_goes_to_each_person,
    a_lost_confirmation_can_be_asked_for_again,
    subscriptions_are_counted_by_feed_cadence_and_state,
}

fn pending(name: &str, feed_name: &str) -> NewSubscription {
    NewSubscription { state: SubscriptionState::Pending, ..subscription(name, feed_name, Cadence::Daily) }
}

/// Feed, cadence, state and cursor of everything that someone has.
async fn all_of(store: &Store, who: SubscriberId) -> Vec<(String, Cadence, SubscriptionState, i64)> {
    let all = store.subscriptions_of(who).await.unwrap();
    all.into_iter().map(|one| (one.feed.to_string(), one.cadence, one.state, one.cursor)).collect()
}

async fn id_of(store: &Store, name: &str) -> SubscriberId {
    store.subscriber_by_address(&person(name).address.key()).await.unwrap().unwrap().id
}

async fn people_and_subscriptions_are_added_once(url: String) {
    let store = Store::open(&url).await.unwrap();
    let both = [subscription("mara", "news", Cadence::Daily), subscription("mara", "sport", Cadence::Weekly)];
    assert_eq!(store.subscribe(&both, false, at(0)).await.unwrap(), (1, 2));
    assert_eq!(store.subscribe(&both, false, at(1)).await.unwrap(), (0, 0));
    assert_eq!(store.subscribe(&[], false, at(1)).await.unwrap(), (0, 0));
    let mara = store.subscriber(both[0].subscriber.id).await.unwrap().unwrap();
    assert_eq!(mara, both[0].subscriber);
    let active = SubscriptionState::Active;
    assert_eq!(
        all_of(&store, mara.id).await,
        [("news".into(), Cadence::Daily, active, 0), ("sport".into(), Cadence::Weekly, active, 0)]
    );
}

async fn an_address_in_other_letters_is_the_same_person(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news")]).await;
    let mara = id_of(&store, "mara").await;
    assert_eq!(
        store.subscribe(&[active("MARA", "sport"), active("MaRa", "news")], false, at(1)).await.unwrap(),
        (0, 1)
    );
    assert_eq!(id_of(&store, "Mara").await, mara);
    assert_eq!(
        store.subscriber(mara).await.unwrap().unwrap().address.as_str(),
        "mara@reader.example",
        "as it was first typed"
    );
    assert_eq!(all_of(&store, mara).await.len(), 2);
}

async fn an_import_overwrites_no_choice(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news"), active("jo", "news")]).await;
    let (mara, jo) = (id_of(&store, "mara").await, id_of(&store, "jo").await);
    store.choose(mara, &news(), Cadence::Weekly, at(1)).await.unwrap();
    store.set_profile(mara, Some("Mara \u{1f56f} O'Quill"), Some(chrono_tz::Asia::Tokyo)).await.unwrap();
    store.leave(jo, None, at(1)).await.unwrap();
    assert_eq!(store.subscribe(&[active("mara", "news"), active("jo", "news")], false, at(2)).await.unwrap(), (0, 0));
    assert_eq!(all_of(&store, mara).await[0].1, Cadence::Weekly);
    assert_eq!(all_of(&store, jo).await[0].2, SubscriptionState::Ended);
    let profile = store.subscriber(mara).await.unwrap().unwrap();
    assert_eq!(
        (profile.name.as_deref(), profile.time_zone),
        (Some("Mara \u{1f56f} O'Quill"), Some(chrono_tz::Asia::Tokyo))
    );
}

async fn many_subscriptions_are_added_all_or_none(url: String) {
    let store = Store::open(&url).await.unwrap();
    let mut many: Vec<_> = (0..1200).map(|n| active(&format!("reader{n}"), "news")).collect();
    // Someone else's id: the last statement fails.
    many.push(NewSubscription { subscriber: person("other"), ..active("other", "news") });
    many[1200].subscriber.id = many[0].subscriber.id;
    store.subscribe(&many, false, at(0)).await.unwrap_err();
    assert!(store.subscribers(None, None, 9).await.unwrap().is_empty());
    assert_eq!(store.subscribe(&many[..1200], false, at(0)).await.unwrap(), (1200, 1200));
}

async fn a_subscription_begins_at_the_newest_release(url: String) {
    let store = Store::open(&url).await.unwrap();
    release_articles(&store, 3).await;
    keep(&store, &[active("mara", "news")]).await;
    assert_eq!(all_of(&store, id_of(&store, "mara").await).await[0].3, 3);
}

async fn an_ended_subscription_is_taken_up_again_only_by_its_reader(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news"), active("mara", "sport")]).await;
    let mara = id_of(&store, "mara").await;
    store.leave(mara, Some(&news()), at(1)).await.unwrap();
    release_articles(&store, 2).await;
    let asked = [pending("mara", "news"), pending("mara", "sport")];
    store.subscribe(&asked, false, at(2)).await.unwrap();
    assert_eq!(all_of(&store, mara).await[0].2, SubscriptionState::Ended);
    store.subscribe(&asked, true, at(2)).await.unwrap();
    assert_eq!(
        all_of(&store, mara).await,
        [
            ("news".into(), Cadence::Daily, SubscriptionState::Pending, 2),
            ("sport".into(), Cadence::Daily, SubscriptionState::Active, 0),
        ]
    );
}

async fn the_same_subscription_said_twice_counts_once(url: String) {
    let store = Store::open(&url).await.unwrap();
    let twice = [pending("mara", "news"), pending("Mara", "news"), pending("mara", "sport")];
    assert_eq!(store.subscribe(&twice, true, at(0)).await.unwrap(), (1, 2));
    store.subscribe(&twice, true, at(1)).await.unwrap();
    assert_eq!(all_of(&store, id_of(&store, "mara").await).await.len(), 2);
}

async fn a_ban_keeps_its_first_cause_and_is_found_among_many(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news"), active("jo", "news")]).await;
    store.suppress("hash of mara", "refused", "550 5.1.1 '$1' % no", at(0)).await.unwrap();
    store.suppress("hash of mara", "complaint", "", at(1)).await.unwrap();
    let asked: Vec<String> = (0..3000).map(|n| format!("hash of {n}")).chain(["hash of mara".to_owned()]).collect();
    assert_eq!(store.suppressed(&asked).await.unwrap().into_iter().collect::<Vec<_>>(), ["hash of mara"]);
    assert!(store.suppressed(&[]).await.unwrap().is_empty());
    let listed = store.subscribers(None, None, 9).await.unwrap();
    let causes: Vec<_> = listed.iter().filter_map(|one| one.suppressed.as_deref()).collect();
    assert_eq!(causes, ["refused"]);
    assert_eq!(readers(&store, &news()).await, 1);
}

async fn what_is_pending_is_confirmed_once(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[pending("mara", "news"), pending("mara", "sport"), active("mara", "arts"), pending("jo", "news")])
        .await;
    let mara = id_of(&store, "mara").await;
    assert_eq!(readers(&store, &news()).await, 0, "pending gets nothing");
    release_articles(&store, 4).await;
    let (first, second) = tokio::join!(
        store.confirm_and_welcome(mara, &[], at(1).into()),
        store.confirm_and_welcome(mara, &[], at(1).into())
    );
    let mut confirmed = [first.unwrap(), second.unwrap()].concat();
    confirmed.sort();
    assert_eq!(confirmed, ["news", "sport"]);
    let active = SubscriptionState::Active;
    let cursors: Vec<_> = all_of(&store, mara).await.into_iter().map(|one| (one.0, one.2, one.3)).collect();
    assert_eq!(cursors, [("arts".into(), active, 0), ("news".into(), active, 4), ("sport".into(), active, 4)]);
    assert_eq!(all_of(&store, id_of(&store, "jo").await).await[0].2, SubscriptionState::Pending);
    store.leave(mara, None, at(2)).await.unwrap();
    assert!(
        store.confirm_and_welcome(mara, &[], at(3).into()).await.unwrap().is_empty(),
        "an old link does not undo leaving"
    );
}

async fn leaving_ends_one_subscription_or_all(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "arts"), active("mara", "news"), pending("mara", "sport"), active("jo", "news")])
        .await;
    let mara = id_of(&store, "mara").await;
    assert_eq!(store.leave(mara, Some(&news()), at(1)).await.unwrap(), 1);
    assert_eq!(store.leave(mara, Some(&news()), at(2)).await.unwrap(), 0);
    let states: Vec<_> = all_of(&store, mara).await.into_iter().map(|one| one.2).collect();
    assert_eq!(states, [SubscriptionState::Active, SubscriptionState::Ended, SubscriptionState::Pending]);
    assert_eq!(store.leave(mara, None, at(3)).await.unwrap(), 2);
    assert_eq!(store.leave(mara, None, at(4)).await.unwrap(), 0);
    assert_eq!(store.leave(SubscriberId::new(at(0)), None, at(4)).await.unwrap(), 0);
    assert_eq!(readers(&store, &news()).await, 1);
}

async fn leaving_skips_only_what_waits_of_that_newsletter(url: String) {
    let store = Store::open(&url).await.unwrap();
    let everyone = ["mara", "jo"].iter().flat_map(|name| ["news", "sport"].map(|feed| active(name, feed)));
    keep(&store, &everyone.collect::<Vec<_>>()).await;
    release_articles(&store, 1).await;
    let (of_news, of_sport) = (compose(&store, &news(), at(10)).await, compose(&store, &feed("sport"), at(10)).await);
    store.leave(id_of(&store, "mara").await, Some(&news()), at(11)).await.unwrap();
    let counts = [tally(&store, of_news).await, tally(&store, of_sport).await];
    assert_eq!(counts.map(|tally| (tally.skipped, tally.queued)), [(1, 1), (0, 2)]);
    store.leave(id_of(&store, "mara").await, None, at(12)).await.unwrap();
    assert_eq!(tally(&store, of_sport).await.skipped, 1);
}

async fn a_change_of_cadence_keeps_the_cursor_and_a_return_begins_anew(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news")]).await;
    let mara = id_of(&store, "mara").await;
    release_articles(&store, 5).await;
    store.choose(mara, &news(), Cadence::Monthly, at(1)).await.unwrap();
    assert_eq!(all_of(&store, mara).await, [("news".into(), Cadence::Monthly, SubscriptionState::Active, 0)]);
    store.leave(mara, None, at(2)).await.unwrap();
    store.choose(mara, &news(), Cadence::Instant, at(3)).await.unwrap();
    store.choose(mara, &feed("sport"), Cadence::Daily, at(3)).await.unwrap();
    let active = SubscriptionState::Active;
    let expected = [("news".into(), Cadence::Instant, active, 5), ("sport".into(), Cadence::Daily, active, 5)];
    assert_eq!(all_of(&store, mara).await, expected);
}

async fn nobody_is_subscribed_who_is_not_there(url: String) {
    let store = Store::open(&url).await.unwrap();
    store.choose(SubscriberId::new(at(0)), &news(), Cadence::Daily, at(0)).await.unwrap();
    assert!(store.subscription_counts().await.unwrap().is_empty());
}

async fn who_is_removed_leaves_nothing_behind(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news"), pending("mara", "sport"), active("jo", "news")]).await;
    release_articles(&store, 1).await;
    let digest = compose(&store, &news(), at(10)).await;
    let mara = id_of(&store, "mara").await;
    store.suppress("hash of mara", "refused", "", at(11)).await.unwrap();
    assert!(store.remove_subscriber(mara).await.unwrap());
    assert!(!store.remove_subscriber(mara).await.unwrap());
    assert_eq!(store.subscriber(mara).await.unwrap(), None);
    assert!(store.subscriptions_of(mara).await.unwrap().is_empty());
    assert_eq!(tally(&store, digest).await.total(), 1);
    assert_eq!(store.suppressed(&["hash of mara".into()]).await.unwrap().len(), 1, "the ban outlives the person");
    assert_eq!(store.subscription_counts().await.unwrap().len(), 1);
}

async fn subscribers_are_listed_page_by_page(url: String) {
    let store = Store::open(&url).await.unwrap();
    let mut everyone: Vec<_> = (0..25).map(|n| active(&format!("reader{n:02}"), "news")).collect();
    everyone.extend((0..25).step_by(3).map(|n| pending(&format!("reader{n:02}"), "arts")));
    keep(&store, &everyone).await;
    for (filter, expected) in [(None, 25), (Some(news()), 25), (Some(feed("arts")), 9), (Some(feed("none")), 0)] {
        let (mut after, mut names) = (None, vec![]);
        loop {
            let page = store.subscribers(filter.as_ref(), after, 4).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.subscriber.id);
            for listed in &page {
                let name = listed.subscriber.address.local_part().to_owned();
                let count = if name[6..].parse::<u32>().unwrap() % 3 == 0 { 2 } else { 1 };
                assert_eq!(listed.subscriptions.len(), count, "{name} has the other feed as well");
                names.push(name);
            }
        }
        assert_eq!(names.len(), expected);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), expected, "nobody is listed twice");
    }
}

async fn one_confirmation_a_day_goes_to_each_person(url: String) {
    let store = Store::open(&url).await.unwrap();
    let day = TimeDelta::hours(24);
    let asked: DateTime<Utc> = Utc.with_ymd_and_hms(2026, 11, 20, 6, 0, 0).unwrap();
    let mut new: Vec<_> =
        ["ada", "bo", "cy"].iter().flat_map(|name| ["arts", "news", "sport"].map(|feed| pending(name, feed))).collect();
    new.extend([pending("banned", "news"), active("dee", "news")]);
    store.subscribe(&new, true, asked).await.unwrap();
    store.suppress("hash of banned", "complaint", "", asked).await.unwrap();
    // The limit counts people: nobody's feeds are torn apart.
    let first = store.pending_confirmations(asked, 2).await.unwrap();
    assert_eq!(first.iter().map(|one| one.feeds.len()).collect::<Vec<_>>(), [3, 3]);
    for one in &first {
        store.confirmation_sent(one.subscriber.id, asked).await.unwrap();
    }
    let rest = store.pending_confirmations(asked, 9).await.unwrap();
    assert_eq!(rest.len(), 1);
    // Asked for one feed more on the same day: the next mail can wait.
    let name = first[0].subscriber.address.local_part().to_owned();
    store.subscribe(&[pending(&name, "more")], true, asked + day / 2).await.unwrap();
    assert_eq!(store.pending_confirmations(asked + day / 2, 9).await.unwrap().len(), 1);
    let next_day = store.pending_confirmations(asked + day, 9).await.unwrap();
    let again: Vec<_> = next_day.iter().filter(|one| one.subscriber.id == first[0].subscriber.id).collect();
    assert_eq!(again[0].feeds, [feed("more")]);
}

async fn a_lost_confirmation_can_be_asked_for_again(url: String) {
    let store = Store::open(&url).await.unwrap();
    let waiting = async |not_since| {
        store.pending_confirmations(at(not_since) + chrono::TimeDelta::days(1), 9).await.unwrap().len()
    };
    store.subscribe(&[pending("mara", "news")], true, at(0)).await.unwrap();
    store.confirmation_sent(id_of(&store, "mara").await, at(1)).await.unwrap();
    assert_eq!(waiting(2).await, 0, "sent is sent, however long ago");
    store.subscribe(&[pending("mara", "news")], false, at(3)).await.unwrap();
    assert_eq!(waiting(2).await, 0, "an import asks for nothing");
    store.subscribe(&[pending("mara", "news")], true, at(3)).await.unwrap();
    assert_eq!(waiting(2).await, 0, "on the same day it is the same question");
    let next_day = at(1) + chrono::TimeDelta::days(1);
    store.subscribe(&[pending("mara", "news")], true, next_day).await.unwrap();
    assert_eq!(waiting(0).await, 0, "not twice since then");
    assert_eq!(waiting(2).await, 1);
}

async fn subscriptions_are_counted_by_feed_cadence_and_state(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("mara", "news"), active("jo", "news"), pending("cy", "news"), active("cy", "arts")]).await;
    let word = |feed: &str, state: &str, count| (feed.to_owned(), "daily".to_owned(), state.to_owned(), count);
    let expected = [word("arts", "active", 1), word("news", "active", 2), word("news", "pending", 1)];
    assert_eq!(store.subscription_counts().await.unwrap(), expected);
}
