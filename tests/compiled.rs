//! A letter compiled once and patched for each reader: it says what a letter made whole says, and its bytes are ready
//! for the wire whatever stands in them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

use std::fmt::Write as _;
use std::process::Command;

use chrono::{DateTime, TimeZone as _, Utc};
use mail_parser::{Message, MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::text::{clean, escape_html};
use tidings::mail::compiled::{Common, CompiledLetter, Piece, Reader};
use tidings::mail::message::{Kind, Letter, Links, List, MessageError, bytes};

/// As [`Piece`], but its text is its own.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Place(usize),
}

impl Part {
    fn piece(&self) -> Piece<'_> {
        match self {
            Self::Text(text) => Piece::Text(text),
            Self::Place(number) => Piece::Place(*number),
        }
    }
}

/// One letter and one of its readers.
#[derive(Debug, Clone)]
struct Case {
    text: Vec<Part>,
    html: Vec<Part>,
    values: [String; 3],
    name: String,
}

const LIST: List<'static> = List {
    id: ("Latest news", "news.lantern.example"),
    archive_url: Some("https://lantern.example/digests/"),
    feedback_id: Some("news:daily:digest:lantern"),
};

fn links(url: &str) -> Links<'_> {
    Links { unsubscribe_url: url, unsubscribe_mailto: None, help_url: Some("https://lantern.example/p/0") }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn date() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 7, 0, 0).unwrap()
}

/// Clean text with CRLF at its line ends: what is meant by a piece or a value.
fn meant(text: &str) -> String {
    clean(text).replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

impl Case {
    fn compiled(&self) -> CompiledLetter {
        let from = Mailbox::new(Some("The Harbour Lantern"), address("news@lantern.example"));
        let [text, html] = [&self.text, &self.html].map(|parts| parts.iter().map(Part::piece).collect::<Vec<_>>());
        CompiledLetter::new(&Common {
            from: &from,
            reply_to: None,
            subject: "The lighthouse is lit again",
            list: Some(LIST),
            text: &text,
            html: &html,
            boundary: "0192f0c0-7e57-7000-8000-000000000001 group 12",
        })
        .unwrap()
    }

    fn to(&self) -> Mailbox {
        // Past the door's cleaning on purpose: `name` is a public field.
        Mailbox { name: Some(self.name.clone()), address: address("reader@example.org") }
    }

    /// The message by patching.
    fn patched(&self) -> Vec<u8> {
        let mut out = b"what was there before".to_vec();
        let reader = Reader {
            to: &self.to(),
            message_id: "1@lantern.example",
            date: date(),
            links: Some(links("https://lantern.example/u/0")),
            values: &self.values.each_ref().map(String::as_str),
        };
        self.compiled().write(&reader, &mut out).unwrap();
        out
    }

    /// A body put together before it is encoded.
    fn whole(&self, parts: &[Part], escape: impl Fn(&str) -> String) -> String {
        let piece = |part: &Part| match part {
            Part::Text(text) => meant(text),
            Part::Place(number) => self.values.get(*number).map(|value| escape(&meant(value))).unwrap_or_default(),
        };
        parts.iter().map(piece).collect()
    }

    fn bodies(&self) -> [String; 2] {
        [self.whole(&self.text, str::to_owned), self.whole(&self.html, escape_html)]
    }

    /// The message by rendering in full and encoding that.
    fn rendered(&self) -> Vec<u8> {
        let [text, html] = &self.bodies();
        bytes(&Letter {
            from: &Mailbox::new(Some("The Harbour Lantern"), address("news@lantern.example")),
            reply_to: None,
            to: &self.to(),
            subject: "The lighthouse is lit again",
            text,
            html,
            message_id: "1@lantern.example",
            date: date(),
            kind: Kind::Digest(LIST, links("https://lantern.example/u/0")),
        })
        .unwrap()
    }
}

/// Name and value of every header but the one with the boundary.
fn headers(message: &Message<'_>) -> Vec<(String, String)> {
    let all = message.headers_raw().map(|(name, value)| (name.to_owned(), value.trim().replace("\r\n ", " ")));
    all.filter(|(name, _)| name != "Content-Type").collect()
}

/// The relaxed form of a body (RFC 6376 §3.4.4), written down as the RFC says it.
fn relaxed(body: &str) -> String {
    let mut out = String::new();
    for line in body.split_terminator("\r\n") {
        let words: Vec<_> = line.trim_end_matches([' ', '\t']).split([' ', '\t']).collect();
        let first = words.first().copied().unwrap_or_default();
        let rest = words.iter().skip(1).filter(|word| !word.is_empty());
        let _ = writeln!(out, "{first}{}\r", rest.fold(String::new(), |all, word| all + " " + word));
    }
    while out.ends_with("\r\n\r\n") {
        out.truncate(out.len() - 2);
    }
    out
}

/// Nothing is left to do to these bytes.
fn assert_ready(message: &[u8]) {
    let message = std::str::from_utf8(message).unwrap();
    assert!(message.is_ascii() && message.ends_with("\r\n"));
    assert_eq!(message.matches(['\r', '\n']).count(), message.matches("\r\n").count() * 2, "a bare CR or LF");
    for line in message.split_terminator("\r\n") {
        assert!(!line.starts_with('.') && !line.starts_with("From "), "{line}");
        assert!(line.len() <= 76, "{} bytes: {line}", line.len());
    }
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    assert_eq!(relaxed(body), body);
}

/// The patched message says what the other does, part by part.
fn assert_alike(case: &Case) {
    let (patched, rendered) = (case.patched(), case.rendered());
    assert_ready(&patched);
    assert_ready(&rendered);
    let [patched, rendered] = [&patched, &rendered].map(|bytes| MessageParser::default().parse(bytes).unwrap());
    assert_eq!(headers(&patched), headers(&rendered));
    for message in [&patched, &rendered] {
        assert_eq!(message.parts.len(), 3);
        let parts = [1, 2].map(|part| message.parts[part].text_contents().unwrap_or_default());
        assert_eq!(parts, case.bodies());
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "", " ", "  ", "\t", ".", "..", ". ", "a ", " a", "=", "==", "=\r\n", "From x", "\r\n", "\r", "\n", "\n.\n",
            "Hello Mara,", "Маяк", "é", "灯台", "\"><script>alert(1)</script>", "--=_0192f0c07e57", "&amp;", "\0\u{202e}",
        ])
        .prop_map(str::to_owned),
        1 => "https://lantern\\.example/u/[a-zA-Z0-9_=.-]{0,300}",
        1 => "(?s).{0,100}",
        1 => "[ .=]{0,200}",
    ]
}

