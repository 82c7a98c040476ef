//! A publication in a temporary folder, with a clock that is set by hand.

use std::fmt::Write as _;
use std::fs;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tidings::config::Config;
use tidings::domain::address::EmailAddress;
use tidings::domain::digest::{Digest, DigestState};
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::segment::Segment;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::NewSubscription;
use tidings::task::compose::{compose, newsletter, plan_now};
use tidings::task::dispatch::{Counts, DispatchReport, Stop, dispatch};
use tidings::task::{Clock, Publication, sync};

/// Where its links lead: not the stand-in that example hosts get.
pub const URL: &str = "https://lantern.example";

/// A newsletter in every cadence, of the section "news".
pub const NEWS: &str = r#"
title = "Latest news"
select = { section = "news" }
[newsletter]
subject = "News: {{articles.0.title}}"
cadences.instant = {}
cadences.daily = { at = "07:00" }
cadences.weekly = { on = "monday", at = "07:00" }
cadences.monthly = { day = 1, at = "07:00" }
default = "daily"
"#;

/// A publication whose articles, readers and hours are the test's to choose.
pub struct Lantern {
    pub publication: Publication,
    pub folder: tempfile::TempDir,
    database: String,
    clock: Arc<AtomicI64>,
}

/// How a publication is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Ports on 127.0.0.1 that take its mail; none means the outbox.
    pub relays: Vec<u16>,
    /// Connections to each of them.
    pub connections: usize,
    /// How they are spoken to; by default in clear.
    pub secured: Option<String>,
    /// Feed definitions by name.
    pub feeds: Vec<(&'static str, String)>,
    /// Slugs of articles that the first sync finds, the newest first.
    pub archive: Vec<&'static str>,
    /// More keys of each relay; the last goes for all that follow.
    pub relay_keys: Vec<&'static str>,
    /// More of config.toml.
    pub more: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            relays: vec![],
            connections: 4,
            secured: None,
            feeds: vec![("news", NEWS.to_owned())],
            archive: vec![],
            relay_keys: vec![],
            more: "",
        }
    }
}

impl Setup {
    /// The usual one with a relay.
    pub fn relay(port: u16) -> Self {
        Self { relays: vec![port], ..Self::default() }
    }

    fn config(&self, database: &str) -> String {
        let mut text = format!(
            "[publication]\ntitle = \"The Harbour Lantern\"\nurl = \"{URL}\"\ntime_zone = \"Europe/Lisbon\"\n\
             address = \"1 Quay Street, Port Example\"\n[serve]\nurl = \"{URL}\"\n[database]\nurl = \"{database}\"\n"
        );
        for (at, port) in self.relays.iter().enumerate() {
            let how = self.secured.as_deref().unwrap_or(
                "host = \"127.0.0.1\"
tls = \"none\"",
            );
            let keys = self.relay_keys.get(at).or(self.relay_keys.last()).copied().unwrap_or_default();
            let _ = write!(
                text,
                "[[relay]]
{keys}{how}
port = {port}
hello = \"lantern.example\"
connections = {}
",
                self.connections
            );
        }
        text + self.more
    }
}

impl Lantern {
    /// Opens one on the empty database given, at noon of 24 November 2026, and syncs for the first time.
    pub async fn open(database: &str, setup: Setup) -> Self {
        let archive = setup.archive.clone();
        let lantern = Self::opened(database, setup).await;
        for (days, slug) in (1..).zip(archive) {
            lantern.write(slug, lantern.now() - TimeDelta::days(days), "");
        }
        assert!(lantern.sync().await.first);
        lantern
    }

