//! `tidings import`: what people have elsewhere becomes files in the articles' folder, and nothing that is there is touched.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::io::Write as _;
use std::process::Stdio;

use chrono::TimeDelta;
use support::place::{Place, Ran, differences};
use support::publication::{Lantern, Letter, Setup};
use support::smtp_sink::{Options, Sink};
use tidings::domain::newsletter::Cadence;
use tidings::task::import::{Desk, Material, Plan, State, Wishes};
use tidings::task::{Publication, schedule};

support::engines::for_each_engine! {
    a_hundred_old_posts_come_into_a_running_publication_and_nobody_is_mailed,
    what_says_of_itself_that_it_is_archive_stays_so_whatever_is_edited,
}

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

/// An export of WordPress with so many posts.
fn export(posts: usize) -> String {
    let item = |n: usize| {
        format!(
            "<item><title>Old {n}</title><content:encoded><![CDATA[<p>Text {n}.</p>]]></content:encoded>\
             <wp:post_id>{n}</wp:post_id><wp:post_date_gmt>20{:02}-0{}-01 08:00:00</wp:post_date_gmt><wp:post_name>old-{n}</wp:post_name>\
             <wp:status>publish</wp:status><wp:post_type>post</wp:post_type>\
             <category domain=\"category\">news</category></item>",
            10 + n % 15,
            1 + n % 9
        )
    };
    let items: String = (0..posts).map(item).collect();
    format!(
        "<?xml version=\"1.0\"?><rss xmlns:wp=\"http://wordpress.org/export/1.2/\" \
         xmlns:content=\"http://purl.org/rss/1.0/modules/content/\"><channel>{items}</channel></rss>"
    )
}

fn bring(publication: &Publication, bytes: &[u8]) -> (Plan, usize) {
    let desk = Desk::new(&publication.config, &publication.clock);
    let material = Material { name: "export.xml".into(), bytes: bytes.to_vec(), ..Material::default() };
    let plan = desk.plan(desk.read(&material), &Wishes::default());
    let written = desk.write(&plan).unwrap();
    (plan, written)
}

async fn a_hundred_old_posts_come_into_a_running_publication_and_nobody_is_mailed(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::open(&url, Setup { archive: vec!["first"], ..Setup::relay(sink.port()) }).await;
    lantern.readers(3).await;
    lantern.reader("now@reader.example", Cadence::Instant, None).await;
    let bytes = export(100);
    let (plan, written) = bring(&lantern.publication, bytes.as_bytes());
    assert_eq!((written, plan.count(State::New), plan.problems.len()), (100, 100, 0));
    assert_eq!(lantern.sync().await.released, 100);
    for _ in 0..3 {
        assert_eq!(schedule::tick(&lantern.publication).await.unwrap(), []);
        lantern.pass(TimeDelta::days(1));
    }
    lantern.dispatch().await;
    assert_eq!(sink.messages().len(), 0);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM entries WHERE feed = 'news'").await, 101, "they are in the feed");

    // Again: nothing is written, and nothing is new.
    let (plan, written) = bring(&lantern.publication, bytes.as_bytes());
    assert_eq!((written, plan.count(State::There), plan.problems.len()), (0, 100, 0));
    assert!(!lantern.sync().await.is_change());

    // What is new afterwards goes out, and it alone.
    lantern.release(&["fresh"]).await;
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.pass(TimeDelta::minutes(30));
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.dispatch().await;
    assert!(!sink.messages().is_empty());
    for message in sink.messages() {
        let letter = Letter::read(&message.bytes);
        assert_eq!(letter.brings(&["fresh", "old-1", "old-50", "old-99", "first"]), ["fresh"]);
    }
}

async fn what_says_of_itself_that_it_is_archive_stays_so_whatever_is_edited(url: String) {
    let lantern = Lantern::open(&url, Setup { archive: vec!["first"], ..Setup::default() }).await;
    let archive = async |slug: &str| {
        lantern.count(&format!("SELECT COUNT(*) FROM articles WHERE slug = '{slug}' AND archive")).await == 1
    };
    lantern.write("old", lantern.now(), "archive = true");
    lantern.write("soon", lantern.now(), "draft = true\narchive = true");
    lantern.write("later", lantern.now() + TimeDelta::days(1), "archive = true");
    lantern.sync().await;
    assert!(archive("old").await && archive("first").await);
    // Before its release a file may change its mind, after it no more: nobody is mailed a backlog.
    lantern.write("old", lantern.now(), "");
    lantern.write("first", lantern.now(), "featured = true");
    lantern.write("soon", lantern.now(), "");
    lantern.sync().await;
    assert!(archive("old").await && archive("first").await);
    assert!(!archive("soon").await);
    lantern.pass(TimeDelta::days(2));
    lantern.sync().await;
    assert!(archive("later").await);
}

#[test]
fn what_has_no_date_is_the_same_on_another_day() {
    let place = Place::new();
    place.write("page.txt", "The steps are open\nSince this morning you can walk down to the water again.\n");
    place.run(&["import", "page.txt", "--yes"]).ended(0);
    let written = place.read("articles/the-steps-are-open.md");
    let date = written.lines().find(|line| line.starts_with("date")).unwrap();
    place.write("articles/the-steps-are-open.md", written.replace(date, "date = 2020-01-01"));
    let ran = place.run(&["import", "page.txt", "--yes"]).ended(0);
    assert!(ran.out.contains("everything is there already"), "{}", ran.out);
}

#[test]
fn a_whole_export_is_listed_first_and_one_bad_post_stops_none() {
    let place = Place::new();
    place.write("export.xml", include_str!("fixtures/exports/wordpress.xml"));
    let ran = place.run(&["import", "export.xml", "--dry-run"]).ended(1);
    assert!(ran.out.contains("articles/the-bell.html  2019-11-09  The bell & the barge"), "{}", ran.out);
    assert!(ran.err.contains("export.xml:124: a post without a title\n  hint: "), "{}", ran.err);
    assert_eq!(place.files("articles").len(), 0);
    let ran = place.run(&["import", "export.xml", "--yes"]).ended(1);
    assert!(
        ran.out.contains("an export of WordPress: 4 articles (4 new, 0 there already, 0 not written)"),
        "{}",
        ran.out
    );
    assert_eq!(place.files("articles").len(), 4);
    place.run(&["publish"]).ended(0);
    assert!(place.read("public/articles/the-bell/index.html").contains("The barge lay at"));
    assert!(!place.has("public/articles/family/index.html"), "what was private stays so");
}

#[test]
fn a_folder_of_another_program_comes_in_with_its_files_as_they_are() {
    let place = Place::new();
    let hugo = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/exports/hugo");
    let ran = place.run(&["import", hugo, "--yes", "--into", "old"]).ended(1);
    assert!(ran.err.contains("AsciiDoc is not read"), "{}", ran.err);
    assert!(
        place
            .read("articles/old/news/ferry.md")
            .starts_with("---\narchive: true\nsection: \"news\"\ntitle: The ferry sails\n")
    );
    assert!(place.has("articles/old/spring/index.md"));
    let ran = place.run(&["import", hugo, "--yes", "--into", "old"]).ended(1);
    assert!(ran.out.contains("everything is there already"), "{}", ran.out);
}
