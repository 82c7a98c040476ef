//! What was written in `config.toml`, `feeds/` and `segments/`, and what is meant by it.
//!
//! What was written is read strictly: an unknown key is a fault that says what was probably meant. Every key of
//! `config.toml` can be overridden by the environment as `TIDINGS_SECTION__KEY`; secrets can stand in files.

mod dkim;
mod editors;
mod feeds;
mod form;
mod hub;
mod newsletter;
mod podcast;
pub mod reports;
mod retention;
mod segments;
mod sending;
mod shelves;
mod sources;
mod span;
mod urls;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use url::Url;

use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::delivery::{Brakes, RetryPolicy};
use crate::domain::forwarded::Range;
use crate::domain::pace::{DomainPace, Rate, WarmUp};
use crate::domain::report::SoftRule;
use crate::problem::Problem;

pub use crate::domain::relay::{Credentials, Secret, Tls};
pub use dkim::{Dkim, is_selector};
pub use editors::{Editors, Webhook};
pub use feeds::{load as load_feeds, load_one as load_feed};
pub use form::Form;
pub use hub::{HUB, Hub};
pub use retention::Retention;
pub use segments::load as load_segments;
pub use shelves::FeedRules;
pub use sources::Source;
pub use urls::Urls;

/// Whether a host's name is one that leads nowhere: reserved for examples (RFC 2606, RFC 6761).
pub fn is_reserved(host: &str) -> bool {
    let last_two = host.rsplitn(3, '.').take(2).collect::<Vec<_>>();
    matches!(host.rsplit('.').next(), Some("example" | "test" | "invalid"))
        || matches!(last_two.as_slice(), ["com" | "net" | "org", "example"])
}

/// Everything that `config.toml` decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds it all.
    pub root: PathBuf,
    /// What readers see of the publication.
    pub publication: Publication,
    /// Folder of the articles.
    pub articles: PathBuf,
    /// Feeds elsewhere whose entries are articles too.
    pub sources: Vec<Source>,
    /// Folder of files that are served and published as they are.
    pub static_files: PathBuf,
    /// Folder of the feed definitions.
    pub feeds: PathBuf,
    /// What goes for all feeds.
    pub feed_rules: FeedRules,
    /// Folder of the segments.
    pub segments: PathBuf,
    /// Folder of the publication's own templates.
    pub templates: PathBuf,
    /// Folder that `publish` writes.
    pub public: PathBuf,
    /// Mail in general.
    pub mail: Mail,
    /// SMTP servers that take our mail; none means the outbox.
    pub relays: Vec<Relay>,
    /// What domains of recipients may be asked to take.
    pub paces: Vec<DomainPace>,
    /// From what on a digest stops by itself.
    pub brakes: Brakes,
    /// Who is told of what needs an editor.
    pub editors: Editors,
    /// Signatures in front of every message.
    pub dkim: Vec<Dkim>,
    /// Database URL: `sqlite://…` or `postgres://…`.
    pub database_url: Secret,
    /// Where `serve` listens.
    pub listen: SocketAddr,
    /// Where readers reach `serve`, if that is not the publication's URL.
    pub serve_url: Option<Url>,
    /// Who is believed about where a request came from.
    pub trusted_proxies: Vec<Range>,
    /// Where reports on what was sent come in.
    pub reports: reports::Reports,
    /// What the form takes.
    pub form: Form,
    /// Who tells of a change in a feed at once, if anybody does.
    pub hub: Option<Hub>,
    /// Whether hubs and whom they tell may be on this machine or in a private network.
    pub hub_private: bool,
    /// How long people are kept who get no mail any more.
    pub retention: Retention,
    /// When an address that keeps bouncing softly is given up.
    pub soft_bounces: SoftRule,
}

/// What readers see of the publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Name.
    pub title: String,
    /// One sentence.
    pub description: Option<String>,
    /// Where readers find it; no trailing slash in its path.
    pub url: Url,
    /// Language tag (BCP 47).
    pub language: String,
    /// Zone of dates without one, and of readers who name none.
    pub time_zone: Tz,
    /// Postal address, at the foot of every digest.
    pub address: Option<String>,
}

/// Mail in general.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Sender.
    pub from: Mailbox,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Mailbox>,
    /// Where bounces go, each with a token: see [`reports::with_token`]. None: to the sender, as they are.
    pub bounces: Option<EmailAddress>,
    /// Folder for messages while there is no relay.
    pub outbox: PathBuf,
    /// When what was put off is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// How long a sending process may show no sign of life until others take over what it had in hand.
    pub take_over_after: Duration,
}

/// One SMTP server.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// Connections kept open at once, by each sending process.
    pub connections: usize,
    /// Messages over one connection before a new one is opened.
    pub messages_per_connection: u32,
    /// Messages under way on one connection before the first is answered, where the relay takes chunks.
    pub depth: usize,
    /// Its share of the messages beside other relays; 0 is for when all others are away.
    pub weight: u32,
    /// Most messages in time, by all sending processes together.
    pub rate: Option<Rate>,
    /// How it begins, if nobody knows it yet.
    pub warm_up: Option<WarmUp>,
    /// What we call ourselves in EHLO.
    pub hello: Option<String>,
    /// PEM file of a certificate authority to trust besides those of the system.
    pub authority: Option<PathBuf>,
}

impl Config {
    /// Reads `config.toml` in `root`, with `environment` over it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(root: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Problem>> {
        written::load(root, environment)
    }

    /// The URLs that feeds and published pages bear.
    pub fn urls(&self) -> Urls {
        Urls::new(&self.publication.url)
    }

    /// The URLs that a running `serve` and the mail link to: `serve.url`, or else the publication's.
    ///
    /// Names reserved for examples (RFC 2606, RFC 6761) lead nowhere. As long as the publication's URL has one,
    /// `serve` stands in for it, so that every link of a first try can be followed.
    pub fn live_urls(&self) -> Urls {
        match &self.serve_url {
            Some(url) => Urls::new(url),
            None if self.is_example() => Urls::parse(&format!("http://{}", self.listen)),
            None => self.urls(),
        }
    }

    /// Whether the publication's host is a name reserved for examples.
    pub fn is_example(&self) -> bool {
        is_reserved(self.publication.url.host_str().unwrap_or_default())
    }

    /// The host that stands in message ids, list ids and entry ids.
    pub fn host(&self) -> &str {
        self.publication.url.host_str().unwrap_or("localhost")
    }

    /// A path as a person would name it: relative to the publication's folder where it lies in it.
    pub fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
