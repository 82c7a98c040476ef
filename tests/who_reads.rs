//! Who reads feeds: what User-Agents say, what is kept of it and what is not, and who is asked to come back later.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};
use support::http::ask;
use support::place::Place;
use support::publication::{Lantern, Setup};
use support::site::Site;
use tidings::domain::limits::Network;
use tidings::domain::readers::{Client, judge};
use tidings::task::Clock;
use tidings::task::readers::{Readers, readers};

support::engines::for_each_engine! {
    a_day_is_kept_as_sums_and_nothing_of_anybody,
    several_processes_add_up,
}

fn service(name: &str, readers: u64) -> Client {
    Client::Service { name: name.to_owned(), readers }
}

/// What services send, and what it says.
fn services() -> Vec<(&'static str, Client)> {
    vec![
        (
            "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 42 subscribers; like FeedFetcher-Google)",
            service("Feedly", 42),
        ),
        ("Feedly/1.0 (+https://feedly.com/poller.html; 1 subscriber; )", service("Feedly", 1)),
        (
            "NewsBlur Feed Fetcher - 42 subscribers - http://www.newsblur.com/site/123/news (Mozilla/5.0 (Macintosh))",
            service("NewsBlur", 42),
        ),
        ("Mozilla/5.0 (compatible; inoreader.com; 12 subscribers)", service("Inoreader", 12)),
        ("Inoreader/1.0 (+http://www.inoreader.com/feed-fetcher; 1204 subscribers; )", service("Inoreader", 1204)),
        ("Feedbin feed-id:1234 - 7 subscribers", service("Feedbin", 7)),
        (
            "Mozilla/5.0 (compatible; theoldreader.com; 13 subscribers; feed-id=5173f2c1fe72)",
            service("The Old Reader", 13),
        ),
        ("Mozilla/5.0 (compatible; BazQux/2.4; +https://bazqux.com/fetcher; 5 subscribers)", service("BazQux", 5)),
        (
            "Feedfetcher-Google; (+http://www.google.com/feedfetcher.html; 210 subscribers; feed-id=1661834)",
            service("Google", 210),
        ),
        ("Netvibes (http://www.netvibes.com/; 2 subscribers; feedID: 5404723)", service("Netvibes", 2)),
        ("livedoor FeedFetcher/0.01 (http://reader.livedoor.com/; 3 subscribers)", service("livedoor", 3)),
        ("Bloglovin/1.0 (http://www.bloglovin.com; 9 subscribers)", service("Bloglovin", 9)),
        ("G2Reader/1.0 (http://g2reader.com/bot; 4 subscribers)", service("G2Reader", 4)),
        ("Overcast/1.0 Podcast Sync (12 subscribers; feed-id=554901; +http://overcast.fm/)", service("Overcast", 12)),
        ("Readwise Reader/1.0 (+https://readwise.io; 0 subscribers)", service("Readwise", 0)),
        ("SubToMe/2.0 (+https://subtome.example/; 3,210 subscribers)", service("SubToMe", 3210)),
        ("Mozilla/5.0 (compatible; Tapestry/1.0; 6 readers)", service("Tapestry", 6)),
        ("Flock/1.0 (subscribers: 8)", service("Flock", 8)),
    ]
}

