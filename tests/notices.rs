//! What needs an editor is told once: by mail to a real relay, by a webhook to a real server.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use support::publication::{Lantern, Letter, NEWS, Setup, at};
use support::smtp_sink::{Answer, Certificate, Options, Sink, Step, say, self_made_certificate};
use tidings::config::Webhook;
use tidings::domain::digest::DigestState;
use tidings::task::notice::{post, tell};
use tidings::task::schedule;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

support::engines::for_each_engine! {
    a_digest_that_waits_for_a_yes_is_told_once_by_mail_and_webhook,
    a_digest_that_halts_by_itself_is_told_with_its_reason_and_the_way_on,
    several_that_wait_at_once_are_one_notice,
    what_is_not_taken_is_told_again_later_and_what_is_settled_is_not,
    a_relay_that_stays_away_is_told_once_by_another,
    a_digest_that_goes_out_by_itself_is_told_before_it_does,
    two_processes_tell_of_an_event_once,
}

/// A web server that keeps what is posted to it and answers with one status after another; the last goes on.
struct Hook {
    port: u16,
    requests: Arc<Mutex<Vec<(String, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    async fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(vec![]));
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![];
                let (head, body) = loop {
                    if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                        break (String::new(), String::new());
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.to_lowercase();
                    let length =
                        length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
                    if body.len() >= length.unwrap_or(0) {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                kept.lock().unwrap().push((head, body));
                let status = statuses[number.min(statuses.len() - 1)];
                number += 1;
                let answer = format!("HTTP/1.1 {status} x\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, requests, task }
    }

    fn requests(&self) -> Vec<(String, serde_json::Value)> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(head, body)| (head.clone(), serde_json::from_str(body).unwrap())).collect()
    }
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn editors(hook: Option<&Hook>) -> &'static str {
    let hook = hook.map(|hook| {
        format!(
            "webhook = \"http://127.0.0.1:{}/hook?a=b\"\nwebhook_secret = \"canary\"\nwebhook_private = true\n",
            hook.port
        )
    });
    leaked(format!("[editors]\nnotify = [\"editor@lantern.example\"]\n{}", hook.unwrap_or_default()))
}

async fn lantern(url: &str, ports: &[u16], keys: &str, more: &'static str) -> Lantern {
    let feeds = vec![("news", format!("{NEWS}{keys}\n"))];
    Lantern::open(url, Setup { feeds, relays: ports.to_vec(), connections: 1, more, ..Setup::default() }).await
}

/// Composes the digest of the next morning for so many readers.
async fn next_morning(lantern: &Lantern, readers: usize) -> String {
    lantern.readers(readers).await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap()[0].id.to_string()
}

fn notices(sink: &Sink) -> Vec<Letter> {
    let letters = sink.messages().into_iter().map(|message| Letter::read(&message.bytes));
    letters.filter(|letter| letter.to == "editor@lantern.example").collect()
}

async fn a_digest_that_waits_for_a_yes_is_told_once_by_mail_and_webhook(url: String) {
    let (sink, hook) = (Sink::start(Options::default()).await, Hook::start(&[204]).await);
    let lantern = lantern(&url, &[sink.port()], "approve = true", editors(Some(&hook))).await;
    let id = next_morning(&lantern, 3).await;
    assert_eq!(tell(&lantern.publication).await.unwrap(), 2);
    lantern.pass(TimeDelta::days(1));
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0, "once");
    let told = notices(&sink);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].subject, "Held: Latest news, 25 November 2026 07:00");
    assert_eq!(told[0].auto_submitted.as_deref(), Some("auto-generated"));
    for words in ["waits for an editor's yes", "3 readers", &id, "tidings digest approve", "tidings digest cancel"] {
        assert!(told[0].text.contains(words), "{words}: {}", told[0].text);
    }
    assert!(!told[0].text.contains("reader0@"), "nobody's address: {}", told[0].text);
    assert_eq!(sink.violations(), Vec::<String>::new());
    let posted = hook.requests();
    assert_eq!(posted.len(), 1);
    let (head, body) = &posted[0];
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-type: application/json"), "{head}");
    assert_eq!((&body["event"], &body["digests"][0]["id"]), (&"held".into(), &id.as_str().into()), "{body}");
    assert_eq!(body["digests"][0]["why"], "waits for an editor's yes");
    assert_eq!(body["steps"][1]["command"], format!("tidings digest approve {id}"));
    let signature =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("tidings-signature: sha256=").map(str::to_owned));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"canary");
    let mac = hmac::sign(&key, hook.requests.lock().unwrap()[0].1.as_bytes());
    let hex = mac.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(signature, Some(hex));
}

