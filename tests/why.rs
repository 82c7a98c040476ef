//! Every reason why somebody got, will get or did not get a mail.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, NEWS, Setup, at, news};
use support::smtp_sink::{Answer, Options, Sink, Step, say};
use tidings::domain::address::EmailAddress;
use tidings::domain::digest::{Digest, DigestState};
use tidings::domain::newsletter::Cadence;
use tidings::task::schedule;
use tidings::task::why::{Account, why};

support::engines::for_each_engine! {
    what_is_expected_is_told_with_its_reason,
    what_became_of_a_digest_is_told_with_its_reason,
    who_did_not_get_a_digest_is_told_why,
}

async fn asked(lantern: &Lantern, address: &str, digest: Option<&Digest>) -> Account {
    why(&lantern.publication, &EmailAddress::parse(address).unwrap(), digest).await.unwrap()
}

/// The reasons of the newsletter, or where there is none the general ones.
async fn reasons(lantern: &Lantern, address: &str) -> String {
    let account = asked(lantern, address, None).await;
    let expected = account.newsletters.iter().flat_map(|expected| expected.reasons.clone());
    account.reasons.iter().cloned().chain(expected).collect::<Vec<_>>().join("\n")
}

async fn of_digest(lantern: &Lantern, address: &str, digest: &Digest) -> String {
    asked(lantern, address, Some(digest)).await.digests[0].reasons.join("\n")
}

async fn suppress(lantern: &Lantern, address: &str) {
    let hash = lantern.publication.keyring.address_hash(&EmailAddress::parse(address).unwrap().key());
    lantern.publication.store.suppress(&hash, "bounce", "5.1.1 no such user", lantern.now()).await.unwrap();
}

async fn what_is_expected_is_told_with_its_reason(url: String) {
    const ANN: &str = "ann@reader.example";
    let feeds = vec![("news", format!("{NEWS}min_articles = 2\napprove = true\n"))];
    let mut lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    assert!(reasons(&lantern, ANN).await.contains("nobody is known by this address"));
    let ann = lantern.reader(ANN, Cadence::Daily, Some("Asia/Tokyo")).await;
    schedule::tick(&lantern.publication).await.unwrap();
    let told = reasons(&lantern, ANN).await;
    assert!(told.contains("subscribed daily: each day at 07:00, on the reader's clock"), "{told}");
    assert!(told.contains("the next slot is on 25 November 2026 07:00 JST"), "{told}");
    assert!(told.contains("nothing waits: served up to release 0 of 0"), "{told}");
    lantern.release(&["one"]).await;
    assert!(reasons(&lantern, ANN).await.contains("1 of at least 2 wait"));
    lantern.release(&["two"]).await;
    let account = asked(&lantern, ANN, None).await;
    assert_eq!(account.newsletters[0].waiting, ["one", "two"]);
    assert!(account.newsletters[0].reasons.iter().any(|reason| reason.starts_with("2 articles will come")));
    assert_eq!(account.newsletters[0].next_slot, Some(at("2026-11-24T22:00:00Z")));
    lantern.set_clock(at("2026-11-24T22:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    let told = reasons(&lantern, ANN).await;
    let held =
        "before anything else comes the digest of 25 November 2026 07:00 JST, which is held: waits for an editor's yes";
    assert!(told.contains(held), "{told}");
    lantern.rows("UPDATE subscriptions SET state = 'paused' RETURNING state").await;
    assert!(reasons(&lantern, ANN).await.contains("paused by the reader"));
    lantern.rows("UPDATE subscriptions SET state = 'pending' RETURNING state").await;
    assert!(reasons(&lantern, ANN).await.contains("not confirmed: the confirmation has not gone out yet"));
    lantern.publication.store.choose(ann, &news(), Cadence::Monthly, lantern.now()).await.unwrap();
    suppress(&lantern, ANN).await;
    let told = reasons(&lantern, ANN).await;
    assert!(
        told.contains("no mail goes to this address since 24 November 2026 22:00 WET, for a bounce: 5.1.1"),
        "{told}"
    );
    assert!(told.contains("subscribed, but the address is suppressed"), "{told}");
    lantern.rows("DELETE FROM suppressions RETURNING cause").await;
    let definition = lantern.folder.path().join("feeds/news.toml");
    std::fs::write(&definition, NEWS.replace("cadences.monthly", "#")).unwrap();
    lantern.publication = lantern.again().await;
    assert!(reasons(&lantern, ANN).await.contains("subscribed monthly, which is not on offer any more"));
    std::fs::remove_file(&definition).unwrap();
    lantern.publication = lantern.again().await;
    assert!(reasons(&lantern, ANN).await.contains("feeds/news.toml is not there, or has a fault"));
    lantern.publication.store.leave(ann, None, lantern.now()).await.unwrap();
    assert!(asked(&lantern, ANN, None).await.newsletters[0].state.is_some());
}

async fn what_became_of_a_digest_is_told_with_its_reason(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_ben = moment.step == Step::Rcpt && moment.line.contains("ben@");
        if is_ben { say("451 4.7.1 grey-listed, come back later") } else { Answer::Usual }
    }))
    .await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    for name in ["ann", "ben"] {
        lantern.reader(&format!("{name}@reader.example"), Cadence::Daily, None).await;
    }
    lantern.release(&["one"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    assert!(of_digest(&lantern, "ann@reader.example", &digest).await.contains("waits for its turn"));
    let store = &lantern.publication.store;
    store.move_digest(digest.id, "sending", &DigestState::Paused).await.unwrap();
    assert!(of_digest(&lantern, "ann@reader.example", &digest).await.contains("the digest is paused"));
    store.move_digest(digest.id, "paused", &DigestState::Sending).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1);
    let told = of_digest(&lantern, "ann@reader.example", &digest).await;
    assert!(told.contains("sent: 127.0.0.1") && told.contains("took it on 24 November 2026 12:00 WET"), "{told}");
    let account = asked(&lantern, "ben@reader.example", Some(&digest)).await;
    let told = &account.digests[0];
    assert_eq!(told.delivery, Some("deferred"));
    assert_eq!((told.attempts.len(), told.attempts[0].code), (1, Some(451)));
    assert!(told.next_try_at.is_some_and(|at| at > lantern.now()));
    let words = told.reasons.join("\n");
    assert!(words.contains("put off: ") && words.contains("grey-listed"), "{words}");
    assert!(words.contains("it is given up on 28 November 2026 12:00 WET"), "{words}");
    store.cancel_digest(digest.id, lantern.now()).await.unwrap();
    assert!(of_digest(&lantern, "ben@reader.example", &digest).await.contains("an editor cancelled the digest"));
}

