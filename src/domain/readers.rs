//! Who reads a feed, by what they say of themselves (RFC 9110 §10.1.5) and no more: how many each service reads it for,
//! and how many others ask. Pure: what tells one poller from another comes in as a hash whose key is gone after the day.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;

/// Bytes of a `User-Agent` that are looked at.
const LOOKED_AT: usize = 512;
/// A figure above is made up: no service has so many for one feed.
const MOST_READERS: u64 = 50_000_000;
/// Characters of a service's name.
const LONGEST_NAME: usize = 40;

/// What asks for a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// A service that fetches for many, with their number.
    Service {
        /// Its name.
        name: String,
        /// For how many.
        readers: u64,
    },
    /// A feed reader of one person, or one that does not say of how many.
    Reader,
    /// A browser.
    Browser,
    /// Search engines, monitors, scripts.
    Robot,
}

/// Services by what they call themselves somewhere in their `User-Agent`, in small letters.
const SERVICES: [(&str, &str); 22] = [
    ("feedly", "Feedly"),
    ("newsblur", "NewsBlur"),
    ("inoreader", "Inoreader"),
    ("feedbin", "Feedbin"),
    ("theoldreader", "The Old Reader"),
    ("the old reader", "The Old Reader"),
    ("bazqux", "BazQux"),
    ("netvibes", "Netvibes"),
    ("feedhq", "FeedHQ"),
    ("g2reader", "G2Reader"),
    ("bloglovin", "Bloglovin"),
    ("livedoor", "livedoor"),
    ("r.hatena", "Hatena"),
    ("feedspot", "Feedspot"),
    ("commafeed", "CommaFeed"),
    ("overcast", "Overcast"),
    ("newsgator", "NewsGator"),
    ("bloglines", "Bloglines"),
    ("rojo", "Rojo"),
    ("readwise", "Readwise"),
    ("feedpress", "FeedPress"),
    // Others say that they are like it.
    ("feedfetcher-google", "Google"),
];

/// Feed readers, by words that stand in what they call themselves.
const READERS: [&str; 41] = [
    "rss",
    "atom",
    "feed",
    "reader",
    "podcast",
    "aggregator",
    "syndicat",
    "thunderbird",
    "newsboat",
    "newsbeuter",
    "newsflash",
    "netnewswire",
    "reeder",
    "liferea",
    "akregator",
    "vienna",
    "miniflux",
    "unread",
    "elfeed",
    "gnus",
    "sharpreader",
    "antennapod",
    "overcast",
    "pocketcasts",
    "castro",
    "castbox",
    "itunes",
    "spotify",
    "cfnetwork",
    "fiery",
    "lire/",
    "readkit",
    "newsify",
    "inoreader",
    "newsblur",
    "yarr",
    "rawdog",
    "planet",
    "selfoss",
    "stringer",
    "readwise",
];

/// Robots, by words in what they call themselves.
const ROBOTS: [&str; 36] = [
    "crawl",
    "spider",
    "slurp",
    "preview",
    "facebookexternalhit",
    "monitor",
    "uptime",
    "pingdom",
    "statuscake",
    "site24x7",
    "validator",
    "checker",
    "scrapy",
    "headless",
    "lighthouse",
    "archive.org",
    "archiver",
    "curl/",
    "wget",
    "python-requests",
    "python-urllib",
    "python-httpx",
    "aiohttp",
    "go-http-client",
    "axios",
    "node-fetch",
    "undici",
    "libwww-perl",
    "lwp::",
    "guzzle",
    "httpie",
    "postman",
    "apache-httpclient",
    "java/",
    "nagios",
    "zabbix",
];

/// Tools that are robots unless they call themselves a reader: every browser says so much more.
const BROWSERS: [&str; 8] = ["firefox/", "chrome/", "safari/", "edg/", "opr/", "trident/", "msie ", "gecko/"];