/// The same of those who say no number, and of some who make things up.
fn others() -> Vec<(&'static str, Client)> {
    use Client::{Browser, Reader, Robot};
    vec![
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)", Reader),
        ("FeedlyBot/1.0 (http://feedly.com)", Robot),
        ("Feedspot/1.0 (+https://www.feedspot.com/fs/fetcher; like FeedFetcher-Google)", Reader),
        ("Tiny Tiny RSS/21.05 (https://tt-rss.org/)", Reader),
        ("FreshRSS/1.24.1 (Linux; https://freshrss.org)", Reader),
        ("Mozilla/5.0 (compatible; Miniflux/2.1.3; +https://miniflux.app)", Reader),
        ("NetNewsWire (RSS Reader; https://netnewswire.com/)", Reader),
        ("Reeder/5050001 CFNetwork/1410.0.3 Darwin/22.6.0", Reader),
        ("Newsboat/2.36.0 (Linux x86_64)", Reader),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0", Reader),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/602.1 (KHTML, like Gecko) QuiteRSS/0.19.4 Safari/602.1",
            Reader,
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Liferea/1.15.6 Safari/605.1.15",
            Reader,
        ),
        ("Akregator/5.24.5; syndication", Reader),
        ("Vienna/8473 (Macintosh; Intel Mac OS X 13_6)", Reader),
        ("AntennaPod/3.3.2", Reader),
        ("feedparser/6.0.11 +https://github.com/kurtmckee/feedparser/", Reader),
        ("UniversalFeedParser/5.2.1 +https://code.google.com/p/feedparser/", Reader),
        ("rss2email/3.14 (https://pypi.org/project/rss2email/)", Reader),
        ("Emacs Elfeed 3.4.1", Reader),
        ("CommaFeed/4.3.3 (https://github.com/Athou/commafeed)", Reader),
        ("SimplePie/1.8.0 (Feed Parser; http://simplepie.org; Allow like Gecko) Build/1674254", Reader),
        ("Podcasts/1650.20 CFNetwork/1410.0.3 Darwin/22.6.0", Reader),
        ("SomethingNew/0.1", Reader),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", Browser),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
            Browser,
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            Browser,
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
            Browser,
        ),
        ("Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", Browser),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Robot),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Robot),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            Robot,
        ),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", Robot),
        ("Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)", Robot),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", Robot),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", Robot),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Robot),
        ("W3C_Validator/1.3 http://validator.w3.org/services", Robot),
        ("Slackbot 1.0 (+https://api.slack.com/robots)", Robot),
        ("curl/8.9.1", Robot),
        ("Wget/1.24.5", Robot),
        ("python-requests/2.32.3", Robot),
        ("Go-http-client/2.0", Robot),
        ("Java/17.0.9", Robot),
        ("", Robot),
        ("   ", Robot),
        // What is made up.
        ("Feedly/1.0 (99999999999999999999 subscribers)", Reader),
        ("Feedly/1.0 (4000000000 subscribers)", Reader),
        ("<script>alert(1)</script>/1.0 (3 subscribers)", service("scriptalert", 3)),
        ("Evil\u{1b}[31m\u{202e}Name/1.0 (3 subscribers)", service("Evil31mName", 3)),
        ("(((((/;;; 3 subscribers", service("others", 3)),
    ]
}

#[test]
fn what_a_user_agent_says_is_understood() {
    let mut corpus = services();
    corpus.extend(others());
    assert!(corpus.len() >= 60, "{}", corpus.len());
    let wrong: Vec<_> = corpus
        .iter()
        .map(|(agent, expected)| (agent, expected, judge(agent)))
        .filter(|(_, expected, judged)| *expected != judged)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // However long, and wherever a letter of several bytes is cut.
    for length in 500..530 {
        judge(&format!("{}é 3 subscribers", "é".repeat(length)));
    }
    let long = judge(&format!("{}/1.0 (3 subscribers)", "A".repeat(400)));
    assert_eq!(long, service(&"A".repeat(40), 3));
}

const FEEDLY: &str = "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 42 subscribers)";
const NETNEWSWIRE: &str = "NetNewsWire (RSS Reader; https://netnewswire.com/)";

fn network(text: &str) -> Network {
    Network::of(text.parse().unwrap())
}