fn parts(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Part>> {
    // Four places for three values: one has none.
    proptest::collection::vec(prop_oneof![text.prop_map(Part::Text), (0..4_usize).prop_map(Part::Place)], 0..8)
}

fn latin() -> impl Strategy<Value = Vec<Part>> {
    parts(prop_oneof![value(), "(?s)[ -~\n\t. ]{0,300}", "(?s)[ -~é\r\n]{0,20}"])
}

fn other_scripts() -> impl Strategy<Value = Vec<Part>> {
    parts(prop_oneof![1 => value(), 3 => "[а-я ёш灯台\n]{0,200}"])
}

proptest! {
    #[test]
    fn a_patched_message_is_the_one_that_is_rendered_in_full(
        text in latin(), html in latin(), values in [value(), value(), value()], name in any::<String>(),
    ) {
        assert_alike(&Case { text, html, values, name });
    }

    #[test]
    fn so_it_is_in_other_scripts(
        text in other_scripts(), html in other_scripts(), values in [value(), value(), value()], name in "[а-я灯 .]{0,40}",
    ) {
        assert_alike(&Case { text, html, values, name });
    }
}

/// A digest of a usual shape around a greeting and two links.
fn digest(words: &str, greeting: &str) -> Case {
    let text = |text: &str| Part::Text(text.to_owned());
    let many = words.repeat(40);
    Case {
        text: vec![
            text("\n"),
            Part::Place(0),
            text("\n\n"),
            text(&many),
            text("\n\nLeave:\n"),
            Part::Place(1),
            text("\n"),
        ],
        html: vec![
            text("<!doctype html><title>News</title><p>"),
            Part::Place(0),
            text(&format!("</p>\n   <p>{many}</p>\n.\n<a href=\"")),
            Part::Place(1),
            text("\">Leave</a>"),
        ],
        values: [greeting.to_owned(), format!("https://lantern.example/u/{}", "0=.".repeat(40)), String::new()],
        name: greeting.to_owned(),
    }
}

fn cases() -> Vec<Case> {
    let words = [
        "After nine dark winters — the lamp turns.  ",
        "Маяк снова горит. ",
        "灯台が再び灯った。",
        ". From  =3D all over the harbour\n",
    ];
    let greetings = ["Hello,", "Hello Mara O'Neill <b>,", "Ёж & \"Ö\"", ".", "From here ", &"long ".repeat(40)];
    words.iter().flat_map(|words| greetings.iter().map(|greeting| digest(words, greeting))).collect()
}

#[test]
fn parts_take_the_shorter_encoding_and_every_reader_keeps_it() {
    for case in cases() {
        assert_alike(&case);
        let message = case.patched();
        let parsed = MessageParser::default().parse(&message).unwrap();
        let encoding = parsed.parts[1].content_transfer_encoding().unwrap();
        let is_latin = matches!(&case.text[3], Part::Text(text) if text.starts_with(['A', '.']));
        assert_eq!(encoding, if is_latin { "quoted-printable" } else { "base64" });
    }
}

#[test]
fn pythons_parser_finds_no_fault_either() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has to have python3");
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, case) in cases().iter().enumerate() {
        let message = String::from_utf8(case.patched()).unwrap();
        let message = message.replacen("<1@lantern", &format!("<{number}@lantern"), 1);
        std::fs::write(folder.path().join(format!("{number}.eml")), message).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/eml.py");
    let output = Command::new("python3").args([script, "--digests", "--any-body"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn retries_bear_the_same_bytes_but_for_the_date() {
    let letter = cases()[0].compiled();
    let write = |date| {
        let to = cases()[0].to();
        let links = Some(links("https://lantern.example/u/0"));
        let mut out = vec![];
        letter.write(&Reader { to: &to, message_id: "1@a.example", date, links, values: &["x"] }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let later = write(date() + chrono::TimeDelta::hours(1));
    assert_eq!(write(date()), later.replace("08:00:00", "07:00:00"));
}

#[test]
fn a_value_that_does_not_fit_into_its_header_is_an_error_for_its_reader_alone() {
    let letter = cases()[0].compiled();
    let to = cases()[0].to();
    let mut out = vec![];
    let mut write = |message_id: &str, url: &str, date| {
        letter.write(&Reader { to: &to, message_id, date, links: Some(links(url)), values: &[] }, &mut out)
    };
    let (id, url) = ("1@a.example", "https://a.example/u");
    assert!(matches!(write(id, "https://a.example/\r\nBcc: x", date()), Err(MessageError::Header("List-Unsubscribe"))));
    assert!(matches!(write("1", url, date()), Err(MessageError::Header("Message-ID"))));
    assert!(matches!(write(id, url, DateTime::<Utc>::MAX_UTC), Err(MessageError::Date)));
    assert!(write(id, url, date()).is_ok());
}
