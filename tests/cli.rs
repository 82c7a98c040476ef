//! The program as a person uses it: the built binary, in folders of its own.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use support::place::{CONFIG, NEWS, Place, Ran, clock_at, differences};
use tidings::task::{Clock, publish, sync};

/// Every feed document below `public/`, read by another parser: path and number of entries.
#[track_caller]
fn feeds(place: &Place) -> Vec<(String, usize)> {
    let mut found = vec![];
    for (name, (bytes, _)) in place.files("public") {
        if [".xml", "feed.json"].iter().any(|ending| name.ends_with(ending)) {
            let feed = feed_rs::parser::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push((name, feed.entries.len()));
        }
    }
    assert!(!found.is_empty(), "no feed was written");
    found
}

/// The ids of a feed's entries.
fn ids(place: &Place, feed: &str) -> BTreeSet<String> {
    let bytes = place.read(&format!("public/feeds/{feed}/atom.xml"));
    feed_rs::parser::parse(bytes.as_bytes()).unwrap().entries.into_iter().map(|entry| entry.id).collect()
}

/// The files that problems name, from the lines `FILE:LINE: WHAT` or `FILE: WHAT`.
fn named(ran: &Ran) -> BTreeSet<String> {
    let lines = ran.err.lines().filter(|line| !line.starts_with(' ') && line.contains(": "));
    lines.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_new_publication_checks_clean_and_publishes() {
    let place = Place::empty();
    let ran = place.run(&["init", "mine"]).ended(0);
    assert!(ran.out.contains("-C mine serve"), "{}", ran.out);
    let ran = place.run(&["-C", "mine", "check"]).ended(0);
    assert_eq!(ran.out, "1 article and 1 feed read, 0 problems found\n");
    assert_eq!(ran.err, "");
    let ran = place.run(&["-C", "mine", "publish"]).ended(0);
    assert!(ran.out.contains("mine/public") || ran.out.contains("public/: 3 feed documents"), "{}", ran.out);
    for file in ["index.html", "articles/hello/index.html", "feeds/news/rss.xml", "feeds.opml", "style.css"] {
        assert!(place.has(&format!("mine/public/{file}")), "{file}");
    }
    assert!(place.read("mine/.gitignore").contains("/public"));
}

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let place = Place::empty();
    place.run(&["init", "mine"]).ended(0);
    place.write("mine/config.toml", "changed");
    place.remove("mine/articles/hello.md");
    let before = place.files("mine");
    let ran = place.run(&["init", "mine"]).ended(2);
    assert_eq!(ran.err, "error: mine is a publication already; nothing was changed\n");
    assert_eq!(differences(&before, &place.files("mine")), [""; 0]);
}

#[test]
fn the_help_of_every_verb_reads_well() {
    let place = Place::empty();
    let help = place.run(&["--help"]).ended(0).out;
    insta::assert_snapshot!(help);
    let verbs: &[&[&str]] = &[
        &["init"],
        &["import"],
        &["check"],
        &["sync"],
        &["publish"],
        &["source"],
        &["source", "list"],
        &["source", "add"],
        &["source", "poll"],
        &["source", "remove"],
        &["form"],
        &["report"],
        &["serve"],
        &["worker"],
        &["status"],
        &["subscribers"],
        &["subscribers", "add"],
        &["subscribers", "list"],
        &["subscribers", "show"],
        &["subscribers", "set"],
        &["subscribers", "import"],
        &["subscribers", "export"],
        &["subscribers", "erase"],
        &["subscribers", "purge"],
        &["segments"],
        &["segments", "show"],
        &["suppressions"],
        &["suppressions", "list"],
        &["suppressions", "add"],
        &["suppressions", "lift"],
        &["template"],
        &["template", "eject"],
        &["template", "list"],
        &["template", "check"],
        &["digest"],
        &["digest", "preview"],
        &["digest", "send"],
        &["digest", "list"],
        &["digest", "show"],
        &["digest", "pause"],
        &["digest", "cancel"],
        &["digest", "resume"],
        &["digest", "approve"],
        &["digest", "pick"],
        &["schedule"],
        &["why"],
    ];
    for verb in verbs {
        let help = place.run(&[verb, &["--help"][..]].concat()).ended(0).out;
        assert!(help.contains(&format!("Usage: tidings {}", verb.join(" "))), "{help}");
        assert!(!help.contains('`'), "Markdown stands in the help of {verb:?}:\n{help}");
        for line in help.lines().filter(|line| line.starts_with("  ") && line.len() > 2) {
            assert!(line.chars().count() <= 100, "{verb:?}: {line}");
        }
        // Each argument and option says what it is for: on its line, or below it.
        let lines: Vec<&str> = help.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--")) {
            let text = line.trim_start().split_once("  ").map_or("", |(_, text)| text.trim());
            let below = lines.get(at + 1).map_or("", |below| below.trim());
            assert!(!text.is_empty() || !below.is_empty(), "{verb:?}: {line}");
        }
    }
}

#[test]
fn what_is_called_wrongly_is_exit_2_and_no_publication_is_exit_1() {
    let place = Place::empty();
    place.run(&[]).ended(2);
    place.run(&["chek"]).ended(2);
    place.run(&["publish", "--everything"]).ended(2);
    let ran = place.run(&["check"]).ended(1);
    assert!(ran.err.starts_with("config.toml: cannot be read"), "{}", ran.err);
    assert!(ran.err.contains("hint: run tidings in the folder of a publication"), "{}", ran.err);
    assert!(!place.has("tidings.db"));
}

#[test]
fn the_sample_publication_checks_clean() {
    let place = Place::sample();
    let ran = place.run(&["check"]).ended(0);
    assert_eq!(ran.out, "18 articles and 3 feeds read, 0 problems found\n");
    assert_eq!(ran.err, "");
    assert!(!place.has("tidings.db"), "a check leaves nothing behind");
}

