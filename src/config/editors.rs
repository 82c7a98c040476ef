//! `[editors]`: who is told of what needs an editor, and how.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::Secret;
use super::span::{SPAN_HINT, Span};
use super::written::{Reader, Text};
use crate::domain::address::EmailAddress;

/// Who is told, and how.
#[derive(Debug, Clone)]
pub struct Editors {
    /// By mail.
    pub notify: Vec<EmailAddress>,
    /// By a webhook.
    pub webhook: Option<Webhook>,
    /// How long nothing goes out by a relay before that is told.
    pub away_after: Duration,
}

/// Where notices are posted to.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `http:` or `https:`.
    pub url: Url,
    /// What each is signed with.
    pub secret: Option<Secret>,
    /// Whether it may be on this machine or in a private network.
    pub may_be_private: bool,
    /// PEM file of an authority to trust besides those of the system.
    pub authority: Option<PathBuf>,
}

/// Longer than the restart of a server takes.
const AWAY_AFTER: Duration = Duration::from_mins(30);

impl Default for Editors {
    fn default() -> Self {
        Self { notify: vec![], webhook: None, away_after: AWAY_AFTER }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenEditors {
    notify: Vec<Spanned<String>>,
    webhook: Text,
    webhook_secret: Text,
    webhook_secret_file: Option<PathBuf>,
    webhook_private: Option<Flag>,
    webhook_authority_file: Option<PathBuf>,
    away_after: Text,
}

/// Yes or no: the environment knows only texts.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Either")]
pub(super) struct Flag(pub(super) bool);

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Bool(bool),
    Text(String),
}

impl TryFrom<Either> for Flag {
    type Error = String;

    fn try_from(either: Either) -> Result<Self, String> {
        match either {
            Either::Bool(flag) => Ok(Self(flag)),
            Either::Text(text) => text.parse().map(Self).map_err(|_| format!("neither true nor false: {text:?}")),
        }
    }
}

impl Reader<'_> {
    pub(super) fn editors(&mut self, written: WrittenEditors) -> Editors {
        let mut notify = vec![];
        for address in &written.notify {
            match EmailAddress::parse(address.get_ref()) {
                Ok(address) => notify.push(address),
                Err(fault) => {
                    let what = format!("editors.notify holds what is not an address: {fault}");
                    self.complain(Some(address), what, "write notify = [\"editor@example.org\"]");
                }
            }
        }
        let secret =
            self.secret(written.webhook_secret, written.webhook_secret_file.as_deref(), "editors.webhook_secret_file");
        let url = written.webhook.and_then(|text| {
            let url: Option<Url> = text.get_ref().parse().ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
            if url.is_none() {
                let what = format!("editors.webhook is not an address on the web: {:?}", text.get_ref());
                self.complain(Some(&text), what, "write it whole, such as https://hooks.example.org/tidings");
            }
            url
        });
        let webhook = url.map(|url| Webhook {
            url,
            secret: secret.filter(|secret| !secret.reveal().is_empty()),
            may_be_private: written.webhook_private.is_some_and(|flag| flag.0),
            authority: written.webhook_authority_file.map(|file| self.root.join(file)),
        });
        let away_after = self.parsed::<Span>(written.away_after, "editors.away_after", SPAN_HINT).map(Span::duration);
        Editors { notify, webhook, away_after: away_after.unwrap_or(AWAY_AFTER) }
    }
}
