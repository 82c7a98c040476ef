//! `[[dkim]]`: each section is one signature in front of every message.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::written::line_at;
use crate::domain::address::{EmailAddress, Mailbox};
use crate::problem::Problem;

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dkim {
    /// The domain that signs, in A-labels.
    pub domain: String,
    /// Where its public key stands: `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// PEM file of its private key.
    pub key_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenDkim {
    selector: Option<Spanned<String>>,
    key_file: Option<PathBuf>,
    domain: Option<Spanned<String>>,
}

/// What is meant by them; `text` is the file's, for the lines of complaints.
pub(super) fn read(
    written: Vec<WrittenDkim>,
    root: &Path,
    from: Option<&Mailbox>,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Dkim> {
    let mut all: Vec<Dkim> = vec![];
    for one in written {
        let mut complain = |at: Option<&Spanned<String>>, what: String, hint: &str| {
            let mut problem = Problem::new("config.toml", what).hint(hint);
            problem.line = at.filter(|_| !text.is_empty()).map(|at| line_at(text, at.span().start));
            problems.push(problem);
        };
        let Some(selector) = one.selector else {
            complain(None, "dkim.selector is missing".into(), "tidings dkim keygen makes a key and says what to write");
            continue;
        };
        let Some(key_file) = one.key_file else {
            let hint = "write key_file = \"secrets/dkim-….pem\": tidings dkim keygen makes one";
            complain(Some(&selector), "dkim.key_file is missing".into(), hint);
            continue;
        };
        if !is_selector(selector.get_ref()) {
            let what = format!("dkim.selector is not part of a host name: {:?}", selector.get_ref());
            complain(Some(&selector), what, "write letters, digits and hyphens, such as lantern202611");
            continue;
        }
        let domain = match &one.domain {
            None => from.map(|from| from.address.domain().to_owned()),
            Some(domain) => {
                let parsed = host(domain.get_ref());
                if parsed.is_none() {
                    let what = format!("dkim.domain is not a domain: {:?}", domain.get_ref());
                    complain(Some(domain), what, "write the part after the @ of mail.from, or leave it out");
                }
                parsed
            }
        };
        let Some(domain) = domain else { continue };
        let selector_is_taken = |other: &Dkim| other.domain == domain && other.selector == *selector.get_ref();
        if all.iter().any(selector_is_taken) {
            let what = format!("the dkim.selector {} stands twice", selector.get_ref());
            complain(Some(&selector), what, "a key has a selector of its own: remove one of the two sections");
            continue;
        }
        all.push(Dkim { domain, selector: selector.into_inner(), key_file: root.join(key_file) });
    }
    all
}

/// One or more labels (RFC 6376 §3.1); the underscore is not allowed in host names, and in use.
pub fn is_selector(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 120 && text.split('.').all(is_label)
}

/// A domain as addresses have it: small letters, A-labels.
fn host(text: &str) -> Option<String> {
    EmailAddress::parse(&format!("x@{text}")).ok().map(|address| address.domain().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn dkim(sections: &str) -> Result<Vec<Dkim>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n[mail]\nfrom = \"news@lantern.example\"\n{sections}"
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let config = Config::load(folder.path(), [])
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        assert!(config.dkim.iter().all(|one| one.key_file.starts_with(folder.path())));
        Ok(config.dkim)
    }

    #[test]
    fn the_domain_is_that_of_the_sender_unless_another_is_written() {
        let both = "[[dkim]]\nselector = \"a\"\nkey_file = \"k\"\n[[dkim]]\nselector = \"b.c\"\nkey_file = \"k\"\ndomain = \"Bücher.example\"\n";
        let both = dkim(both).unwrap();
        assert_eq!((both[0].domain.as_str(), both[0].selector.as_str()), ("lantern.example", "a"));
        assert_eq!((both[1].domain.as_str(), both[1].selector.as_str()), ("xn--bcher-kva.example", "b.c"));
    }

    #[test]
    fn every_fault_is_named_with_its_line_and_remedy() {
        let faults = dkim(
            "[[dkim]]\nkey_file = \"k\"\n[[dkim]]\nselector = \"a\"\n[[dkim]]\nselector = \"a b\"\nkey_file = \"k\"\n\
             [[dkim]]\nselector = \"a\"\nkey_file = \"k\"\ndomain = \"example\"\n\
             [[dkim]]\nselector = \"a\"\nkey_file = \"k\"\n[[dkim]]\nselector = \"a\"\nkey_file = \"k\"\n",
        )
        .unwrap_err();
        let begins = [
            "config.toml: dkim.selector is missing",
            "config.toml:9: dkim.key_file is missing",
            "config.toml:11: dkim.selector is not part of a host name: \"a b\"",
            "config.toml:16: dkim.domain is not a domain: \"example\"",
            "config.toml:21: the dkim.selector a stands twice",
        ];
        assert_eq!(faults.len(), begins.len(), "{faults:#?}");
        for (fault, begin) in faults.iter().zip(begins) {
            assert!(fault.starts_with(begin) && fault.contains("hint: "), "{fault}");
        }
    }
}