async fn a_day_is_kept_as_sums_and_nothing_of_anybody(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let publication = &lantern.publication;
    lantern.readers(3).await;
    let counted = Readers::new(publication);
    let note =
        |address: &str, path: &str, agent: &str| counted.note(lantern.now(), Some(network(address)), path, agent);
    for _ in 0..100 {
        note("192.0.2.1", "/feeds/news/rss.xml", FEEDLY);
        note("192.0.2.2", "/feeds/news/rss.xml", NETNEWSWIRE);
        note("192.0.2.3", "/feeds/news/rss.xml", NETNEWSWIRE);
        note("2001:db8::1", "/feeds/news/atom.xml", NETNEWSWIRE);
        // The same line.
        note("2001:db8::2", "/feeds/news/atom.xml", NETNEWSWIRE);
        note("192.0.2.4", "/feeds/news/rss.xml", "curl/8.9.1");
        note("192.0.2.4", "/tags/harbour/feed.json", "Newsboat/2.36.0");
    }
    counted.write(publication).await.unwrap();
    let found = readers(publication, None, 7).await.unwrap();
    let shown: Vec<_> = found.iter().map(|reads| (reads.feed.as_str(), reads.by_mail, reads.by_feed_reader)).collect();
    assert_eq!(shown, [("news", Some(3), 45), ("tags/harbour", None, 1)]);
    let day = &found[0].days[0];
    assert_eq!((day.robots, day.browsers, day.others["rss"], day.others["atom"]), (1, 0, 2, 1));
    assert_eq!((day.services[0].name.as_str(), day.services[0].readers), ("Feedly", 42));
    // What is kept: words and numbers, and for a place a hash of this machine's own name.
    for row in lantern.rows("SELECT day, feed, format, kind, name, number FROM reads").await {
        let [_, feed, format, kind, name, number] = &row[..] else { panic!("{row:?}") };
        assert!(
            ["news", "tags/harbour"].contains(&feed.as_str()) && ["rss", "atom", "json"].contains(&format.as_str())
        );
        assert!(number.parse::<u32>().is_ok());
        let is_place = name.len() == 32 && name.chars().all(|c| c.is_ascii_hexdigit());
        assert!((kind == "service" && name == "Feedly") || is_place, "{row:?}");
    }
    // Nothing new is nothing written; the next day begins anew.
    let before = lantern.count("SELECT COUNT(*) FROM reads").await;
    counted.write(publication).await.unwrap();
    lantern.pass(TimeDelta::days(1));
    let note =
        |address: &str, path: &str, agent: &str| counted.note(lantern.now(), Some(network(address)), path, agent);
    note("192.0.2.2", "/feeds/news/rss.xml", NETNEWSWIRE);
    counted.write(publication).await.unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reads").await, before + 1);
    let found = readers(publication, Some("news"), 7).await.unwrap();
    let days: Vec<_> = found[0].days.iter().map(|day| (day.day.as_str(), day.by_feed_reader)).collect();
    assert_eq!(days, [("2026-11-25", 1), ("2026-11-24", 45)]);
    assert_eq!(found[0].by_feed_reader, 45, "the best day");
    assert_eq!(readers(publication, Some("news"), 1).await.unwrap()[0].by_feed_reader, 1);
    // A year later it is forgotten.
    lantern.pass(TimeDelta::days(500));
    counted.note(lantern.now(), Some(network("192.0.2.2")), "/feeds/news/rss.xml", NETNEWSWIRE);
    counted.write(publication).await.unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reads").await, 1);
}

async fn several_processes_add_up(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let mut other = lantern.again().await;
    Arc::make_mut(&mut other.config).listen = "127.0.0.1:9999".parse().unwrap();
    let (one, two) = (Readers::new(&lantern.publication), Readers::new(&other));
    let note = |counted: &Readers, address: &str, agent: &str| {
        counted.note(lantern.now(), Some(network(address)), "/feeds/news/rss.xml", agent);
    };
    for host in 1..=5 {
        note(&one, &format!("192.0.2.{host}"), NETNEWSWIRE);
        note(&two, &format!("198.51.100.{host}"), NETNEWSWIRE);
    }
    // A service that comes to both has its readers once.
    note(&one, "203.0.113.1", FEEDLY);
    note(&two, "203.0.113.1", "Feedly/1.0 (40 subscribers)");
    let (first, second) = tokio::join!(one.write(&lantern.publication), two.write(&other));
    first.unwrap();
    second.unwrap();
    let count = async || readers(&lantern.publication, Some("news"), 1).await.unwrap()[0].by_feed_reader;
    assert_eq!(count().await, 52);
    // Begun anew in the same place it counts on below what is there.
    let again = Readers::new(&lantern.publication);
    for host in 1..=3 {
        note(&again, &format!("192.0.2.{host}"), NETNEWSWIRE);
    }
    again.write(&lantern.publication).await.unwrap();
    assert_eq!(count().await, 52);
    for host in 1..=9 {
        note(&again, &format!("192.0.2.{host}"), NETNEWSWIRE);
    }
    again.write(&lantern.publication).await.unwrap();
    assert_eq!(count().await, 56);
    other.store.close().await;
}

