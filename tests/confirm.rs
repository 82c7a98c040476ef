//! Nobody is subscribed until the address itself has said yes, and a form cannot be made to pester anybody.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, URL, news};
use support::smtp_sink::{Answer, Options, Sink, Step, say};
use tidings::domain::address::EmailAddress;
use tidings::domain::link::Purpose;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::confirm::{CONFIRM_WITHIN, send_confirmations, subscribe};

support::engines::for_each_engine! {
    a_sign_up_gets_one_confirmation_however_often_it_is_posted,
    a_confirmation_holds_nothing_that_the_visitor_wrote_and_its_link_confirms,
    a_confirmation_that_was_lost_can_be_asked_for_the_next_day,
    whoever_is_subscribed_or_suppressed_gets_no_confirmation,
    confirmations_wait_for_a_relay_that_is_away_or_refuses_us,
    an_address_that_is_put_off_does_not_hold_up_the_others,
    aliases_share_a_limit_and_who_is_over_it_comes_later,
    of_claims_at_once_one_is_good_and_what_is_given_back_can_be_claimed_again,
}

/// Posts the form.
async fn post(lantern: &Lantern, address: &str, name: Option<&str>) {
    let subscriber = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse(address).unwrap(),
        name: name.map(str::to_owned),
        language: None,
        time_zone: None,
    };
    let feeds = [(news(), Cadence::Daily)];
    subscribe(&lantern.publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
}

async fn send(lantern: &Lantern) -> u64 {
    send_confirmations(&lantern.publication).await.unwrap()
}

/// The token of the link to confirm by.
fn token(letter: &Letter) -> &str {
    let link = format!("{URL}/confirm/");
    letter.text.split_whitespace().find_map(|word| word.strip_prefix(&link)).expect("a link to confirm by")
}

async fn a_sign_up_gets_one_confirmation_however_often_it_is_posted(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    for _ in 0..3 {
        post(&lantern, "ann@reader.example", None).await;
        post(&lantern, "Ann@READER.example", None).await;
        send(&lantern).await;
        lantern.pass(TimeDelta::hours(1));
    }
    lantern.pass(TimeDelta::days(3));
    assert_eq!(send(&lantern).await, 0);
    assert_eq!(sink.count(), 1);
    lantern.release(&["lamp"]).await;
    assert!(lantern.compose().await.is_none(), "nobody has confirmed");
}

async fn a_confirmation_holds_nothing_that_the_visitor_wrote_and_its_link_confirms(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    post(&lantern, "ann@reader.example", Some("Cheap pills at https://evil.example")).await;
    assert_eq!(send(&lantern).await, 1);
    let message = &sink.messages()[0];
    let letter = Letter::read(&message.bytes);
    let parsed = mail_parser::MessageParser::default().parse(&message.bytes).unwrap();
    let html = parsed.body_html(0).unwrap();
    for text in [&message.text(), &letter.text, &html.into_owned()] {
        assert!(!text.contains("pills") && !text.contains("evil"), "{text}");
    }
    assert_eq!(letter.auto_submitted.as_deref(), Some("auto-generated"));
    assert_eq!(letter.to, "ann@reader.example");
    assert_eq!(letter.unsubscribe, None);

    let (keyring, store) = (&lantern.publication.keyring, &lantern.publication.store);
    let link = keyring.verify(Purpose::Confirm, token(&letter), lantern.now()).expect("a genuine link");
    assert_eq!(link.subscriber, lantern.who("ann@reader.example").await);
    assert_eq!(keyring.verify(Purpose::Confirm, token(&letter), lantern.now() + CONFIRM_WITHIN), None);
    assert_eq!(keyring.verify(Purpose::Leave, token(&letter), lantern.now()), None);
    lantern.release(&["before"]).await;
    assert_eq!(store.confirm_and_welcome(link.subscriber, &[], lantern.now().into()).await.unwrap(), ["news"]);
    assert_eq!(
        store.confirm_and_welcome(link.subscriber, &[], lantern.now().into()).await.unwrap(),
        Vec::<String>::new()
    );
    assert!(lantern.compose().await.is_some(), "the newsletter's first digest");
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert_eq!(sink.violations(), Vec::<String>::new());
}

async fn a_confirmation_that_was_lost_can_be_asked_for_the_next_day(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    post(&lantern, "ann@reader.example", None).await;
    assert_eq!(send(&lantern).await, 1);
    lantern.pass(TimeDelta::hours(23));
    post(&lantern, "ann@reader.example", None).await;
    assert_eq!(send(&lantern).await, 0);
    lantern.pass(TimeDelta::hours(2));
    assert_eq!(send(&lantern).await, 0, "nobody has asked again since");
    post(&lantern, "ann@reader.example", None).await;
    assert_eq!(send(&lantern).await, 1);
    assert_eq!(send(&lantern).await, 0);
}