#[test]
fn a_check_names_links_that_lead_nowhere() {
    let place = Place::new();
    place.write(
        "articles/ferry.md",
        "+++\nslug = \"the-night-ferry\"\ntitle = \"Ferry\"\ndate = 2026-03-01\n+++\nText\n",
    );
    let links = "[a](ferry.md) [b](/articles/the-nite-ferry/#x) [c](/articles/the-night-ferry/) [d](https://test.example/visit) ![e](boat.png) [f](#top)";
    place.article("links", "Links", "2026-03-02", links);
    let ran = place.run(&["check"]).ended(1);
    let expected = "articles/links.md: a link leads to an article that is not there: /articles/ferry/\n  hint: its address is /articles/the-night-ferry/: write that\n\
        articles/links.md: a link or picture leads to a file that is not published: \"boat.png\"\n  hint: put the file into static/ and write its path from there, such as /images/boat.png\n\
        articles/links.md: a link leads to an article that is not there: /articles/the-nite-ferry/\n  hint: did you mean the-night-ferry?\n3 problems\n";
    assert_eq!(ran.err, expected);
}

/// A bad article: its file, what it holds, the line and the words of the complaint, and whether it is published.
type Bad = (&'static str, &'static [u8], Option<usize>, &'static str, bool);

const BAD_ARTICLES: &[Bad] = &[
    ("toml.md", b"+++\ntitle = \"Not closed\ndate = 2026-03-02\n+++\nText\n", Some(2), "not TOML", false),
    ("yaml.md", b"---\ntitle: A\ntags: [one, two\ndate: 2026-03-02\n---\nText\n", None, "not YAML", false),
    ("fence.md", b"+++\ntitle = \"A\"\ndate = 2026-03-02\n\nText\n", Some(1), "front matter is not closed", false),
    (
        "date.md",
        b"+++\ntitle = \"A\"\ndate = \"03/02/2026\"\n+++\nText\n",
        Some(3),
        "date is not a date: \"03/02/2026\"",
        false,
    ),
    (
        "updated.md",
        b"+++\ntitle = \"A\"\ndate = 2026-03-02\nupdated = 2099-01-01\n+++\nText\n",
        Some(4),
        "updated is still to come, and was left out: 2099-01-01 00:00 UTC",
        true,
    ),
    (
        "utf8.md",
        b"+++\ntitle = \"A\"\ndate = 2026-03-02\n+++\nText\nCaf\xe9\n",
        Some(6),
        "the file is not UTF-8",
        false,
    ),
    (
        "control.md",
        b"+++\ntitle = \"A bell\"\ndate = 2026-03-02\n+++\nText\n\nA unit&#x1F; and a bell: &#7;\n",
        Some(7),
        "control character",
        true,
    ),
    (
        "control-title.md",
        b"+++\ntitle = \"A\\u0007 bell\"\ndate = 2026-03-02\n+++\nText\n",
        Some(2),
        "control character",
        true,
    ),
    ("empty.md", b"", Some(1), "the file is empty", false),
    ("key.md", b"+++\ntitle = \"Key\"\ndate = 2026-03-02\nsumary = \"x\"\n+++\nText\n", Some(4), "sumary", true),
    (
        "script.md",
        b"+++\ntitle = \"Script\"\ndate = 2026-03-02\n+++\nText\n\n<script>alert(1)</script>\n",
        Some(7),
        "<script> was left out",
        true,
    ),
];

#[test]
fn every_bad_article_is_named_with_its_line_and_remedy_and_the_rest_is_published() {
    let place = Place::new();
    place.article("good", "A good one", "2026-03-01", "Nothing wrong here.");
    for (name, bytes, ..) in BAD_ARTICLES {
        place.write(&format!("articles/{name}"), bytes);
    }
    place.article("zz-twice", "Twice", "2026-03-01", "x");
    place.write(
        "articles/zz-twice-again.md",
        "+++\nslug = \"zz-twice\"\ntitle = \"Again\"\ndate = 2026-03-01\n+++\nx\n",
    );
    let large = std::fs::File::create(place.path().join("articles/large.md")).unwrap();
    large.set_len(5 * 1024 * 1024 + 1).unwrap();

    let checked = place.run(&["check"]).ended(1);
    let published = place.run(&["publish"]).ended(1);
    for ran in [&checked, &published] {
        let lines: Vec<&str> = ran.err.lines().collect();
        for (name, _, line, words, _) in BAD_ARTICLES {
            let at = match line {
                Some(line) => format!("articles/{name}:{line}: "),
                None => format!("articles/{name}:"),
            };
            let found = lines.iter().position(|line| line.starts_with(&at) && line.contains(words));
            let found = found.unwrap_or_else(|| panic!("{at}{words} is not in\n{}", ran.err));
            let is_hint = |line: &&str| line.starts_with("  hint: ");
            // A fault that a parser words says by itself what it expected.
            assert!(
                lines.get(found + 1).is_some_and(is_hint) || words.starts_with("not "),
                "no hint at {at}\n{}",
                ran.err
            );
        }
        assert!(ran.err.contains("articles/large.md: the file is larger than 5 MiB\n  hint: "), "{}", ran.err);
        assert!(ran.err.contains("the slug \"zz-twice\" is taken by articles/zz-twice"), "{}", ran.err);
        assert!(ran.err.contains("did you mean \"summary\"?"), "{}", ran.err);
        assert!(!ran.err.contains("articles/good.md"), "{}", ran.err);
    }
    assert_eq!(named(&checked), named(&published));

    let good = 2 + BAD_ARTICLES.iter().filter(|(.., comes_in)| *comes_in).count();
    let expected: Vec<(String, usize)> =
        ["atom.xml", "feed.json", "rss.xml"].iter().map(|file| (format!("feeds/news/{file}"), good)).collect();
    assert_eq!(feeds(&place), expected);
    for (name, _, _, _, comes_in) in BAD_ARTICLES {
        let page = format!("public/articles/{}/index.html", name.trim_end_matches(".md"));
        assert_eq!(place.has(&page), *comes_in, "{page}");
    }
    let is_text = |name: &str| !["br", "zst", "gz"].iter().any(|ending| name.ends_with(&format!(".{ending}")));
    let public = place.files("public");
    let mut texts = public.iter().filter(|(name, _)| is_text(name));
    assert!(!texts.any(|(_, (bytes, _))| bytes.iter().any(|byte| *byte < 9)));

    // Said again without being read again, and gone when mended.
    let again = place.run(&["publish"]).ended(1);
    assert_eq!(again.err, published.err);
    for (name, _, _, _, comes_in) in BAD_ARTICLES {
        if *comes_in {
            place.article(name.trim_end_matches(".md"), "Mended", "2026-03-02", "Text");
        } else {
            place.remove(&format!("articles/{name}"));
        }
    }
    place.remove("articles/large.md");
    place.remove("articles/zz-twice-again.md");
    let mended = place.run(&["publish"]).ended(0);
    assert_eq!(mended.err, "");
}

#[test]
fn an_unknown_config_key_is_named_with_what_was_meant() {
    let place = Place::new();
    place.write("config.toml", CONFIG.replace("time_zone", "time_zon"));
    for verb in [&["check"][..], &["publish"], &["sync"], &["status"]] {
        let ran = place.run(verb).ended(1);
        assert_eq!(ran.err, "config.toml:4: unknown key `time_zon`\n  hint: did you mean `time_zone`?\n", "{verb:?}");
    }
    let ran = place.run(&["check", "--json"]).ended(1);
    assert_eq!(ran.json()[0]["line"], 4, "{ran:?}");
    assert!(!place.has("tidings.db") && !place.has("public"));
}

#[test]
fn a_bad_feed_definition_is_named_and_the_other_feeds_are_published() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.write("feeds/key.toml", "title = \"Key\"\nlimits = 3\n");
    place.write("feeds/cadence.toml", "title = \"Cadence\"\n\n[newsletter]\nsubject = \"x\"\n");
    place.write("feeds/Bad Name.toml", "title = \"Name\"\n");
    place.write("feeds/toml.toml", "title = \"Not closed\n");
    let faults = [
        "feeds/key.toml:2: unknown key `limits`\n  hint: did you mean `limit`?",
        "feeds/cadence.toml: the newsletter offers no cadence\n  hint: write cadences.daily = { at = \"07:00\" } below [newsletter]",
        "feeds/Bad Name.toml: \"Bad Name\" cannot be a feed's name\n  hint: ",
        "feeds/toml.toml:1: ",
    ];
    for verb in ["check", "publish", "status"] {
        let ran = place.run(&[verb]).ended(1);
        for fault in faults {
            assert!(ran.err.contains(fault), "{verb}: {fault:?} is not in\n{}", ran.err);
        }
    }
    assert_eq!(feeds(&place).len(), 3);
}

