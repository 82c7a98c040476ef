//! Digests and deliveries: composed once, claimed once, settled under a fence. On both engines.

#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use support::engines::for_each_engine;
use support::store::{
    active, at, compose, feed, keep, new_digest, news, readers, release_articles, subscription, tally,
};
use tidings::domain::delivery::{Attempt, DeliveryState, Outcome, Stage};
use tidings::domain::digest::{DigestId, DigestKey, DigestState, Tally};
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::SubscriberId;
use tidings::store::{Claimed, Clocks, NewDigest, NewSubscription, ReaderGroup, Sender, Settled, Store};

for_each_engine! {
    a_digest_is_composed_once_however_many_ask,
    two_digests_composed_at_once_serve_nobody_twice,
    a_digest_goes_to_its_readers_and_moves_their_cursors,
    a_digest_of_every_cadence_goes_to_every_reader,
    a_digest_of_a_slot_goes_to_readers_in_its_zones,
    readers_are_grouped_by_cadence_zone_and_cursor,
    a_digest_brings_its_frozen_articles_as_long_as_they_are_public,
    digests_are_listed_newest_first,
    each_delivery_is_claimed_by_one_of_many_workers,
    nothing_is_claimed_before_it_is_due,
    a_lease_that_ended_is_claimed_again_and_the_old_claim_is_void,
    outcomes_of_several_statements_are_recorded_in_one_commit,
    what_is_deferred_comes_back_at_its_time,
    what_is_put_back_was_no_attempt,
    a_digest_is_finished_when_nothing_of_it_is_open,
    only_digests_that_are_sending_are_claimed,
    a_digest_moves_only_from_the_state_it_was_seen_in,
    a_ban_skips_what_waits_and_nothing_else,
    who_left_gets_nothing_though_it_was_on_its_way,
    who_was_removed_gets_nothing_though_it_was_on_its_way,
    the_look_for_slots_never_goes_back,
    every_attempt_is_kept_in_its_order,
    what_a_relay_accepted_is_counted_by_the_day,
    what_a_dead_sender_had_in_hand_passes_on_once,
    what_a_dead_sender_noted_is_entered_before_its_deliveries_pass_on,
    what_a_process_noted_before_it_ended_is_entered_by_whoever_begins_next,
    a_cancelled_digest_gives_those_who_did_not_get_it_their_cursors_back,
    who_was_in_dead_hands_when_a_digest_was_cancelled_gets_the_cursor_back,
    an_address_that_cannot_be_read_stops_nobody_else,
    a_digest_that_is_sent_is_not_cancelled,
}

const LEASE: i64 = 20;

/// A store with so many daily readers of `news`, and one article that they have not had.
async fn with_readers(url: &str, count: usize) -> Store {
    let store = Store::open(url).await.unwrap();
    keep(&store, &(0..count).map(|n| active(&format!("reader{n}"), "news")).collect::<Vec<_>>()).await;
    release_articles(&store, 1).await;
    store
}

async fn claim(store: &Store, by: &str, limit: usize, minute: i64) -> Vec<Claimed> {
    store.claim(by, at(minute + LEASE), limit, at(minute)).await.unwrap()
}

fn attempt(minute: i64) -> Attempt {
    let outcome = Outcome::Accepted { reply: "2.0.0 it's \"in\"\n".into() };
    Attempt::new(&outcome, "smtp.lantern.example", at(minute), Duration::from_millis(7))
}

fn verdict(claimed: &Claimed, state: DeliveryState, minute: i64) -> Settled {
    let outcome = Some(format!("$1 'said' {}", state.as_str()));
    Settled {
        digest: claimed.digest,
        subscriber: claimed.subscriber,
        state,
        at: at(minute),
        attempt: Some(attempt(minute)),
        counts: true,
        outcome,
    }
}

async fn settle(store: &Store, by: &str, verdicts: &[Settled], minute: i64) -> u64 {
    store.settle(by, verdicts, at(minute)).await.unwrap()
}

async fn cursors(store: &Store) -> Vec<i64> {
    store.readers(&news()).await.unwrap().iter().map(|group| group.cursor).collect()
}

async fn state(store: &Store, digest: DigestId) -> DigestState {
    store.digest(digest).await.unwrap().unwrap().state
}

