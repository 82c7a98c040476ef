//! E-mail addresses and mailboxes, checked once where they come in (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! What mail could carry but no reader types is refused: quoted local parts, comments, IP literals, hosts without a dot.
//! This module does not know whether an address exists; only a relay can say that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::one_line;
use crate::problem::{is_deceptive, printable};

/// Longest local part in bytes (RFC 5321 §4.5.3.1.1).
const LOCAL_MAX_BYTES: usize = 64;

/// Longest address in bytes: the 256 of a path (RFC 5321 §4.5.3.1.3) without its angle brackets.
const ADDRESS_MAX_BYTES: usize = 254;

/// An address that mail can be sent to, as it goes over the wire: local part as written, domain lower-case in A-labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress {
    text: String,
    /// Where `@` stands in `text`.
    at: usize,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Nothing was written.
    #[error("the address is empty")]
    Empty,
    /// No `@`.
    #[error("the address has no @")]
    NoAt,
    /// More than one `@`.
    #[error("the address has more than one @")]
    SeveralAts,
    /// Nothing before the `@`.
    #[error("nothing stands before the @")]
    NoLocalPart,
    /// More than 64 bytes before the `@`.
    #[error("the part before the @ is longer than {LOCAL_MAX_BYTES} bytes")]
    LocalPartTooLong,
    /// A quoted local part.
    #[error("the part before the @ is in quotation marks")]
    Quoted,
    /// A dot at an end, or two in a row.
    #[error("a dot stands at the start or the end of the part before the @, or twice in a row")]
    Dots,
    /// A character that an address cannot have.
    #[error("the address has a character that does not belong in it: \"{}\"", printable(&.0.to_string()))]
    Character(char),
    /// Nothing after the `@`.
    #[error("nothing stands after the @")]
    NoDomain,
    /// `user@[192.0.2.1]` or `user@192.0.2.1`.
    #[error("an IP address stands after the @")]
    IpAddress,
    /// `user@localhost`.
    #[error("the part after the @ has no dot")]
    NoDot,
    /// Not a host name (RFC 1123, RFC 5891).
    #[error("the part after the @ is not a domain name: \"{}\"", printable(.0))]
    Domain(String),
    /// More than 254 bytes in all.
    #[error("the address is longer than {ADDRESS_MAX_BYTES} bytes")]
    TooLong,
    /// A mailbox whose angle brackets do not pair.
    #[error("the angle brackets around the address do not pair")]
    Brackets,
}

impl AddressFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::NoAt | Self::NoLocalPart | Self::NoDomain => {
                "write a whole address, such as name@example.org"
            }
            Self::SeveralAts => "write one address only",
            Self::LocalPartTooLong | Self::TooLong => {
                "no mail server takes an address that long: is it a typing error?"
            }
            Self::Quoted => "quoted addresses are not supported: use another address",
            Self::Dots => "check the dots before the @",
            Self::Character(c) if c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';') => {
                "write only the address here: no name, no blanks, no brackets"
            }
            Self::Character(_) => "leave that character out",
            Self::IpAddress => "write a domain name after the @, such as example.org",
            Self::NoDot => "write the whole domain name, such as example.org",
            Self::Domain(_) => "check the domain name for typing errors",
            Self::Brackets => "write it as: Name <name@example.org>",
        }
    }
}

impl EmailAddress {
    /// The address in `text`, white space around it ignored.
    ///
    /// # Errors
    /// The first reason why it is not an address that mail can be sent to.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressFault::Empty);
        }
        if text.starts_with('"') {
            return Err(AddressFault::Quoted);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressFault::NoAt)?;
        if domain.contains('@') {
            return Err(AddressFault::SeveralAts);
        }
        check_local(local)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > ADDRESS_MAX_BYTES {
            return Err(AddressFault::TooLong);
        }
        Ok(Self { text: format!("{local}@{domain}"), at: local.len() })
    }

    /// The address as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, as it was written.
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain: lower-case, A-labels (RFC 5890 §2.3.2.1).
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Whether only a relay that offers SMTPUTF8 (RFC 6531) can take it: its local part is not ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }

    /// What is unique to a reader and what rates count by: the address in lower case.
    ///
    /// A local part may in theory tell case apart (RFC 5321 §2.4); no provider of note does.
    pub fn key(&self) -> String {
        self.text.to_lowercase()
    }

    /// The same for finding one person behind many addresses: without `+tag`, and at Gmail, which ignores them, without dots.
    pub fn alias_key(&self) -> String {
        let local = self.local_part().to_lowercase();
        let local = match local.split_once('+') {
            Some((name, _)) if !name.is_empty() => name,
            _ => &local,
        };
        match self.domain() {
            "gmail.com" | "googlemail.com" => format!("{}@gmail.com", local.replace('.', "")),
            domain => format!("{local}@{domain}"),
        }
    }
}

