//! What an editor says to a digest: each verb tells what it will do, asks, and said twice is done once.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use support::place::{Place, Ran};
use tidings::domain::digest::{DigestId, DigestState};
use tidings::task::{Clock, compose};

/// A publication with three readers and a digest of one article in this state, and the digest's id.
async fn place(state: DigestState) -> (Place, String) {
    let place = Place::new();
    place.run(&["sync"]).ended(0);
    for name in ["ann", "ben", "cleo"] {
        place.run(&["subscribers", "add", &format!("{name}@reader.example")]).ended(0);
    }
    place.write("articles/new.md", "+++\ntitle = \"New\"\ndate = 2026-01-01\n+++\nNew.\n");
    place.run(&["sync"]).ended(0);
    let publication = place.open(Clock::system()).await;
    let (feed, newsletter) = compose::newsletter(&publication, "news").unwrap();
    let plan = compose::plan_now(&publication, feed, newsletter, None, None, None).await.unwrap();
    let (digest, _) = compose::compose(&publication, &plan, state).await.unwrap();
    publication.store.close().await;
    (place, digest.id.to_string())
}

fn held() -> DigestState {
    DigestState::Held { why: "waits for an editor's yes".into(), until: None }
}

async fn moved(place: &Place, id: &str, from: &str, to: &DigestState) {
    let publication = place.open(Clock::system()).await;
    assert!(publication.store.move_digest(DigestId(id.parse().unwrap()), from, to).await.unwrap());
    publication.store.close().await;
}

/// A verb without anybody to ask: it says what it would do, and does not.
#[track_caller]
fn unasked(place: &Place, verb: &str, id: &str) -> Ran {
    let ran = place.run(&["digest", verb, id]).ended(2);
    assert!(ran.err.contains("nobody is there to be asked; say --yes"), "{ran:?}");
    assert!(ran.err.contains("0 of 3 sent, 3 readers wait: "), "{ran:?}");
    ran
}

fn outbox(place: &Place) -> usize {
    std::fs::read_dir(place.path().join("outbox")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_held_digest_goes_out_with_a_yes_and_only_once() {
    let (place, id) = place(held()).await;
    let told = unasked(&place, "approve", &id);
    assert!(told.err.contains("held: waits for an editor's yes") && told.err.contains("they get it now"), "{told:?}");
    assert_eq!(outbox(&place), 0);
    let approved = place.run(&["digest", "approve", &id, "--yes"]).ended(0);
    assert!(approved.out.contains(": sending") && approved.out.contains("3 sent"), "{approved:?}");
    let again = place.run(&["digest", "approve", &id, "--yes"]).ended(0);
    assert!(again.out.contains(": sent; nothing was changed"), "{again:?}");
    assert!(place.run(&["digest", "resume", &id, "--yes"]).ended(0).out.contains("nothing was changed"));
    assert_eq!(outbox(&place), 3);
    place.run(&["digest", "pause", &id, "--yes"]).ended(1);
    place.run(&["digest", "cancel", &id, "--yes"]).ended(1);
}

#[tokio::test]
async fn a_digest_that_is_being_sent_is_paused_and_resumed() {
    let (place, id) = place(DigestState::Sending).await;
    unasked(&place, "pause", &id);
    let json = place.run(&["digest", "pause", &id, "--yes", "--json"]).ended(0).json();
    assert_eq!(
        (&json["state"], &json["changed"], &json["deliveries"]["queued"]),
        (&"paused".into(), &true.into(), &3.into())
    );
    let json = place.run(&["digest", "pause", &id, "--json"]).ended(0).json();
    assert_eq!((&json["state"], &json["changed"]), (&"paused".into(), &false.into()), "nobody is asked for nothing");
    let wrong = place.run(&["digest", "approve", &id, "--yes"]).ended(1);
    assert!(wrong.err.contains("only one that is held can be approved; `digest resume` lets it go on"), "{wrong:?}");
    unasked(&place, "resume", &id);
    let json = place.run(&["digest", "resume", &id, "--yes", "--json"]).ended(0).json();
    assert_eq!((&json["state"], &json["changed"]), (&"sending".into(), &true.into()));
    let json = place.run(&["digest", "resume", &id, "--json"]).ended(0).json();
    assert_eq!(json["changed"], false);
    assert_eq!(outbox(&place), 0, "with JSON another process sends");
    assert!(place.run(&["digest", "resume", &id]).ended(0).out.contains("3 sent"), "it goes on");
}

#[tokio::test]
async fn a_halted_digest_is_resumed_or_cancelled() {
    let (place, id) = place(DigestState::Sending).await;
    moved(&place, &id, "sending", &DigestState::Halted { why: "the relay: 535 wrong password".into() }).await;
    assert!(unasked(&place, "resume", &id).err.contains("halted: the relay: 535 wrong password"));
    let told = unasked(&place, "cancel", &id);
    assert!(told.err.contains("they will not get it, and find its articles in their next digest"), "{told:?}");
    let json = place.run(&["digest", "cancel", &id, "--yes", "--json"]).ended(0).json();
    assert_eq!((&json["cancelled"], &json["changed"]), (&3.into(), &true.into()));
    let again = place.run(&["digest", "cancel", &id]).ended(0);
    assert!(again.out.contains(": cancelled; nothing was changed"), "{again:?}");
    for verb in ["resume", "approve", "pause"] {
        place.run(&["digest", verb, &id, "--yes"]).ended(1);
    }
    // Its articles come with the next one.
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    assert_eq!(outbox(&place), 3);
}
