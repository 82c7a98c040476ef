//! `[form]`: whose address the form takes, how often, what is agreed to, how long it waits for a yes, and in which
//! languages it speaks.

use std::path::PathBuf;

use chrono::TimeDelta;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::editors::Flag;
use super::span::{SPAN_HINT, Span};
use super::written::{Number, Reader, Text};
use crate::domain::limits::Allowance;
use crate::domain::provider::Domains;
use crate::domain::text::one_line;

/// What the form takes.
#[derive(Debug, Clone)]
pub struct Form {
    /// How long what nobody confirms is kept.
    pub unconfirmed: TimeDelta,
    /// Whether addresses of a role, such as `postmaster@`, are refused.
    pub refuses_roles: bool,
    /// Whether addresses at disposable domains are refused.
    pub refuses_disposable: bool,
    /// The disposable domains.
    pub disposable: Domains,
    /// The languages that readers can have beside the publication's; none written means all that have words.
    pub languages: Option<Vec<String>>,
    /// How often it may be used from one network.
    pub per_network: Allowance,
    /// How often by all together.
    pub overall: Allowance,
    /// Zero bits that the work of a script has to bring (see [`crate::domain::pass`]).
    pub work: u32,
    /// What is agreed to, in the place of our own words.
    pub consent: Option<String>,
    /// Where readers find what is done with what they give.
    pub privacy: Option<Url>,
    /// Whether the address that a form came from is kept with what was agreed to.
    pub keeps_ip: bool,
}

/// Longest language tag, in characters (RFC 5646 §4.4.1).
const MAX_LANGUAGE: usize = 35;

/// A household or an office signs up at once; a robot does not get far.
const PER_NETWORK: Allowance = Allowance::per_hour(30);

/// More than nearly every site sees, and no flood for a relay.
const OVERALL: Allowance = Allowance::per_hour(3000);

/// 65,536 hashes on average: a tenth of a second in a browser, half a second on an old phone.
const WORK: u32 = 16;

/// A minute and more in a browser: who wants more wants no sign-ups.
const MOST_WORK: u32 = 24;

pub(super) const ALLOWANCE_HINT: &str = "write how often in how long, such as 30/h, 5/m or 500/d";

/// As long as the link in a confirmation holds.
const UNCONFIRMED: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenForm {
    unconfirmed: Text,
    role_addresses: Text,
    disposable: Text,
    disposable_file: Option<PathBuf>,
    languages: Option<Vec<Spanned<String>>>,
    per_network: Text,
    overall: Text,
    work: Option<Number<u32>>,
    consent: Text,
    privacy: Text,
    keep_ip: Option<Flag>,
}

impl Reader<'_> {
    pub(super) fn form(&mut self, written: WrittenForm) -> Form {
        let span = self.parsed::<Span>(written.unconfirmed, "form.unconfirmed", SPAN_HINT);
        let refuses_roles = self.refuses(written.role_addresses.as_ref(), "form.role_addresses");
        let refuses_disposable = self.refuses(written.disposable.as_ref(), "form.disposable");
        let disposable = match written.disposable_file {
            None => Domains::disposable(),
            Some(file) => match std::fs::read_to_string(self.root.join(&file)) {
                Ok(text) => Domains::read(&text),
                Err(error) => {
                    let what = format!("form.disposable_file: {} cannot be read: {error}", file.display());
                    self.complain(None, what, "the file holds a domain on each line");
                    Domains::default()
                }
            },
        };
        let unconfirmed = span.map_or(UNCONFIRMED, Span::delta);
        let languages = written.languages.map(|languages| self.languages(&languages));
        let per_network = self.parsed(written.per_network, "form.per_network", ALLOWANCE_HINT).unwrap_or(PER_NETWORK);
        let overall = self.parsed(written.overall, "form.overall", ALLOWANCE_HINT).unwrap_or(OVERALL);
        let work = written.work.map_or(WORK, |work| work.0);
        if work > MOST_WORK {
            self.complain(None, format!("form.work is too much: {work}"), "write a number from 0 to 24");
        }
        let consent = written.consent.map(|text| one_line(text.get_ref())).filter(|text| !text.is_empty());
        let privacy = self.page(written.privacy, "form.privacy");
        let keeps_ip = written.keep_ip.is_some_and(|flag| flag.0);
        Form {
            unconfirmed,
            refuses_roles,
            refuses_disposable,
            disposable,
            languages,
            per_network,
            overall,
            work,
            consent,
            privacy,
            keeps_ip,
        }
    }

    /// The address of a page on the web.
    fn page(&mut self, text: Text, key: &str) -> Option<Url> {
        let text = text?;
        let url = Url::parse(text.get_ref()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        if url.is_none() {
            let what = format!("{key} is not the address of a page: {:?}", text.get_ref());
            self.complain(Some(&text), what, "write it whole, such as https://example.org/privacy");
        }
        url
    }

    fn languages(&mut self, written: &[Spanned<String>]) -> Vec<String> {
        for language in written {
            let tag = language.get_ref();
            let is_tag = tag.len() <= MAX_LANGUAGE
                && tag.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            if !is_tag {
                let what = format!("form.languages holds what is no language tag: {tag:?}");
                self.complain(Some(language), what, "write languages = [\"de\", \"pt-BR\"]");
            }
        }
        written.iter().map(|language| language.get_ref().clone()).collect()
    }

    fn refuses(&mut self, written: Option<&Spanned<String>>, key: &str) -> bool {
        match written.map(|text| text.get_ref().as_str()) {
            None | Some("allow") => false,
            Some("refuse") => true,
            Some(other) => {
                self.complain(written, format!("{key} is not understood: {other:?}"), "write allow or refuse");
                false
            }
        }
    }
}
