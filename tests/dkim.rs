//! Signatures: every kind of mail, and bodies of every shape, verified by another implementation.
//!
//! Where Python's dkimpy is not installed, that part says so and is skipped; in CI it has to be there.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use support::place::Place;
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::mail::dkim::{Key, Signer, Signers, Strength};
use tidings::task::Clock;
use tidings::task::confirm::{send_confirmations, subscribe};

const FEED: &str = "title = \"{title}\"\nselect = { section = \"{section}\" }\n[newsletter]\nsubject = \"{{articles.0.title}}\"\ncadences.daily = { at = \"07:00\" }\n";

/// dkimpy finds that every signature holds, and with `tamper` that none survives a change.
#[track_caller]
fn dkimpy_agrees(records: &Path, folder: &Path, tamper: bool) {
    let there = Command::new("python3").args(["-c", "import dkim, nacl"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI has to have python3 with dkimpy and pynacl");
        eprintln!("skipped: python3 with dkimpy and pynacl is not installed");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/signatures.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(records).arg(folder);
    if tamper {
        command.arg("--tamper");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// A publication with a key of each kind asked for, and its records in `records.json`.
fn signing(kinds: &[&str]) -> Place {
    let place = Place::empty();
    let mut config = "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"https://lantern.example\"\naddress = \"1 Quay Street\"\n[mail]\nreply_to = \"desk@lantern.example\"\n".to_owned();
    place.write("config.toml", &config);
    for kind in kinds {
        let more: &[&str] = if *kind == "ed25519" { &["--ed25519"] } else { &[] };
        let made = place.run(&[&["dkim", "keygen", "--json", "--selector", kind], more].concat()).ended(0).json();
        config.push_str(made["config"].as_str().unwrap());
    }
    place.write("config.toml", &config);
    for (name, title) in [("news", "Latest news"), ("mayak", "Маяк")] {
        place.write(&format!("feeds/{name}.toml"), FEED.replace("{title}", title).replace("{section}", name));
    }
    let prose = "The  lighthouse is lit again.\tIt was dark for nine winters, and  nobody saw a ship.\n\n".repeat(20);
    let cyrillic = "Маяк снова горит после девяти тёмных зим, и это видно с причала.\n\n".repeat(40);
    for (name, title, text) in [("news", "The lighthouse is lit again", prose), ("mayak", "Маяк горит", cyrillic)]
    {
        let text = format!(
            "+++\ntitle = \"{title}\"\ndate = 2026-01-02\nsection = \"{name}\"\nsummary = \"{}\"\n+++\n{text}",
            text.trim().chars().take(300).collect::<String>().replace(['\t', '\n'], " ")
        );
        place.write(&format!("articles/{name}.md"), text);
    }
    place.write("records.json", place.run(&["dkim", "record", "--json"]).ended(0).out);
    let checked = place.run(&["check"]).ended(i32::from(!kinds.contains(&"rsa")));
    assert_eq!(checked.err.contains("Ed25519 alone"), !kinds.contains(&"rsa"), "{}", checked.err);
    place.run(&["sync"]).ended(0);
    place
}

/// Every kind of mail, in the outbox.
async fn send_everything(place: &Place) {
    for (address, feed) in [("mara@reader.example", "news"), ("почта@reader.example", "mayak")] {
        place.run(&["subscribers", "add", address, "--name", "Мара", "--feed", feed]).ended(0);
        place.run(&["digest", "send", feed, "--latest", "1", "--yes"]).ended(0);
    }
    place.run(&["digest", "send", "news", "--latest", "1", "--test", "editor@reader.example"]).ended(0);
    let publication = place.open(Clock::system()).await;
    let now = publication.clock.now();
    let subscriber = Subscriber {
        id: SubscriberId::new(now),
        address: EmailAddress::parse("tobias@reader.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    let feeds = [(FeedName::parse("news").unwrap(), Cadence::Daily)];
    subscribe(&publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
    assert_eq!(send_confirmations(&publication).await.unwrap(), 1);
    publication.store.close().await;
}

#[tokio::test]
async fn every_kind_of_mail_is_signed_and_no_change_survives() {
    let place = signing(&["rsa", "ed25519"]);
    send_everything(&place).await;
    let mail = place.files("outbox");
    assert_eq!(mail.len(), 4, "{:?}", mail.keys());
    let all: Vec<String> = mail.values().map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).collect();
    for (what, wanted) in
        [("base64", 1), ("List-Unsubscribe-Post", 3), ("Auto-Submitted", 1), ("To: =?utf-8", 2), ("<почта@", 1)]
    {
        let found = all.iter().filter(|text| text.contains(what)).count();
        assert!(found >= wanted, "{what} in {found} messages");
    }
    dkimpy_agrees(&place.path().join("records.json"), &place.path().join("outbox"), true);
    // That parser takes an address beyond ASCII (RFC 6532) for a defect.
    for (name, _) in mail.iter().filter(|(_, (bytes, _))| String::from_utf8_lossy(bytes).contains("<почта@")) {
        place.remove(&format!("outbox/{name}"));
    }
    python_finds_no_fault(&place.path().join("outbox"));
    for (bytes, _) in mail.values() {
        let message = mail_parser::MessageParser::default().parse(bytes).unwrap();
        for body in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
            assert!(body.contains("1 Quay Street"), "no postal address: {body}");
        }
        assert_eq!(message.header_raw("Reply-To").map(str::trim), Some("desk@lantern.example"));
    }
}

/// Headers, structure and bodies have what mail programs want.
#[track_caller]
fn python_finds_no_fault(folder: &Path) {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has to have python3");
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/eml.py");
    let output = Command::new("python3").arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn one_key_of_either_kind_is_enough() {
    for kind in ["rsa", "ed25519"] {
        let place = signing(&[kind]);
        place.run(&["digest", "send", "news", "--latest", "1", "--test", "editor@reader.example"]).ended(0);
        dkimpy_agrees(&place.path().join("records.json"), &place.path().join("outbox"), false);
    }
}

#[test]
fn a_newsletter_from_another_domain_is_not_signed_and_check_says_so() {
    let place = signing(&["ed25519"]);
    let feed = format!("{}from = \"news@other.example\"\n", place.read("feeds/news.toml"));
    place.write("feeds/news.toml", feed);
    let said = place.run(&["check"]).ended(1).err;
    assert!(said.contains("feeds/news.toml:6: mail from other.example is not signed"), "{said}");
    assert!(said.contains("tidings dkim keygen --domain other.example"), "{said}");
    place.run(&["digest", "send", "news", "--latest", "1", "--test", "editor@reader.example"]).ended(0);
    let mail = place.files("outbox");
    assert!(mail.values().all(|(bytes, _)| !String::from_utf8_lossy(bytes).contains("DKIM-Signature")));
}

#[test]
fn keygen_writes_a_secret_once_and_says_what_to_publish() {
    let place = Place::new();
    let made = place.run(&["dkim", "keygen", "--selector", "one"]).ended(0);
    for part in
        ["secrets/dkim-one.pem", "one._domainkey.test.example", "v=DKIM1; k=rsa; p=", "[[dkim]]\nselector = \"one\""]
    {
        assert!(made.out.contains(part), "{part}: {}", made.out);
    }
    // A zone file has strings of 255 bytes at most.
    let zone = made.out.lines().find_map(|line| line.strip_prefix("Zone file:  ")).unwrap();
    let pieces: Vec<&str> = zone.split('"').skip(1).step_by(2).collect();
    assert!(pieces.len() == 2 && pieces.iter().all(|piece| piece.len() <= 255), "{zone}");
    assert!(made.out.contains(&format!("Text:  {}\n", pieces.concat())), "{}", made.out);

    let before = place.read("secrets/dkim-one.pem");
    let again = place.run(&["dkim", "keygen", "--selector", "one"]).ended(1);
    assert!(again.err.contains("there is a key already"), "{}", again.err);
    assert_eq!(place.read("secrets/dkim-one.pem"), before);
    place.run(&["dkim", "keygen", "--selector", "a/../b"]).ended(2);
    place.run(&["dkim", "keygen", "--bits", "1024"]).ended(1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| std::fs::metadata(place.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("secrets"), mode("secrets/dkim-one.pem")), (0o700, 0o600));
    }
}

#[test]
fn a_key_that_is_missing_open_or_no_key_is_named() {
    let place = Place::new();
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}[[dkim]]\nselector = \"one\"\nkey_file = \"secrets/one.pem\"\n"));
    for verb in ["check", "sync"] {
        let said = place.run(&[verb]).ended(1).err;
        assert!(said.contains("secrets/one.pem: the key of dkim.selector one: cannot be read"), "{said}");
    }
    place.write("secrets/one.pem", "canary-of-a-secret");
    let said = place.run(&["check"]).ended(1).err;
    assert!(said.contains("it holds no private key in PEM") && !said.contains("canary"), "{said}");
    #[cfg(unix)]
    assert!(said.contains("others on this machine can read this key"), "{said}");
}

/// Numbers that are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pieces(&mut self, from: &[&str], most: usize) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| from[self.below(from.len())]).collect()
    }
}