/// The hand of a clock that a test moves.
fn hand() -> (Arc<AtomicI64>, Clock) {
    let hand =
        Arc::new(AtomicI64::new(DateTime::parse_from_rfc3339("2026-11-24T12:00:00Z").unwrap().timestamp_millis()));
    let read = Arc::clone(&hand);
    (hand, Clock::from_fn(move || DateTime::from_timestamp_millis(read.load(Ordering::SeqCst)).unwrap()))
}

async fn site(more: &str) -> (Arc<AtomicI64>, Site) {
    let place = Place::sample();
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}\n[serve]\ntrusted_proxies = [\"127.0.0.1\"]\n{more}"));
    let (hand, clock) = hand();
    (hand, Site::serve(place, clock).await)
}

const PATH: &str = "/feeds/news/rss.xml";

#[tokio::test]
async fn only_what_was_served_of_a_feed_counts() {
    let (_, site) = site("[feeds]\nby = [\"tag\"]\n").await;
    let from = ("X-Forwarded-For", "192.0.2.1");
    let tag = site.get_with(PATH, &[from, ("User-Agent", FEEDLY)]).await.header("etag").unwrap().to_owned();
    let known = [("X-Forwarded-For", "192.0.2.2"), ("User-Agent", NETNEWSWIRE), ("If-None-Match", tag.as_str())];
    assert_eq!(site.get_with(PATH, &known).await.status, 304);
    for (path, method) in
        [(PATH, "HEAD"), ("/feeds/no-such/rss.xml", "GET"), ("/feeds.opml", "GET"), ("/feeds/news/", "GET")]
    {
        let headers = [("X-Forwarded-For", "192.0.2.3"), ("User-Agent", NETNEWSWIRE)];
        ask(site.at, method, path, &headers, b"").await;
    }
    assert_eq!(site.get_with("/tags/harbour/atom.xml", &[from, ("User-Agent", NETNEWSWIRE)]).await.status, 200);
    // A header of its own in another's clothes does nothing: what HTTP lets through is looked at, and not repeated.
    for agent in
        ["A\tB/1.0 (5 subscribers)", "\u{ff}\u{fe}/1.0 (6 subscribers)", "x'; DROP TABLE reads; -- (7 subscribers)"]
    {
        let answer = site.get_with(PATH, &[from, ("User-Agent", agent)]).await;
        assert!(
            answer.status == 200 && !answer.headers.iter().any(|(_, value)| value.contains("subscribers")),
            "{agent}"
        );
    }
    let publication = &site.app.publication;
    site.app.readers.write(publication).await.unwrap();
    let found = readers(publication, Some("news"), 1).await.unwrap();
    let day = &found[0].days[0];
    assert_eq!((day.others.get("rss"), day.browsers, day.robots), (Some(&1), 0, 0));
    let names: Vec<_> = day.services.iter().map(|service| (service.name.as_str(), service.readers)).collect();
    assert_eq!(names, [("Feedly", 42), ("x", 7), ("others", 6), ("AB", 5)]);
    assert_eq!(readers(publication, Some("tags/harbour"), 1).await.unwrap()[0].by_feed_reader, 1);
    // And in words.
    let said = site.place.run(&["readers", "news"]).ended(0);
    assert!(said.out.contains("Feedly") && said.out.contains("2026-11-24"), "{}", said.out);
    let json = site.place.run(&["readers", "--json", "--days", "400"]).ended(0).json();
    assert_eq!(json["feeds"][0]["by_feed_reader"], 61, "{json}");
    let said = site.place.run(&["readers", "newz"]).ended(1);
    assert!(said.err.contains("did you mean news?"), "{}", said.err);
    site.place.run(&["readers", "--days", "0"]).ended(2);
}