async fn a_digest_that_goes_out_by_itself_is_told_before_it_does(url: String) {
    let (sink, hook) = (Sink::start(Options::default()).await, Hook::start(&[204]).await);
    let lantern = lantern(&url, &[sink.port()], "hold = \"15m\"", editors(Some(&hook))).await;
    let id = next_morning(&lantern, 3).await;
    assert_eq!(tell(&lantern.publication).await.unwrap(), 2);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0, "once");
    let told = notices(&sink);
    assert_eq!(told[0].subject, "About to go out: Latest news, 25 November 2026 07:00");
    let words = ["goes to 3 readers by itself on 25 November 2026 07:15", &id, "tidings digest cancel"];
    for words in words {
        assert!(told[0].text.contains(words), "{words}: {}", told[0].text);
    }
    let (_, body) = &hook.requests()[0];
    assert_eq!((&body["event"], &body["digests"][0]["id"]), (&"ready".into(), &id.as_str().into()), "{body}");
    assert_eq!(body["digests"][0]["goes_out_at"], "2026-11-25T07:15:00Z");
    assert_eq!(body["steps"][1]["command"], format!("tidings digest cancel {id}"));
    lantern.pass(TimeDelta::minutes(16));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 3);
    assert_eq!((tell(&lantern.publication).await.unwrap(), notices(&sink).len()), (0, 1));

    // Whoever cannot be told in time is not told that it is about to do what it has done.
    lantern.release(&["two"]).await;
    lantern.set_clock(at("2026-11-26T07:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.pass(TimeDelta::minutes(16));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!((tell(&lantern.publication).await.unwrap(), notices(&sink).len()), (0, 1));
}

async fn a_digest_that_halts_by_itself_is_told_with_its_reason_and_the_way_on(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_reader = moment.step == Step::Rcpt && moment.line.contains("@reader.example");
        if is_reader { say("550 5.7.1 your network is blocked here") } else { Answer::Usual }
    }))
    .await;
    let lantern = lantern(&url, &[sink.port()], "", editors(None)).await;
    let id = next_morning(&lantern, 8).await;
    assert_eq!(lantern.dispatch().await.halted.len(), 1);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0);
    let told = notices(&sink);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].subject, "Halted: Latest news, 25 November 2026 07:00");
    for words in ["your network is blocked here", "Nobody is lost", "0 of 8 readers", &format!("digest resume {id}")] {
        let text = told[0].text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{words}: {text}");
    }
    // Resumed and halted again is another event.
    let store = &lantern.publication.store;
    let digest = store.digests(None, 1).await.unwrap()[0].id;
    assert!(store.move_digest(digest, "halted", &DigestState::Sending).await.unwrap());
    lantern.pass(TimeDelta::hours(12));
    assert_eq!(lantern.dispatch().await.halted.len(), 1);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1);
    assert_ne!(notices(&sink)[0].message_id, notices(&sink)[1].message_id);
}

async fn several_that_wait_at_once_are_one_notice(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &[sink.port()], "", editors(None)).await;
    for (name, zone) in [("tokyo", "Asia/Tokyo"), ("lisbon", "Europe/Lisbon"), ("denver", "America/Denver")] {
        let address = format!("{name}@reader.example");
        lantern.reader(&address, tidings::domain::newsletter::Cadence::Daily, Some(zone)).await;
    }
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    // After two and a half days out, all three slots were missed.
    lantern.pass(TimeDelta::hours(65));
    assert_eq!(schedule::tick(&lantern.publication).await.unwrap().len(), 3);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1);
    let told = notices(&sink);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].subject, "Held: Latest news, 3 digests");
    assert!(told[0].text.contains("its slot was missed by"), "{}", told[0].text);
}

