//! `[feeds]`: who tells feed readers at once that a feed has changed.

use serde::Deserialize;
use url::Url;

use super::editors::Flag;
use super::written::{Reader, Text};
use super::{Config, Urls};

/// Where our own hub stands below the URLs of `serve`.
pub const HUB: &str = "/hub";

/// A `WebSub` hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hub {
    /// `serve` is one.
    Own,
    /// Somebody else is, and is told of each change.
    Other(Url),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenFeeds {
    hub: Text,
    hub_private: Option<Flag>,
}

impl Reader<'_> {
    /// The hub, and whether it may tell those, or be one, on this machine or in a private network.
    pub(super) fn hub(&mut self, written: WrittenFeeds) -> (Option<Hub>, bool) {
        let hub = written.hub.and_then(|text| {
            if text.get_ref() == "own" {
                return Some(Hub::Own);
            }
            let url: Option<Url> = text.get_ref().parse().ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
            if url.is_none() {
                let what = format!("feeds.hub is neither \"own\" nor an address on the web: {:?}", text.get_ref());
                self.complain(
                    Some(&text),
                    what,
                    "write hub = \"own\", or a hub's address such as https://hub.example.org/",
                );
            }
            url.map(Hub::Other)
        });
        (hub, written.hub_private.is_some_and(|flag| flag.0))
    }
}

impl Config {
    /// The hubs that documents with these URLs name. Our own stands where `serve` does and tells of what is served there.
    pub fn hubs(&self, urls: &Urls) -> Vec<String> {
        match &self.hub {
            Some(Hub::Other(url)) => vec![url.to_string()],
            Some(Hub::Own) if *urls == self.live_urls() => vec![urls.at(HUB)],
            Some(Hub::Own) | None => vec![],
        }
    }
}
