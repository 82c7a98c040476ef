//! Messages: every header of each kind, hostile names and subjects, lengths of lines; read back by another parser.

use chrono::{DateTime, TimeZone as _, Utc};
use mail_parser::{HeaderValue, MessageParser};
use proptest::prelude::*;
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::mail::message::{Kind, Letter, Links, List, MessageError, bytes};

const TEXT: &str =
    "The lighthouse is lit again\n\n.After nine dark winters — the lamp turns. \r\nFrom the quay\rone sees it.\n";
const HTML: &str =
    "<!doctype html><html lang=\"en\"><title>x</title><p>After nine dark winters &mdash; the lamp turns.</p></html>\n";

const LIST: List<'static> = List {
    id: ("Latest news", "news.lantern.example"),
    archive_url: Some("https://lantern.example/digests/"),
    feedback_id: Some("news:daily:digest:lantern"),
};

const LINKS: Links<'static> = Links {
    unsubscribe_url: "https://lantern.example/u/0123456789abcdef",
    unsubscribe_mailto: Some("mailto:leave@lantern.example?subject=0123456789abcdef"),
    help_url: Some("https://lantern.example/preferences/0123456789abcdef"),
};

fn mailbox(name: &str, address: &str) -> Mailbox {
    // Past the door's cleaning on purpose: `name` is a public field.
    Mailbox { name: Some(name.to_owned()), address: EmailAddress::parse(address).expect("an address") }
}

fn date() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 7, 0, 0).single().expect("a date")
}

/// Everything that may vary in a test.
struct Case<'a> {
    name: &'a str,
    subject: &'a str,
    text: &'a str,
    html: &'a str,
    to: &'a str,
    kind: Kind<'a>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            name: "The Harbour Lantern",
            subject: "The lighthouse is lit again",
            text: TEXT,
            html: HTML,
            to: "reader@example.org",
            kind: Kind::Digest(LIST, LINKS),
        }
    }
}

impl Case<'_> {
    fn bytes(&self) -> Result<Vec<u8>, MessageError> {
        bytes(&Letter {
            from: &mailbox(self.name, "news@lantern.example"),
            reply_to: Some(&mailbox(self.name, "desk@lantern.example")),
            to: &mailbox(self.name, self.to),
            subject: self.subject,
            text: self.text,
            html: self.html,
            message_id: "0192f0c0-7e57-7000-8000-000000000001@lantern.example",
            date: date(),
            kind: self.kind,
        })
    }
}

/// Names of the headers before the body, in their order.
fn header_names(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let unfolded = head.replace("\r\n ", " ");
    unfolded.split("\r\n").map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

/// CRLF only, no line above `max` bytes.
fn assert_lines(message: &[u8], max: usize) {
    assert!(message.ends_with(b"\r\n"));
    for line in message.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a line that ends with CRLF");
        let shown = String::from_utf8_lossy(line);
        assert!(!line.contains(&b'\r') && !line.contains(&0), "bare CR or NUL: {shown}");
        assert!(line.len() <= max, "{} bytes: {shown}", line.len());
    }
}

const DIGEST_HEADERS: [&str; 15] = [
    "Date",
    "To",
    "Message-ID",
    "List-Unsubscribe",
    "List-Help",
    "From",
    "Reply-To",
    "Subject",
    "List-Id",
    "List-Unsubscribe-Post",
    "List-Archive",
    "Precedence",
    "Feedback-ID",
    "MIME-Version",
    "Content-Type",
];

#[test]
fn a_digest_has_every_header_once_and_a_notice_those_of_a_notice() {
    assert_eq!(header_names(&Case::default().bytes().unwrap()), DIGEST_HEADERS);
    let notice = Case { kind: Kind::Notice, ..Case::default() }.bytes().unwrap();
    let expected =
        [&DIGEST_HEADERS[..3], &DIGEST_HEADERS[5..8], &["Auto-Submitted", "MIME-Version", "Content-Type"]].concat();
    assert_eq!(header_names(&notice), expected);
}

#[test]
fn a_digest_is_these_bytes() {
    insta::assert_snapshot!(String::from_utf8(Case::default().bytes().unwrap()).unwrap().replace('\r', ""));
}

