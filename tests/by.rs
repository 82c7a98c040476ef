//! The feeds that come by themselves: of sections, tags and authors; in the store, in `public/` and over HTTP.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use support::place::Place;
use support::publication::{Lantern, Setup};
use support::site::Site;
use tidings::domain::shelf::{Kind, LONGEST_WORD, MOST_WORDS, Shelf};
use tidings::task::publish::{PublishReport, publish};
use tidings::task::{Clock, Publication, sync};

const ALL: &str = "[feeds]\nby = [\"section\", \"tag\", \"author\"]\n";

support::engines::for_each_engine! {
    every_section_tag_and_author_of_what_is_public_has_a_shelf,
    what_changes_touches_its_own_shelves_alone,
    words_that_meet_keep_their_addresses,
    turned_off_and_on_again_they_stand_where_they_stood,
    beyond_the_limit_nothing_is_lost_and_it_is_said,
    two_processes_settle_the_same,
}

async fn lantern(database: &str) -> Lantern {
    Lantern::open(database, Setup { more: ALL, ..Setup::default() }).await
}

fn shown(shelves: &[Shelf]) -> Vec<String> {
    shelves.iter().map(|shelf| format!("{}/{} {}", shelf.kind.folder(), shelf.slug, shelf.word)).collect()
}

async fn shelves(publication: &Publication) -> Vec<String> {
    shown(&publication.store.shelves().await.unwrap())
}

async fn published(publication: &Publication) -> PublishReport {
    publish(publication, false, &|_, _| {}).await.unwrap()
}

/// The files of `public/` in which shelves are, with their bytes.
fn files(lantern: &Lantern) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, all);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                all.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let root = lantern.folder.path().join("public");
    let mut all = BTreeMap::new();
    for kind in Kind::ALL {
        walk(&root, &root.join(kind.folder()), &mut all);
    }
    all
}

fn folders(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    let mut folders: Vec<&str> = files.keys().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
    // Beside them each kind has its list.
    folders.retain(|folder| folder.contains('/'));
    folders.dedup();
    folders
}

async fn every_section_tag_and_author_of_what_is_public_has_a_shelf(url: String) {
    let lantern = lantern(&url).await;
    let now = lantern.now();
    lantern.write("one", now, "tags = [\"Harbour\", \"history\"]\nauthors = [\"Mara Quill\"]");
    lantern.write("two", now - TimeDelta::days(1), "section = \"Offers\"\ntags = [\"harbour\"]");
    lantern.write("draft", now, "draft = true\ntags = [\"secret\"]");
    lantern.write("later", now + TimeDelta::days(2), "tags = [\"tomorrow\"]");
    lantern.sync().await;
    let expected = [
        "sections/news news",
        "sections/offers Offers",
        "tags/harbour Harbour",
        "tags/history history",
        "authors/mara-quill Mara Quill",
    ];
    assert_eq!(shelves(&lantern.publication).await, expected, "the newest article says how a word is written");
    published(&lantern.publication).await;
    let files = files(&lantern);
    assert_eq!(
        folders(&files),
        ["authors/mara-quill", "sections/news", "sections/offers", "tags/harbour", "tags/history"]
    );
    for file in ["rss.xml", "atom.xml", "feed.json"] {
        let feed = feed_rs::parser::parse(&files[&format!("tags/harbour/{file}")][..]).unwrap();
        let titles: Vec<_> = feed.entries.iter().map(|entry| entry.title.as_ref().unwrap().content.as_str()).collect();
        assert_eq!(titles, ["one", "two"], "{file}");
        assert_eq!(feed.title.unwrap().content, "The Harbour Lantern: Harbour");
    }
    let atom = String::from_utf8(files["tags/harbour/atom.xml"].clone()).unwrap();
    assert!(atom.contains("<id>tag:lantern.example,2026-11-24:tags/harbour</id>"), "{atom}");
    assert!(atom.contains("href=\"https://lantern.example/tags/harbour/atom.xml\" rel=\"self\""), "{atom}");
    // What waited for its date has a shelf when that has come.
    lantern.pass(TimeDelta::days(2));
    lantern.sync().await;
    assert!(shelves(&lantern.publication).await.contains(&"tags/tomorrow tomorrow".to_owned()));
    published(&lantern.publication).await;
    assert!(self::files(&lantern).contains_key("tags/tomorrow/index.html"));
}