    async fn opened(database: &str, setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["articles", "feeds"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        fs::write(folder.path().join("config.toml"), setup.config(database)).expect("config.toml");
        for (name, text) in &setup.feeds {
            fs::write(folder.path().join(format!("feeds/{name}.toml")), text).expect("a feed");
        }
        let clock = Arc::new(AtomicI64::new(at("2026-11-24T12:00:00Z").timestamp_millis()));
        let publication = opened(folder.path(), &clock).await;
        assert!(publication.feed_problems.is_empty(), "{:?}", publication.feed_problems);
        Self { publication, folder, database: database.to_owned(), clock }
    }

    /// One that sends to a relay on this port.
    pub async fn with_relay(database: &str, port: u16) -> Self {
        Self::open(database, Setup::relay(port)).await
    }

    /// A second handle on the same folder, database and clock: another process.
    pub async fn again(&self) -> Publication {
        opened(self.folder.path(), &self.clock).await
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.publication.clock.now()
    }

    pub fn set_clock(&self, now: DateTime<Utc>) {
        self.clock.store(now.timestamp_millis(), Ordering::SeqCst);
    }

    pub fn pass(&self, time: TimeDelta) {
        self.set_clock(self.now() + time);
    }

    /// The hand of the clock itself, for scripts that move it.
    pub fn hand(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.clock)
    }

    /// Writes an article of that slug and title, with more front matter where given; it is not synced.
    pub fn write(&self, slug: &str, date: DateTime<Utc>, more: &str) {
        let section = if more.contains("section") { "" } else { "section = \"news\"\n" };
        let date = date.to_rfc3339_opts(SecondsFormat::Millis, true);
        let text = format!("+++\ntitle = \"{slug}\"\ndate = {date}\n{section}{more}\n+++\nAbout {slug}.\n");
        fs::write(self.folder.path().join(format!("articles/{slug}.md")), text).expect("an article");
    }

    /// Takes an article's file away; it is not synced.
    pub fn withdraw(&self, slug: &str) {
        fs::remove_file(self.folder.path().join(format!("articles/{slug}.md"))).expect("an article to withdraw");
    }

    pub async fn sync(&self) -> sync::SyncReport {
        let report = sync::sync(&self.publication, &|_, _| {}).await.expect("a sync");
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        report
    }

    /// Writes articles dated now and syncs.
    pub async fn release(&self, slugs: &[&str]) {
        for slug in slugs {
            self.write(slug, self.now(), "");
        }
        let report = self.sync().await;
        assert_eq!(report.released, slugs.len() as u64);
    }

    /// An active reader of `news`.
    pub async fn reader(&self, address: &str, cadence: Cadence, time_zone: Option<&str>) -> SubscriberId {
        let new = self.subscription(address, cadence, time_zone);
        self.publication.store.subscribe(&[new], true, self.now()).await.expect("a subscription");
        self.who(address).await
    }

    /// This many active daily readers of `news`, `reader0@…` and so on.
    pub async fn readers(&self, count: usize) {
        let new: Vec<_> = (0..count)
            .map(|number| self.subscription(&format!("reader{number}@reader.example"), Cadence::Daily, None))
            .collect();
        self.publication.store.subscribe(&new, true, self.now()).await.expect("subscriptions");
    }

    fn subscription(&self, address: &str, cadence: Cadence, time_zone: Option<&str>) -> NewSubscription {
        let address = EmailAddress::parse(address).expect("an address");
        NewSubscription {
            address_hash: self.publication.keyring.address_hash(&address.key()),
            subscriber: Subscriber {
                id: SubscriberId::new(self.now()),
                address,
                name: None,
                language: None,
                time_zone: time_zone.map(|zone| zone.parse().expect("a time zone")),
            },
            feed: news(),
            cadence,
            state: SubscriptionState::Active,
        }
    }

    /// The subscriber with this address.
    pub async fn who(&self, address: &str) -> SubscriberId {
        let key = EmailAddress::parse(address).expect("an address").key();
        let found = self.publication.store.subscriber_by_address(&key).await.expect("a look-up");
        found.unwrap_or_else(|| panic!("no subscriber {address}")).id
    }

    /// What `digest send news` composes now: the digest and whether it is new; `None` where nobody has anything to read.
    pub async fn compose(&self) -> Option<(Digest, bool)> {
        self.compose_for(None).await
    }

    /// The same with `--segment`.
    pub async fn compose_for(&self, segment: Option<&Segment>) -> Option<(Digest, bool)> {
        let (feed, newsletter) = newsletter(&self.publication, "news").expect("the newsletter");
        let plan = plan_now(&self.publication, feed, newsletter, None, segment, None).await.expect("a plan");
        if plan.readers() == 0 {
            return None;
        }
        Some(compose(&self.publication, &plan, DigestState::Sending).await.expect("a digest"))
    }