#[test]
fn another_parser_reads_what_was_written() {
    let message = Case::default().bytes().unwrap();
    let parsed = MessageParser::default().parse(&message).unwrap();
    assert_eq!(parsed.subject(), Some("The lighthouse is lit again"));
    assert_eq!(parsed.message_id(), Some("0192f0c0-7e57-7000-8000-000000000001@lantern.example"));
    assert_eq!(parsed.date().unwrap().to_timestamp(), date().timestamp());
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("The Harbour Lantern"), Some("news@lantern.example")));
    assert_eq!(parsed.parts.len(), 3);
    let text = TEXT.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    assert_eq!(parsed.body_text(0).unwrap(), text);
    assert_eq!(parsed.body_html(0).unwrap(), HTML.replace('\n', "\r\n"));
    let raw = |name: &str| parsed.header_raw(name).map(|value| value.trim().replace("\r\n ", " "));
    assert_eq!(
        raw("List-Unsubscribe").as_deref(),
        Some("<https://lantern.example/u/0123456789abcdef>, <mailto:leave@lantern.example?subject=0123456789abcdef>")
    );
    assert_eq!(raw("List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
    assert_eq!(raw("List-Id").as_deref(), Some("Latest news <news.lantern.example>"));
    assert_eq!(raw("Precedence").as_deref(), Some("bulk"));
}

#[test]
fn the_same_letter_is_the_same_bytes() {
    assert_eq!(Case::default().bytes().unwrap(), Case::default().bytes().unwrap());
}

#[test]
fn parts_take_the_shorter_encoding_and_stay_whole() {
    let russian = "Маяк снова горит. ".repeat(200);
    let long_line = "x".repeat(20_000);
    let trailing = "a \r\nb\t\r\n. \r\n--\r\n=3D\r\n";
    for (text, encoding) in [
        (russian.as_str(), "base64"),
        (long_line.as_str(), "quoted-printable"),
        (trailing, "quoted-printable"),
        ("", "quoted-printable"),
        ("one\0two\u{7}", "quoted-printable"),
    ] {
        let message = Case { text, ..Case::default() }.bytes().unwrap();
        assert_lines(&message, 76);
        let parsed = MessageParser::default().parse(&message).unwrap();
        let first = &parsed.parts[parsed.text_body[0] as usize];
        let header = first.headers.iter().find(|header| header.name() == "Content-Transfer-Encoding").unwrap();
        let HeaderValue::Text(found) = &header.value else { panic!("{header:?}") };
        assert_eq!(found, encoding);
        assert_eq!(parsed.body_text(0).unwrap(), text.replace(['\0', '\u{7}'], ""));
    }
}

/// Names and subjects as nobody should write them.
fn hostile() -> Vec<String> {
    let mut corpus: Vec<String> = [
        "a\r\nBcc: victim@example.org",
        "a\nBcc: victim@example.org",
        "a\rBcc: victim@example.org",
        "\r\n\r\n<script>alert(1)</script>",
        "a\r\n\tfolded",
        "a\0b",
        "\0",
        "a\u{2028}Bcc: victim@example.org",
        "a\u{2029}b",
        "a\u{85}b",
        "\u{202e}gro.elpmaxe@live",
        "\u{2066}a\u{2069}",
        "\u{200e}\u{200f}",
        "a\u{b}b\u{c}c",
        "\u{1b}[31mred",
        "\u{7f}",
        "\u{feff}bom",
        "=?utf-8?Q?=0D=0ABcc:_x?=",
        "=?utf-8?B?DQpCY2M6IHg=?=",
        "=?utf-8?Q?unfinished",
        "?=",
        "=?=?=?=",
        "\"quoted\"",
        "back\\slash \\\" quote",
        "<evil@example.org>",
        "a <b@example.org>, c",
        "a, b; c: d",
        "(comment)",
        "[1.2.3.4]",
        "@",
        ".",
        "",
        "   ",
        "👩‍👩‍👧‍👦 🗼🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "Ещё не всё: маяк снова горит после девяти тёмных зим, и это видно с причала",
        "灯台が再び灯った。九つの暗い冬の後、ランプは回る。港の人々はそれを見て喜んだ。",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}",
        "\u{fffd}\u{fffe}\u{ffff}",
        "--=_0192f0c07e57700080000000000000",
        ": leading colon",
    ]
    .map(str::to_owned)
    .to_vec();
    corpus.extend([
        "x".repeat(10_240),
        "é".repeat(10_240),
        "🗼".repeat(2_560),
        "word ".repeat(2_048),
        format!("{}é", "a".repeat(300)),
    ]);
    corpus
}