async fn what_changes_touches_its_own_shelves_alone(url: String) {
    let lantern = lantern(&url).await;
    let now = lantern.now();
    for (days, slug, more) in [
        (1, "one", "tags = [\"a\", \"b\"]\nrelated = [\"three\"]"),
        (2, "two", "tags = [\"b\", \"c\"]"),
        (3, "three", "tags = [\"d\"]"),
        (4, "four", "tags = [\"e\"]"),
    ] {
        lantern.write(slug, now - TimeDelta::days(days), more);
    }
    lantern.sync().await;
    let revisions = async || -> BTreeMap<String, i64> {
        let shelves = lantern.publication.store.shelves().await.unwrap();
        shelves.into_iter().map(|shelf| (shelf.slug, shelf.revision)).collect()
    };
    published(&lantern.publication).await;
    let (before, first) = (revisions().await, files(&lantern));
    let revision = lantern.publication.store.revision().await.unwrap();
    lantern.sync().await;
    assert!(published(&lantern.publication).await.unchanged);
    assert_eq!(lantern.publication.store.revision().await.unwrap(), revision, "nothing changed");

    let changed = async |before: &BTreeMap<String, i64>| -> Vec<String> {
        let now = revisions().await;
        let all = before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>();
        all.into_iter().filter(|slug| before.get(*slug) != now.get(*slug)).cloned().collect()
    };
    // "two" goes from c to f; what names nobody and is named by nobody is left alone.
    lantern.write("two", now - TimeDelta::days(2), "tags = [\"b\", \"f\"]");
    lantern.sync().await;
    assert_eq!(changed(&before).await, ["b", "c", "f", "news"]);
    let report = published(&lantern.publication).await;
    let second = files(&lantern);
    assert!(!second.keys().any(|name| name.starts_with("tags/c/")), "its last article has left it: {report:?}");
    assert!(second.contains_key("tags/f/index.html"));
    for name in ["tags/a/atom.xml", "tags/d/index.html"] {
        assert_eq!(first[name], second[name]);
    }
    // Whoever names "three" shows its title.
    let before = revisions().await;
    lantern.write("three", now - TimeDelta::days(3), "tags = [\"d\"]\nlabel = \"Corrected\"");
    lantern.sync().await;
    assert_eq!(changed(&before).await, ["a", "b", "d", "news"]);
    // The last article of d and, with it, d's feed.
    let before = revisions().await;
    lantern.withdraw("three");
    lantern.sync().await;
    let gone = changed(&before).await;
    assert!(gone.contains(&"d".to_owned()) && !gone.contains(&"e".to_owned()), "{gone:?}");
    published(&lantern.publication).await;
    let third = files(&lantern);
    assert!(!third.keys().any(|name| name.starts_with("tags/d")), "{:?}", third.keys());
    assert!(!lantern.folder.path().join("public/tags/d").exists());
    // Whoever polls a feed of others is told that it went, and since when.
    let gone = |files: &BTreeMap<String, Vec<u8>>, name: &str| {
        let feed = atom_syndication::Feed::read_from(&files[name][..]).unwrap();
        let told = feed.extensions.get("at").and_then(|at| at.get("deleted-entry")).cloned().unwrap_or_default();
        let last = told.iter().map(|gone| gone.attrs["when"].parse::<chrono::DateTime<Utc>>().unwrap()).max();
        assert!(last.is_none_or(|last| feed.updated().to_utc() >= last), "{name}");
        told.len()
    };
    assert_eq!((gone(&second, "sections/news/atom.xml"), gone(&second, "tags/e/atom.xml")), (0, 0));
    assert_eq!((gone(&third, "sections/news/atom.xml"), gone(&third, "tags/e/atom.xml")), (1, 0));
    let opml = std::fs::read_to_string(lantern.folder.path().join("public/feeds.opml")).unwrap();
    assert!(!opml.contains("/tags/d/") && opml.contains("/tags/e/"), "{opml}");
    // Back again, it is where it was.
    lantern.write("three", now - TimeDelta::days(3), "tags = [\"d\"]\nlabel = \"Corrected\"");
    lantern.sync().await;
    published(&lantern.publication).await;
    let fourth = files(&lantern);
    assert_eq!((gone(&fourth, "tags/d/atom.xml"), gone(&fourth, "sections/news/atom.xml")), (0, 0));
    // As a draft again it is nowhere.
    lantern.write("three", now - TimeDelta::days(3), "tags = [\"d\"]\ndraft = true");
    lantern.sync().await;
    published(&lantern.publication).await;
    assert_eq!(gone(&files(&lantern), "sections/news/atom.xml"), 1);
}