    /// Sends everything that is due.
    pub async fn dispatch(&self) -> DispatchReport {
        let (_word, stop) = Stop::new();
        dispatch(&self.publication, &stop, &Counts::default()).await.expect("a dispatch")
    }

    /// The one number that a query gives.
    pub async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await.first().and_then(|row| row[0].parse().ok()).expect("a number")
    }

    /// Deliveries by state.
    pub async fn deliveries(&self, state: &str) -> i64 {
        self.count(&format!("SELECT COUNT(*) FROM deliveries WHERE state = '{state}'")).await
    }

    /// What a query gives, as text; all columns have to be text or numbers.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        rows(&self.database, sql).await
    }
}

/// What a query gives, whatever the engine, on a connection of its own.
pub async fn rows(database: &str, sql: &str) -> Vec<Vec<String>> {
    use sqlx::{Executor as _, Row as _};
    macro_rules! read {
        ($connection:ty) => {{
            let mut connection = <$connection>::connect(database).await.expect("a connection");
            let found = connection.fetch_all(AssertSqlSafe(sql.to_owned())).await.expect(sql);
            connection.close().await.expect("the end of a connection");
            type Row = <<$connection as sqlx::Connection>::Database as sqlx::Database>::Row;
            let cell = |row: &Row, at: usize| {
                let text = row.try_get::<Option<String>, _>(at);
                let text = text.or_else(|_| Ok(row.try_get::<Option<i64>, _>(at)?.map(|number| number.to_string())));
                text.map_err(|error: sqlx::Error| error.to_string()).expect(sql).unwrap_or_default()
            };
            found.iter().map(|row| (0..row.len()).map(|at| cell(row, at)).collect()).collect()
        }};
    }
    if database.starts_with("postgres") { read!(PgConnection) } else { read!(SqliteConnection) }
}

async fn opened(folder: &std::path::Path, clock: &Arc<AtomicI64>) -> Publication {
    let config = Config::load(folder, []).expect("config.toml");
    let hand = Arc::clone(clock);
    let clock = Clock::from_fn(move || {
        DateTime::from_timestamp_millis(hand.load(Ordering::SeqCst)).expect("an instant within reason")
    });
    Publication::open(config, clock).await.expect("the publication")
}

/// The feed that everything here is about.
pub fn news() -> FeedName {
    FeedName::parse("news").expect("a feed's name")
}

/// An instant, as in RFC 3339.
pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::from_str(text).expect("an instant")
}

/// What a reader sees of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub to: String,
    pub message_id: String,
    pub subject: String,
    pub text: String,
    /// Token of the link in `List-Unsubscribe`.
    pub unsubscribe: Option<String>,
    /// `Auto-Submitted`.
    pub auto_submitted: Option<String>,
}

impl Letter {
    pub fn read(bytes: &[u8]) -> Self {
        let message = mail_parser::MessageParser::default().parse(bytes).expect("a message");
        let header = |name: &str| message.header_raw(name).map(|value| value.trim().to_owned());
        let unsubscribe = header("List-Unsubscribe");
        let token = unsubscribe.and_then(|value| {
            let value: String = value.split_whitespace().collect();
            let url = value.strip_prefix('<')?.split('>').next()?.to_owned();
            Some(url.strip_prefix(&format!("{URL}/unsubscribe/"))?.to_owned())
        });
        Self {
            to: message.to().and_then(|to| to.first()?.address.clone()).expect("a recipient").into_owned(),
            message_id: message.message_id().expect("a Message-ID").to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            text: message.body_text(0).expect("a text part").into_owned(),
            unsubscribe: token,
            auto_submitted: header("Auto-Submitted"),
        }
    }

    /// Which of these articles it brings.
    pub fn brings<'a>(&self, slugs: &[&'a str]) -> Vec<&'a str> {
        slugs.iter().filter(|slug| self.text.contains(&format!("{URL}/articles/{slug}/"))).copied().collect()
    }
}