/// RFC 5321 §4.1.2 `Dot-string`, its atoms widened by RFC 6531 §3.3.
fn check_local(local: &str) -> Result<(), AddressFault> {
    if local.is_empty() {
        return Err(AddressFault::NoLocalPart);
    }
    if let Some(c) = local.chars().find(|c| *c != '.' && !is_atom(*c)) {
        return Err(AddressFault::Character(c));
    }
    if local.len() > LOCAL_MAX_BYTES {
        return Err(AddressFault::LocalPartTooLong);
    }
    if local.split('.').any(str::is_empty) {
        return Err(AddressFault::Dots);
    }
    Ok(())
}

/// `atext` of RFC 5322 §3.2.3 as RFC 6532 §3.2 widens it, without what nobody can see or that turns the line around.
fn is_atom(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    }
    let invisible = matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2064}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFD}' | '\u{E0000}'..='\u{E0FFF}');
    let private = matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}');
    let noncharacter = (c as u32) & 0xFFFE == 0xFFFE || matches!(c, '\u{FDD0}'..='\u{FDEF}');
    !(c.is_whitespace() || is_deceptive(c) || invisible || private || noncharacter)
}

/// The domain in lower-case A-labels (RFC 5891 §4), with a dot, and not an IP address.
fn ascii_domain(domain: &str) -> Result<String, AddressFault> {
    if domain.is_empty() {
        return Err(AddressFault::NoDomain);
    }
    if domain.starts_with('[') {
        return Err(AddressFault::IpAddress);
    }
    if let Some(c) = domain.chars().find(|c| c.is_whitespace() || is_deceptive(*c) || "<>,;\"()".contains(*c)) {
        return Err(AddressFault::Character(c));
    }
    let wrong = || AddressFault::Domain(domain.chars().take(80).collect());
    // Far above any name, far below what makes the conversion slow.
    if domain.len() > 4 * ADDRESS_MAX_BYTES {
        return Err(AddressFault::TooLong);
    }
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| wrong())?;
    let mut labels = ascii.rsplit('.');
    let top = labels.next().unwrap_or_default();
    if ascii.split('.').any(str::is_empty) {
        return Err(wrong());
    }
    if labels.next().is_none() {
        return Err(AddressFault::NoDot);
    }
    // No top-level domain is all digits (RFC 3696 §2): this is an IPv4 address or a part of one.
    if top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressFault::IpAddress);
    }
    Ok(ascii)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EmailAddress {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        Self::parse(text)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = AddressFault;

    fn try_from(text: String) -> Result<Self, AddressFault> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.text
    }
}

/// An address with the name of who is behind it (RFC 5322 §3.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// Name as it is shown, if any.
    pub name: Option<String>,
    /// Address.
    pub address: EmailAddress,
}

impl Mailbox {
    /// A mailbox; the name becomes one line of clean text, and none if nothing is left of it.
    pub fn new(name: Option<&str>, address: EmailAddress) -> Self {
        Self { name: name.map(one_line).filter(|name| !name.is_empty()), address }
    }

    /// The mailbox in `Name <address>`, `"Name" <address>`, `<address>` or a bare address.
    ///
    /// # Errors
    /// The first reason why it is none of these.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let text = text.trim();
        let Some(inner) = text.strip_suffix('>') else {
            if text.contains('<') {
                return Err(AddressFault::Brackets);
            }
            return Ok(Self { name: None, address: EmailAddress::parse(text)? });
        };
        let (name, address) = inner.rsplit_once('<').ok_or(AddressFault::Brackets)?;
        let name = name.trim();
        let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(quoted) => unquote(quoted),
            None if name.contains(['<', '>']) => return Err(AddressFault::Brackets),
            None => name.to_owned(),
        };
        Ok(Self::new(Some(&name), EmailAddress::parse(address)?))
    }
}

/// The content of a quoted string (RFC 5322 §3.2.4), its backslashes resolved.
fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => self.address.fmt(f),
            Some(name) if name.contains(['"', '\\', '<', '>', ',', ';', ':', '@', '(', ')', '[', ']']) => {
                write!(f, "\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address)
            }
            Some(name) => write!(f, "{name} <{}>", self.address),
        }
    }
}

impl FromStr for Mailbox {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Mailbox {
    type Error = AddressFault;

