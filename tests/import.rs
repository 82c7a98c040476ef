//! `tidings import`: what people have elsewhere becomes files in the articles' folder, and nothing that is there is touched.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::io::Write as _;
use std::process::Stdio;

use support::place::{Place, Ran, differences};

const BELL: &str = include_str!("fixtures/pasted/bell.txt");
const BELL_FILE: &str = "articles/the-drowned-bell-of-saint-osk-rings-again.md";

fn run_with(place: &Place, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_page_is_shown_first_then_written_and_then_left_alone() {
    let place = Place::new();
    place.write("page.txt", BELL);
    let before = place.files("");
    let dry = place.run(&["import", "page.txt", "--dry-run"]).ended(0);
    assert!(dry.out.starts_with("+++\ntitle = \"The drowned bell"), "{}", dry.out);
    assert!(dry.err.contains("page.txt:81: left out, below the article: \"Latest Posts\""), "{}", dry.err);
    assert!(
        dry.err
            .contains("page.txt:51: look at this, also read: what-the-divers-found-under-the-pier, which is not there"),
        "{}",
        dry.err
    );
    let refused = place.run(&["import", "page.txt"]).ended(2);
    assert!(refused.err.contains("say --yes, or --dry-run to look first"), "{}", refused.err);
    assert!(refused.out.contains("Title      The drowned bell of Saint Osk rings again"), "{}", refused.out);
    assert_eq!(differences(&before, &place.files("")), [""; 0]);

    let ran = place.run(&["import", "page.txt", "--yes", "--section", "news"]).ended(0);
    assert!(ran.out.contains("1 file written"), "{}", ran.out);
    assert!(place.read(BELL_FILE).contains("section = \"news\""));
    let before = place.files("articles");
    let again = place.run(&["import", "page.txt", "--yes", "--section", "news"]).ended(0);
    assert!(again.out.contains("everything is there already; nothing was written"), "{}", again.out);
    assert_eq!(differences(&before, &place.files("articles")), [""; 0]);
    place.article("pier", "What the divers found under the pier", "2024-01-01", "An anchor.");
    place.write(
        "articles/pier.md",
        place.read("articles/pier.md").replace("+++\nAn", "slug = \"what-the-divers-found-under-the-pier\"\n+++\nAn"),
    );
    assert_eq!(place.run(&["check"]).ended(0).err, "");
}

#[test]
fn what_was_edited_meanwhile_stays_as_it_is() {
    let place = Place::new();
    place.write("page.txt", BELL);
    place.run(&["import", "page.txt", "--yes"]).ended(0);
    place.write(BELL_FILE, "mine");
    let ran = place.run(&["import", "page.txt", "--yes"]).ended(1);
    assert!(
        ran.err.contains("page.txt:18: articles/the-drowned-bell-of-saint-osk-rings-again.md is there already"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("hint: compare the two with --dry-run"), "{}", ran.err);
    assert_eq!(place.read(BELL_FILE), "mine");
}

#[test]
fn standard_input_is_read_and_json_has_every_line() {
    let place = Place::new();
    let ran = run_with(&place, &["import", "-", "--dry-run", "--json"], BELL.as_bytes()).ended(0);
    let json = ran.json();
    assert_eq!(json["articles"][0]["file"], BELL_FILE);
    assert_eq!(json["articles"][0]["state"], "new");
    let said = BELL.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(json["lines"].as_array().unwrap().len(), said);
    assert!(!place.has("tidings.db"), "nothing is left behind");
    let ran = run_with(&place, &["import", "-", "--yes", "--draft", "--into", "2024/march"], BELL.as_bytes()).ended(0);
    assert!(ran.out.contains("articles/2024/march/the-drowned-bell"), "{}", ran.out);
    assert!(place.read("articles/2024/march/the-drowned-bell-of-saint-osk-rings-again.md").contains("draft = true"));
}

#[test]
fn nothing_is_written_outside_the_articles() {
    let place = Place::new();
    place.write("page.txt", BELL);
    for into in ["../up", "/tmp/x", "a/../../b"] {
        let ran = place.run(&["import", "page.txt", "--yes", "--into", into]).ended(2);
        assert!(ran.err.contains("--into names a folder below articles/"), "{}", ran.err);
    }
}

#[test]
fn a_text_with_no_article_in_it_is_a_fault_with_its_remedy() {
    let place = Place::new();
    place.write("page.txt", "\n\nHome\nSign in\n\n");
    let ran = place.run(&["import", "page.txt", "--yes"]).ended(1);
    assert!(ran.err.contains("page.txt: no article in it"), "{}", ran.err);
    assert!(ran.err.contains("page.txt:3: left out, the menu: \"Home\""), "{}", ran.err);
    assert_eq!(place.files("articles").len(), 0);
}

#[test]
fn what_to_read_next_leads_to_the_article_of_that_title() {
    let place = Place::new();
    place.write("page.txt", BELL);
    place.article("pier", "What the divers found under the pier", "2024-01-01", "An anchor.");
    place.run(&["import", "page.txt", "--yes"]).ended(0);
    assert!(place.read(BELL_FILE).contains("related = [\"pier\"]"), "{}", place.read(BELL_FILE));
}
