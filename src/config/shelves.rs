//! `[feeds]` of `config.toml`: the feeds that come by themselves, and how often any may be asked for whole.

use serde::Deserialize;
use toml::Spanned;

use super::editors::Flag;
use super::form::ALLOWANCE_HINT;
use super::written::{Reader, Text};
use crate::domain::limits::Allowance;
use crate::domain::shelf::{Kind, Kinds};
use crate::problem::did_you_mean;

/// How often one poller may fetch one document whole, without saying which one it has: every two minutes, when no reader
/// of news asks more often than every ten.
const PER_POLLER: Allowance = Allowance::per_hour(30);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenFeeds {
    pub(super) by: Vec<Spanned<String>>,
    pub(super) per_poller: Text,
    pub(super) hub: Text,
    pub(super) hub_private: Option<Flag>,
}

/// What `[feeds]` decides.
#[derive(Debug, Clone, Copy)]
pub struct FeedRules {
    /// What has feeds of its own beside those that are defined.
    pub by: Kinds,
    /// How often one poller may fetch one document whole; none is as often as it likes.
    pub per_poller: Option<Allowance>,
}

impl Reader<'_> {
    pub(super) fn feed_rules(&mut self, words: Vec<Spanned<String>>, per_poller: Text) -> FeedRules {
        let mut by = vec![];
        for word in words {
            if let Some(kind) = Kind::named(word.get_ref()) {
                by.push(kind);
                continue;
            }
            let known = Kind::ALL.map(Kind::as_str);
            let hint = did_you_mean(word.get_ref(), known).map_or_else(
                || "write by = [\"section\", \"tag\", \"author\"], or some of them".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            self.complain(Some(&word), format!("feeds.by holds what no feeds are by: {:?}", word.get_ref()), &hint);
        }
        let per_poller = match &per_poller {
            Some(text) if text.get_ref() == "off" => None,
            _ => {
                let hint = format!("{ALLOWANCE_HINT}, or off");
                Some(self.parsed(per_poller, "feeds.per_poller", &hint).unwrap_or(PER_POLLER))
            }
        };
        FeedRules { by: by.into_iter().collect(), per_poller }
    }
}
