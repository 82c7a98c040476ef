//! A reader's own feed: just what they chose, under an address that is theirs and that they can have changed.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::process::Command;

use chrono::TimeDelta;
use support::place::{Place, clock_at};
use support::publication::{Lantern, NEWS, Setup, news};
use support::site::Site;
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::link::{Link, OwnFeed, Purpose};
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::confirm::subscribe;
use tidings::task::document::Document;
use tidings::task::own_feed::{Found, OwnFeeds, renew};

support::engines::for_each_engine! {
    it_holds_what_the_choices_select_and_nothing_else,
    readers_who_chose_the_same_differ_in_the_address_alone,
    a_new_address_ends_the_one_before,
}

const FILES: [&str; 3] = ["atom.xml", "rss.xml", "feed.json"];

fn sport() -> FeedName {
    FeedName::parse("sport").unwrap()
}

async fn open(url: &str) -> (Lantern, OwnFeeds) {
    let sport = NEWS.replace("\"news\" }", "\"sport\" }").replace("Latest news", "Sport");
    let lantern =
        Lantern::open(url, Setup { feeds: vec![("news", NEWS.into()), ("sport", sport)], ..Setup::default() }).await;
    let feeds = OwnFeeds::new(lantern.publication.config.live_urls());
    (lantern, feeds)
}

fn token(lantern: &Lantern, subscriber: SubscriberId, version: u32) -> String {
    lantern.publication.keyring.sign_own_feed(OwnFeed { subscriber, version })
}

async fn found(lantern: &Lantern, feeds: &OwnFeeds, who: SubscriberId, file: &str) -> Document {
    match feeds.find(&lantern.publication, &token(lantern, who, 1), file).await.unwrap() {
        Found::Document(document) => document,
        other => panic!("{other:?}"),
    }
}

/// The titles in it, as another parser reads them, in their order.
async fn titles(lantern: &Lantern, feeds: &OwnFeeds, who: SubscriberId) -> Vec<String> {
    let mut of_each = vec![];
    for file in FILES {
        let document = found(lantern, feeds, who, file).await;
        let feed = feed_rs::parser::parse(&document.bytes[..]).unwrap();
        assert_eq!(feed.title.unwrap().content, "The Harbour Lantern for you");
        of_each.push(feed.entries.into_iter().map(|entry| entry.title.unwrap().content).collect::<Vec<_>>());
    }
    assert!(of_each.iter().all(|titles| *titles == of_each[0]), "{of_each:?}");
    of_each.remove(0)
}