async fn a_digest_is_composed_once_however_many_ask(url: String) {
    let store = with_readers(&url, 50).await;
    let new = new_digest(&store, &news(), at(10)).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, new) = (store.clone(), new.clone());
            tokio::spawn(async move { store.compose(&new, at(10)).await.unwrap() })
        })
        .collect();
    let mut made = vec![];
    for task in tasks {
        made.push(task.await.unwrap());
    }
    assert_eq!(made.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert_eq!(made.iter().map(|(digest, _)| digest.id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(tally(&store, made[0].0.id).await, Tally { queued: 50, ..Tally::default() });
    assert_eq!(store.digests(None, 99).await.unwrap().len(), 1);
}

async fn two_digests_composed_at_once_serve_nobody_twice(url: String) {
    let store = with_readers(&url, 300).await;
    // By hand to every cadence, and by the clock to the daily readers, at the same moment.
    let tasks: Vec<_> = [None, Some(Cadence::Daily)]
        .into_iter()
        .cycle()
        .take(8)
        .zip(0..)
        .map(|(cadence, minute)| {
            let store = store.clone();
            tokio::spawn(async move {
                let new = new_digest(&store, &news(), at(minute)).await;
                let key = DigestKey { cadence, ..new.key.clone() };
                store.compose(&NewDigest { key, ..new }, at(minute)).await.unwrap()
            })
        })
        .collect();
    let mut deliveries = 0;
    for task in tasks {
        deliveries += tally(&store, task.await.unwrap().0.id).await.total();
    }
    assert_eq!(deliveries, 300);
}

async fn a_digest_goes_to_its_readers_and_moves_their_cursors(url: String) {
    let store = with_readers(&url, 3).await;
    keep(
        &store,
        &[subscription("weekly", "news", Cadence::Weekly), active("elsewhere", "sport"), active("served", "news")],
    )
    .await;
    keep(&store, &[active("banned", "news"), active("left", "news")]).await;
    store.suppress("hash of banned", "refused", "", at(1)).await.unwrap();
    let left = store.subscribers(None, None, 99).await.unwrap();
    let left = left.iter().find(|one| one.subscriber.address.local_part() == "left").unwrap().subscriber.id;
    store.leave(left, None, at(1)).await.unwrap();
    // Those who came after the release have nothing to read: their cursors stand at it.
    assert_eq!(cursors(&store).await, [0, 1, 1]);
    let digest = compose(&store, &news(), at(10)).await;
    assert_eq!(tally(&store, digest).await, Tally { queued: 3, ..Tally::default() });
    assert_eq!(cursors(&store).await, [1, 1]);
    let claimed = claim(&store, "w", 9, 10).await;
    assert!(claimed.iter().all(|one| one.cursor_from == 0 && one.digest == digest && one.attempts == 0));
    let again = store.compose(&new_digest(&store, &news(), at(11)).await, at(11)).await.unwrap().0;
    assert_eq!(tally(&store, again.id).await.total(), 0, "everyone is served");
    assert_eq!(readers(&store, &feed("sport")).await, 1);
}

async fn a_digest_of_every_cadence_goes_to_every_reader(url: String) {
    let store = with_readers(&url, 2).await;
    keep(&store, &Cadence::ALL.map(|cadence| subscription(cadence.as_str(), "news", cadence))).await;
    let new = new_digest(&store, &news(), at(10)).await;
    let key = DigestKey { cadence: None, ..new.key.clone() };
    // Everyone, with every article, whether they had it or not.
    let (digest, _) = store.compose(&NewDigest { key: key.clone(), cursor_below: None, ..new }, at(10)).await.unwrap();
    assert_eq!(digest.key, key);
    assert_eq!(store.digest_by_key(&key).await.unwrap(), Some(digest.clone()));
    assert_eq!(tally(&store, digest.id).await.queued, 6);
    assert!(claim(&store, "w", 9, 10).await.iter().all(|one| one.cursor_from == -1));
    assert_eq!(cursors(&store).await, [1, 1, 1, 1]);
}

async fn a_digest_of_a_slot_goes_to_readers_in_its_zones(url: String) {
    let store = Store::open(&url).await.unwrap();
    let there = |name: &str, zone: Option<chrono_tz::Tz>| {
        let mut new = active(name, "news");
        new.subscriber.time_zone = zone;
        new
    };
    let (tokyo, lisbon) = (chrono_tz::Asia::Tokyo, chrono_tz::Europe::Lisbon);
    keep(
        &store,
        &[there("a", Some(tokyo)), there("b", Some(lisbon)), there("c", None), there("d", Some(chrono_tz::UTC))],
    )
    .await;
    release_articles(&store, 1).await;
    for (minute, zones, expected) in [(1, vec![tokyo, chrono_tz::Asia::Seoul], 1), (2, vec![lisbon], 2), (3, vec![], 0)]
    {
        let clocks = Clocks::In(zones.iter().map(|zone| zone.name().to_owned()).collect());
        let new = NewDigest { clocks, ..new_digest(&store, &news(), at(minute)).await };
        let digest = store.compose(&new, at(minute)).await.unwrap().0;
        assert_eq!(tally(&store, digest.id).await.queued, expected);
    }
    assert_eq!(cursors(&store).await.iter().filter(|cursor| **cursor == 0).count(), 1);
}

async fn readers_are_grouped_by_cadence_zone_and_cursor(url: String) {
    let store = Store::open(&url).await.unwrap();
    let tokyo = Some("Asia/Tokyo".to_owned());
    let mut eastern = subscription("east", "news", Cadence::Weekly);
    eastern.subscriber.time_zone = Some(chrono_tz::Asia::Tokyo);
    let pending =
        NewSubscription { state: tidings::domain::subscription::SubscriptionState::Pending, ..active("p", "news") };
    keep(&store, &[active("a", "news"), active("b", "news"), eastern, pending, active("banned", "news")]).await;
    store.suppress("hash of banned", "refused", "", at(0)).await.unwrap();
    release_articles(&store, 2).await;
    keep(&store, &[active("late", "news")]).await;
    let group =
        |cadence, time_zone, cursor, readers| ReaderGroup { cadence, time_zone, preferred: None, cursor, readers };
    assert_eq!(
        store.readers(&news()).await.unwrap(),
        [group(Cadence::Daily, None, 0, 2), group(Cadence::Daily, None, 2, 1), group(Cadence::Weekly, tokyo, 0, 1)]
    );
    let east = store.subscribers(None, None, 99).await.unwrap();
    let east = east.iter().find(|one| one.subscriber.time_zone.is_some()).unwrap().subscriber.id;
    store.set_profile(east, None, Some(chrono_tz::Asia::Seoul)).await.unwrap();
    store.choose(east, &feed("sport"), Cadence::Daily, at(1)).await.unwrap();
    let seoul = || Some("Asia/Seoul".to_owned());
    assert_eq!(store.readers(&news()).await.unwrap()[2], group(Cadence::Weekly, seoul(), 0, 1), "wherever they move");
    assert_eq!(store.readers(&feed("sport")).await.unwrap(), [group(Cadence::Daily, seoul(), 2, 1)]);
    assert!(store.readers(&feed("none")).await.unwrap().is_empty());
}

async fn a_digest_brings_its_frozen_articles_as_long_as_they_are_public(url: String) {
    let store = Store::open(&url).await.unwrap();
    keep(&store, &[active("a", "news")]).await;
    let articles = release_articles(&store, 600).await;
    let digest = compose(&store, &news(), at(10)).await;
    release_articles(&store, 1).await;
    let brought = store.articles_of(digest).await.unwrap();
    assert_eq!(brought.iter().map(|one| (one.article.id, one.release.number)).collect::<Vec<_>>(), articles);
    store.withdraw("folder", &[articles[0].0], &[], at(11)).await.unwrap();
    assert_eq!(store.articles_of(digest).await.unwrap().len(), 599);
}

async fn digests_are_listed_newest_first(url: String) {
    let store = with_readers(&url, 1).await;
    let (first, other) = (compose(&store, &news(), at(10)).await, compose(&store, &feed("sport"), at(11)).await);
    let last = compose(&store, &news(), at(12)).await;
    let ids = async |newsletter, limit| {
        store.digests(newsletter, limit).await.unwrap().iter().map(|digest| digest.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 9).await, [last, other, first]);
    assert_eq!(ids(None, 1).await, [last]);
    assert_eq!(ids(Some(&news()), 9).await, [last, first]);
    assert_eq!(store.digest(DigestId::new(at(0))).await.unwrap(), None);
}

async fn each_delivery_is_claimed_by_one_of_many_workers(url: String) {
    let store = with_readers(&url, 500).await;
    let digest = compose(&store, &news(), at(10)).await;
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let by = format!("worker {n}");
                let mut mine = vec![];
                loop {
                    let claimed = claim(&store, &by, 17, 10).await;
                    if claimed.is_empty() {
                        return mine;
                    }
                    assert!(claimed.len() <= 17);
                    let sent: Vec<_> = claimed.iter().map(|one| verdict(one, DeliveryState::Sent, 10)).collect();
                    assert_eq!(settle(&store, &by, &sent, 10).await, claimed.len() as u64);
                    mine.extend(claimed.into_iter().map(|one| (one.subscriber, one.address)));
                }
            })
        })
        .collect();
    let mut all: Vec<(SubscriberId, _)> = vec![];
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    assert_eq!(all.len(), 500);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 500);
    assert_eq!(tally(&store, digest).await, Tally { sent: 500, ..Tally::default() });
}