#[test]
fn bodies_and_headers_of_every_shape_are_canonical_in_the_same_way() {
    const AT: DateTime<Utc> = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    const BODY: [&str; 12] =
        [" ", "  ", "\t", " \t ", "\r\n", "\r\n\r\n", " \r\n", "\t\r\n", "a", "word and word", "é", "=20=\r\n"];
    const VALUE: [&str; 8] = [" ", "  ", "\t", "\r\n ", "\r\n\t", "a", "b:c", "é"];
    let from = EmailAddress::parse("a@lantern.example").unwrap();
    let signer = |selector: &str, strength| Signer::new("lantern.example", selector, Key::generate(strength).unwrap());
    let signers = Signers::new(vec![signer("r", Strength::Rsa(2048)), signer("e", Strength::Ed25519)]);
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    let mut chance = Chance(0x0123_4567_89ab_cdef);
    for number in 0..400 {
        let mut message = "FROM: a@lantern.example\r\n".to_owned();
        for name in ["To", "List-Id", "subject", "LIST-HELP", "X-Other", "Content-Type"] {
            // A folded line has to hold something, or it would end the header for some parsers.
            write!(message, "{name}:{}x\r\n", chance.pieces(&VALUE, 6).replace("\r\n", "x\r\n")).unwrap();
        }
        message.push_str("\r\n");
        message.push_str(&chance.pieces(&BODY, 60));
        message.push_str(&"\r\n".repeat(chance.below(3)));
        // SMTP carries whole lines.
        if !message.ends_with("\r\n") {
            message.push_str("\r\n");
        }
        let mut signed = signers.sign(&from, message.as_bytes(), AT).unwrap();
        signed.extend_from_slice(message.as_bytes());
        std::fs::write(mail.join(format!("{number}.eml")), signed).unwrap();
    }
    let records: Vec<_> = signers.iter().map(Signer::record).collect();
    let records: Vec<_> =
        records.iter().map(|(name, text)| serde_json::json!({ "name": name, "text": text })).collect();
    std::fs::write(folder.path().join("records.json"), serde_json::to_string(&records).unwrap()).unwrap();
    dkimpy_agrees(&folder.path().join("records.json"), &mail, false);
}