#[test]
fn a_malformed_subject_is_named_with_its_line_and_the_feed_is_published() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    for (subject, words) in [
        ("{{publication.titel}}", "there is no field `publication.titel`"),
        ("{{#if x}}", "the subject cannot be rendered"),
    ] {
        place.write("feeds/news.toml", NEWS.replace("{{publication.title}}", subject));
        for verb in ["check", "publish"] {
            let ran = place.run(&[verb]).ended(1);
            assert!(ran.err.starts_with("feeds/news.toml:4: ") && ran.err.contains(words), "{verb}: {}", ran.err);
            assert!(ran.err.contains("\n  hint: "), "{}", ran.err);
        }
        assert_eq!(feeds(&place).len(), 3);
    }
}

#[test]
fn a_template_that_asks_for_an_unknown_field_is_named_and_the_feeds_are_published() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.write("templates/page/article.html.hbs", "<p>\n{{article.titel}}</p>\n");
    for verb in ["check", "publish"] {
        let ran = place.run(&[verb]).ended(1);
        assert!(ran.err.starts_with("templates/page/article.html.hbs:2: there is no field `article.titel`\n  hint: did you mean `article.title`?"), "{}", ran.err);
    }
    assert_eq!(feeds(&place).len(), 3);
    place.write("templates/page/article.html.hbs", "<p>\n{{article.title}}</p>\n");
    place.run(&["publish"]).ended(0);
    assert!(place.read("public/articles/one/index.html").contains("<p>\nOne</p>"));
}

#[test]
fn a_template_that_is_not_closed_is_named_and_what_was_published_stays() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.run(&["publish"]).ended(0);
    let before = place.files("public");
    place.article("two", "Two", "2026-03-02", "Text");
    place.write("templates/page/home.html.hbs", "<p>\n{{#if latest}}\n</p>\n");
    for verb in ["check", "publish"] {
        let ran = place.run(&[verb]).ended(1);
        assert!(ran.err.starts_with("templates/page/home.html.hbs:"), "{}", ran.err);
        assert!(ran.err.contains("\n  hint: each {{#block}} needs its {{/block}}"), "{}", ran.err);
    }
    assert_eq!(differences(&before, &place.files("public")), [""; 0]);
}

#[test]
fn json_output_is_json() {
    let place = Place::sample();
    place.write("articles/empty.md", "");
    let problems = |value: &Value| value.as_array().map(Vec::len);
    assert_eq!(problems(&place.run(&["check", "--json"]).ended(1).json()), Some(1));
    let synced = place.run(&["sync", "--json"]).ended(1).json();
    assert_eq!(synced["sync"]["new"], 18, "{synced}");
    assert_eq!(synced["problems"][0]["file"], "articles/empty.md", "{synced}");
    let published = place.run(&["--json", "publish"]).ended(1).json();
    assert_eq!(published["publish"]["feeds"], 9, "{published}");
    let added = place.run(&["subscribers", "add", "mara@quill.example", "--feed", "news", "--json"]).ended(0).json();
    assert_eq!(added["subscriptions"], 1, "{added}");
    let listed = place.run(&["subscribers", "list", "--json"]).ended(0).out;
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["address"], "mara@quill.example");
    let status = place.run(&["status", "--json"]).ended(0).json();
    assert_eq!(status["articles"]["public"], 17, "{status}");
    assert!(
        place
            .run(&["digest", "list", "--json"])
            .ended(0)
            .out
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok() || line == "[]")
    );
}

#[test]
fn syncing_twice_changes_nothing() {
    let place = Place::sample();
    assert_eq!(place.run(&["sync"]).ended(0).out, "18 files, 18 new, 17 released as archive\n");
    assert_eq!(place.run(&["sync"]).ended(0).out, "18 files, nothing changed\n");
    place.run(&["publish"]).ended(0);
    let before = place.files("public");
    let again = place.run(&["publish"]).ended(0);
    assert_eq!(again.out, "18 files, nothing changed\npublic/ is as it was\n");
    assert_eq!(differences(&before, &place.files("public")), [""; 0]);
}