/// Whether anything is due at these minutes.
async fn is_due(store: &Store, minutes: [i64; 2]) -> [bool; 2] {
    let [first, second] = minutes.map(at);
    [store.is_anything_due(first).await.unwrap(), store.is_anything_due(second).await.unwrap()]
}

async fn nothing_is_claimed_before_it_is_due(url: String) {
    let store = with_readers(&url, 3).await;
    assert!(!store.is_anything_due(at(10)).await.unwrap());
    compose(&store, &news(), at(10)).await;
    assert_eq!(is_due(&store, [9, 10]).await, [false, true]);
    assert!(claim(&store, "w", 9, 9).await.is_empty());
    assert_eq!(claim(&store, "w", 2, 10).await.len(), 2);
    assert_eq!(claim(&store, "w", 9, 10).await.len(), 1);
    assert!(claim(&store, "w", 9, 10).await.is_empty());
    assert_eq!(is_due(&store, [10 + LEASE - 1, 10 + LEASE]).await, [false, true], "then a dead worker is noticed");
}

async fn a_lease_that_ended_is_claimed_again_and_the_old_claim_is_void(url: String) {
    let store = with_readers(&url, 2).await;
    let digest = compose(&store, &news(), at(10)).await;
    let old = claim(&store, "old", 9, 10).await;
    assert!(claim(&store, "new", 9, 10 + LEASE - 1).await.is_empty());
    assert!(claim(&store, "old", 9, 10 + LEASE).await.is_empty(), "nobody is handed what they still hold");
    let new = claim(&store, "new", 1, 10 + LEASE).await;
    let sent: Vec<_> = old.iter().map(|one| verdict(one, DeliveryState::Sent, 31)).collect();
    assert_eq!(settle(&store, "old", &sent, 31).await, 1, "only what nobody else has taken over");
    assert_eq!(tally(&store, digest).await, Tally { queued: 1, sent: 1, ..Tally::default() });
    assert_eq!(settle(&store, "new", &[verdict(&new[0], DeliveryState::Refused, 32)], 32).await, 1);
    assert_eq!(settle(&store, "new", &[verdict(&new[0], DeliveryState::Sent, 33)], 33).await, 0, "settled once");
    assert_eq!(tally(&store, digest).await, Tally { refused: 1, sent: 1, ..Tally::default() });
}