async fn words_that_meet_keep_their_addresses(url: String) {
    let lantern = lantern(&url).await;
    let now = lantern.now();
    lantern.write("one", now, "tags = [\"Café\", \"C++\", \"C\", \"old town\", \"…\"]");
    lantern.write("two", now, "tags = [\"CAFÉ\", \"c\", \"C#\"]");
    lantern.write("three", now - TimeDelta::days(1), "tags = [\"café\"]");
    lantern.sync().await;
    let first: Vec<_> =
        shelves(&lantern.publication).await.into_iter().filter(|line| line.starts_with("tags")).collect();
    let words: Vec<&str> = first.iter().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    assert_eq!(words.len(), 6, "{first:?}");
    assert!(first.iter().any(|line| line.starts_with("tags/cafe ")), "{first:?}");
    assert!(first.iter().any(|line| line == "tags/c C" || line == "tags/c c"), "{first:?}");
    let sharp = first.iter().find(|line| line.ends_with(" C#")).unwrap();
    assert!(sharp.starts_with("tags/c-") && sharp.len() == "tags/c-12345678 C#".len(), "{sharp}");
    // Who comes later does not drive anybody out, however many bear it.
    for slug in ["four", "five", "six", "seven"] {
        lantern.write(slug, now, "tags = [\"cafe\", \"old-town\"]");
    }
    lantern.sync().await;
    let second: Vec<_> =
        shelves(&lantern.publication).await.into_iter().filter(|line| line.starts_with("tags")).collect();
    assert_eq!(second.len(), 8, "{second:?}");
    let addresses = |lines: &[String]| -> BTreeMap<String, String> {
        let parts = lines.iter().filter_map(|line| line.split_once(' '));
        parts.map(|(address, word)| (word.to_lowercase(), address.to_owned())).collect()
    };
    let (first, second) = (addresses(&first), addresses(&second));
    assert!(first.iter().all(|(word, address)| second.get(word) == Some(address)), "{first:?} {second:?}");
    assert!(second["cafe"].starts_with("tags/cafe-") && second["old-town"].starts_with("tags/old-town-"), "{second:?}");
    published(&lantern.publication).await;
    let titles = |address: &str| {
        let atom = &files(&lantern)[&format!("{address}/atom.xml")];
        feed_rs::parser::parse(&atom[..]).unwrap().entries.len()
    };
    assert_eq!((titles("tags/cafe"), titles(&second["cafe"]), titles("tags/c"), titles(&second["c#"])), (3, 4, 2, 1));
    // A store made anew from the same articles gives addresses by what most of them bear.
    let page = std::fs::read_to_string(lantern.folder.path().join("public/articles/four/index.html")).unwrap();
    assert!(
        page.contains(&format!("href=\"https://lantern.example/{}/\" rel=\"tag\">cafe</a>", second["cafe"])),
        "{page}"
    );
}

async fn turned_off_and_on_again_they_stand_where_they_stood(url: String) {
    let lantern = lantern(&url).await;
    lantern.write("one", lantern.now(), "tags = [\"a\", \"Á\"]\nauthors = [\"Mara Quill\"]");
    lantern.sync().await;
    let first = shelves(&lantern.publication).await;
    published(&lantern.publication).await;
    assert_eq!(folders(&files(&lantern)).len(), 4);
    let config = lantern.folder.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    for (by, folders) in [("\"author\"", vec!["authors/mara-quill"]), ("", vec![])] {
        std::fs::write(&config, text.replace("\"section\", \"tag\", \"author\"", by)).unwrap();
        let publication = lantern.again().await;
        sync::sync(&publication, &|_, _| {}).await.unwrap();
        published(&publication).await;
        assert_eq!(self::folders(&files(&lantern)), folders);
        let is_listed = |kind: &str| lantern.folder.path().join(format!("public/{kind}/index.html")).exists();
        assert_eq!((is_listed("tags"), is_listed("authors")), (false, !by.is_empty()));
        let page = std::fs::read_to_string(lantern.folder.path().join("public/articles/one/index.html")).unwrap();
        assert!(!page.contains("/tags/a/") && page.contains("Mara Quill"), "{page}");
        assert_eq!(page.contains("/authors/mara-quill/"), !by.is_empty());
        publication.store.close().await;
    }
    std::fs::write(&config, text).unwrap();
    let publication = lantern.again().await;
    sync::sync(&publication, &|_, _| {}).await.unwrap();
    assert_eq!(shelves(&publication).await, first);
    published(&publication).await;
    assert_eq!(folders(&files(&lantern)).len(), 4);
    publication.store.close().await;
}