/// What a `User-Agent` says that it is. Whoever says nothing is no reader.
pub fn judge(user_agent: &str) -> Client {
    let agent = &user_agent[..user_agent.floor_char_boundary(LOOKED_AT)];
    let small = agent.to_ascii_lowercase();
    if let Some(readers) = figure(&small) {
        return Client::Service { name: name(agent, &small), readers };
    }
    if small.trim().is_empty() || is_bot(&small) {
        return Client::Robot;
    }
    let has = |words: &[&str]| words.iter().any(|word| small.contains(word));
    // Some readers have a robot's word in their address, and many robots a reader's: what both have is decided by the first
    // product, which is who it is.
    let (is_robot, is_reader) = (has(&ROBOTS), has(&READERS));
    if is_robot && is_reader {
        let product = small.split(['/', ' ', ';', '(']).next().unwrap_or_default();
        return if READERS.iter().any(|word| product.contains(word)) { Client::Reader } else { Client::Robot };
    }
    if is_robot {
        return Client::Robot;
    }
    if is_reader {
        return Client::Reader;
    }
    if small.starts_with("mozilla/") || small.starts_with("opera/") {
        return if has(&BROWSERS) && !small.contains("compatible; ") || small.contains("msie ") {
            Client::Browser
        } else {
            Client::Robot
        };
    }
    Client::Reader
}

/// "bot" as the end of a word: `Googlebot/2.1`, `pingdom.com_bot_version`, `robots`.
fn is_bot(small: &str) -> bool {
    small.match_indices("bot").any(|(at, _)| {
        let behind = &small[at + 3..];
        let behind = behind.strip_prefix('s').unwrap_or(behind);
        !behind.starts_with(|c: char| c.is_ascii_alphabetic())
    })
}

/// The number of readers that a service says it fetches for: `42 subscribers`, `1 subscriber`, `subscribers: 42`, `42 readers`.
fn figure(small: &str) -> Option<u64> {
    let words = ["subscriber", "readers"];
    let found =
        words.into_iter().find_map(|word| small.match_indices(word).find_map(|(at, _)| number_at(small, at, word)));
    found.filter(|readers| *readers <= MOST_READERS)
}

fn number_at(small: &str, at: usize, word: &str) -> Option<u64> {
    let before = small[..at].trim_end_matches([' ', '\t', '-', '_', '+']);
    let start = before.rfind(|c: char| !c.is_ascii_digit() && c != ',').map_or(0, |at| at + 1);
    let digits: String = before[start..].chars().filter(char::is_ascii_digit).collect();
    if !digits.is_empty() {
        return digits.parse().ok();
    }
    let behind = small[at + word.len()..].trim_start_matches('s').trim_start_matches([':', '=', ' ']);
    let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    behind[..end].parse().ok()
}

/// What a service is called: as it is known, or as its first product; nothing but letters, digits and what stands in names.
fn name(agent: &str, small: &str) -> String {
    if let Some((_, name)) = SERVICES.iter().find(|(known, _)| small.contains(known)) {
        return (*name).to_owned();
    }
    let start = |text: &str| -> String {
        let end = text.find(['/', '(', ';', ',']).unwrap_or(text.len());
        let kept = text[..end].split(" - ").next().unwrap_or_default().chars();
        let kept: String =
            kept.filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '+')).collect();
        kept.trim().chars().take(LONGEST_NAME).collect()
    };
    // "Mozilla/5.0 (compatible; Name/1.0; …": everybody is that.
    let own = small.find("compatible;").map(|at| start(agent[at + "compatible;".len()..].trim_start()));
    let own = own.filter(|own| !own.is_empty()).unwrap_or_else(|| start(agent));
    if own.is_empty() || own.eq_ignore_ascii_case("mozilla") { "others".to_owned() } else { own }
}

/// What a sum is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    /// The feed: `news`, `tags/harbour`.
    pub feed: String,
    /// The format: `rss`, `atom`, `json`.
    pub format: String,
    /// `service`, `reader`, `browser` or `robot`.
    pub kind: &'static str,
    /// The service; empty for what is counted here.
    pub name: String,
}

/// Which feed a path leads to, and in which format: `/feeds/news/rss.xml`.
pub fn feed_at(path: &str) -> Option<(&str, &'static str)> {
    let (folder, file) = path.trim_start_matches('/').rsplit_once('/')?;
    let format = match file {
        "rss.xml" => "rss",
        "atom.xml" => "atom",
        "feed.json" => "json",
        _ => return None,
    };
    Some((folder.strip_prefix("feeds/").unwrap_or(folder), format))
}

/// Who reads on one day, bounded in memory.
#[derive(Debug)]
pub struct Tally {
    day: NaiveDate,
    seen: HashSet<u64>,
    sums: HashMap<Row, u64>,
    changed: HashSet<Row>,
}

impl Tally {
    /// Pollers that are told from one another at most, some 4 MB; who comes beyond is not counted.
    pub const MOST_SEEN: usize = 250_000;
    /// Sums at most: names of services are made up easily.
    pub const MOST_SUMS: usize = 20_000;