async fn outcomes_of_several_statements_are_recorded_in_one_commit(url: String) {
    let store = with_readers(&url, 450).await;
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "w", 1000, 10).await;
    let states = [
        DeliveryState::Sent,
        DeliveryState::Deferred,
        DeliveryState::Refused,
        DeliveryState::Failed,
        DeliveryState::Skipped,
    ];
    let mut verdicts: Vec<_> =
        claimed.iter().zip(states.into_iter().cycle()).map(|(one, state)| verdict(one, state, 11)).collect();
    verdicts.push(Settled { subscriber: SubscriberId::new(at(0)), ..verdicts[0].clone() });
    assert_eq!(settle(&store, "w", &verdicts, 11).await, 450);
    assert_eq!(settle(&store, "w", &[], 11).await, 0);
    let tally = tally(&store, digest).await;
    assert_eq!(tally, Tally { queued: 0, sent: 90, deferred: 90, refused: 90, failed: 90, skipped: 90 });
    assert_eq!((tally.total(), tally.open()), (450, 90));
}

async fn what_is_deferred_comes_back_at_its_time(url: String) {
    let store = with_readers(&url, 1).await;
    compose(&store, &news(), at(10)).await;
    for (attempt, minute) in [10, 40, 100].into_iter().enumerate() {
        assert!(claim(&store, "w", 9, minute - 1).await.is_empty());
        let claimed = claim(&store, "w", 9, minute).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].attempts as usize, attempt);
        assert_eq!(claimed[0].first_attempt_at, (attempt > 0).then(|| at(10)), "the first stays the first");
        let next = [40, 100, 500][attempt];
        settle(&store, "w", &[verdict(&claimed[0], DeliveryState::Deferred, next)], minute).await;
        assert_eq!(is_due(&store, [next - 1, next]).await, [false, true]);
    }
}