#[test]
fn an_article_keeps_its_identity_when_it_is_edited_removed_and_returned() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.article("two", "Two", "2026-03-02", "Text");
    place.run(&["publish"]).ended(0);
    let first = ids(&place, "news");
    assert_eq!(first.len(), 2);

    place.article("one", "One, edited", "2026-03-01", "Text");
    let edited = place.run(&["publish"]).ended(0);
    assert!(edited.out.starts_with("2 files, 1 changed\n"), "{}", edited.out);
    assert_eq!(ids(&place, "news"), first);

    place.remove("articles/one.md");
    let removed = place.run(&["publish"]).ended(0);
    assert!(removed.out.starts_with("1 file, 1 withdrawn\n"), "{}", removed.out);
    assert!(removed.out.contains("1 removed"), "{}", removed.out);
    assert_eq!(ids(&place, "news").len(), 1);
    assert!(!place.has("public/articles/one"), "the page goes, and its folder");

    place.article("one", "One is back", "2026-03-01", "Text");
    let returned = place.run(&["publish"]).ended(0);
    assert!(returned.out.starts_with("2 files, 1 changed\n"), "{}", returned.out);
    assert_eq!(ids(&place, "news"), first);
    assert!(place.has("public/articles/one/index.html"));
}

#[test]
fn a_renamed_file_is_the_same_article() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.article("two", "Two", "2026-03-02", "See [one](one.md).");
    place.run(&["publish"]).ended(0);
    let first = ids(&place, "news");
    std::fs::create_dir(place.path().join("articles/2026")).unwrap();
    std::fs::rename(place.path().join("articles/one.md"), place.path().join("articles/2026/uno.md")).unwrap();
    let renamed = place.run(&["publish"]).ended(0);
    assert!(renamed.out.starts_with("2 files, 1 changed\n"), "{}", renamed.out);
    assert_eq!(ids(&place, "news"), first, "a feed reader must not show it as new");
    assert!(place.has("public/articles/uno/index.html"));
    assert!(leads_to(&place, "one", "uno"), "the old address leads to the new one");
}

#[test]
fn a_file_that_is_renamed_and_edited_at_once_is_the_same_article() {
    let place = Place::new();
    for (name, day) in [("one", 1), ("two", 2), ("three", 3)] {
        place.article(name, name, &format!("2026-03-0{day}"), "Text");
    }
    place.run(&["publish"]).ended(0);
    let first = ids(&place, "news");
    for name in ["one", "two", "three"] {
        place.remove(&format!("articles/{name}.md"));
    }
    // One keeps title and date, one its address; the third is another article.
    place.article("uno", "one", "2026-03-01", "Text, and more of it");
    let edited = "+++\ntitle = \"Two, as it is called now\"\ndate = 2026-03-04\nslug = \"two\"\n+++\nText\n";
    place.write("articles/2026-03-04-zwei.md", edited);
    place.article("drei", "drei", "2026-03-03", "Text, and more of it");
    place.run(&["publish"]).ended(0);
    let second = ids(&place, "news");
    let kept = second.iter().filter(|id| first.contains(*id)).count();
    assert_eq!((first.len(), second.len(), kept), (3, 3, 2), "{first:?} {second:?}");
    assert!(leads_to(&place, "one", "uno"), "the old address leads to the new one");
    assert!(place.read("public/articles/two/index.html").contains("Two, as it is called now"));
}

#[test]
fn a_renamed_file_is_not_taken_for_another_that_is_like_it_and_waits_for_a_free_slug() {
    let place = Place::new();
    place.write("feeds/all.toml", "title = \"All\"\nlimit = 1000\n");
    // More than one part of the folder, so that few others are looked at.
    for number in 0..400 {
        place.article(&format!("some-{number}"), &format!("Some {number}"), "2026-02-01", "Text");
    }
    place.article("trip", "The trip", "2019-05-01", "As it was");
    place.article("walk", "The walk", "2019-06-01", "As it was");
    place.article("zebra", "Zebra", "2019-07-01", "Text");
    place.run(&["publish"]).ended(0);
    let id_of = |title: &str| {
        let feed = feed_rs::parser::parse(place.read("public/feeds/all/atom.xml").as_bytes()).unwrap();
        let of_title = |entry: &feed_rs::model::Entry| entry.title.as_ref().unwrap().content == title;
        feed.entries.into_iter().find(of_title).unwrap().id
    };
    let (first, trip) = (ids(&place, "all"), id_of("The trip"));
    // Its bytes say which it is, although another has its slug and comes before it.
    std::fs::rename(place.path().join("articles/trip.md"), place.path().join("articles/trip-2019.md")).unwrap();
    place.article("2026/trip", "Another trip", "2026-03-01", "As it is");
    place.run(&["publish"]).ended(0);
    assert!(place.read("public/articles/trip-2019/index.html").contains("As it was"));
    assert_eq!(id_of("The trip"), trip);
    let second = ids(&place, "all");
    assert_eq!((second.len(), first.difference(&second).count()), (first.len() + 1, 0));
    // The slug of its new name is taken: it stays as it was, and is the same when that is mended.
    place.remove("articles/walk.md");
    place.article("new/zebra", "The walk", "2019-06-01", "As it is");
    let named = place.run(&["publish"]).ended(1);
    assert!(named.err.contains("articles/new/zebra.md: the slug \"zebra\" is taken"), "{}", named.err);
    assert!(place.read("public/articles/walk/index.html").contains("As it was"));
    let mended = "+++\ntitle = \"The walk\"\ndate = 2019-06-01\nslug = \"the-walk\"\n+++\nAs it is\n";
    place.write("articles/new/zebra.md", mended);
    place.run(&["publish"]).ended(0);
    assert_eq!(ids(&place, "all"), second);
    assert!(place.read("public/articles/the-walk/index.html").contains("As it is"));
    assert!(leads_to(&place, "walk", "the-walk"));
}

/// Whether the page of one slug is no more than the way to another.
fn leads_to(place: &Place, from: &str, to: &str) -> bool {
    let page = place.read(&format!("public/articles/{from}/index.html"));
    let url = format!("https://test.example/articles/{to}/");
    page.contains(&format!("<link rel=\"canonical\" href=\"{url}\">"))
        && page.contains(&format!("content=\"0; url={url}\""))
}