    /// Nobody yet.
    pub fn new(day: NaiveDate) -> Self {
        Self { day, seen: HashSet::new(), sums: HashMap::new(), changed: HashSet::new() }
    }

    /// Counts a request, by a hash of who asks for what; who was seen today changes nothing.
    pub fn note(&mut self, poller: u64, path: &str, user_agent: &str) {
        if self.seen.len() >= Self::MOST_SEEN || !self.seen.insert(poller) {
            return;
        }
        let Some((feed, format)) = feed_at(path) else { return };
        let (kind, name, readers) = match judge(user_agent) {
            Client::Service { name, readers } => ("service", name, Some(readers)),
            Client::Reader => ("reader", String::new(), None),
            Client::Browser => ("browser", String::new(), None),
            Client::Robot => ("robot", String::new(), None),
        };
        let row = Row { feed: feed.to_owned(), format: format.to_owned(), kind, name };
        if self.sums.len() >= Self::MOST_SUMS && !self.sums.contains_key(&row) {
            return;
        }
        let sum = self.sums.entry(row.clone()).or_default();
        // A service has many addresses, and addresses of one feed; the highest that it says is what it has.
        let now = readers.map_or(*sum + 1, |readers| readers.max(*sum));
        if now != *sum || readers == Some(0) {
            *sum = now;
            self.changed.insert(row);
        }
    }

    /// The day, and what changed since this was asked last.
    pub fn take_changed(&mut self) -> (NaiveDate, Vec<(Row, u64)>) {
        let changed = std::mem::take(&mut self.changed);
        let with_sum = |row: Row| {
            let sum = self.sums.get(&row).copied().unwrap_or_default();
            (row, sum)
        };
        (self.day, changed.into_iter().map(with_sum).collect())
    }

    /// Takes back what could not be written of a day, if it is this one.
    pub fn give_back(&mut self, day: NaiveDate, rows: Vec<(Row, u64)>) {
        if day == self.day {
            self.changed.extend(rows.into_iter().map(|(row, _)| row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_feed_and_format() {
        assert_eq!(feed_at("/feeds/news/rss.xml"), Some(("news", "rss")));
        assert_eq!(feed_at("/tags/harbour/atom.xml"), Some(("tags/harbour", "atom")));
        assert_eq!(feed_at("/digests/news/feed.json"), Some(("digests/news", "json")));
        assert_eq!((feed_at("/feeds.opml"), feed_at("/feeds/news/"), feed_at("/rss.xml")), (None, None, None));
    }

    fn sums(tally: &mut Tally) -> Vec<(String, u64)> {
        let (_, mut changed) = tally.take_changed();
        changed.sort();
        changed
            .into_iter()
            .map(|(row, sum)| (format!("{} {} {} {}", row.feed, row.format, row.kind, row.name), sum))
            .collect()
    }

    #[test]
    fn a_service_counts_by_its_highest_figure_and_others_once() {
        let mut tally = Tally::new(NaiveDate::default());
        let feedly = |number: u64| format!("Feedly/1.0 (+http://www.feedly.com/fetcher.html; {number} subscribers)");
        for (poller, number) in [(1, 40), (2, 42), (3, 12)] {
            tally.note(poller, "/feeds/news/rss.xml", &feedly(number));
        }
        for poller in [10, 10, 11, 10] {
            tally.note(poller, "/feeds/news/rss.xml", "NetNewsWire (RSS Reader; https://netnewswire.com/)");
        }
        tally.note(20, "/style.css", "NetNewsWire (RSS Reader; https://netnewswire.com/)");
        assert_eq!(sums(&mut tally), [("news rss reader ".to_owned(), 2), ("news rss service Feedly".to_owned(), 42)]);
        assert!(sums(&mut tally).is_empty(), "told once");
        tally.note(4, "/feeds/news/rss.xml", &feedly(43));
        assert_eq!(sums(&mut tally), [("news rss service Feedly".to_owned(), 43)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tally = Tally::new(NaiveDate::default());
        for poller in 0..Tally::MOST_SEEN as u64 + 10 {
            tally.note(poller, "/feeds/news/rss.xml", &format!("Service{poller}/1.0 ({poller} subscribers)"));
        }
        assert_eq!((tally.seen.len(), tally.sums.len()), (Tally::MOST_SEEN, Tally::MOST_SUMS));
    }
}