#[tokio::test]
async fn who_fetches_the_whole_again_and_again_is_told_when_to_come_back() {
    let (hand, site) = site("").await;
    let get = async |address: &str, agent: &str, more: &[(&str, &str)], path: &str| {
        let mut headers = vec![("X-Forwarded-For", address), ("User-Agent", agent)];
        headers.extend_from_slice(more);
        site.get_with(path, &headers).await
    };
    let tag = get("192.0.2.1", "A/1", &[], PATH).await.header("etag").unwrap().to_owned();
    for _ in 0..29 {
        assert_eq!(get("192.0.2.1", "A/1", &[], PATH).await.status, 200);
    }
    let refused = get("192.0.2.1", "A/1", &[], PATH).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("120")));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert!(refused.text().contains("If-None-Match"), "{}", refused.text());
    // Another, another feed, another format, and whoever says what they have.
    for (address, agent, path) in [
        ("192.0.2.2", "A/1", PATH),
        ("192.0.2.1", "B/1", PATH),
        ("192.0.2.1", "A/1", "/feeds/offers/rss.xml"),
        ("192.0.2.1", "A/1", "/feeds/news/atom.xml"),
        ("192.0.2.1", "A/1", "/feeds.opml"),
        ("192.0.2.1", "A/1", "/feeds/news/"),
    ] {
        assert_eq!(get(address, agent, &[], path).await.status, 200, "{address} {agent} {path}");
    }
    for _ in 0..60 {
        assert_eq!(get("192.0.2.1", "A/1", &[("If-None-Match", &tag)], PATH).await.status, 304);
    }
    let old = [("If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT")];
    assert_eq!(get("192.0.2.1", "A/1", &old, PATH).await.status, 200);
    // A line is its /64.
    for host in 0..30 {
        assert_eq!(get(&format!("2001:db8::{host}"), "A/1", &[], PATH).await.status, 200);
    }
    assert_eq!(get("2001:db8::ffff", "A/1", &[], PATH).await.status, 429);
    assert_eq!(get("2001:db8:0:1::1", "A/1", &[], PATH).await.status, 200);
    // In its time it may again.
    hand.fetch_add(119_000, Ordering::SeqCst);
    let refused = get("192.0.2.1", "A/1", &[], PATH).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    hand.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(get("192.0.2.1", "A/1", &[], PATH).await.status, 200);
}

#[tokio::test]
async fn the_limit_is_as_it_is_written_and_nobody_has_one_where_all_come_from_one_address() {
    let (_, site) = self::site("[feeds]\nper_poller = \"2/h\"\n").await;
    let from = [("X-Forwarded-For", "192.0.2.1")];
    for status in [200, 200, 429] {
        assert_eq!(site.get_with(PATH, &from).await.status, status);
    }
    let (_, off) = self::site("[feeds]\nper_poller = \"off\"\n").await;
    for _ in 0..50 {
        assert_eq!(off.get_with(PATH, &from).await.status, 200);
    }
    // Behind a proxy that nobody trusts.
    let site = Site::serve(Place::sample(), Clock::system()).await;
    for _ in 0..50 {
        assert_eq!(site.get(PATH).await.status, 200);
    }
}

#[tokio::test]
async fn a_copy_is_kept_by_the_rhythm_of_its_feed() {
    let place = Place::new();
    for hour in 0..9 {
        place.article(&format!("a{hour}"), "A", &format!("2026-03-01T0{hour}:00:00Z"), "Text");
    }
    let site = Site::serve(place, Clock::system()).await;
    let kept = async || site.get("/feeds/news/atom.xml").await.header("cache-control").unwrap().to_owned();
    assert_eq!(kept().await, "public, max-age=300", "an article an hour");
    for number in 0..9 {
        site.place.article(&format!("a{number}"), "A", &format!("2026-03-0{}T08:00:00Z", number + 1), "Text");
    }
    site.refresh().await;
    assert_eq!(kept().await, "public, max-age=3600", "an article a day");
    for number in 0..9 {
        site.place.article(
            &format!("a{number}"),
            "A",
            &format!("2026-03-0{}T{:02}:00:00Z", number / 2 + 1, 12 * (number % 2)),
            "Text",
        );
    }
    site.refresh().await;
    assert_eq!(kept().await, "public, max-age=1800", "two a day");
    for path in ["/feeds/news/rss.xml", "/feeds/news/atom.xml", "/feeds/news/feed.json"] {
        let tag = site.get(path).await.header("etag").unwrap().to_owned();
        let known = site.get_with(path, &[("If-None-Match", &tag)]).await;
        assert_eq!((known.status, known.header("access-control-allow-origin")), (304, Some("*")));
        assert_eq!(known.header("cache-control"), Some("public, max-age=1800"));
    }
}