async fn it_holds_what_the_choices_select_and_nothing_else(url: String) {
    let (lantern, feeds) = open(&url).await;
    let ann = lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    assert_eq!(titles(&lantern, &feeds, ann).await, Vec::<String>::new(), "a feed without entries is one too");
    for (slug, more) in [("lamp", ""), ("match", "section = \"sport\""), ("ferry", "")] {
        lantern.pass(TimeDelta::minutes(1));
        lantern.write(slug, lantern.now(), more);
        lantern.sync().await;
    }
    assert_eq!(titles(&lantern, &feeds, ann).await, ["ferry", "lamp"]);
    let store = &lantern.publication.store;
    store.choose(ann, &sport(), Cadence::Weekly, lantern.now()).await.unwrap();
    assert_eq!(titles(&lantern, &feeds, ann).await, ["ferry", "match", "lamp"], "merged, the newest first");
    // Paused mail is read as a feed; what is left is not.
    lantern.rows("UPDATE subscriptions SET state = 'paused' WHERE feed = 'news' RETURNING state").await;
    assert_eq!(titles(&lantern, &feeds, ann).await, ["ferry", "match", "lamp"]);
    store.leave(ann, Some(&news()), lantern.now()).await.unwrap();
    assert_eq!(titles(&lantern, &feeds, ann).await, ["match"]);
    lantern.withdraw("match");
    lantern.sync().await;
    assert_eq!(titles(&lantern, &feeds, ann).await, Vec::<String>::new());
    // What waits for a yes is not chosen.
    let ben = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse("ben@reader.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    subscribe(&lantern.publication, &ben, &[(news(), Cadence::Daily)], SubscriptionState::Pending).await.unwrap();
    assert_eq!(titles(&lantern, &feeds, ben.id).await, Vec::<String>::new());
}

async fn readers_who_chose_the_same_differ_in_the_address_alone(url: String) {
    let (lantern, feeds) = open(&url).await;
    let ann = lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    let ben = lantern.reader("ben@reader.example", Cadence::Weekly, Some("Asia/Tokyo")).await;
    lantern.release(&["lamp", "ferry"]).await;
    for file in FILES {
        let (hers, his) = (found(&lantern, &feeds, ann, file).await, found(&lantern, &feeds, ben, file).await);
        assert_ne!(hers.etag(None), his.etag(None));
        let text = |document: &Document, who| {
            let text = String::from_utf8(document.bytes.to_vec()).unwrap();
            let token = token(&lantern, who, 1);
            assert!(text.contains(&format!("/feeds/of/{token}/{file}")), "it names itself");
            text.replace(&token, "TOKEN")
        };
        assert_eq!(text(&hers, ann), text(&his, ben));
        // Neither time nor a restart makes other bytes of it.
        lantern.pass(TimeDelta::hours(5));
        let anew = OwnFeeds::new(lantern.publication.config.live_urls());
        let again = found(&lantern, &anew, ann, file).await;
        assert_eq!((&again.bytes, again.etag(None)), (&hers.bytes, hers.etag(None)));
    }
    let before = found(&lantern, &feeds, ann, "atom.xml").await;
    lantern.release(&["quay"]).await;
    assert_ne!(found(&lantern, &feeds, ann, "atom.xml").await.etag(None), before.etag(None));
}

async fn a_new_address_ends_the_one_before(url: String) {
    let (lantern, feeds) = open(&url).await;
    let ann = lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    let find = async |token: String, file| match feeds.find(&lantern.publication, &token, file).await.unwrap() {
        Found::Document(_) => "feed",
        Found::Gone => "gone",
        Found::Nothing => "nothing",
    };
    assert_eq!(find(token(&lantern, ann, 1), "atom.xml").await, "feed");
    assert_eq!(find(token(&lantern, ann, 1), "index.html").await, "nothing");
    for _ in 0..2 {
        renew(&lantern.publication, ann, 1).await.unwrap();
        assert_eq!(find(token(&lantern, ann, 1), "atom.xml").await, "gone");
        assert_eq!(find(token(&lantern, ann, 2), "atom.xml").await, "feed", "asked twice it is changed once");
    }
    let preferences = Link { purpose: Purpose::Preferences, subscriber: ann, feed: None, expires_at: None };
    assert_eq!(find(lantern.publication.keyring.sign(&preferences), "atom.xml").await, "nothing");
    lantern.publication.store.remove_subscriber(ann).await.unwrap();
    assert_eq!(find(token(&lantern, ann, 2), "atom.xml").await, "gone");
}

/// Every link of a page that holds `part`.
fn links(page: &str, part: &str) -> Vec<String> {
    page.split(['"', '<', '>']).filter(|text| text.contains(part) && text.contains('/')).map(str::to_owned).collect()
}

#[tokio::test]
async fn over_http_it_is_private_cached_by_its_bytes_and_changed_by_a_button() {
    let site = Site::serve(Place::sample(), clock_at("2026-11-24T12:00:00Z")).await;
    let ann = Subscriber {
        id: SubscriberId::new("2026-11-24T12:00:00Z".parse().unwrap()),
        address: EmailAddress::parse("ann@reader.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    let publication = &site.app.publication;
    subscribe(publication, &ann, &[(news(), Cadence::Daily)], SubscriptionState::Active).await.unwrap();
    let link = Link { purpose: Purpose::Preferences, subscriber: ann.id, feed: None, expires_at: None };
    let preferences = format!("/preferences/{}", publication.keyring.sign(&link));
    let page = site.get(&preferences).await.text();
    let folder = tempfile::tempdir().unwrap();
    let mut first = String::new();
    for file in FILES {
        let url = links(&page, file).into_iter().find(|url| url.contains("/feeds/of/")).expect(file);
        let path = url.strip_prefix(&site.url("")).unwrap().to_owned();
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 200);
        for (name, value) in
            [("cache-control", "private, max-age=300"), ("x-robots-tag", "noindex"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.header(name), Some(value), "{file}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let etag = answer.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"'));
        let known = site.get_with(&path, &[("If-None-Match", &etag)]).await;
        assert_eq!((known.status, known.body.len()), (304, 0));
        assert_eq!(known.header("cache-control"), Some("private, max-age=300"));
        assert_eq!(site.ask("POST", &path).await.status, 405);
        std::fs::write(folder.path().join(file), &answer.body).unwrap();
        first = path;
    }
    verified(folder.path());

    let action = links(&page, &format!("{preferences}/own-feed")).remove(0);
    assert_eq!(site.get(&action).await.status, 405, "a link scanner changes nothing");
    assert_eq!(site.get(&first).await.status, 200);
    for _ in 0..2 {
        let answer = site.post(&action, &[("version", "1")]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("Your feed has a new address"), "{}", answer.text());
        let gone = site.get(&first).await;
        assert_eq!((gone.status, gone.header("x-robots-tag")), (410, Some("noindex")));
    }
    let now = links(&site.get(&preferences).await.text(), "feed.json").into_iter().find(|url| url.contains("/of/"));
    assert_eq!(site.get(now.unwrap().strip_prefix(&site.url("")).unwrap()).await.status, 200);
    assert_eq!(site.get("/feeds/of/x/atom.xml").await.status, 404);
}

/// As the published feeds are: by a parser that is not ours, where it is installed.
fn verified(folder: &std::path::Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/feeds.py");
    let installed = Command::new("python3").args(["-c", "import feedparser"]).output();
    if !installed.is_ok_and(|ran| ran.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "feedparser is not installed");
        eprintln!("skipped: feedparser is not installed");
        return;
    }
    let ran = Command::new("python3").arg(script).arg(folder).output().unwrap();
    assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
}
