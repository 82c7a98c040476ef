//! What a person is told while a digest goes out, and afterwards of those who did not get it.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use support::accounting::{Accounting, Options};
use support::place::{NEWS, Place};
use support::smtp_sink::{self, Answer, Sink, Step, say};

const READERS: usize = 20;
const CONNECTIONS: usize = 2;

/// A publication with readers and something to send, by the relay on this port.
fn place(port: u16) -> Place {
    let place = Place::empty();
    place.write(
        "config.toml",
        format!(
            "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\n[[relay]]\n\
             host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nhello = \"lantern.example\"\nconnections = {CONNECTIONS}\n"
        ),
    );
    place.write("feeds/news.toml", NEWS);
    let mut list = String::from("address,feeds\n");
    for number in 0..READERS {
        writeln!(list, "reader{number}@reader.example,news:daily").unwrap();
    }
    place.write("readers.csv", list);
    place.run(&["subscribers", "import", "readers.csv"]).ended(0);
    place.article("lamp", "The lamp is lit again", "2026-11-20", "After nine dark winters.");
    place.run(&["sync"]).ended(0);
    place
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn tell(child: &Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
}

/// The first line about messages on standard error.
fn line_about_messages(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| line.starts_with("messages: ")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_told_how_far_sending_has_come_and_status_says_who_sends() {
    let relay = Accounting::start(Options::default());
    relay.hold(true);
    let place = place(relay.port());
    let mut child = start(place.command(&["digest", "send", "news", "--latest", "1", "--yes"]));
    relay.taken(CONNECTIONS).await;

    let status = place.run(&["status", "--json"]).ended(0).json();
    let sending = status["sending"].as_array().unwrap();
    assert_eq!(sending.len(), 1, "{status}");
    assert_eq!(sending[0]["digest"]["newsletter"], "news", "{status}");
    assert_eq!((&sending[0]["deliveries"]["queued"], &sending[0]["deliveries"]["sent"]), (&READERS.into(), &0.into()));
    assert_eq!(status["senders"][0]["pid"], child.id(), "{status}");
    let status = place.run(&["status"]).ended(0).out;
    assert!(status.contains(&format!("process {} on ", child.id())), "{status}");

    assert_eq!(line_about_messages(&mut child), "messages: 0 of 20, 0/s");
    relay.hold(false);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "20 sent\n");
    assert!(child.wait().unwrap().success());
    let status = place.run(&["status", "--json"]).ended(0).json();
    assert_eq!((&status["sending"], &status["senders"]), (&serde_json::json!([]), &serde_json::json!([])));
}

async fn is_told_as_well(arguments: &[&str]) {
    let relay = Accounting::start(Options::default());
    let place = place(relay.port());
    // Port 1 has no relay: the digest is composed, and waits.
    let away = place
        .command(&["digest", "send", "news", "--latest", "1", "--yes"])
        .env("TIDINGS_RELAY__0__PORT", "1")
        .output();
    assert_eq!(away.unwrap().status.code(), Some(1));
    relay.hold(true);
    let mut child = start(place.command(arguments));
    relay.taken(CONNECTIONS).await;
    assert_eq!(line_about_messages(&mut child), "messages: 0 of 20, 0/s");
    relay.hold(false);
    tell(&child);
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn whoever_runs_a_worker_is_told_as_well() {
    is_told_as_well(&["worker"]).await;
}

#[tokio::test]
async fn whoever_runs_serve_is_told_as_well() {
    is_told_as_well(&["serve", "--listen", "127.0.0.1:0"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_relay_said_of_one_reader_is_shown() {
    let sink = Sink::start(smtp_sink::Options::script(|moment| match moment.step {
        Step::Rcpt if moment.line.contains("reader1@") => say("550 5.1.1 no such user"),
        Step::Rcpt if moment.line.contains("reader2@") => say("451 4.2.0 come back later"),
        _ => Answer::Usual,
    }))
    .await;
    let place = place(sink.port());
    let ran = place.run(&["digest", "send", "news", "--latest", "1", "--yes"]).ended(0);
    assert_eq!(ran.out, "18 sent, 1 put off, to be tried again, 1 refused\n");
    let digests = place.run(&["digest", "list", "--json"]).ended(0).json();
    let id = digests[0]["digest"]["id"].as_str().or(digests[0]["id"].as_str()).unwrap().to_owned();
    let attempts = |address: &str| place.run(&["digest", "show", &id, "--attempts", address]).ended(0).out;
    let refused = attempts("reader1@reader.example");
    assert!(refused.contains("127.0.0.1  refused") && refused.ends_with("rcpt 550 5.1.1 no such user\n"), "{refused}");
    assert_eq!(refused.lines().count(), 1);
    let put_off = attempts("READER2@reader.example");
    assert!(put_off.contains("  deferred  ") && put_off.ends_with("rcpt 451 4.2.0 come back later\n"), "{put_off}");
    let sent = place.run(&["digest", "show", &id, "--json", "--attempts", "reader3@reader.example"]).ended(0).json();
    assert_eq!(sent["attempts"][0]["verdict"], "accepted", "{sent}");
    let nobody = place.run(&["digest", "show", &id, "--attempts", "nobody@reader.example"]).ended(1);
    assert_eq!(nobody.err, "there is no such subscriber\n");
}