#[test]
fn an_article_that_moves_to_another_slug_leaves_no_page_behind_but_the_way_to_it() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.run(&["publish"]).ended(0);
    place.write("articles/one.md", "+++\nslug = \"uno\"\ntitle = \"One\"\ndate = 2026-03-01\n+++\nText\n");
    place.run(&["publish"]).ended(0);
    assert!(place.has("public/articles/uno/index.html") && leads_to(&place, "one", "uno"));
    assert!(!place.read("public/articles/one/index.html").contains("Text"));
}

#[test]
fn a_draft_and_a_withdrawn_article_leave_no_page_even_when_everything_is_rendered_anew() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.article("two", "Two", "2026-03-02", "Text");
    place.article("three", "Three", "2026-03-03", "Text");
    place.run(&["publish"]).ended(0);
    place.remove("articles/one.md");
    place.write("articles/two.md", "+++\ntitle = \"Two\"\ndate = 2026-03-02\ndraft = true\n+++\nText\n");
    place.write("feeds/news.toml", NEWS.replace("Latest news", "Newest"));
    place.run(&["publish"]).ended(0);
    assert!(!place.has("public/articles/one") && !place.has("public/articles/two"));
    assert!(place.read("public/articles/three/index.html").contains("Newest"), "a feed's title stands on every page");
}

#[test]
fn a_feed_that_is_gone_leaves_no_documents_behind() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.write("feeds/other.toml", "title = \"Other\"\n");
    place.run(&["publish"]).ended(0);
    place.write("public/feeds/other/own.txt", "put there by hand");
    place.remove("feeds/other.toml");
    place.run(&["publish"]).ended(0);
    assert_eq!(place.files("public/feeds/other").keys().collect::<Vec<_>>(), ["own.txt"]);
    assert!(!place.read("public/feeds.opml").contains("other"));
}

#[test]
fn a_feed_whose_definition_has_a_fault_keeps_its_documents() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.write("feeds/other.toml", "title = \"Other\"\n");
    place.run(&["publish"]).ended(0);
    let before = place.files("public/feeds/other");
    place.write("feeds/other.toml", "titel = \"Other\"\n");
    place.run(&["publish"]).ended(1);
    assert_eq!(differences(&before, &place.files("public/feeds/other")), [""; 0]);
}

#[test]
fn only_new_bytes_are_written_and_no_temporary_file_stays() {
    let place = Place::sample();
    place.run(&["publish"]).ended(0);
    let before = place.files("public");
    place.write(
        "articles/new-one.md",
        "+++\ntitle = \"A new one\"\ndate = 2026-11-01\nsection = \"sport\"\n+++\nText\n",
    );
    place.run(&["publish"]).ended(0);
    let after = place.files("public");
    for (name, (bytes, modified)) in &after {
        assert!(!name.contains("tmp"), "{name}");
        if let Some((bytes_before, modified_before)) = before.get(name) {
            assert_eq!(bytes == bytes_before, modified == modified_before, "{name}");
        }
    }
    let different = differences(&before, &after);
    for name in ["feeds/news/rss.xml", "style.css", "images/ferry.png", "articles/night-ferry/index.html"] {
        assert!(!different.iter().any(|other| other == name), "{name} was written");
    }
    assert!(different.iter().any(|name| name == "index.html"), "{different:?}");
}

#[test]
fn a_change_is_seen_on_the_pages_beside_it_and_on_those_that_name_it() {
    let place = Place::new();
    for day in 1..=9 {
        place.article(&format!("day-{day}"), &format!("Day {day}"), &format!("2026-03-0{day}"), "Text");
    }
    place.write(
        "articles/names.md",
        "+++\ntitle = \"Names it\"\ndate = 2026-01-01\nrelated = [\"day-5\", \"later\"]\n+++\nText\n",
    );
    place.run(&["publish"]).ended(0);
    let page = |name: &str| place.read(&format!("public/articles/{name}/index.html"));
    assert!(page("day-4").contains("Day 5") && page("day-6").contains("Day 5") && page("names").contains("Day 5"));

    place.article("day-5", "The fifth", "2026-03-05", "Text");
    place.run(&["publish"]).ended(0);
    for name in ["day-4", "day-6", "names"] {
        assert!(page(name).contains("The fifth") && !page(name).contains("Day 5"), "{name}");
    }
    // It moves: its old neighbours become each other's, its new ones make room.
    place.article("day-5", "The fifth", "2026-03-08T12:00:00Z", "Text");
    place.run(&["publish"]).ended(0);
    assert!(page("day-4").contains("Day 6") && page("day-6").contains("Day 4"));
    assert!(!page("day-4").contains("The fifth") && !page("day-6").contains("The fifth"));
    assert!(page("day-8").contains("The fifth") && page("day-9").contains("The fifth"));
    // It goes, and one that was named before comes.
    place.remove("articles/day-5.md");
    place.article("later", "Later on", "2026-02-01", "Text");
    place.run(&["publish"]).ended(0);
    assert!(!page("names").contains("The fifth") && page("names").contains("Later on"));
    assert!(page("day-8").contains("Day 9") && !page("day-9").contains("The fifth"));
    // After all this, everything rendered anew has the same bytes.
    let before = place.files("public");
    place.run(&["publish", "--all"]).ended(0);
    assert_eq!(differences(&before, &place.files("public")), [""; 0]);
}

#[test]
fn published_pages_of_a_site_below_a_path_lead_there_and_to_its_form() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.write("config.toml", CONFIG.replace("https://test.example", "https://test.example/paper/"));
    place.run(&["publish"]).ended(0);
    let page = place.read("public/index.html");
    for part in [
        "href=\"/paper/style.css?",
        "href=\"/paper/\"",
        "action=\"/paper/subscribe\"",
        "href=\"https://test.example/paper/articles/one/\"",
    ] {
        assert!(page.replace("&#x3D;", "=").contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("href=\"/\"") && !page.contains("=\"/subscribe\""), "{page}");
    // Files take no answer: the form goes to where serve is.
    place.write("config.toml", format!("{CONFIG}\n[serve]\nurl = \"https://mail.test.example\"\n"));
    place.run(&["publish"]).ended(0);
    assert!(place.read("public/articles/one/index.html").contains("action=\"https://mail.test.example/subscribe\""));
}