async fn what_is_put_back_was_no_attempt(url: String) {
    let store = with_readers(&url, 1).await;
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "w", 9, 10).await;
    let back = Settled { attempt: None, counts: false, ..verdict(&claimed[0], DeliveryState::Queued, 11) };
    assert_eq!(settle(&store, "w", &[back], 10).await, 1);
    assert_eq!(tally(&store, digest).await.queued, 1);
    let again = claim(&store, "w", 9, 11).await;
    assert_eq!((again[0].attempts, again[0].first_attempt_at), (0, None));
}

async fn a_digest_is_finished_when_nothing_of_it_is_open(url: String) {
    let store = with_readers(&url, 3).await;
    let digest = compose(&store, &news(), at(10)).await;
    let (empty, held) = (compose(&store, &news(), at(11)).await, compose(&store, &feed("sport"), at(11)).await);
    assert!(store.move_digest(held, "sending", &DigestState::Held { why: "late".into(), until: None }).await.unwrap());
    let claimed = claim(&store, "w", 2, 12).await;
    settle(&store, "w", &[verdict(&claimed[0], DeliveryState::Sent, 12)], 12).await;
    settle(&store, "w", &[verdict(&claimed[1], DeliveryState::Deferred, 90)], 12).await;
    assert_eq!(store.finish_digests(at(13)).await.unwrap(), 1);
    assert_eq!(state(&store, empty).await, DigestState::Sent);
    assert_eq!(state(&store, digest).await, DigestState::Sending);
    let claimed = claim(&store, "w", 9, 90).await;
    assert_eq!((claimed.len(), store.finish_digests(at(90)).await.unwrap()), (2, 0), "what is claimed is open");
    let rest: Vec<_> = claimed.iter().map(|one| verdict(one, DeliveryState::Failed, 91)).collect();
    settle(&store, "w", &rest, 91).await;
    assert_eq!(store.finish_digests(at(92)).await.unwrap(), 1);
    assert_eq!(store.finish_digests(at(93)).await.unwrap(), 0);
    let finished = store.digest(digest).await.unwrap().unwrap();
    assert_eq!((finished.state, finished.finished_at), (DigestState::Sent, Some(at(92))));
    assert!(matches!(state(&store, held).await, DigestState::Held { .. }), "what waits for an editor is not finished");
}

async fn only_digests_that_are_sending_are_claimed(url: String) {
    let store = with_readers(&url, 2).await;
    let why = || "a 'reason' with $1".to_owned();
    let idle = [
        DigestState::Held { why: why(), until: None },
        DigestState::Paused,
        DigestState::Halted { why: why() },
        DigestState::Cancelled,
    ];
    let digest = compose(&store, &news(), at(10)).await;
    for idle in &idle {
        assert!(store.move_digest(digest, "sending", idle).await.unwrap());
        assert_eq!(state(&store, digest).await, *idle);
        assert!(claim(&store, "w", 9, 11).await.is_empty());
        assert!(!store.is_anything_due(at(11)).await.unwrap());
        assert!(store.move_digest(digest, idle.parts().0, &DigestState::Sending).await.unwrap());
    }
    assert_eq!(claim(&store, "w", 9, 11).await.len(), 2);
}

async fn a_digest_moves_only_from_the_state_it_was_seen_in(url: String) {
    let store = with_readers(&url, 1).await;
    let digest = compose(&store, &news(), at(10)).await;
    let (first, second) = tokio::join!(
        store.move_digest(digest, "sending", &DigestState::Paused),
        store.move_digest(digest, "sending", &DigestState::Cancelled)
    );
    assert_ne!(first.unwrap(), second.unwrap(), "one of two editors is the faster");
    assert!(!store.move_digest(digest, "held", &DigestState::Sending).await.unwrap());
    assert!(!store.move_digest(DigestId::new(at(0)), "sending", &DigestState::Paused).await.unwrap());
}

async fn a_ban_skips_what_waits_and_nothing_else(url: String) {
    let store = with_readers(&url, 4).await;
    let digest = compose(&store, &news(), at(10)).await;
    let sent = claim(&store, "w", 1, 10).await;
    settle(&store, "w", &[verdict(&sent[0], DeliveryState::Sent, 10)], 10).await;
    for name in [sent[0].address.local_part(), "nobody"] {
        store.suppress(&format!("hash of {name}"), "complaint", "", at(11)).await.unwrap();
    }
    assert_eq!(store.skip_unwanted(at(12)).await.unwrap(), 0, "what is sent is sent");
    let deferred = claim(&store, "w", 1, 12).await;
    settle(&store, "w", &[verdict(&deferred[0], DeliveryState::Deferred, 60)], 12).await;
    store.suppress(&format!("hash of {}", deferred[0].address.local_part()), "complaint", "", at(13)).await.unwrap();
    assert_eq!(store.skip_unwanted(at(14)).await.unwrap(), 1);
    assert_eq!(tally(&store, digest).await, Tally { sent: 1, skipped: 1, queued: 2, ..Tally::default() });
}

