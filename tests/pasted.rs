//! Pages copied whole from a browser become articles: with their parts, without what was around them, and with an account
//! of every line.

use std::fmt::Write as _;
use std::path::Path;

use chrono::DateTime;
use proptest::prelude::*;
use tidings::domain::article::{Article, ArticleId};
use tidings::source::import::{self, Brought, Fate};
use tidings::source::{self, Context};
use url::Url;
use uuid::Uuid;

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let base = Url::parse("https://post.example").expect("a URL");
    let now = DateTime::from_timestamp_secs(1_780_000_000).expect("a moment in May 2026");
    run(&Context { base: &base, time_zone: chrono_tz::Europe::Lisbon, now })
}

fn pasted(name: &str, bytes: &[u8]) -> Brought {
    with_context(|context| import::pasted(name, bytes, context, "en"))
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pasted").join(name);
    std::fs::read(path).expect("a fixture")
}

/// The file, then what is said of the lines, then what is wrong.
fn shown(name: &str) -> String {
    let brought = pasted(name, &fixture(name));
    let mut out = String::new();
    for piece in &brought.pieces {
        writeln!(out, "== {}.{}\n{}", piece.stem().expect("a name"), piece.ending(), piece.text()).expect("a string");
    }
    out.push_str("== lines\n");
    for entry in &brought.account {
        let lines = if entry.through > entry.line {
            format!("{}-{}", entry.line, entry.through)
        } else {
            entry.line.to_string()
        };
        let unsure = if entry.unsure { " (?)" } else { "" };
        let text: String = entry.text.chars().take(60).collect();
        writeln!(out, "{lines:>7} {:?}{unsure}: {}: {text}", entry.fate, entry.what).expect("a string");
    }
    for problem in &brought.problems {
        writeln!(out, "{problem}").expect("a string");
    }
    out
}

/// The article that a sync makes of the file.
fn synced(name: &str) -> Article {
    let brought = pasted(name, &fixture(name));
    let piece = &brought.pieces[0];
    let key = format!("{}.{}", piece.stem().expect("a name"), piece.ending());
    let parsed =
        with_context(|context| source::parse(ArticleId(Uuid::nil()), &key, &key, piece.text().as_bytes(), context));
    assert_eq!(parsed.problems, [], "{name}");
    parsed.article.expect("an article")
}

#[test]
fn a_whole_page_in_english_becomes_an_article() {
    insta::assert_snapshot!(shown("bell.txt"));
}

#[test]
fn a_text_without_a_page_around_it_and_broken_at_a_margin_becomes_one() {
    insta::assert_snapshot!(shown("ferry.txt"));
}

#[test]
fn a_page_in_german_and_in_an_old_encoding_becomes_one() {
    insta::assert_snapshot!(shown("sturm.txt"));
}

#[test]
fn a_page_in_french_becomes_one() {
    insta::assert_snapshot!(shown("phare.txt"));
}

#[test]
fn a_page_in_spanish_becomes_one_and_its_fault_is_named() {
    insta::assert_snapshot!(shown("mercado.txt"));
}

#[test]
fn a_page_full_of_doubts_becomes_one_and_says_them() {
    insta::assert_snapshot!(shown("tide-clock.txt"));
}

#[test]
fn a_text_with_years_for_headings_and_a_name_for_a_byline_becomes_one() {
    insta::assert_snapshot!(shown("ropewalk.txt"));
}

#[test]
fn two_lines_are_an_article_too() {
    insta::assert_snapshot!(shown("note.txt"));
}

