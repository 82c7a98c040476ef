//! DKIM signatures over finished messages (RFC 6376, RFC 8301, RFC 8463).
//!
//! lettre's own signer folds `b=` after it has hashed it and cannot sign a field twice, so the bytes that go out are
//! signed here. Always relaxed/relaxed and the whole body: no `l=`. A field that is signed once more than it occurs
//! ("oversigned", RFC 6376 §8.15) cannot be added on the way.
//!
//! The message has CRLF line ends only, as [`super::message::bytes`] makes it. No I/O and no clock here.

mod canonical;
mod key;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::domain::address::EmailAddress;

pub use key::{Key, KeyFault, Strength};

/// Fields that a message has once at most: signed once more than they occur, absent ones too.
const ONCE: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that are signed, once more than they occur, where they do: a forwarding list may add its own to others.
const WHERE_PRESENT: [&str; 8] = [
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Help",
    "List-Archive",
    "Feedback-ID",
    "Precedence",
    "Auto-Submitted",
];

/// Longest line of a signature's header, without its CRLF.
const LINE_MAX: usize = 76;

/// The key refused to sign: the machine is out of memory, or the like.
#[derive(Debug, thiserror::Error)]
#[error("the DKIM key {selector} of {domain} cannot sign")]
pub struct SignFault {
    selector: String,
    domain: String,
}

/// One signature: a domain's key, published under a selector.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
    /// The signature's first lines, which are always the same.
    head: String,
}

impl Signer {
    /// `domain` is a host name in A-labels, `selector` one or more labels; the record of `key` stands at
    /// [`record_name`].
    pub fn new(domain: &str, selector: &str, key: Key) -> Self {
        let head = format!(
            "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n d={domain};\r\n s={selector}; t=",
            key.algorithm()
        );
        Self { domain: domain.to_owned(), selector: selector.to_owned(), key, head }
    }

    /// Whether DMARC takes its signature for one of the sender's (RFC 7489 §3.1.1): its domain is the sender's own or
    /// one above it.
    pub fn aligns_with(&self, from: &EmailAddress) -> bool {
        aligns(&self.domain, from)
    }

    /// The domain that signs.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Kind and size of its key.
    pub fn strength(&self) -> Strength {
        self.key.strength()
    }

    /// Name and text of the DNS record that it is checked against.
    pub fn record(&self) -> (String, &str) {
        (record_name(&self.domain, &self.selector), self.key.record())
    }

    /// The header, its `b=` over the fields hashed so far and over itself.
    fn header(&self, hashed: &Context, at: i64, names: &str, body: &str) -> Result<String, SignFault> {
        let mut header = String::with_capacity(1500);
        header.push_str(&self.head);
        header.push_str(&at.to_string());
        header.push_str(";\r\n h=");
        fold(&mut header, names.split_inclusive(':'));
        header.push_str(";\r\n bh=");
        header.push_str(body);
        header.push_str(";\r\n b=");
        let mut hashed = hashed.clone();
        // RFC 6376 §3.7: itself last, with an empty `b=` and without a line end.
        let mut own = Vec::with_capacity(header.len());
        canonical::field(header.as_bytes(), &mut own);
        hashed.update(own.strip_suffix(b"\r\n").unwrap_or(&own));
        let signature = self
            .key
            .sign(&hashed.finish())
            .ok_or_else(|| SignFault { selector: self.selector.clone(), domain: self.domain.clone() })?;
        let signature = STANDARD.encode(signature);
        fold(&mut header, signature.split_inclusive(|_: char| true));
        header.push_str("\r\n");
        Ok(header)
    }
}