async fn who_left_gets_nothing_though_it_was_on_its_way(url: String) {
    let store = with_readers(&url, 5).await;
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "w", 3, 10).await;
    for one in &claimed {
        store.leave(one.subscriber, Some(&news()), at(11)).await.unwrap();
    }
    let [put_back, deferred, dead] = &claimed[..] else { panic!("three were claimed") };
    let put_back = Settled { attempt: None, counts: false, ..verdict(put_back, DeliveryState::Queued, 12) };
    assert_eq!(settle(&store, "w", &[put_back, verdict(deferred, DeliveryState::Deferred, 12)], 12).await, 2);
    // The third was in the hands of a worker that died. One more is banned by now.
    let _ = dead;
    store.suppress("hash of reader4", "complaint", "", at(12)).await.unwrap();
    let mut got = vec![];
    loop {
        // One at a time: a claim never comes back empty while somebody waits for mail.
        let next = claim(&store, "other", 1, 10 + LEASE).await;
        let Some(one) = next.first() else { break };
        got.push(one.subscriber);
        settle(&store, "other", &[verdict(one, DeliveryState::Sent, 31)], 31).await;
    }
    assert!(got.iter().all(|who| claimed.iter().all(|left| left.subscriber != *who)));
    let expected = 5 - 3 - u64::from(!claimed.iter().any(|one| one.address.local_part() == "reader4"));
    assert_eq!(got.len() as u64, expected);
    assert_eq!(tally(&store, digest).await, Tally { sent: expected, skipped: 5 - expected, ..Tally::default() });
    assert_eq!(store.finish_digests(at(99)).await.unwrap(), 1);
}

async fn who_was_removed_gets_nothing_though_it_was_on_its_way(url: String) {
    let store = with_readers(&url, 2).await;
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "w", 1, 10).await;
    assert!(store.remove_subscriber(claimed[0].subscriber).await.unwrap());
    assert_eq!(settle(&store, "w", &[verdict(&claimed[0], DeliveryState::Sent, 10)], 10).await, 0);
    assert_eq!(claim(&store, "other", 9, 10 + LEASE).await.len(), 1);
    assert_eq!(tally(&store, digest).await.total(), 1);
}

async fn the_look_for_slots_never_goes_back(url: String) {
    let store = Store::open(&url).await.unwrap();
    let until = async |minute| store.looked_until(&news(), Cadence::Daily, at(minute)).await.unwrap();
    assert_eq!(until(5).await, at(5), "a new newsletter owes nothing");
    assert_eq!(until(6).await, at(5));
    for (set, seen) in [(10, 10), (7, 10), (10, 10), (11, 11)] {
        store.set_looked_until(&news(), Cadence::Daily, at(set)).await.unwrap();
        assert_eq!(until(99).await, at(seen));
    }
    assert_eq!(store.looked_until(&news(), Cadence::Weekly, at(1)).await.unwrap(), at(1));
}

async fn every_attempt_is_kept_in_its_order(url: String) {
    let store = with_readers(&url, 1).await;
    compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "a", 10, 10).await;
    let put_off = Outcome::Deferred {
        stage: Stage::Rcpt,
        code: Some(450),
        enhanced: Some((4, 2, 2)),
        text: "over quota\twith 'quotes'".into(),
    };
    let first = Attempt::new(&put_off, "smtp.lantern.example", at(10), Duration::from_millis(30));
    let settled = Settled { attempt: Some(first.clone()), ..verdict(&claimed[0], DeliveryState::Deferred, 11) };
    store.settle("a", &[settled], at(10)).await.unwrap();
    let again = claim(&store, "a", 10, 12).await;
    store.settle("a", &[verdict(&again[0], DeliveryState::Sent, 13)], at(13)).await.unwrap();
    let kept = store.attempts(again[0].digest, again[0].subscriber).await.unwrap();
    assert_eq!(kept, [first, attempt(13)]);
    assert_eq!((kept[0].code, kept[0].enhanced.as_deref(), kept[0].ms), (Some(450), Some("4.2.2"), 30));
}