#[test]
fn what_was_copied_comes_in_whole() {
    let bell = synced("bell.txt");
    assert_eq!(
        (bell.title.as_str(), bell.label.as_deref()),
        ("The drowned bell of Saint Osk rings again", Some("Breaking News"))
    );
    assert_eq!(
        (bell.place.as_deref(), bell.authors.as_slice()),
        (Some("Port Example"), &["Ines Marrow".to_owned()][..])
    );
    assert_eq!(bell.date.date_naive().to_string(), "2024-03-03");
    assert_eq!(bell.related, ["what-the-divers-found-under-the-pier"]);
    assert_eq!(bell.faq.len(), 3);
    assert!(bell.faq[2].answer_html.contains("<li>on Sundays from 11:00</li>"), "{}", bell.faq[2].answer_html);
    assert_eq!(bell.html.matches("<h2>").count(), 3);
    assert_eq!(bell.html.matches("<h3>").count(), 3);
    for gone in ["Latest Posts", "Stay in touch", "All rights", "Advertisement", "Sign in", "11.4"] {
        assert!(!bell.html.contains(gone), "{gone}");
    }
    for name in ["ferry.txt", "sturm.txt", "phare.txt", "tide-clock.txt", "note.txt"] {
        synced(name);
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Every line that says anything has one entry, and what is kept stands in the file.
fn is_accounted_for(text: &str, brought: &Brought) -> Result<(), TestCaseError> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let file: String = brought.pieces.iter().map(|piece| letters(&piece.text())).collect();
    for (at, line) in text.split('\n').enumerate() {
        let number = at + 1;
        let entries: Vec<_> =
            brought.account.iter().filter(|entry| (entry.line..=entry.through).contains(&number)).collect();
        let line = letters(line);
        if line.is_empty() && entries.is_empty() {
            continue;
        }
        prop_assert_eq!(entries.len(), 1, "line {}: {:?}", number, line);
        prop_assert!(
            letters(&entries[0].text).contains(&line),
            "line {}: {:?} is not in {:?}",
            number,
            line,
            entries[0]
        );
        if entries[0].fate == Fate::Kept {
            // Marks such as "Q1." go.
            let ends = line.char_indices().map(|(at, _)| &line[at..]).take(10);
            prop_assert!(
                line.is_empty() || ends.into_iter().any(|end| file.contains(end)),
                "line {}: {:?} is not in {:?}",
                number,
                line,
                brought.pieces
            );
        }
    }
    Ok(())
}

#[test]
fn every_line_of_every_page_is_accounted_for() {
    for name in ["bell.txt", "ferry.txt", "phare.txt", "mercado.txt", "tide-clock.txt", "note.txt", "ropewalk.txt"] {
        let bytes = fixture(name);
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        is_accounted_for(&text, &pasted(name, &bytes)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

/// Lines such as pages have, in any order.
fn page() -> impl Strategy<Value = String> {
    let known: Vec<&'static str> = include_str!("fixtures/pasted/bell.txt")
        .lines()
        .chain(include_str!("fixtures/pasted/tide-clock.txt").lines())
        .chain(include_str!("fixtures/pasted/mercado.txt").lines())
        .chain(include_str!("fixtures/pasted/ferry.txt").lines())
        .chain([
            "Q1. Why? Because.",
            "A:",
            "3.",
            "- ",
            "#",
            "By",
            "Also Read:",
            "Tags:",
            "2. Part",
            "2. Is it?",
            "FAQ",
            "© 2024",
            "?",
            "1) ?",
        ])
        .collect();
    let line = prop_oneof![
        6 => proptest::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,80}",
        1 => "[-#*>. 0-9a-zA-Z:?\u{a0}\u{200b}]{0,40}",
    ];
    (proptest::collection::vec(line, 0..40), prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n")])
        .prop_map(|(lines, end)| lines.join(end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_of_whatever_is_pasted(text in page()) {
        is_accounted_for(&text, &pasted("page.txt", text.as_bytes()))?;
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        pasted("page.txt", &bytes);
    }

    #[test]
    fn whatever_comes_out_is_read_by_a_sync(text in page()) {
        for piece in pasted("page.txt", text.as_bytes()).pieces.iter().filter(|piece| piece.stem().is_some()) {
            let key = format!("{}.md", piece.stem().expect("a name"));
            let parsed = with_context(|context| source::parse(ArticleId(Uuid::nil()), &key, &key, piece.text().as_bytes(), context));
            prop_assert!(parsed.article.is_some(), "{:?}\n{}", parsed.problems, piece.text());
        }
    }
}