/// Where the record of a selector stands (RFC 6376 §3.6.2.1).
pub fn record_name(domain: &str, selector: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// Whether `domain` is that of the address, or one above it.
pub fn aligns(domain: &str, from: &EmailAddress) -> bool {
    from.domain().strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Everybody who signs. Each makes a signature of its own.
#[derive(Debug, Default)]
pub struct Signers(Vec<Signer>);

impl Signers {
    /// Those who sign, in the order of their headers.
    pub fn new(signers: Vec<Signer>) -> Self {
        Self(signers)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signer> {
        self.0.iter()
    }

    /// Signature headers to put in front of a message, of all whose domain aligns with its sender; empty where none
    /// does. `at` becomes `t=`, in seconds.
    ///
    /// # Errors
    /// A key that refuses to sign.
    pub fn sign(&self, from: &EmailAddress, message: &[u8], at: DateTime<Utc>) -> Result<Vec<u8>, SignFault> {
        let mut aligned = self.0.iter().filter(|signer| signer.aligns_with(from)).peekable();
        let mut headers = Vec::new();
        if aligned.peek().is_none() {
            return Ok(headers);
        }
        let (head, body) = split(message);
        let body = STANDARD.encode(canonical::body_hash(body));
        let fields = canonical::fields(head);
        let (names, signed) = select(&fields);
        let mut hashed = Context::new(&SHA256);
        hashed.update(&signed);
        for signer in aligned {
            headers.extend_from_slice(signer.header(&hashed, at.timestamp(), &names, &body)?.as_bytes());
        }
        Ok(headers)
    }
}

/// Header fields, each with its line end, and what comes after the empty line.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memmem::find(message, b"\r\n\r\n") {
        Some(at) => (&message[..at + 2], &message[at + 4..]),
        None => (message, &[]),
    }
}

/// The value of `h=`, and the canonical fields that it names, in its order.
fn select(fields: &[&[u8]]) -> (String, Vec<u8>) {
    let mut names = String::with_capacity(600);
    let mut signed = Vec::with_capacity(2048);
    let all = ONCE.iter().map(|name| (name, true)).chain(WHERE_PRESENT.iter().map(|name| (name, false)));
    for (name, even_absent) in all {
        let mut is_present = false;
        // From the last one up (RFC 6376 §5.4.2).
        for field in fields.iter().rev().filter(|field| canonical::is_named(field, name)) {
            is_present = true;
            names.push_str(name);
            names.push(':');
            canonical::field(field, &mut signed);
        }
        if is_present || even_absent {
            names.push_str(name);
            names.push(':');
        }
    }
    names.pop();
    (names, signed)
}

/// Appends pieces, folding before one that would make its line too long.
fn fold<'a>(out: &mut String, pieces: impl Iterator<Item = &'a str>) {
    let mut line = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    for piece in pieces {
        // One more for what closes the value.
        if line + piece.len() + 1 > LINE_MAX {
            out.push_str("\r\n ");
            line = 1;
        }
        out.push_str(piece);
        line += piece.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: DateTime<Utc> = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    const MESSAGE: &[u8] = b"From: a@lantern.example\r\nTo: b@example.org\r\nList-Id: x\r\nSubject: y\r\n\r\nz\r\n";

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    fn signers(domain: &str) -> Signers {
        Signers::new(vec![
            Signer::new(domain, "one", Key::generate(Strength::Rsa(2048)).unwrap()),
            Signer::new(domain, "two", Key::generate(Strength::Ed25519).unwrap()),
        ])
    }

    #[test]
    fn each_signer_adds_a_header_of_short_lines() {
        let headers = signers("lantern.example").sign(&address("a@lantern.example"), MESSAGE, AT).unwrap();
        let text = String::from_utf8(headers).unwrap();
        assert!(text.split("\r\n").all(|line| line.len() <= LINE_MAX && !line.contains('\n')), "{text}");
        assert!(text.ends_with("\r\n"));
        let unfolded = text.replace("\r\n ", "");
        let lines: Vec<&str> = unfolded.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 2, "{unfolded}");
        assert!(
            lines[0].starts_with(
                "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;d=lantern.example;s=one; t=1700000000;\
             h=From:From:Sender:Reply-To:To:To:Cc:Subject:Subject:Date:Message-ID:MIME-Version:Content-Type:\
             Content-Transfer-Encoding:List-Id:List-Id;bh="
            ),
            "{unfolded}"
        );
        assert!(lines[1].contains("a=ed25519-sha256") && lines[1].contains("s=two;"), "{unfolded}");
    }

    #[test]
    fn only_domains_that_align_with_the_sender_sign() {
        let count = |domain: &str, from: &str| {
            let headers = signers(domain).sign(&address(from), MESSAGE, AT).unwrap();
            memchr::memmem::find_iter(&headers, b"DKIM-Signature:").count()
        };
        assert_eq!(count("lantern.example", "a@lantern.example"), 2);
        assert_eq!(count("lantern.example", "a@news.lantern.example"), 2);
        assert_eq!(count("news.lantern.example", "a@lantern.example"), 0);
        assert_eq!(count("lantern.example", "a@otherlantern.example"), 0);
    }

    #[test]
    fn the_same_message_at_the_same_time_has_the_same_signatures() {
        let signers = signers("lantern.example");
        let sign = || signers.sign(&address("a@lantern.example"), MESSAGE, AT).unwrap();
        assert_eq!(sign(), sign());
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::generate(Strength::Ed25519).unwrap();
        let secret = key.to_pem().unwrap();
        let secret = secret.lines().nth(1).unwrap().to_owned();
        let shown = format!("{:?}", Signers::new(vec![Signer::new("lantern.example", "one", key)]));
        assert!(shown.contains("Ed25519") && !shown.contains(&secret), "{shown}");
    }
}
