//! Where reports on what was sent come in, and when an address is given up for them.
//!
//! ```toml
//! [reports]
//! maildir = "/var/mail/bounces"
//!
//! [suppression]
//! soft_bounces = 4
//! over = "7d"
//! ```

use std::path::PathBuf;

use serde::Deserialize;

use super::Secret;
use super::span::{SPAN_HINT, Span};
use super::written::{Number, Reader, Text};
use crate::domain::address::EmailAddress;
use crate::domain::link::BounceToken;
use crate::domain::relay::Tls;
use crate::domain::report::SoftRule;

/// Where reports come in besides the command line.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    /// A Maildir that is looked into.
    pub maildir: Option<PathBuf>,
    /// A mailbox that is looked into.
    pub imap: Option<Imap>,
    /// Amazon SES by way of SNS.
    pub ses: Option<Ses>,
    /// SendGrid's Event Webhook.
    pub sendgrid: Option<SendGrid>,
    /// Mailgun's webhooks.
    pub mailgun: Option<Mailgun>,
    /// Postmark's webhooks.
    pub postmark: Option<Postmark>,
}

/// A mailbox on an IMAP server.
#[derive(Debug, Clone)]
pub struct Imap {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is secured: never [`Tls::Opportunistic`].
    pub tls: Tls,
    /// Who reads it.
    pub user: String,
    /// Their password.
    pub password: Secret,
    /// Folder.
    pub folder: String,
    /// PEM file of a certificate authority to trust besides those of the system.
    pub authority: Option<PathBuf>,
}

/// Whose notifications from Amazon SNS are believed.
#[derive(Debug, Clone)]
pub struct Ses {
    /// The topic's ARN; nothing from another topic is looked at.
    pub topic: String,
    /// The certificates that SNS signs with, in PEM.
    pub certificates: String,
}

/// Whose events from SendGrid are believed.
#[derive(Debug, Clone)]
pub struct SendGrid {
    /// The verification key as SendGrid shows it: base64 of its DER form.
    pub public_key: String,
}

/// Whose events from Mailgun are believed.
#[derive(Debug, Clone)]
pub struct Mailgun {
    /// The HTTP webhook signing key.
    pub signing_key: Secret,
}

/// Whose events from Postmark are believed.
#[derive(Debug, Clone)]
pub struct Postmark {
    /// The name in the webhook's URL.
    pub user: String,
    /// The password in the webhook's URL.
    pub password: Secret,
}