async fn who_did_not_get_a_digest_is_told_why(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    lantern.reader("weekly@reader.example", Cadence::Weekly, None).await;
    let gone = lantern.reader("gone@reader.example", Cadence::Daily, None).await;
    lantern.reader("banned@reader.example", Cadence::Daily, None).await;
    suppress(&lantern, "banned@reader.example").await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    lantern.publication.store.leave(gone, None, lantern.now()).await.unwrap();
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    let composed = schedule::tick(&lantern.publication).await.unwrap();
    lantern.pass(TimeDelta::hours(1));
    lantern.reader("new@reader.example", Cadence::Daily, None).await;
    for (name, reason) in [
        ("weekly", "it is for the readers of another cadence: daily; this one gets it weekly"),
        ("gone", "had left on 24 November 2026 12:00 WET"),
        ("banned", "the address was suppressed: bounce"),
        ("new", "subscribed only on 25 November 2026 08:00 WET"),
    ] {
        let told = of_digest(&lantern, &format!("{name}@reader.example"), &composed[0]).await;
        assert!(told.contains(&format!("not for this reader: {reason}")), "{name}: {told}");
    }
}

#[test]
fn why_is_told_on_the_command_line_without_any_token() {
    let place = Place::new();
    place.write("articles/old.md", "+++\ntitle = \"Old\"\ndate = 2026-01-01\n+++\nOld.\n");
    place.run(&["sync"]).ended(0);
    place.run(&["subscribers", "add", "ann@reader.example"]).ended(0);
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    let told = place.run(&["why", "ann@reader.example"]).ended(0).out;
    assert!(told.starts_with("ann@reader.example (UTC)\nnews:\n  subscribed daily: each day at 07:00"), "{told}");
    assert!(told.contains("  sent: outbox took it on "), "{told}");
    assert!(told.contains("outbox, accepted"), "{told}");
    assert!(!told.contains("unsubscribe") && !told.contains("http"), "{told}");
    let json = place.run(&["why", "ann@reader.example", "--json"]).ended(0).json();
    assert_eq!(json["digests"][0]["delivery"], "sent");
    let id = json["digests"][0]["id"].as_str().unwrap();
    place.run(&["why", "ann@reader.example", &id[..30]]).ended(0);
    let unknown = place.run(&["why", "nobody@reader.example"]).ended(0).out;
    assert!(unknown.contains("nobody is known by this address"), "{unknown}");
    place.run(&["why", "no address"]).ended(2);
    place.run(&["why", "ann@reader.example", "00000000"]).ended(2);
}