async fn beyond_the_limit_nothing_is_lost_and_it_is_said(url: String) {
    let lantern = lantern(&url).await;
    let mut tags = String::from("tags = [\"most\"");
    for number in 0..10_000 {
        let _ = write!(tags, ", \"tag {number}\"");
    }
    let long = "x".repeat(100_000);
    lantern.write("many", lantern.now(), &format!("{tags}]\nauthors = [\"{long}\", \"Mara Quill\"]"));
    lantern.write("few", lantern.now(), "tags = [\"most\", \"Only\"]");
    let report = sync::sync(&lantern.publication, &|_, _| {}).await.unwrap();
    let said: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let file = "articles/many.md: ";
    assert_eq!(said.iter().filter(|said| said.starts_with(file)).count(), said.len(), "{said:?}");
    assert!(said.iter().any(|said| said.contains(&format!("10001 tags: only the first {MOST_WORDS} have feeds"))));
    assert!(said.iter().any(|said| said.contains(&format!("longer than {LONGEST_WORD} characters"))), "{said:?}");
    let all = shelves(&lantern.publication).await;
    assert_eq!(all.iter().filter(|line| line.starts_with("tags/")).count(), MOST_WORDS + 1);

    // More words than there may be shelves: those that most articles bear have one, and who has one keeps it.
    let store = &lantern.publication.store;
    lantern.write("few", lantern.now(), "tags = [\"most\", \"Only\", \"p\", \"q\", \"r\"]");
    lantern.write("next", lantern.now(), "tags = [\"r\", \"s\"]");
    let publication = lantern.again().await;
    let before = all.len();
    // The sync settles with the limit of the program: this one is settled before it with a small one.
    let most = before + 1;
    write_without_settling(&publication).await;
    store.settle_shelves(most, lantern.now()).await.unwrap();
    let now = shelves(&publication).await;
    assert_eq!(now.len(), most);
    assert!(now.contains(&"tags/r r".to_owned()), "{now:?}");
    assert_eq!(store.words_without_shelf().await.unwrap(), 3);
    publication.store.close().await;
}

/// What a sync writes before it settles, by one that is told to have no shelves and whose rows are put there afterwards.
async fn write_without_settling(publication: &Publication) {
    let kinds = publication.config.feed_rules.by;
    let folder = publication.config.articles.clone();
    let mut batch = tidings::store::SyncBatch { shelves: kinds, ..tidings::store::SyncBatch::default() };
    for (slug, text) in [("few", "few.md"), ("next", "next.md")] {
        let bytes = std::fs::read(folder.join(text)).unwrap();
        let context = tidings::source::Context {
            base: &publication.config.publication.url,
            time_zone: chrono_tz::UTC,
            now: publication.clock.now(),
        };
        let id = tidings::domain::article::ArticleId::new(publication.clock.now());
        let article = tidings::source::parse(id, text, text, &bytes, &context).article.expect(slug);
        batch.rows.push(tidings::store::FileRow {
            archive: false,
            aliases: vec![],
            article,
            size: 1,
            modified_ns: 1,
            content_hash: String::new(),
            feeds: vec![],
        });
    }
    publication.store.write_sync("folder", &batch).await.unwrap();
    let now = publication.clock.now();
    publication.store.release_due("folder", "tag:lantern.example,2026-11-24:", false, now).await.unwrap();
}

