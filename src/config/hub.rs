//! `[feeds]`: who tells feed readers at once that a feed has changed.

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

impl Reader<'_> {
    /// The hub, and whether it may tell those, or be one, on this machine or in a private network.
    pub(super) fn hub(&mut self, hub: Text, is_private: Option<Flag>) -> (Option<Hub>, bool) {
        let hub = hub.and_then(|text| {
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
        (hub, is_private.is_some_and(|flag| flag.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n{keys}");
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        Config::load(dir.path(), []).map_err(|problems| problems[0].to_string())
    }

    #[test]
    fn documents_name_the_hub_that_tells_of_them() {
        let none = config("").unwrap();
        assert!(none.hubs(&none.live_urls()).is_empty() && !none.hub_private);
        let other = config("[feeds]\nhub = \"https://hub.example/?a=b\"\nhub_private = true").unwrap();
        assert_eq!(other.hubs(&other.urls()), ["https://hub.example/?a=b"]);
        assert!(other.hub_private);
        let own = config("[feeds]\nhub = \"own\"\n[serve]\nurl = \"https://live.example/news/\"").unwrap();
        assert_eq!(own.hubs(&own.live_urls()), ["https://live.example/news/hub"]);
        assert!(own.hubs(&own.urls()).is_empty(), "what stands elsewhere it does not know");
        let one = config("[feeds]\nhub = \"own\"\n[serve]\nurl = \"https://a.example\"").unwrap();
        assert_eq!(one.hubs(&one.urls()), ["https://a.example/hub"]);
    }

    #[test]
    fn what_is_no_hub_is_a_fault() {
        for hub in ["ours", "hub.example", "ftp://hub.example/", "https://hub.example/#a"] {
            let fault = config(&format!("[feeds]\nhub = \"{hub}\"")).unwrap_err();
            assert!(fault.starts_with("config.toml:5: feeds.hub is neither \"own\" nor an address"), "{fault}");
        }
    }
}