    fn try_from(text: String) -> Result<Self, AddressFault> {
        Self::parse(&text)
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_becomes_a_labels_and_lower_case_and_the_local_part_stays() {
        let address = EmailAddress::parse(" Mara.Quill@Bücher.Example ").unwrap();
        assert_eq!(address.as_str(), "Mara.Quill@xn--bcher-kva.example");
        assert_eq!(address.domain(), "xn--bcher-kva.example");
        assert_eq!(address.local_part(), "Mara.Quill");
        assert!(!address.needs_smtputf8());
        assert!(EmailAddress::parse("用户@example.org").unwrap().needs_smtputf8());
    }

    #[test]
    fn good_addresses_are_taken() {
        let long_local = "a".repeat(64);
        let long = format!("{long_local}@{}.example", ["b".repeat(60), "c".repeat(60), "d".repeat(59)].join("."));
        assert_eq!(long.len(), 254);
        for text in [
            "a@b.example",
            "first.last+tag@sub.example.org",
            "o'neill@example.org",
            "!#$%&'*+-/=?^_`{|}~@example.org",
            "-a-@example.org",
            "123@456.example",
            "user@xn--bcher-kva.example",
            "user@EXAMPLE.org",
            "用户@例え.example",
            "josé@example.org",
            "\t user@example.org \r\n",
            &long,
        ] {
            assert!(EmailAddress::parse(text).is_ok(), "{text}: {:?}", EmailAddress::parse(text));
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_their_reason() {
        use AddressFault as F;
        let wrong_domain = |domain: &str| F::Domain(domain.to_owned());
        let label = "b".repeat(64);
        let long_label = format!("a@{label}.example");
        let too_long =
            format!("{}@{}.example", "a".repeat(64), ["b".repeat(60), "c".repeat(60), "d".repeat(60)].join("."));
        let endless = format!("a@{}", "b.".repeat(5000));
        let long_local = format!("{}@example.org", "a".repeat(65));
        for (text, fault) in [
            ("", F::Empty),
            (" \t ", F::Empty),
            ("example.org", F::NoAt),
            ("a@b@example.org", F::SeveralAts),
            ("@example.org", F::NoLocalPart),
            ("a@", F::NoDomain),
            (".a@example.org", F::Dots),
            ("a.@example.org", F::Dots),
            ("a..b@example.org", F::Dots),
            ("\"a b\"@example.org", F::Quoted),
            ("a b@example.org", F::Character(' ')),
            ("a@exam ple.org", F::Character(' ')),
            ("Mara <a@example.org>", F::Character(' ')),
            ("<a@example.org>", F::Character('<')),
            ("a,b@example.org", F::Character(',')),
            ("a(b)@example.org", F::Character('(')),
            ("a\r\nBcc:@example.org", F::Character('\r')),
            ("a@example.org\nx", F::Character('\n')),
            ("a\0@example.org", F::Character('\0')),
            ("a\u{202e}b@example.org", F::Character('\u{202e}')),
            ("a\u{200b}b@example.org", F::Character('\u{200b}')),
            ("a\u{e000}b@example.org", F::Character('\u{e000}')),
            ("a@[192.0.2.1]", F::IpAddress),
            ("a@192.0.2.1", F::IpAddress),
            ("a@localhost", F::NoDot),
            ("a@.example", wrong_domain(".example")),
            ("a@example..org", wrong_domain("example..org")),
            ("a@example.org.", wrong_domain("example.org.")),
            ("a@-example.org", wrong_domain("-example.org")),
            ("a@exa_mple.org", wrong_domain("exa_mple.org")),
            ("a@xn--zzzzzz.example", wrong_domain("xn--zzzzzz.example")),
            (&long_label, wrong_domain(&format!("{label}.example"))),
            (&too_long, F::TooLong),
            (&endless, F::TooLong),
            (&long_local, F::LocalPartTooLong),
        ] {
            let found = EmailAddress::parse(text);
            assert_eq!(found, Err(fault), "{text:?}");
            let fault = found.unwrap_err();
            assert!(!fault.to_string().contains(char::is_control) && !fault.hint().is_empty());
        }
    }

    #[test]
    fn keys_fold_case_and_alias_keys_fold_tags_and_dots() {
        let key = |text| EmailAddress::parse(text).unwrap().key();
        let alias = |text| EmailAddress::parse(text).unwrap().alias_key();
        assert_eq!(key("Ana+News@Example.org"), "ana+news@example.org");
        assert_eq!(alias("Ana+News@Example.org"), "ana@example.org");
        assert_eq!(alias("A.N.A+x@googlemail.com"), "ana@gmail.com");
        assert_eq!(alias("a.n.a@example.org"), "a.n.a@example.org");
        assert_eq!(alias("+x@example.org"), "+x@example.org");
    }

    #[test]
    fn addresses_serialise_as_text_and_are_parsed_on_the_way_in() {
        let address = EmailAddress::parse("ana@example.org").unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"ana@example.org\"");
        assert_eq!(serde_json::from_str::<EmailAddress>("\"ana@example.org\"").unwrap(), address);
        assert!(serde_json::from_str::<EmailAddress>("\"ana\"").is_err());
    }

    #[test]
    fn a_mailbox_is_read_back_as_it_was_written() {
        for (text, name) in [
            ("The Harbour Lantern <news@lantern.example>", Some("The Harbour Lantern")),
            ("\"Quill, Mara \\\"MQ\\\"\" <news@lantern.example>", Some("Quill, Mara \"MQ\"")),
            ("<news@lantern.example>", None),
            ("news@lantern.example", None),
            ("\"a <b@c.example>\" <news@lantern.example>", Some("a <b@c.example>")),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.name.as_deref(), name, "{text}");
            assert_eq!(mailbox.address.as_str(), "news@lantern.example");
            assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
        }
        for text in ["a <b@example.org", "a <b@example.org> c", "a b@example.org>", "a <x> <b@example.org>", "<>"] {
            assert!(Mailbox::parse(text).is_err(), "{text}");
        }
    }
}