#[test]
fn static_files_are_what_the_folder_holds_and_nothing_hidden() {
    let place = Place::new();
    place.write("static/images/a.txt", "first");
    place.write("static/images/b.txt", "b");
    place.write("static/.git/config", "hidden");
    place.run(&["publish"]).ended(0);
    assert!(!place.has("public/.git") && place.has("public/images/b.txt"));
    place.write("static/images/new.txt", "other");
    // As many bytes as before, and older than the copy, as after unpacking an archive.
    std::fs::File::open(place.path().join("static/images/new.txt"))
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .unwrap();
    std::fs::rename(place.path().join("static/images/new.txt"), place.path().join("static/images/a.txt")).unwrap();
    place.remove("static/images/b.txt");
    place.run(&["publish"]).ended(0);
    assert_eq!(place.read("public/images/a.txt"), "other");
    assert!(!place.has("public/images/b.txt"));
}

#[test]
fn feeds_keep_their_ids_when_the_publication_moves() {
    let place = Place::new();
    let id = |place: &Place| {
        let atom = place.read("public/feeds/news/atom.xml");
        feed_rs::parser::parse(atom.as_bytes()).unwrap().id
    };
    place.run(&["publish"]).ended(0);
    let before = id(&place);
    assert!(before.starts_with("tag:test.example,"), "{before}");
    place.write("config.toml", CONFIG.replace("https://test.example", "https://moved.example"));
    place.run(&["publish"]).ended(0);
    assert_eq!(id(&place), before);
}

#[test]
fn all_heals_what_was_edited_by_hand() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.run(&["publish"]).ended(0);
    let before = place.read("public/index.html");
    place.write("public/index.html", "edited");
    place.write("public/own.html", "own");
    place.run(&["publish", "--all"]).ended(0);
    assert_eq!(place.read("public/index.html"), before);
    assert_eq!(place.read("public/own.html"), "own", "what is not ours stays");
}

#[tokio::test]
async fn an_article_of_tomorrow_is_released_tomorrow() {
    let place = Place::new();
    place.article("today", "Today", "2026-03-01T08:00:00Z", "Text");
    place.article("tomorrow", "Tomorrow", "2026-03-02T08:00:00Z", "Text");
    let run = async |clock: Clock| {
        let publication = place.open(clock).await;
        let report = sync::sync(&publication, &|_, _| {}).await.unwrap();
        publish::publish(&publication, false, &|_, _| {}).await.unwrap();
        let next = publication.store.next_due_release("folder").await.unwrap();
        publication.store.close().await;
        (report.released, next.map(|at| at.to_rfc3339()))
    };
    let waits = Some("2026-03-02T08:00:00+00:00".to_owned());
    assert_eq!(run(clock_at("2026-03-01T12:00:00Z")).await, (1, waits.clone()));
    assert_eq!(feeds(&place)[0].1, 1);
    assert!(!place.has("public/articles/tomorrow"));
    assert_eq!(run(clock_at("2026-03-02T07:59:59Z")).await, (0, waits));
    assert_eq!(run(clock_at("2026-03-02T08:00:00Z")).await, (1, None));
    assert_eq!(feeds(&place)[0].1, 2);
    assert!(place.read("public/articles/today/index.html").contains("Tomorrow"), "it is a neighbour now");
}

