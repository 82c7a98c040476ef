//! Digests that an editor sends by hand: picked articles, a note, another time, a preview as any reader.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use support::place::Place;
use support::publication::Letter;
use tidings::domain::digest::{DigestId, DigestState};
use tidings::task::Clock;

/// Three articles that were released to two readers who have not had them.
fn place() -> Place {
    let place = Place::new();
    place.run(&["sync"]).ended(0);
    place.run(&["subscribers", "add", "ann@reader.example", "--name", "Ann"]).ended(0);
    place.run(&["subscribers", "add", "kenji@reader.example", "--time-zone", "Asia/Tokyo"]).ended(0);
    for slug in ["one", "two", "three"] {
        place.write(
            &format!("articles/{slug}.md"),
            format!("+++\ntitle = \"{slug}\"\ndate = 2026-01-01\n+++\nAbout.\n"),
        );
    }
    place.run(&["sync"]).ended(0);
    place
}

fn letters(place: &Place) -> Vec<Letter> {
    let Ok(files) = std::fs::read_dir(place.path().join("outbox")) else { return vec![] };
    let mut letters: Vec<_> = files.map(|file| Letter::read(&std::fs::read(file.unwrap().path()).unwrap())).collect();
    letters.sort_by(|a, b| a.to.cmp(&b.to));
    letters
}

#[test]
fn picked_articles_go_out_once_with_the_note_at_the_top() {
    let place = place();
    place.write("note.txt", "From the editors:\nsorry for the long silence.\n");
    let send = ["digest", "send", "news", "--articles", "two,one,two", "--note-file", "note.txt"];
    let dry = place.run(&[&send[..], &["--dry-run"]].concat()).ended(0);
    assert!(dry.err.contains("to 2 readers, into outbox/"), "{dry:?}");
    assert!(dry.err.contains("  daily: 2\n    Asia/Tokyo: 1\n    UTC: 1\n"), "{dry:?}");
    assert!(dry.err.contains("with a note of 45 characters"), "{dry:?}");
    assert_eq!(letters(&place), [], "nothing was sent");
    let json = place.run(&[&send[..], &["--dry-run", "--json"]].concat()).ended(0).json();
    assert_eq!(json["zones"][0], serde_json::json!({ "cadence": "daily", "zone": "Asia/Tokyo", "readers": 1 }));
    assert_eq!(json["articles"].as_array().unwrap().len(), 2);
    place.run(&send).ended(2);
    place.run(&[&send[..], &["--yes"]].concat()).ended(0);
    let sent = letters(&place);
    assert_eq!(sent.len(), 2);
    let text = sent[0].text.replace("\r\n", "\n");
    let note = text.find("From the editors:\nsorry for the long silence.").unwrap_or_else(|| panic!("{text}"));
    assert!(note < text.find("one").unwrap(), "{text}");
    assert!(!sent[0].text.contains("three"), "{}", sent[0].text);
    let again = place.run(&[&send[..], &["--yes"]].concat()).ended(0);
    assert!(again.out.contains("nobody is mailed twice"), "{again:?}");
    assert_eq!(letters(&place).len(), 2);
    // The cursors stayed: the rest comes, and nobody misses anything.
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    let both: Vec<_> = letters(&place).into_iter().filter(|letter| letter.text.contains("three")).collect();
    assert_eq!(both.len(), 2);
    assert!(!both[0].text.contains("sorry"));
}

#[test]
fn what_cannot_be_picked_is_named() {
    let place = place();
    let unknown = place.run(&["digest", "send", "news", "--articles", "one,tow,four", "--yes"]).ended(1);
    assert!(unknown.err.contains("tow: there is no public article with this slug"), "{unknown:?}");
    assert!(unknown.err.contains("four: there is no public article"), "{unknown:?}");
    place.run(&["digest", "send", "news", "--note-file", "missing.txt", "--yes"]).ended(2);
    place.run(&["digest", "send", "news", "--articles", "one", "--latest", "2"]).ended(2);
    assert_eq!(letters(&place), []);
}

#[test]
fn a_note_shows_in_a_test_message_and_nowhere_else() {
    let place = place();
    let test = ["digest", "send", "news", "--note", "Hello <all>", "--test", "me@reader.example"];
    place.run(&test).ended(0);
    let sent = letters(&place);
    assert_eq!(sent.iter().map(|letter| letter.to.as_str()).collect::<Vec<_>>(), ["me@reader.example"]);
    assert!(sent[0].text.contains("Hello <all>"), "{}", sent[0].text);
    let none = place.run(&["digest", "preview", "news", "--as", "html"]).ended(0).out;
    assert!(!none.contains("Hello &lt;all") && !none.contains("white-space:pre-line"), "{none}");
}

#[test]
fn a_preview_is_what_a_reader_would_get_now() {
    let place = place();
    let preview = |address: &str| place.run(&["digest", "preview", "news", "--for", address]);
    let shown = preview("ann@reader.example").ended(0).out;
    assert!(shown.contains("Hello Ann,") && shown.contains("three"), "{shown}");
    assert!(preview("nobody@reader.example").ended(2).err.contains("nobody is known by this address"));
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    assert!(preview("ann@reader.example").ended(1).err.contains("nothing waits for this reader"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_digest_is_rescheduled_and_no_other() {
    let place = place();
    place.run(&["digest", "send", "news", "--yes"]).ended(0);
    let id = place.run(&["digest", "list", "--json"]).ended(0).json()[0]["digest"]["id"].as_str().unwrap().to_owned();
    let reschedule = |time: &str| place.run(&["digest", "reschedule", &id, time, "--yes"]);
    assert!(reschedule("2199-01-01 07:00").ended(1).err.contains("only one that is held"));
    let publication = place.open(Clock::system()).await;
    let held = DigestState::Held { why: "late".into(), until: None };
    let digest = DigestId(id.parse().unwrap());
    assert!(publication.store.move_digest(digest, "sent", &held).await.unwrap());
    publication.store.close().await;
    let moved = reschedule("2199-01-01 07:00").ended(0);
    assert!(moved.err.contains("it would go out by itself on 1 January 2199 07:00 UTC"), "{moved:?}");
    assert!(moved.out.contains("goes out by itself on 1 January 2199 07:00 UTC"), "{moved:?}");
    assert!(reschedule("2199-01-01T08:00:00+01:00").ended(0).err.is_empty(), "said twice is said once");
    let listed = place.run(&["digest", "show", &id]).ended(0).out;
    assert!(listed.contains("held until 2199-01-01 07:00 UTC: rescheduled by an editor"), "{listed}");
    let shown = place.run(&["schedule"]).ended(0).out;
    assert!(shown.contains("held until 2199-01-01 07:00 UTC"), "{shown}");
    reschedule("2001-01-01 07:00").ended(2);
    reschedule("soon").ended(2);
    let json = place.run(&["digest", "reschedule", &id, "2199-01-02 07:00", "--yes", "--json"]).ended(0).json();
    assert_eq!(json["held_until"], "2199-01-02T07:00:00Z");
}