async fn two_processes_settle_the_same(url: String) {
    let lantern = lantern(&url).await;
    for number in 0..20 {
        lantern.write(&format!("n{number}"), lantern.now(), &format!("tags = [\"a\", \"Á\", \"t{number}\"]"));
    }
    let other = lantern.again().await;
    let (one, two) = tokio::join!(sync::sync(&lantern.publication, &|_, _| {}), sync::sync(&other, &|_, _| {}));
    assert!(one.unwrap().problems.is_empty() && two.unwrap().problems.is_empty());
    let (store, now) = (&lantern.publication.store, lantern.now());
    let settled = tokio::join!(store.settle_shelves(5000, now), other.store.settle_shelves(5000, now));
    settled.0.unwrap();
    settled.1.unwrap();
    let all = shelves(&other).await;
    assert_eq!(all.iter().filter(|line| line.starts_with("tags/")).count(), 22, "{all:?}");
    other.store.close().await;
}

fn sample() -> Place {
    let place = Place::sample();
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}\n{ALL}"));
    place
}

#[tokio::test]
async fn over_http_they_answer_like_any_feed() {
    let site = Site::serve(sample(), Clock::system()).await;
    for (path, status, kind) in [
        ("/tags/harbour/", 200, "text/html; charset=utf-8"),
        ("/tags/harbour/rss.xml", 200, "application/rss+xml; charset=utf-8"),
        ("/tags/harbour/atom.xml", 200, "application/atom+xml; charset=utf-8"),
        ("/tags/harbour/feed.json", 200, "application/feed+json"),
        ("/sections/news/", 200, "text/html; charset=utf-8"),
        ("/authors/mara-quill/atom.xml", 200, "application/atom+xml; charset=utf-8"),
        ("/tags/no-such-tag/", 404, "text/html; charset=utf-8"),
        ("/tags/no-such-tag/atom.xml", 404, "text/html; charset=utf-8"),
        ("/tags/harbour/other.xml", 404, "text/html; charset=utf-8"),
        ("/tags/Harbour/atom.xml", 404, "text/html; charset=utf-8"),
        ("/tags/..%2fharbour/atom.xml", 404, "text/html; charset=utf-8"),
        ("/tags/%68arbour/atom.xml", 404, "text/html; charset=utf-8"),
        ("/tags/", 200, "text/html; charset=utf-8"),
        ("/sections/", 200, "text/html; charset=utf-8"),
        ("/authors/", 200, "text/html; charset=utf-8"),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("content-type").unwrap_or_default()), (status, kind), "{path}");
        let head = site.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
    }
    let answer = site.get("/tags/harbour").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("./harbour/")));
    for file in ["rss.xml", "atom.xml", "feed.json"] {
        let path = format!("/tags/harbour/{file}");
        let whole = site.get(&path).await;
        let feed = feed_rs::parser::parse(&whole.body[..]).unwrap();
        assert_eq!(feed.entries.len(), 5, "{path}");
        assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
        let (tag, modified) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
        assert_eq!(site.get_with(&path, &[("If-None-Match", tag)]).await.status, 304);
        assert_eq!(site.get_with(&path, &[("If-Modified-Since", modified)]).await.status, 304);
        let coded = site.get_with(&path, &[("Accept-Encoding", "gzip")]).await;
        assert_eq!(coded.header("content-encoding"), Some("gzip"));
    }
    // They are no newsletters.
    let form = site.get("/subscribe").await.text();
    assert!(!form.contains("value=\"harbour\"") && !form.contains("/tags/harbour"), "{form}");
}

#[tokio::test]
async fn an_edit_is_seen_at_once_and_what_others_changed_is_not_made_again() {
    let site = Site::serve(sample(), Clock::system()).await;
    let harbour = site.get("/tags/harbour/atom.xml").await;
    let food = site.get("/tags/food/atom.xml").await;
    site.place.write(
        "articles/new.md",
        "+++\ntitle = \"New in the harbour\"\ndate = 2026-03-20T08:00:00Z\nsection = \"news\"\ntags = [\"harbour\"]\n+++\nText.\n",
    );
    site.refresh().await;
    let since = [("A-IM", "feed"), ("If-None-Match", harbour.header("etag").unwrap())];
    let delta = site.get_with("/tags/harbour/atom.xml", &since).await;
    assert_eq!(delta.status, 226, "what is new alone");
    assert_eq!(feed_rs::parser::parse(&delta.body[..]).unwrap().entries.len(), 1);
    let again = site.get("/tags/food/atom.xml").await;
    for header in ["etag", "last-modified"] {
        assert_eq!(again.header(header), food.header(header));
    }
    // Its last article gone, there is nothing.
    site.place.write(
        "articles/new.md",
        "+++\ntitle = \"New in the harbour\"\ndate = 2026-03-20T08:00:00Z\nsection = \"news\"\ntags = [\"lone\"]\n+++\nText.\n",
    );
    site.refresh().await;
    assert_eq!(site.get("/tags/lone/atom.xml").await.status, 200);
    site.place.remove("articles/new.md");
    site.refresh().await;
    assert_eq!(site.get("/tags/lone/atom.xml").await.status, 404);
    assert_eq!(site.get("/tags/lone/").await.status, 404);
}

