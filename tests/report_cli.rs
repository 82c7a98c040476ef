//! `tidings report` as a mail server calls it.

mod support;

use std::io::Write as _;
use std::process::Stdio;

use support::place::{CONFIG, Place};
use support::reports::{Coded, Made, Place as Where, SHAPES, recipient};
use tidings::domain::address::EmailAddress;
use tidings::task::Clock;

const TOKENLESS: &str = "nobody";

/// Runs the program with a message on its standard input.
fn piped(place: &Place, arguments: &[&str], bytes: &[u8]) -> (i32, String) {
    let mut child = place
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // A program that ended already does not read.
    let _ = child.stdin.take().expect("its standard input").write_all(bytes);
    let output = child.wait_with_output().expect("the program ends");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn bounce(token: &str, id: &str) -> Vec<u8> {
    let made = Made { token, place: Where::ReturnPath, coded: Coded::Plain, id };
    made.status(&SHAPES[0], &recipient("failed", "5.1.1", ""))
}

/// A subscriber's token.
async fn token(place: &Place) -> String {
    place.run(&["subscribers", "add", "ann@reader.example", "--feed", "news"]).ended(0);
    let publication = place.open(Clock::system()).await;
    let key = EmailAddress::parse("ann@reader.example").expect("an address").key();
    let ann = publication.store.subscriber_by_address(&key).await.expect("a look-up").expect("ann").id;
    let token = publication.keyring.bounce_token(ann, None);
    publication.store.close().await;
    token
}

#[tokio::test]
async fn a_report_is_taken_from_a_pipe_from_files_and_from_a_maildir() {
    let place = Place::new();
    place.write("config.toml", format!("{CONFIG}[mail]\nbounces = \"b@bounces.test.example\"\n"));
    let token = token(&place).await;
    let (code, out) = piped(&place, &["report"], &bounce(TOKENLESS, "r0"));
    assert_eq!((code, out.as_str()), (0, "reports: 1 about nobody known\n"));
    let (code, out) = piped(&place, &["report"], b"");
    assert_eq!((code, out.as_str()), (0, "reports: 1 with nothing to do\n"));
    let (code, out) = piped(&place, &["report"], &bounce(&token, "r1"));
    assert_eq!((code, out.as_str()), (0, "reports: 1 hard bounce, 1 address suppressed\n"));
    let recipient = format!("b+{token}@bounces.test.example");
    let (code, out) = piped(&place, &["report", "--recipient", &recipient], &bounce(TOKENLESS, "r2"));
    assert_eq!((code, out.as_str()), (0, "reports: 1 hard bounce\n"));

    std::fs::write(place.path().join("one.eml"), bounce(&token, "r1")).expect("a file");
    std::fs::write(place.path().join("two.eml"), bounce(&token, "r3")).expect("a file");
    let ran = place.run(&["report", "one.eml", "two.eml", "--json"]).ended(0);
    assert_eq!(ran.json()["reports"]["known"], 1);
    assert_eq!(ran.json()["reports"]["hard_bounces"], 1);
    assert_eq!(ran.json()["unclaimed_ever"], 1);
    let ran = place.run(&["report", "one.eml", "none.eml"]).ended(1);
    assert!(ran.err.contains("none.eml: cannot be read"), "{ran:?}");

    for folder in ["new", "cur"] {
        std::fs::create_dir_all(place.path().join("bounces").join(folder)).expect("a folder");
    }
    std::fs::write(place.path().join("bounces/new/1"), bounce(&token, "r4")).expect("a file");
    assert_eq!(place.run(&["report", "--maildir", "bounces"]).ended(0).out, "reports: 1 hard bounce\n");
    assert_eq!(place.run(&["report", "--maildir", "bounces"]).ended(0).out, "no reports\n");
    assert!(place.has("bounces/cur/1:2,S"));
    place.run(&["report", "--maildir", "bounces", "one.eml"]).ended(2);
}

#[test]
fn a_report_that_cannot_be_taken_now_is_to_be_brought_again() {
    let place = Place::new();
    for config in ["[publication", &format!("{CONFIG}[database]\nurl = \"sqlite://no/such/folder/x.db\"\n")] {
        place.write("config.toml", config);
        assert_eq!(piped(&place, &["report"], &bounce(TOKENLESS, "r")).0, 75, "{config}");
        // Any length, and nothing is left in the pipe.
        assert_eq!(piped(&place, &["report"], &vec![b'x'; 3 << 20]).0, 75);
    }
    place.write("config.toml", CONFIG);
    assert_eq!(place.run(&["report", "--maildir", "nowhere"]).code, 75);
    assert_eq!(piped(&place, &["report"], &vec![b'x'; 3 << 20]).0, 0);
}