#[test]
fn a_digest_is_not_sent_without_a_word_from_somebody() {
    let place = Place::sample();
    place.run(&["sync"]).ended(0);
    place.run(&["subscribers", "add", "mara@quill.example", "--feed", "news"]).ended(0);
    let ran = place.run(&["digest", "send", "news", "--latest", "3"]).ended(2);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert!(!place.has("outbox"));
    place.run(&["digest", "send", "news", "--latest", "3", "--yes"]).ended(0);
    assert_eq!(place.files("outbox").len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn serve_shows_what_is_saved_and_stops_when_it_is_told() {
    use std::io::{BufRead as _, BufReader};
    let place = Place::sample();
    let mut child = place
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let greeting: Vec<String> = lines.by_ref().take_while(|line| line != "Ctrl-C stops.").collect();
    let greeting = greeting.join("\n");
    assert!(greeting.starts_with("The Harbour Lantern is on the air, with 18 articles."), "{greeting}");
    assert!(
        greeting.contains("digest send news --yes"),
        "the newsletter with most to send is the one to try: {greeting}"
    );
    let home = greeting.lines().find_map(|line| line.trim().strip_prefix("Home")).unwrap().trim();
    let at: std::net::SocketAddr = home.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    assert!(greeting.contains(&format!("  TIDINGS_SERVE__LISTEN={at} ")), "its mail leads here: {greeting}");
    assert_eq!(support::http::ask(at, "GET", "/", &[], b"").await.status, 200);

    place.write("articles/new-one.md", "+++\ntitle = \"Just in\"\ndate = 2026-11-01\nsection = \"news\"\n+++\nText\n");
    let said = lines.next();
    assert_eq!(said.as_deref(), Some("articles: 1 new, 0 changed, 0 withdrawn, 1 released"));
    let feed = support::http::ask(at, "GET", "/feeds/news/rss.xml", &[], b"").await;
    assert!(feed.text().contains("Just in"));
    assert!(place.read("public/feeds/news/rss.xml").contains("Just in"));

    let told = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(lines.count(), 0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert_eq!(err, "stopping: what is under way is finished, the rest waits; once more ends it at once\n");
}

#[cfg(unix)]
#[test]
fn a_second_word_ends_serve_whatever_is_half_done() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let place = Place::new();
    let mut child = place
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let home = lines.find_map(|line| line.trim().strip_prefix("Home").map(|home| home.trim().to_owned())).unwrap();
    assert!(lines.any(|line| line == "Ctrl-C stops."));
    let at = home.trim_start_matches("http://").trim_end_matches('/');
    // Half a request, which the server is known to be reading: it has said that it waits for the rest.
    let mut asked = std::net::TcpStream::connect(at).unwrap();
    asked
        .write_all(
            b"POST /subscribe HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                     Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    BufReader::new(&asked).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    let id = child.id().to_string();
    let tell = || std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(tell().success());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    err.read_line(&mut said).unwrap();
    assert!(said.starts_with("stopping: "), "{said}");
    assert!(tell().success());
    said.clear();
    err.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("broken off: "), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn subscribers_are_added_listed_exported_and_removed() {
    let place = Place::sample();
    place.run(&["sync"]).ended(0);
    let added = place
        .run(&[
            "subscribers",
            "add",
            "Mara@Quill.example",
            "--name",
            "Mara",
            "--feed",
            "news:weekly",
            "--feed",
            "offers",
            "--time-zone",
            "Asia/Tokyo",
        ])
        .ended(0);
    assert_eq!(added.out, "Mara@quill.example: news weekly, offers weekly\n");
    let again = place.run(&["subscribers", "add", "mara@quill.example", "--feed", "news"]).ended(0);
    assert!(again.out.contains("has this already"), "{}", again.out);
    place.run(&["subscribers", "add", "tobias@fenn.example", "--feed", "announcements"]).ended(0);

    assert_eq!(place.run(&["subscribers", "list"]).ended(0).out.lines().count(), 2);
    let one = place.run(&["subscribers", "list", "--feed", "announcements"]).ended(0);
    assert!(one.out.starts_with("tobias@fenn.example  announcements instant (active)"), "{}", one.out);
    let exported = place.run(&["subscribers", "export"]).ended(0);
    assert_eq!(exported.out.lines().count(), 3, "{}", exported.out);
    place.run(&["subscribers", "export", "people.csv"]).ended(0);
    assert_eq!(place.read("people.csv"), exported.out);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = place.path().join("people.csv").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner reads people's addresses");
    }

    assert_eq!(
        place.run(&["subscribers", "erase", "MARA@quill.example", "--yes"]).ended(0).out,
        "MARA@quill.example is erased\n"
    );
    let gone = place.run(&["subscribers", "erase", "mara@quill.example", "--yes"]).ended(0);
    assert!(gone.out.contains("nothing was erased"), "{}", gone.out);
    assert_eq!(place.run(&["subscribers", "list"]).ended(0).out.lines().count(), 1);

    for wrong in [
        &["subscribers", "add", "not an address", "--feed", "news"][..],
        &["subscribers", "add", "a@b.example", "--feed", "nwes"],
        &["subscribers", "add", "a@b.example", "--feed", "offers:daily"],
        &["subscribers", "add", "a@b.example", "--feed", "news", "--time-zone", "Lisbon"],
    ] {
        let ran = place.run(wrong).ended(2);
        assert!(ran.err.contains("hint: "), "{wrong:?}: {}", ran.err);
    }
}

#[test]
fn a_segment_is_listed_exported_and_sent_to() {
    let place = Place::sample();
    assert!(place.run(&["segments"]).ended(0).out.contains("hint: write one, such as segments/lisbon.toml"));
    place.run(&["sync"]).ended(0);
    for name in ["mara", "tobias", "ines"] {
        place.run(&["subscribers", "add", &format!("{name}@quill.example"), "--feed", "news"]).ended(0);
    }
    let set = place.run(&["subscribers", "set", "mara@quill.example", "city=Lisbon", "visits=7"]).ended(0);
    assert_eq!(set.out, "mara@quill.example: city=Lisbon, visits=7\n");
    let set = place.run(&["subscribers", "set", "mara@quill.example", "--unset", "visits", "--json"]).ended(0).json();
    assert_eq!(set["attributes"], serde_json::json!({ "city": "Lisbon" }));
    let shown = place.run(&["subscribers", "show", "mara@quill.example"]).ended(0).out;
    assert!(shown.contains("  news daily (active)\n") && shown.contains("city = Lisbon"), "{shown}");
    for wrong in [&["city"][..], &["city="], &["=Lisbon"]] {
        let ran = place.run(&[&["subscribers", "set", "mara@quill.example"][..], wrong].concat()).ended(2);
        assert!(ran.err.contains("hint: "), "{}", ran.err);
    }
    assert!(place.run(&["subscribers", "set", "nobody@quill.example", "a=1"]).ended(1).err.contains("no such"));

    place.write("segments/lisbon.toml", "title = \"In Lisbon\"\n[select]\nattribute.city = \"lisbon\"\n");
    place.write("segments/odd.toml", "title = \"Odd\"\n[select]\nfeed = \"nwes\"\n");
    let fault = "segments/odd.toml:3: there is no newsletter \"nwes\"\n  hint: did you mean news?";
    assert!(place.run(&["check"]).ended(1).err.contains(fault));
    let listed = place.run(&["segments"]).ended(1);
    assert!(listed.err.contains(fault), "{}", listed.err);
    assert!(
        listed.out.lines().any(|line| line.split_whitespace().eq(["lisbon", "1", "In", "Lisbon"])),
        "{}",
        listed.out
    );
    assert!(place.run(&["segments", "show", "odd"]).ended(1).err.contains(fault));
    place.remove("segments/odd.toml");
    let listed = place.run(&["segments", "--json"]).ended(0).json();
    assert_eq!(listed, serde_json::json!([{ "segment": "lisbon", "title": "In Lisbon", "subscribers": 1 }]));
    assert_eq!(
        place.run(&["segments", "show", "lisbon"]).ended(0).out,
        "In Lisbon: 1 subscriber\n  mara@quill.example\n"
    );
    let ran = place.run(&["segments", "show", "lisbn"]).ended(1);
    assert!(ran.err.contains("did you mean lisbon?"), "{}", ran.err);
    let listed = place.run(&["subscribers", "list", "--segment", "lisbon"]).ended(0);
    assert!(listed.out.starts_with("mara@quill.example") && listed.out.lines().count() == 1, "{}", listed.out);
    let exported = place.run(&["subscribers", "export", "--segment", "lisbon"]).ended(0).out;
    assert!(exported.lines().count() == 2 && exported.contains("{\"\"city\"\":\"\"Lisbon\"\"}"), "{exported}");

    let send = |more: &[&str]| place.run(&[&["digest", "send", "news", "--segment", "lisbon"][..], more].concat());
    let said = send(&["--dry-run"]).ended(0).err;
    assert!(said.contains("to 1 reader in the segment lisbon, into outbox/"), "{said}");
    assert!(!place.has("outbox"));
    send(&["--yes"]).ended(0);
    assert_eq!(place.files("outbox").len(), 1);
    let again = send(&["--yes"]).ended(0);
    assert!(
        again.out.contains("nobody is mailed twice") || again.out.contains("nobody in the segment"),
        "{}",
        again.out
    );
    let digests = place.run(&["digest", "list", "--json"]).ended(0).json();
    assert_eq!(digests[0]["digest"]["segment"], "lisbon");
    let id = digests[0]["digest"]["id"].as_str().unwrap().to_owned();
    let shown = place.run(&["digest", "show", &id]).ended(0).out;
    assert!(shown.contains("lisbon: only those of its readers who were in it then"), "{shown}");
    let why = place.run(&["why", "tobias@quill.example", &id]).ended(0).out;
    assert!(why.contains("it is for the segment lisbon"), "{why}");

    let erased = place.run(&["subscribers", "erase", "mara@quill.example", "--yes"]).ended(0);
    assert!(erased.err.contains("and 1 message in outbox/"), "{}", erased.err);
    assert_eq!(place.files("outbox").len(), 0);
    let purged = place.run(&["subscribers", "purge", "--dry-run"]).ended(0);
    assert_eq!(purged.out, "nothing to remove\n");
}

#[test]
fn a_secret_is_never_shown() {
    const CANARY: &str = "canary-7f3a91";
    let place = Place::sample();
    let relay = format!("\n[[relay]]\nhost = \"127.0.0.1\"\nport = 1\nuser = \"u\"\npassword = \"{CANARY}\"\n");
    let config = place.read("config.toml") + &relay;
    place.write("config.toml", &config);
    place.run(&["sync"]).ended(0);
    place.run(&["subscribers", "add", "mara@quill.example", "--feed", "news"]).ended(0);
    let mut all = vec![];
    for verb in [
        &["status", "--json"][..],
        &["status"],
        &["import"],
        &["check"],
        &["publish"],
        &["digest", "send", "news", "--latest", "1", "--yes"],
        &["digest", "list", "--json"],
    ] {
        let output = place.command(verb).env("TIDINGS_LOG", "trace").output().unwrap();
        all.extend([output.stdout, output.stderr].concat());
    }
    // Faults around the secret, in the file and from the environment, and a database that is not there.
    for (bad, environment) in [
        (config.replace("password =", "pasword ="), None),
        (config.replace(&format!("\"{CANARY}\""), &format!("\"{CANARY}")), None),
        (config.replace(&format!("\"{CANARY}\""), &format!("[\"{CANARY}\"]")), None),
        (config.clone(), Some(("TIDINGS_RELAY__0__PASWORD", CANARY.to_owned()))),
        (config.clone(), Some(("TIDINGS_DATABASE__URL", format!("mysql://u:{CANARY}@127.0.0.1:1/x")))),
        (config, Some(("TIDINGS_DATABASE__URL", format!("postgres://u:{CANARY}@127.0.0.1:port/x")))),
    ] {
        place.write("config.toml", bad);
        let mut command = place.command(&["status", "--json"]);
        command.env("TIDINGS_LOG", "trace").envs(environment);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        all.extend([output.stdout, output.stderr].concat());
    }
    let all = String::from_utf8(all).unwrap();
    let shown: Vec<&str> = all.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    for (name, (bytes, _)) in place.files(".").iter().filter(|(name, _)| *name != "config.toml") {
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{name}");
    }
    assert!(Path::new(&place.path().join("tidings.db")).exists());
}

#[test]
fn a_fault_in_a_public_article_leaves_it_where_it_was_until_it_is_mended() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.run(&["publish"]).ended(0);
    let path = place.path().join("articles/one.md");
    let good = std::fs::read_to_string(&path).unwrap();
    let first = ids(&place, "news");
    assert_eq!(first.len(), 1);
    std::fs::write(&path, good.replace("2026-03-01", "03/01/2026")).unwrap();
    let faulty = place.run(&["publish"]).ended(1);
    assert!(faulty.err.contains("articles/one.md:"), "{}", faulty.err);
    place.article("two", "Two", "2026-03-02", "Text");
    place.run(&["publish"]).ended(1);
    assert_eq!(ids(&place, "news").len(), 2, "the faulty one is still there");
    std::fs::write(&path, &good).unwrap();
    place.run(&["publish"]).ended(0);
    assert_eq!(ids(&place, "news").len(), 2);
    assert!(ids(&place, "news").is_superset(&first));
}

#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    place.run(&["publish"]).ended(0);
    let first = ids(&place, "news");
    let (articles, away) = (place.path().join("articles"), place.path().join("away"));
    std::fs::rename(&articles, &away).unwrap();
    let gone = place.run(&["publish"]).ended(1);
    assert!(gone.err.contains("cannot open the folder"), "{}", gone.err);
    assert_eq!(ids(&place, "news"), first, "nothing is withdrawn because of it");
    std::fs::rename(&away, &articles).unwrap();
    place.run(&["publish"]).ended(0);
    assert_eq!(ids(&place, "news"), first);
}

#[test]
fn the_form_for_other_sites_is_printed_with_its_feeds_language_and_script() {
    let place = Place::sample();
    let all = place.run(&["form"]).ended(0).out;
    for feed in ["news", "offers", "announcements"] {
        assert!(all.contains(&format!("name=\"feed\" value=\"{feed}\">")), "{all}");
    }
    assert!(
        all.contains("action=\"http://127.0.0.1:8080/subscribe\"") && all.contains("/form.js\" defer></script>"),
        "{all}"
    );
    let one = place.run(&["form", "news", "--language", "ar", "--no-script"]).ended(0).out;
    assert!(one.contains("lang=\"ar\" dir=\"rtl\"") && one.contains("value=\"news\" checked>"), "{one}");
    assert!(!one.contains("offers") && !one.contains("<script") && one.contains("name=\"consent\" value=\""), "{one}");
    let json = place.run(&["form", "news", "--json"]).ended(0).json();
    assert!(json["html"].as_str().is_some_and(|html| html.starts_with("<form ")), "{json}");
    let unknown = place.run(&["form", "newz"]).ended(2);
    assert!(unknown.err.contains("did you mean news?"), "{unknown:?}");
    place.run(&["form", "--language", "tlh"]).ended(2);
}