/// `[reports]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenReports {
    maildir: Option<PathBuf>,
    imap: Option<WrittenImap>,
    ses: Option<WrittenSes>,
    sendgrid: Option<WrittenSendGrid>,
    mailgun: Option<WrittenMailgun>,
    postmark: Option<WrittenPostmark>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenImap {
    host: Text,
    port: Option<Number<u16>>,
    tls: Text,
    user: Text,
    password: Text,
    password_file: Option<PathBuf>,
    folder: Text,
    authority_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSes {
    topic: Text,
    certificate_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSendGrid {
    public_key: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenMailgun {
    signing_key: Text,
    signing_key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenPostmark {
    user: Text,
    password: Text,
    password_file: Option<PathBuf>,
}

/// `[suppression]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSuppression {
    soft_bounces: Option<Number<u32>>,
    over: Text,
}

impl Reader<'_> {
    /// The address that bounces go to. A token has to fit into it, and every mail server has to take it.
    pub(super) fn bounces(&mut self, text: Text) -> Option<EmailAddress> {
        const HINT: &str = "write an address of your own for it, such as bounces@bounces.example.org";
        /// RFC 5321 §4.5.3.1.1 and §4.5.3.1.3, less the angle brackets.
        const LOCAL_MAX: usize = 64;
        const ADDRESS_MAX: usize = 254;
        let span = text.clone();
        let address: EmailAddress = self.parsed(text, "mail.bounces", HINT)?;
        let longest = with_token(&address, &"a".repeat(BounceToken::CHARACTERS));
        let local = longest.len() - 1 - address.domain().len();
        if !address.local_part().is_ascii() {
            self.complain(span.as_ref(), "mail.bounces has letters that not every mail server takes".into(), HINT);
        } else if address.local_part().contains('*') && address.local_part() != "*" {
            self.complain(
                span.as_ref(),
                "mail.bounces has a * among other letters".into(),
                "write *@bounces.example.org where the whole domain is yours for this, or bounces@bounces.example.org",
            );
        } else if local > LOCAL_MAX || longest.len() > ADDRESS_MAX {
            self.complain(
                span.as_ref(),
                format!("mail.bounces is too long: with its token {local} characters stand before the @, and 64 may"),
                &format!("write at most {} characters before the @", LOCAL_MAX - BounceToken::CHARACTERS - 1),
            );
        } else {
            return Some(address);
        }
        None
    }

    pub(super) fn suppression(&mut self, written: WrittenSuppression) -> SoftRule {
        let usual = SoftRule::default();
        let over = self.parsed::<Span>(written.over, "suppression.over", SPAN_HINT);
        SoftRule {
            events: written.soft_bounces.map_or(usual.events, |number| number.0.max(1)),
            over: over.map_or(usual.over, Span::delta),
        }
    }

    pub(super) fn reports(&mut self, written: WrittenReports) -> Reports {
        Reports {
            maildir: written.maildir.map(|folder| self.root.join(folder)),
            imap: written.imap.and_then(|imap| self.imap(imap)),
            ses: written.ses.and_then(|ses| self.ses(ses)),
            sendgrid: written.sendgrid.and_then(|sendgrid| {
                let hint = "copy the verification key of the Signed Event Webhook";
                let public_key = self.needed(sendgrid.public_key, "reports.sendgrid.public_key", hint)?;
                Some(SendGrid { public_key })
            }),
            mailgun: written.mailgun.and_then(|mailgun| {
                let key = "reports.mailgun.signing_key_file";
                let signing_key = self.secret(mailgun.signing_key, mailgun.signing_key_file.as_deref(), key);
                Some(Mailgun { signing_key: self.needed_secret(signing_key, key)? })
            }),
            postmark: written.postmark.and_then(|postmark| {
                let key = "reports.postmark.password_file";
                let user = self.needed(postmark.user, "reports.postmark.user", "it stands in the webhook's URL");
                let password = self.secret(postmark.password, postmark.password_file.as_deref(), key);
                Some(Postmark { password: self.needed_secret(password, key)?, user: user? })
            }),
        }
    }

    fn needed(&mut self, text: Text, key: &str, hint: &str) -> Option<String> {
        let text = text.map(|text| text.into_inner().trim().to_owned()).filter(|text| !text.is_empty());
        if text.is_none() {
            self.complain(None, format!("{key} is missing"), hint);
        }
        text
    }

    fn needed_secret(&mut self, secret: Option<Secret>, key: &str) -> Option<Secret> {
        let secret = secret.filter(|secret| !secret.reveal().is_empty());
        if secret.is_none() {
            self.complain(None, format!("{key} is missing or empty"), "the file holds the secret and nothing else");
        }
        secret
    }

    fn imap(&mut self, written: WrittenImap) -> Option<Imap> {
        let tls = match written.tls.as_ref().map(|tls| tls.get_ref().as_str()) {
            None | Some("implicit") => Tls::Implicit,
            Some("required") => Tls::Required,
            Some("none") => Tls::None,
            Some(other) => {
                let other = format!("reports.imap.tls is not understood: {other:?}");
                self.complain(written.tls.as_ref(), other, "write implicit, required or none");
                return None;
            }
        };
        let host = self.needed(written.host, "reports.imap.host", "write host = \"imap.example.org\"");
        let user = self.needed(written.user, "reports.imap.user", "write whose mailbox it is");
        let password = self.secret(written.password, written.password_file.as_deref(), "reports.imap.password_file");
        let password = self.needed_secret(password, "reports.imap.password_file");
        let (host, user, password) = (host?, user?, password?);
        // For a test's server on this machine nothing goes over a wire.
        if tls == Tls::None && !matches!(host.as_str(), "127.0.0.1" | "::1" | "localhost") {
            self.complain(
                written.tls.as_ref(),
                "a password would go over the wire in clear".into(),
                "set reports.imap.tls to implicit or required",
            );
            return None;
        }
        Some(Imap {
            host,
            // RFC 8314 §3.2 and RFC 9051 §2.1.
            port: written.port.map_or(if tls == Tls::Implicit { 993 } else { 143 }, |port| port.0),
            tls,
            user,
            password,
            folder: written.folder.map_or_else(|| "INBOX".to_owned(), toml::Spanned::into_inner),
            authority: written.authority_file.map(|file| self.root.join(file)),
        })
    }

    fn ses(&mut self, written: WrittenSes) -> Option<Ses> {
        let hint = "write the topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:bounces";
        let topic = self.needed(written.topic, "reports.ses.topic", hint);
        let key = "reports.ses.certificate_file";
        let certificates = self.secret(None, written.certificate_file.as_deref(), key);
        let certificates = certificates.map(|text| text.reveal().to_owned());
        if certificates.as_deref().is_none_or(|text| !text.contains("-----BEGIN CERTIFICATE-----")) {
            self.complain(
                None,
                format!("{key} holds no certificate"),
                "save what SigningCertURL of one of the topic's messages leads to, in PEM",
            );
            return None;
        }
        Some(Ses { topic: topic?, certificates: certificates? })
    }
}

/// The envelope sender of one message: `bounces@…` becomes `bounces+TOKEN@…`, and `*@…` becomes `TOKEN@…`.
pub fn with_token(bounces: &EmailAddress, token: &str) -> String {
    match bounces.local_part() {
        "*" => format!("{token}@{}", bounces.domain()),
        local => format!("{local}+{token}@{}", bounces.domain()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn config(more: &str) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let least = "[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n";
        std::fs::write(dir.path().join("config.toml"), format!("{least}{more}")).unwrap();
        std::fs::write(dir.path().join("secret"), "canary\n").unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        Config::load(dir.path(), []).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_token_stands_after_a_plus_or_takes_the_place_of_a_star() {
        for (written, expected) in [
            ("bounces@b.example", "bounces+t@b.example"),
            ("*@b.example", "t@b.example"),
            ("a+b@b.example", "a+b+t@b.example"),
            ("bounces@bücher.example", "bounces+t@xn--bcher-kva.example"),
        ] {
            let config = config(&format!("[mail]\nbounces = \"{written}\"\n")).unwrap();
            assert_eq!(super::with_token(&config.mail.bounces.unwrap(), "t"), expected);
        }
        assert!(config("").unwrap().mail.bounces.is_none());
    }

    #[test]
    fn an_address_that_no_token_fits_into_is_a_fault() {
        assert!(config("[mail]\nbounces = \"elevencharacters@b.example\"\n").unwrap_err()[0].contains("at most 11"));
        assert!(config("[mail]\nbounces = \"elevenchars@b.example\"\n").is_ok());
        let long = format!("{}.example", vec!["a".repeat(63); 3].join("."));
        for wrong in ["b", "b*@b.example", "bücher@b.example", &format!("bounces@{long}")] {
            let faults = config(&format!("[mail]\nbounces = \"{wrong}\"\n")).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains("config.toml:5: mail.bounces"), "{faults:?}");
        }
    }

    #[test]
    fn every_way_in_has_its_section() {
        let config = config(
            "[reports]\nmaildir = \"bounces\"\n\
             [reports.imap]\nhost = \"imap.b.example\"\nuser = \"u\"\npassword_file = \"secret\"\n\
             [reports.sendgrid]\npublic_key = \"MFkw\"\n\
             [reports.mailgun]\nsigning_key_file = \"secret\"\n\
             [reports.postmark]\nuser = \"u\"\npassword = \"canary\"\n\
             [suppression]\nsoft_bounces = 3\nover = \"2w\"\n",
        )
        .unwrap();
        assert!(config.reports.maildir.as_ref().unwrap().ends_with("bounces"));
        let imap = config.reports.imap.as_ref().unwrap();
        assert_eq!((imap.port, imap.folder.as_str()), (993, "INBOX"));
        assert_eq!((config.soft_bounces.events, config.soft_bounces.over.num_days()), (3, 14));
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn what_a_way_in_lacks_is_named() {
        for (written, missing) in [
            ("[reports]\nmaildr = \"x\"\n", "did you mean `maildir`?"),
            ("[reports.imap]\nhost = \"h.example\"\nuser = \"u\"\n", "reports.imap.password_file"),
            (
                "[reports.imap]\nhost = \"h.example\"\nuser = \"u\"\npassword = \"p\"\ntls = \"none\"\n",
                "over the wire in clear",
            ),
            ("[reports.imap]\nhost = \"h.example\"\nuser = \"u\"\npassword = \"p\"\ntls = \"maybe\"\n", "implicit"),
            ("[reports.mailgun]\nsigning_key_file = \"empty\"\n", "missing or empty"),
            ("[reports.mailgun]\n", "missing or empty"),
            ("[reports.postmark]\npassword = \"p\"\n", "reports.postmark.user"),
            ("[reports.sendgrid]\n", "reports.sendgrid.public_key"),
            ("[reports.ses]\ntopic = \"t\"\ncertificate_file = \"secret\"\n", "holds no certificate"),
            ("[suppression]\nover = \"7\"\n", "suppression.over"),
        ] {
            let faults = config(written).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(missing), "{written}: {faults:?}");
        }
    }
}
