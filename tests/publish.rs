//! What `tidings publish` writes, read back by parsers that are not ours.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

#[path = "../benches/support/corpus.rs"]
mod corpus;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use corpus::{Broken, write_articles};
use serde_json::Value;
use support::place::{CONFIG, Place};

/// The entries of every feed document below `public/` but volumes: id and title, by path.
fn entries(place: &Place) -> BTreeMap<String, Vec<(String, String)>> {
    let mut all = BTreeMap::new();
    for (name, (bytes, _)) in place.files("public") {
        let is_volume = name.contains("/archive/");
        if is_volume || !["/rss.xml", "/atom.xml", "/feed.json"].iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        let feed = feed_rs::parser::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entries: Vec<_> = feed
            .entries
            .into_iter()
            .map(|entry| {
                assert!(entry.published.is_some() && !entry.links.is_empty(), "{name}: {}", entry.id);
                (entry.id, entry.title.map(|title| title.content).unwrap_or_default())
            })
            .collect();
        let ids: BTreeSet<_> = entries.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), entries.len(), "{name}: an id stands twice");
        assert!(ids.iter().all(|id| id.starts_with("tag:")), "{name}: {ids:?}");
        all.insert(name, entries);
    }
    all
}

/// How many entries each feed has, the same in its three documents.
fn counts(entries: &BTreeMap<String, Vec<(String, String)>>) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (name, entries) in entries {
        let feed = name.split('/').nth(1).unwrap();
        assert_eq!(*counts.entry(feed).or_insert(entries.len()), entries.len(), "{name}");
    }
    assert_eq!(entries.len(), 3 * counts.len(), "each feed has three documents");
    counts
}

/// Python's feedparser finds no fault. Without it this part is skipped with a word, in CI it has to be there.
fn feedparser_agrees(place: &Place) {
    let there = Command::new("python3").args(["-c", "import feedparser"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI has to have python3 with feedparser");
        eprintln!("skipped: python3 with feedparser is not installed");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/feeds.py");
    let output = Command::new("python3").arg(script).arg(place.path().join("public")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_feed_of_the_sample_is_read_back_by_other_parsers() {
    let place = Place::sample();
    place.run(&["publish"]).ended(0);
    let first = entries(&place);
    assert_eq!(counts(&first), BTreeMap::from([("announcements", 4), ("news", 9), ("offers", 4)]));
    feedparser_agrees(&place);

    // Rendered anew, and from an empty folder: the same bytes.
    let before = place.files("public");
    std::fs::remove_dir_all(place.path().join("public")).unwrap();
    place.run(&["publish"]).ended(0);
    for (name, (bytes, _)) in place.files("public") {
        assert!(before[&name].0 == bytes, "{name} has other bytes");
    }
}

#[test]
fn an_opml_file_names_every_feed() {
    let place = Place::sample();
    place.run(&["publish"]).ended(0);
    let opml = place.read("public/feeds.opml");
    for feed in ["announcements", "news", "offers"] {
        assert!(opml.contains(&format!("xmlUrl=\"https://lantern.example/feeds/{feed}/atom.xml\"")), "{opml}");
    }
}

#[test]
fn of_a_thousand_articles_the_broken_are_named_and_the_others_stand_in_every_feed() {
    const PUBLISHED_ALL_THE_SAME: [Broken; 4] =
        [Broken::ControlReference, Broken::UnknownKey, Broken::ControlCharacters, Broken::Script];
    let place = Place::empty();
    place.write("config.toml", CONFIG);
    place.write("feeds/all.toml", "title = \"All\"\nlimit = 2000\ncontent = \"summary\"\n");
    place.write("feeds/news.toml", "title = \"News\"\nselect = { section = \"news\" }\n");
    place.write("feeds/tagged.toml", "title = \"Tagged\"\nselect = { tag = [\"R&D\", \"読書\"] }\nlimit = 20\n");
    let corpus = write_articles(&place.path().join("articles"), 1000, 11, 5).unwrap();
    assert_eq!(corpus.broken.len(), 50);

    let report = place.run(&["publish", "--json"]).ended(1).json();
    let named = |report: &Value| -> BTreeSet<String> {
        let problems = report["problems"].as_array().unwrap().iter();
        problems.map(|problem| problem["file"].as_str().unwrap().to_owned()).collect()
    };
    let broken: BTreeSet<String> = corpus.broken.iter().map(|(name, _)| format!("articles/{name}")).collect();
    assert_eq!(named(&report), broken);
    for problem in report["problems"].as_array().unwrap() {
        assert!(problem["line"].is_number() || problem["what"].as_str().unwrap().contains("is taken by"), "{problem}");
    }

    let expected = corpus.good + corpus.broken.iter().filter(|(_, kind)| PUBLISHED_ALL_THE_SAME.contains(kind)).count();
    let first = entries(&place);
    let polled = counts(&first);
    assert_eq!((polled["all"], polled.len()), (expected, 3));
    assert!((26..=50).contains(&polled["news"]) && (11..=20).contains(&polled["tagged"]), "{polled:?}");
    assert!(place.has("public/feeds/news/archive/1/atom.xml"));
    assert_eq!(report["publish"]["pages"], expected);
    feedparser_agrees(&place);

    let again = place.run(&["publish", "--json"]).ended(1).json();
    assert_eq!(again["publish"]["unchanged"], true, "{again}");
    assert_eq!(named(&again), broken);

    // A few are edited, a few renamed: every id stays, the new titles are there.
    let broken_names: BTreeSet<&str> = corpus.broken.iter().map(|(name, _)| name.as_str()).collect();
    let good: Vec<String> = (0..1000)
        .map(|at| format!("{}.md", corpus::slug(at)))
        .filter(|name| !broken_names.contains(name.as_str()))
        .collect();
    for name in &good[..5] {
        let text = place.read(&format!("articles/{name}"));
        let title = text.lines().find(|line| line.starts_with("title")).unwrap();
        place.write(&format!("articles/{name}"), text.replace(title, "title = \"Edited & <renewed>\""));
    }
    for name in &good[5..10] {
        std::fs::rename(
            place.path().join("articles").join(name),
            place.path().join("articles").join(format!("moved-{name}")),
        )
        .unwrap();
    }
    let edited = place.run(&["publish", "--json"]).ended(1).json();
    assert_eq!(
        (&edited["sync"]["changed"], &edited["sync"]["new"], &edited["sync"]["withdrawn"]),
        (&10.into(), &0.into(), &0.into())
    );
    let second = entries(&place);
    let ids = |entries: &BTreeMap<String, Vec<(String, String)>>| -> BTreeSet<String> {
        entries["feeds/all/atom.xml"].iter().map(|(id, _)| id.clone()).collect()
    };
    assert_eq!(ids(&second), ids(&first));
    for document in ["rss.xml", "atom.xml", "feed.json"] {
        let titles = second[&format!("feeds/all/{document}")].iter().map(|(_, title)| title);
        assert_eq!(titles.filter(|title| plain(title) == "Edited & <renewed>").count(), 5, "{document}");
    }
}

/// A title as a reader shows it, whether the parser gave text or HTML.
fn plain(title: &str) -> String {
    title.replace("&lt;", "<").replace("&gt;", ">").replace("&#x3C;", "<").replace("&#x26;", "&").replace("&amp;", "&")
}