async fn what_a_relay_accepted_is_counted_by_the_day(url: String) {
    let store = Store::open(&url).await.unwrap();
    for accepted in [2, 1] {
        store.count_accepted("smtp.lantern.example", accepted, at(12)).await.unwrap();
    }
    assert_eq!(store.accepted_today("smtp.lantern.example", at(12)).await.unwrap(), 3);
    assert_eq!(store.accepted_today("smtp.lantern.example", at(12 + 24 * 60)).await.unwrap(), 0);
    assert_eq!(store.accepted_today("other.lantern.example", at(12)).await.unwrap(), 0);
}

async fn what_a_dead_sender_had_in_hand_passes_on_once(url: String) {
    let store = with_readers(&url, 6).await;
    compose(&store, &news(), at(10)).await;
    let sender = |name: &str| Sender { claim: name.into(), host: "h".into(), pid: 7, beat: 0, started_at: at(10) };
    for name in ["dead", "alive"] {
        store.begin_sender(&sender(name)).await.unwrap();
    }
    let dead = claim(&store, "dead", 3, 10).await;
    let alive = claim(&store, "alive", 2, 10).await;
    store.settle("dead", &[verdict(&dead[0], DeliveryState::Sent, 10)], at(10)).await.unwrap();
    assert!(store.beat("alive").await.unwrap());
    assert_eq!(store.senders().await.unwrap().iter().map(|sender| sender.beat).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(store.take_over(&sender("alive"), at(11)).await.unwrap(), None, "it has moved since");
    assert_eq!(store.take_over(&sender("dead"), at(11)).await.unwrap(), Some(2));
    assert_eq!(store.take_over(&sender("dead"), at(11)).await.unwrap(), None);
    assert!(!store.beat("dead").await.unwrap(), "it is told that it counts as dead");
    assert_eq!(store.settle("dead", &[verdict(&dead[1], DeliveryState::Sent, 11)], at(11)).await.unwrap(), 0);
    assert_eq!(claim(&store, "alive", 10, 11).await.len(), 3);
    assert_eq!(store.settle("alive", &[verdict(&alive[0], DeliveryState::Sent, 11)], at(11)).await.unwrap(), 1);
}

async fn what_a_dead_sender_noted_is_entered_before_its_deliveries_pass_on(url: String) {
    let store = with_readers(&url, 6).await;
    let digest = compose(&store, &news(), at(10)).await;
    let sender = |name: &str| Sender { claim: name.into(), host: "h".into(), pid: 7, beat: 0, started_at: at(10) };
    let Some(book) = store.begin_sender(&sender("dead")).await.unwrap() else {
        assert!(url.starts_with("postgres"), "only there outcomes are committed at once");
        return;
    };
    let dead = claim(&store, "dead", 4, 10).await;
    let note = |at: usize, state, minute| {
        let line = book.line(&verdict(&dead[at], state, minute));
        book.note(&line, || ()).unwrap();
    };
    // The older lines stand on the second page.
    let empty = book.turn(|| ());
    note(0, DeliveryState::Deferred, 40);
    note(1, DeliveryState::Sent, 11);
    let page = book.turn(|| ());
    note(0, DeliveryState::Refused, 12);
    book.note("\n9 [\"cut o", || ()).unwrap();
    note(2, DeliveryState::Sent, 12);
    assert_eq!(store.take_over(&sender("dead"), at(13)).await.unwrap(), Some(1), "nothing was noted of the fourth");
    assert_eq!(
        tally(&store, digest).await,
        Tally { queued: 3, sent: 2, refused: 1, ..Tally::default() },
        "{empty:?} {page:?}"
    );
}

async fn what_a_process_noted_before_it_ended_is_entered_by_whoever_begins_next(url: String) {
    let store = with_readers(&url, 4).await;
    let digest = compose(&store, &news(), at(10)).await;
    let sender = |name: &str| Sender { claim: name.into(), host: "h".into(), pid: 7, beat: 0, started_at: at(10) };
    let (Some(ended), Some(alive)) =
        (store.begin_sender(&sender("ended")).await.unwrap(), store.begin_sender(&sender("alive")).await.unwrap())
    else {
        assert!(url.starts_with("postgres"), "only there outcomes are committed at once");
        return;
    };
    for (book, claimed) in
        [(&ended, claim(&store, "ended", 1, 10).await), (&alive, claim(&store, "alive", 1, 10).await)]
    {
        book.note(&book.line(&verdict(&claimed[0], DeliveryState::Sent, 11)), || ()).unwrap();
    }
    drop(ended);
    let next = store.begin_sender(&sender("next")).await.unwrap();
    assert_eq!(tally(&store, digest).await, Tally { queued: 2, sent: 2, ..Tally::default() });
    // Whoever lives has its book still.
    let more = claim(&store, "alive", 1, 12).await;
    alive.note(&alive.line(&verdict(&more[0], DeliveryState::Refused, 12)), || ()).unwrap();
    drop(alive);
    store.begin_sender(&sender("last")).await.unwrap();
    assert_eq!(tally(&store, digest).await, Tally { queued: 1, sent: 2, refused: 1, ..Tally::default() });
    drop(next);
    for name in ["ended", "alive", "next", "last"] {
        store.end_sender(name).await.unwrap();
    }
    let folder = format!("{}.outcomes", url.trim_start_matches("sqlite://"));
    assert!(!std::path::Path::new(&folder).exists(), "nothing is left behind");
}

async fn a_cancelled_digest_gives_those_who_did_not_get_it_their_cursors_back(url: String) {
    let store = with_readers(&url, 4).await;
    let cut_off = store.newest_release().await.unwrap();
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "a", 2, 10).await;
    store.settle("a", &[verdict(&claimed[0], DeliveryState::Sent, 10)], at(10)).await.unwrap();
    assert_eq!(store.cancel_digest(digest, at(11)).await.unwrap(), Some(2));
    assert_eq!(store.cancel_digest(digest, at(11)).await.unwrap(), None);
    // What was in hand meanwhile is put back, and left out as well.
    let back = Settled { attempt: None, counts: false, ..verdict(&claimed[1], DeliveryState::Queued, 11) };
    store.settle("a", &[back], at(11)).await.unwrap();
    assert_eq!(store.leave_out(digest, at(11)).await.unwrap(), 1);
    let found = store.tally(digest).await.unwrap();
    assert_eq!((found.sent, found.skipped, found.total()), (1, 3, 4));
    let cursors: Vec<_> =
        store.readers(&news()).await.unwrap().iter().map(|group| (group.cursor, group.readers)).collect();
    assert_eq!(cursors, [(0, 3), (cut_off, 1)]);
    assert!(claim(&store, "b", 10, 100).await.is_empty());
}