#[tokio::test]
async fn pages_link_to_them_and_the_list_of_all_feeds_names_them() {
    let site = Site::serve(sample(), Clock::system()).await;
    let page = site.get("/articles/the-lighthouse-is-lit-again/").await.text();
    for link in ["/sections/news/", "/tags/harbour/", "/authors/"] {
        assert!(page.contains(&format!("{}{link}", site.url(""))), "{link}: {page}");
    }
    let list = site.get("/tags/").await.text();
    assert!(list.contains("<h1>Tags</h1>"), "{list}");
    assert!(
        list.contains(&format!("<li><a href=\"{}\" dir=\"auto\">harbour</a></li>", site.url("/tags/harbour/"))),
        "{list}"
    );
    assert!(!list.contains("/authors/mara-quill/"), "each kind has its own list: {list}");
    let shelf = site.get("/tags/harbour/").await.text();
    for (page, kind) in [(&page, "sections"), (&page, "authors"), (&shelf, "tags")] {
        assert!(page.contains(&format!("<a href=\"{}\">", site.url(&format!("/{kind}/")))), "{kind}: {page}");
    }
    for (kind, file) in [("rss+xml", "rss.xml"), ("atom+xml", "atom.xml"), ("feed+json", "feed.json")] {
        let url = site.url(&format!("/tags/harbour/{file}"));
        assert!(
            shelf.contains(&format!("<link rel=\"alternate\" type=\"application/{kind}\" title=\"harbour ("))
                && shelf.contains(&format!("href=\"{url}\"")),
            "{shelf}"
        );
    }
    assert!(shelf.contains("<form class=\"signup\""), "the mail form stands beside it");
    let opml = site.get("/feeds.opml").await;
    let list: Vec<(String, Vec<String>)> = outlines(&opml.text());
    let groups: Vec<&str> = list.iter().map(|(group, _)| group.as_str()).collect();
    assert_eq!(groups, ["", "Sections", "Tags", "Authors"]);
    assert_eq!((list[0].1.len(), list[1].1.len()), (3, 3));
    for url in list.iter().flat_map(|(_, urls)| urls) {
        let answer = site.get(url.strip_prefix(&site.url("")).unwrap()).await;
        assert_eq!(answer.status, 200, "{url}");
        feed_rs::parser::parse(&answer.body[..]).unwrap();
    }
    assert!(opml.text().contains("<dateModified>") && opml.text().contains(" created=\""), "{}", opml.text());
    assert!(opml.text().contains(" category=\"harbour\""), "{}", opml.text());
}

/// The groups of a list of feeds with the addresses in each, those without one first.
fn outlines(opml: &str) -> Vec<(String, Vec<String>)> {
    let attribute = |line: &str, name: &str| {
        let start = format!(" {name}=\"");
        Some(line.split_once(&start)?.1.split('"').next()?.to_owned())
    };
    let mut groups = vec![(String::new(), vec![])];
    for line in opml.lines().filter(|line| line.starts_with("<outline ")) {
        match attribute(line, "xmlUrl") {
            Some(url) => groups.last_mut().unwrap().1.push(url),
            None => groups.push((attribute(line, "text").unwrap(), vec![])),
        }
    }
    groups
}

#[tokio::test]
async fn without_the_key_nothing_is_there() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    for path in ["/tags/", "/tags/harbour/", "/tags/harbour/atom.xml", "/sections/news/", "/authors/mara-quill/rss.xml"]
    {
        assert_eq!(site.get(path).await.status, 404, "{path}");
    }
    let page = site.get("/articles/the-lighthouse-is-lit-again/").await.text();
    assert!(!page.contains("/tags/") && page.contains("<li>harbour</li>"), "{page}");
}
