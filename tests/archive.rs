//! The archive: what went out by mail, as pages and as feeds.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, NEWS, Setup, at, news};
use support::site::Site;
use tidings::domain::digest::DigestState;
use tidings::domain::newsletter::Cadence;
use tidings::task::archive::Archive;
use tidings::task::present::Presenter;
use tidings::task::{Clock, publish, schedule};

support::engines::for_each_engine! {
    a_digest_has_its_page_from_the_moment_that_it_goes_out,
    readers_in_other_zones_who_get_the_same_share_a_page,
    what_is_withdrawn_or_cancelled_vanishes_from_the_archive,
    a_newsletter_without_an_archive_has_no_pages,
}

/// A digest's page, or the list where `name` is empty.
async fn page(lantern: &Lantern, name: &str) -> Option<String> {
    let presenter = Presenter::new(&lantern.publication, lantern.publication.config.urls());
    let common = presenter.common().unwrap();
    let feed = lantern.publication.feed(&news()).unwrap();
    let archive = Archive::of(&lantern.publication, &presenter, feed)?;
    if name.is_empty() { archive.list_page(&common, None).await } else { archive.digest_page(&common, name).await }
        .unwrap()
}

/// The documents of the archive that a publish writes, and its pages; what is coded beside them set aside.
async fn published(lantern: &Lantern) -> BTreeSet<String> {
    publish::publish(&lantern.publication, false, &|_, _| {}).await.unwrap();
    let root = lantern.folder.path().join("public/digests");
    let mut found = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry
                .path()
                .extension()
                .is_none_or(|ending| !["br", "zst", "gz"].iter().any(|coded| ending == *coded))
            {
                found.insert(entry.path().strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found
}

async fn pages(lantern: &Lantern) -> Vec<String> {
    let digests = lantern.publication.store.archive(&news(), None, 100).await.unwrap();
    digests.into_iter().map(|digest| digest.page).collect()
}

async fn a_digest_has_its_page_from_the_moment_that_it_goes_out(url: String) {
    let feeds = vec![("news", format!("{NEWS}hold = \"1h\"\n"))];
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    lantern.readers(2).await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    assert_eq!(page(&lantern, "").await, None);
    assert_eq!(published(&lantern).await, BTreeSet::new());
    lantern.set_clock(at("2026-11-25T07:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(page(&lantern, "2026-11-25").await, None, "held");
    lantern.set_clock(at("2026-11-25T08:00:00Z"));
    schedule::tick(&lantern.publication).await.unwrap();
    let shown = page(&lantern, "2026-11-25").await.expect("it is being sent");
    assert!(shown.contains("<h1 dir=\"auto\">News: one</h1>") && shown.contains("25 November 2026"), "{shown}");
    assert!(shown.contains("href=\"https://lantern.example/articles/one/\""), "{shown}");
    assert!(
        !shown.contains("/unsubscribe/") && !shown.contains("/preferences/") && !shown.contains("Hello"),
        "{shown}"
    );
    let files = ["atom.xml", "feed.json", "index.html", "rss.xml", "2026/index.html", "2026-11-25/index.html"];
    let expected: BTreeSet<String> = files.iter().map(|name| format!("news/{name}")).collect();
    assert_eq!(published(&lantern).await, expected);
    // A second one, by hand on the same day, beside it: the first page bears its title now.
    lantern.release(&["two"]).await;
    lantern.dispatch().await;
    lantern.compose().await.unwrap();
    assert_eq!(pages(&lantern).await, ["2026-11-25-2", "2026-11-25"]);
    published(&lantern).await;
    let written = std::fs::read_to_string(lantern.folder.path().join("public/digests/news/2026-11-25/index.html"));
    let written = written.unwrap();
    assert!(written.contains("rel=\"next\"><span>Later, 25 November 2026</span> News: two</a>"), "{written}");
    assert_eq!(Some(written), page(&lantern, "2026-11-25").await);
    let list = page(&lantern, "").await.unwrap();
    assert!(list.find("News: two").unwrap() < list.find("News: one").unwrap(), "{list}");
    assert_eq!(page(&lantern, "2026-11-26").await, None);
}

async fn readers_in_other_zones_who_get_the_same_share_a_page(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (name, zone) in [("tokyo", "Asia/Tokyo"), ("lisbon", "Europe/Lisbon"), ("denver", "America/Denver")] {
        lantern.reader(&format!("{name}@reader.example"), Cadence::Daily, Some(zone)).await;
    }
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.release(&["one"]).await;
    let mut digests = vec![];
    for _ in 0..30 {
        lantern.pass(TimeDelta::hours(1));
        digests.extend(schedule::tick(&lantern.publication).await.unwrap());
    }
    assert_eq!(digests.len(), 3);
    assert_eq!(pages(&lantern).await, ["2026-11-24"]);
    // Denver gets one more article than the others: that is another digest to look at.
    lantern.release(&["two"]).await;
    let mut digests = vec![];
    for hour in 0..24 {
        lantern.pass(TimeDelta::hours(1));
        digests.extend(schedule::tick(&lantern.publication).await.unwrap());
        if hour == 14 {
            lantern.release(&["three"]).await;
        }
    }
    assert_eq!(digests.len(), 3);
    assert_eq!(pages(&lantern).await.len(), 3);
}

async fn what_is_withdrawn_or_cancelled_vanishes_from_the_archive(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(1).await;
    lantern.release(&["one", "two"]).await;
    let (first, _) = lantern.compose().await.unwrap();
    lantern.dispatch().await;
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["three"]).await;
    let (second, _) = lantern.compose().await.unwrap();
    let before = published(&lantern).await;
    lantern.withdraw("one");
    lantern.sync().await;
    published(&lantern).await;
    let text =
        std::fs::read_to_string(lantern.folder.path().join("public/digests/news/2026-11-24/index.html")).unwrap();
    assert!(text.contains("/articles/two/") && !text.contains("/articles/one/"), "{text}");
    assert!(text.contains("<h1 dir=\"auto\">News: two</h1>"), "the subject names it no more: {text}");
    assert_eq!(published(&lantern).await, before);
    let store = &lantern.publication.store;
    store.move_digest(second.id, "sending", &DigestState::Paused).await.unwrap();
    assert!(page(&lantern, "2026-11-25").await.is_some(), "some have its address in their mail");
    store.cancel_digest(second.id, lantern.now()).await.unwrap();
    assert_eq!(page(&lantern, "2026-11-25").await, None);
    assert!(!published(&lantern).await.contains("news/2026-11-25/index.html"));
    lantern.withdraw("two");
    lantern.sync().await;
    assert_eq!(published(&lantern).await, BTreeSet::new(), "of {} nothing is left", first.page);
    assert_eq!(page(&lantern, "").await, None);
}

async fn a_newsletter_without_an_archive_has_no_pages(url: String) {
    let mut lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(1).await;
    lantern.release(&["one"]).await;
    lantern.compose().await.unwrap();
    assert!(!published(&lantern).await.is_empty());
    std::fs::write(lantern.folder.path().join("feeds/news.toml"), format!("{NEWS}archive = false\n")).unwrap();
    lantern.publication = lantern.again().await;
    assert_eq!(page(&lantern, "").await, None);
    assert_eq!(published(&lantern).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_where_the_mail_says_and_its_feed_is_read_by_another_parser() {
    let place = Place::sample();
    place.run(&["sync"]).ended(0);
    place.run(&["subscribers", "add", "ann@reader.example", "--feed", "news"]).ended(0);
    let site = Site::serve(place, Clock::system()).await;
    assert_eq!(site.get("/digests/news/").await.status, 404);
    assert!(!site.get("/feeds/news/").await.text().contains("/digests/"));
    let note = "Open day on Sunday.\n\nBring <cake>.";
    site.place.run(&["digest", "send", "news", "--yes", "--note", note]).ended(0);
    // As `serve` does when it sees that something changed.
    site.refresh().await;
    let list = site.get("/digests/news/").await;
    assert_eq!((list.status, list.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let path = list.text().split(" href=\"").find_map(|rest| {
        let url = rest.split('"').next()?;
        Some(url[url.find("/digests/news/2")?..].to_owned()).filter(|path| path.len() > "/digests/news/2026/".len())
    });
    let path = path.expect("a digest in the list");
    let shown = site.get(&path).await;
    assert_eq!(shown.status, 200, "{path}");
    let html = shown.text();
    assert!(html.contains("Open day on Sunday.") && html.contains("Bring &lt;cake&gt;."), "{html}");
    assert!(html.contains("type=\"application/atom+xml\"") && html.contains("/digests/news/atom.xml"), "{html}");
    assert!(!html.contains("unsubscribe") && !html.contains("preferences"), "{html}");
    assert!(html.contains("id=\"stay-in-touch\""), "{html}");
    assert!(site.get("/feeds/news/").await.text().contains("/digests/news/\">See past digests</a>"));
    let slash = site.get(path.trim_end_matches('/')).await;
    assert_eq!(slash.status, 308);
    for missing in ["/digests/other/", "/digests/news/2026-01-01/", "/digests/news/1999/", "/digests/news/x.xml"] {
        assert_eq!(site.get(missing).await.status, 404, "{missing}");
    }
    for file in ["rss.xml", "atom.xml", "feed.json"] {
        let answer = site.get(&format!("/digests/news/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        let feed = feed_rs::parser::parse(answer.body.as_slice()).unwrap();
        assert_eq!(feed.entries.len(), 1, "{file}");
        let entry = &feed.entries[0];
        assert!(entry.id.starts_with("tag:") && entry.id.contains("digests/news/"), "{file}: {}", entry.id);
        assert!(entry.links[0].href.ends_with(&path), "{file}: {:?}", entry.links);
        let content = entry.content.as_ref().and_then(|content| content.body.clone()).unwrap();
        assert!(content.contains("<li><a href=") && content.contains("Bring &lt;cake&gt;."), "{file}: {content}");
    }
}