async fn what_is_not_taken_is_told_again_later_and_what_is_settled_is_not(url: String) {
    let sink = Sink::start(Options::script(|moment| {
        let is_first = moment.step == Step::Greeting && moment.connection == 1;
        if is_first { Answer::SayAndDrop("421 4.3.2 not now".into()) } else { Answer::Usual }
    }))
    .await;
    let hook = Hook::start(&[500, 302, 200]).await;
    let lantern = lantern(&url, &[sink.port()], "approve = true", editors(Some(&hook))).await;
    next_morning(&lantern, 1).await;
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0);
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0, "not at once");
    assert_eq!((sink.connections(), hook.requests().len()), (1, 1));
    lantern.pass(TimeDelta::seconds(30));
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1, "the mail; a redirect is not followed");
    assert_eq!((notices(&sink).len(), hook.requests().len()), (1, 2));
    lantern.pass(TimeDelta::seconds(59));
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0);
    lantern.pass(TimeDelta::seconds(1));
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1);
    let bodies: Vec<_> = hook.requests().into_iter().map(|(_, body)| body).collect();
    assert!(bodies.len() == 3 && bodies[0] == bodies[2], "each attempt says the same");
    assert_eq!(notices(&sink).len(), 1);
    // What an editor has settled meanwhile is told to nobody.
    lantern.release(&["two"]).await;
    lantern
        .publication
        .store
        .cancel_digest(lantern.publication.store.digests(None, 1).await.unwrap()[0].id, lantern.now())
        .await
        .unwrap();
    lantern.set_clock(at("2026-11-26T07:00:00Z"));
    let held = schedule::tick(&lantern.publication).await.unwrap()[0].id;
    assert!(lantern.publication.store.move_digest(held, "held", &DigestState::Sending).await.unwrap());
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0);
    assert_eq!((notices(&sink).len(), hook.requests().len()), (1, 3));
}

async fn a_relay_that_stays_away_is_told_once_by_another(url: String) {
    let sink = Sink::start(Options::default()).await;
    // A port that nothing listens on.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let feeds = vec![("news", NEWS.to_owned())];
    let setup = Setup { feeds, relays: vec![gone], connections: 1, more: editors(None), ..Setup::default() };
    let mut lantern = Lantern::open(&url, setup).await;
    next_morning(&lantern, 2).await;
    for _ in 0..3 {
        assert!(lantern.dispatch().await.relay_away.is_some());
        assert_eq!(tell(&lantern.publication).await.unwrap(), 0, "not for a short while");
        lantern.pass(TimeDelta::minutes(10));
    }
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0, "now, but by no relay");
    // Another relay is configured.
    let config = std::fs::read_to_string(lantern.folder.path().join("config.toml")).unwrap();
    let second = format!(
        "[[relay]]\nhost = \"localhost\"\ntls = \"none\"\nport = {}\nhello = \"lantern.example\"\n",
        sink.port()
    );
    std::fs::write(lantern.folder.path().join("config.toml"), config + &second).unwrap();
    lantern.publication = lantern.again().await;
    lantern.pass(TimeDelta::minutes(1));
    assert_eq!(tell(&lantern.publication).await.unwrap(), 1);
    let told = notices(&sink);
    assert_eq!(told[0].subject, "Away: 127.0.0.1");
    assert!(
        told[0].text.contains("25 November 2026 07:00") && told[0].text.contains("tidings status"),
        "{}",
        told[0].text
    );
    lantern.pass(TimeDelta::days(2));
    lantern.dispatch().await;
    assert_eq!(tell(&lantern.publication).await.unwrap(), 0);
    assert_eq!(notices(&sink).len(), 1);
}

async fn two_processes_tell_of_an_event_once(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, &[sink.port()], "approve = true", editors(None)).await;
    next_morning(&lantern, 1).await;
    let other = lantern.again().await;
    let (here, there) = tokio::join!(tell(&lantern.publication), tell(&other));
    let again = tell(&other).await.unwrap();
    assert_eq!(here.unwrap() + there.unwrap() + again, 1);
    assert_eq!(notices(&sink).len(), 1);
}

#[tokio::test]
async fn a_webhook_over_https_is_verified() {
    let (acceptor, certificate) = self_made_certificate(Certificate::Good);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port()).parse().unwrap();
    let server = tokio::spawn(async move {
        let mut taken = 0;
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut bytes = vec![];
            while !bytes.ends_with(b"{}") && stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
            taken += 1;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            if taken == 1 {
                return bytes;
            }
        }
        vec![]
    });
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/test.db", folder.path().display());
    let lantern = Lantern::open(&database, Setup::default()).await;
    let mut webhook = Webhook { url, secret: None, may_be_private: true, authority: None };
    let refused = post(&lantern.publication, &webhook, b"{}".to_vec()).await.unwrap_err();
    assert!(refused.contains("cannot set up TLS"), "nobody vouches for it: {refused}");
    webhook.authority = Some(certificate.path().to_owned());
    post(&lantern.publication, &webhook, b"{}".to_vec()).await.unwrap();
    let asked = String::from_utf8(server.await.unwrap()).unwrap();
    assert!(
        asked.starts_with("POST /hook HTTP/1.1\r\n") && !asked.to_lowercase().contains("tidings-signature"),
        "{asked}"
    );
}