async fn whoever_is_subscribed_or_suppressed_gets_no_confirmation(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader("ann@reader.example", Cadence::Weekly, None).await;
    let hash = lantern.publication.keyring.address_hash("ben@reader.example");
    lantern.publication.store.suppress(&hash, "complaint", "spam", lantern.now()).await.unwrap();
    post(&lantern, "ann@reader.example", None).await;
    post(&lantern, "ben@reader.example", None).await;
    assert_eq!(send(&lantern).await, 0);
    let subscriptions = lantern.publication.store.subscriptions_of(ann).await.unwrap();
    assert_eq!((subscriptions[0].state, subscriptions[0].cadence), (SubscriptionState::Active, Cadence::Weekly));
    // Whoever left is asked anew.
    lantern.publication.store.leave(ann, None, lantern.now()).await.unwrap();
    post(&lantern, "ann@reader.example", None).await;
    assert_eq!(send(&lantern).await, 1);
}

async fn confirmations_wait_for_a_relay_that_is_away_or_refuses_us(url: String) {
    let fault = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&fault);
    let sink = Sink::start(Options::script(move |moment| match (current.load(Ordering::SeqCst), moment.step) {
        (0, Step::Greeting) => Answer::Drop,
        (1, Step::Greeting) => Answer::SayAndDrop("421 4.7.0 too busy".into()),
        (2, Step::Hello) => say("554 5.7.1 not from your address"),
        (3, Step::Mail) => say("530 5.7.0 authenticate first"),
        _ => Answer::Usual,
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    for number in 0..5 {
        post(&lantern, &format!("reader{number}@reader.example"), None).await;
    }
    for kind in 0..4 {
        fault.store(kind, Ordering::SeqCst);
        let before = sink.connections();
        assert_eq!(send(&lantern).await, 0);
        assert_eq!(sink.connections() - before, 1, "asked once, not once for each");
    }
    fault.store(4, Ordering::SeqCst);
    assert_eq!(send(&lantern).await, 5);
    assert_eq!(sink.count(), 5);
}

async fn an_address_that_is_put_off_does_not_hold_up_the_others(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_it = moment.step == Step::Rcpt && moment.line.contains("reader1@");
        if is_it { say("451 4.2.0 come back later") } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    for number in 0..5 {
        post(&lantern, &format!("reader{number}@reader.example"), None).await;
    }
    assert_eq!(send(&lantern).await, 4);
    assert_eq!(send(&lantern).await, 0);
    assert_eq!(sink.count(), 4);
}

async fn aliases_share_a_limit_and_who_is_over_it_comes_later(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    for alias in ["ann+a@reader.example", "ann+b@reader.example", "Ann@reader.example", "ann+c@reader.example"] {
        post(&lantern, alias, None).await;
    }
    let mut sent = vec![];
    for _ in 0..6 {
        sent.push(send(&lantern).await);
        assert_eq!(send(&lantern).await, 0, "who is over the limit does not wait in the way of others");
        lantern.pass(TimeDelta::hours(25));
    }
    assert_eq!(sent, [1, 1, 1, 0, 0, 0]);
    lantern.pass(TimeDelta::days(30));
    assert_eq!(send(&lantern).await, 1);
    assert_eq!(sink.count(), 4);
}

async fn of_claims_at_once_one_is_good_and_what_is_given_back_can_be_claimed_again(url: String) {
    let lantern = Lantern::open(&url, support::publication::Setup::default()).await;
    let (store, now) = (&lantern.publication.store, lantern.now());
    let ids: Vec<_> = (0..8).map(|_| SubscriberId::new(now)).collect();
    let claims = ids.iter().map(|id| store.claim_confirmation(*id, "a hash", now));
    let claims = futures_util::future::join_all(claims).await;
    assert_eq!(claims.into_iter().map(Result::unwrap).filter(|is_good| *is_good).count(), 1);
    store.give_confirmation_back("a hash", now).await.unwrap();
    assert!(store.claim_confirmation(ids[0], "a hash", now).await.unwrap());
    for day in 1..=2 {
        assert!(store.claim_confirmation(ids[0], "a hash", now + TimeDelta::days(day)).await.unwrap());
    }
    for day in 3..30 {
        assert!(!store.claim_confirmation(ids[0], "a hash", now + TimeDelta::days(day)).await.unwrap(), "{day}");
    }
    assert!(store.claim_confirmation(ids[0], "a hash", now + TimeDelta::days(30)).await.unwrap());
    store.give_confirmation_back("a hash", now + TimeDelta::days(30)).await.unwrap();
    assert!(store.claim_confirmation(ids[0], "a hash", now + TimeDelta::days(31)).await.unwrap());
    assert!(!store.claim_confirmation(ids[0], "a hash", now + TimeDelta::days(31)).await.unwrap());
    store.tidy_confirmations(now, now + TimeDelta::days(62)).await.unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM confirmations").await, 0);
}
