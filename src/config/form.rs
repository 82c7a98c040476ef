//! `[form]`: whose address the form takes, how long it waits for a yes, and in which languages it speaks.

use std::path::PathBuf;

use chrono::TimeDelta;
use serde::Deserialize;
use toml::Spanned;

use super::span::{SPAN_HINT, Span};
use super::written::{Reader, Text};
use crate::domain::provider::Domains;

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
}

/// Longest language tag, in characters (RFC 5646 §4.4.1).
const MAX_LANGUAGE: usize = 35;

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
        Form { unconfirmed, refuses_roles, refuses_disposable, disposable, languages }
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