#[test]
fn hostile_names_and_subjects_never_add_a_header() {
    let corpus = hostile();
    assert!(corpus.len() >= 40);
    for text in &corpus {
        let shown: String = text.chars().take(60).collect();
        let kind = Kind::Digest(
            List { id: (text, LIST.id.1), archive_url: None, feedback_id: None },
            Links { unsubscribe_mailto: None, help_url: None, ..LINKS },
        );
        let message = Case { name: text, subject: text, kind, ..Case::default() }.bytes().unwrap();
        let expected: Vec<_> = DIGEST_HEADERS
            .into_iter()
            .filter(|name| !["List-Archive", "List-Help", "Feedback-ID"].contains(name))
            .collect();
        assert_eq!(header_names(&message), expected, "{shown:?}");
        assert!(message.is_ascii(), "{shown:?}");
        assert_lines(&message, 76);
        let parsed = MessageParser::default().parse(&message).unwrap();
        for list in [parsed.from(), parsed.to(), parsed.reply_to()] {
            let list: Vec<_> = list.unwrap().iter().map(|one| one.address().unwrap_or_default().to_owned()).collect();
            assert_eq!(list.len(), 1, "{shown:?} {list:?}");
            assert!(list[0].ends_with("@lantern.example") || list[0] == "reader@example.org", "{shown:?} {list:?}");
        }
        assert!(parsed.bcc().is_none());
    }
}

#[test]
fn names_and_subjects_are_read_back_as_they_are() {
    for text in [
        "Mara Quill",
        "O'Neill & Søn, Ltd.",
        "\"quoted\" back\\slash",
        "=?utf-8?Q?x?=",
        "Ещё не всё: маяк снова горит после девяти тёмных зим",
        "灯台が再び灯った",
        "👩‍👩‍👧‍👦 🗼",
        "a, b; c: d <e@f.example>",
    ] {
        let message = Case { name: text, subject: text, ..Case::default() }.bytes().unwrap();
        let parsed = MessageParser::default().parse(&message).unwrap();
        assert_eq!(parsed.subject(), Some(text));
        assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some(text));
    }
}

proptest! {
    #[test]
    fn any_name_and_subject_keep_the_headers(name in any::<String>(), subject in any::<String>()) {
        let message = Case { name: &name, subject: &subject, ..Case::default() }.bytes().unwrap();
        prop_assert_eq!(header_names(&message), DIGEST_HEADERS);
        assert_lines(&message, 76);
        let parsed = MessageParser::default().parse(&message).unwrap();
        prop_assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("reader@example.org"));
    }

    #[test]
    fn any_text_comes_through(text in "(?s)[ -~\n\t\u{a0}-\u{2000}]{0,2000}") {
        let message = Case { text: &text, ..Case::default() }.bytes().unwrap();
        let parsed = MessageParser::default().parse(&message).unwrap();
        prop_assert_eq!(parsed.body_text(0).unwrap(), text.replace('\n', "\r\n"));
    }
}

#[test]
fn identifiers_that_do_not_fit_are_an_error_and_never_a_header() {
    let with = |unsubscribe_url: &str, id: &str, feedback: &str| {
        let kind = Kind::Digest(
            List { id: ("x", id), archive_url: None, feedback_id: Some(feedback) },
            Links { unsubscribe_url, unsubscribe_mailto: None, help_url: None },
        );
        Case { kind, ..Case::default() }.bytes().map(drop)
    };
    let (url, id, feedback) = ("https://a.example/u", "news.a.example", "a:b:c:d");
    assert!(with(url, id, feedback).is_ok());
    for bad in ["", "https://", "javascript:x", "https://a.example/\r\nBcc: x", "https://a.example/>x", "https://é/"] {
        assert!(matches!(with(bad, id, feedback), Err(MessageError::Header("List-Unsubscribe"))), "{bad}");
    }
    assert!(matches!(with(url, "a b", feedback), Err(MessageError::Header("List-Id"))));
    assert!(matches!(with(url, id, "a\r\nb"), Err(MessageError::Header("Feedback-ID"))));
    assert!(with(&format!("https://a.example/{}", "x".repeat(900)), id, feedback).is_err());
}

#[test]
fn an_address_that_is_not_ascii_stands_in_its_header_as_it_is() {
    let message = Case { to: "用户@例え.example", ..Case::default() }.bytes().unwrap();
    let text = String::from_utf8(message).unwrap();
    assert!(text.contains("To: The Harbour Lantern <用户@xn--r8jz45g.example>\r\n"), "{text}");
}