async fn who_was_in_dead_hands_when_a_digest_was_cancelled_gets_the_cursor_back(url: String) {
    let store = with_readers(&url, 4).await;
    let digest = compose(&store, &news(), at(10)).await;
    let sender = Sender { claim: "dead".into(), host: "h".into(), pid: 7, beat: 0, started_at: at(10) };
    store.begin_sender(&sender).await.unwrap();
    claim(&store, "dead", 3, 10).await;
    assert_eq!(store.cancel_digest(digest, at(11)).await.unwrap(), Some(1));
    assert_eq!(store.cancelled_with_waiting().await.unwrap(), []);
    assert_eq!(store.take_over(&sender, at(12)).await.unwrap(), Some(3));
    assert_eq!(store.cancelled_with_waiting().await.unwrap(), [digest]);
    assert_eq!(store.leave_out(digest, at(13)).await.unwrap(), 3);
    assert_eq!(store.cancelled_with_waiting().await.unwrap(), []);
    assert!(store.readers(&news()).await.unwrap().iter().all(|group| group.cursor == 0));
}

async fn an_address_that_cannot_be_read_stops_nobody_else(url: String) {
    let store = with_readers(&url, 3).await;
    let digest = compose(&store, &news(), at(10)).await;
    let sql = "UPDATE subscribers SET address = 'no address' WHERE id = (SELECT MIN(id) FROM subscribers) RETURNING id";
    assert_eq!(support::publication::rows(&url, sql).await.len(), 1);
    assert_eq!(claim(&store, "a", 3, 10).await.len(), 2);
    assert_eq!(store.tally(digest).await.unwrap().failed, 1);
}

async fn a_digest_that_is_sent_is_not_cancelled(url: String) {
    let store = with_readers(&url, 1).await;
    let digest = compose(&store, &news(), at(10)).await;
    let claimed = claim(&store, "a", 2, 10).await;
    store.settle("a", &[verdict(&claimed[0], DeliveryState::Sent, 10)], at(10)).await.unwrap();
    store.finish_digests(at(11)).await.unwrap();
    assert_eq!(store.cancel_digest(digest, at(11)).await.unwrap(), None);
}
