//! `full_text = true`: the text of entries that come as summaries, from their pages, against a real server on loopback.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use support::elsewhere::{Server, reply};
use support::publication::{Lantern, Setup, news};
use tidings::fetch::{Fetcher, Manners};
use tidings::store::FullTexts;
use tidings::task::poll::{self, PollReport};

support::engines::for_each_engine! {
    summaries_get_the_text_of_their_pages_and_each_page_is_asked_for_once,
    a_page_that_fails_keeps_its_summary_and_is_tried_five_times,
    another_setting_keeps_the_text_without_asking_again,
    an_entry_that_is_no_summary_any_more_has_its_own_text,
}

/// A feed of RSS with an entry for each of these: id, path, description, and content where it has some.
fn feed(entries: &[(&str, &str, &str, &str)]) -> Vec<u8> {
    let mut items = String::new();
    for (id, path, description, content) in entries {
        let content = if content.is_empty() {
            String::new()
        } else {
            format!("<content:encoded><![CDATA[{content}]]></content:encoded>")
        };
        let _ = write!(
            items,
            "<item><guid isPermaLink=\"false\">{id}</guid><title>Piece {id}</title><link>{path}</link>\
             <description>{description}</description>{content}</item>"
        );
    }
    let text = format!(
        "<rss version=\"2.0\" xmlns:content=\"http://purl.org/rss/1.0/modules/content/\"><channel><title>Blog</title>{items}</channel></rss>"
    );
    reply("200 OK", "Content-Type: application/rss+xml\r\nETag: \"same\"\r\n", &text)
}

fn page(title: &str) -> Vec<u8> {
    let words =
        "The keeper climbed the stairs once more, lit the lamp, and wrote the weather into the book. ".repeat(12);
    let html = format!(
        "<!doctype html><html><head><title>{title}</title></head><body><nav><a href=\"/\">Home</a> <a href=\"/about\">About</a></nav>\
         <article><h1>{title}</h1><p>Of {title}: {words}</p><p>{words} <a href=\"../other\">More</a></p>\
         <script>alert(1)</script></article><footer>Masthead of the blog</footer></body></html>"
    );
    reply("200 OK", "Content-Type: text/html; charset=utf-8\r\n", &html)
}

async fn lantern(url: &str, server: &Server) -> Lantern {
    let more = format!(
        "[[source]]\nfeed = \"{}\"\nname = \"blog\"\nsection = \"news\"\nfull_text = true\nprivate = true\n",
        server.url("/feed.xml")
    );
    let setup = Setup { more: Box::leak(more.into_boxed_str()), ..Setup::default() };
    let mut lantern = Lantern::open(url, setup).await;
    lantern.publication.fetcher = hurried(Duration::ZERO);
    poll::know(&lantern.publication).await.unwrap();
    lantern
}

fn hurried(pause: Duration) -> Fetcher {
    Fetcher::new(Manners { pause, ..Manners::new("Tidings/0 (+https://lantern.example)".into(), tidings::mail::trust) })
}

async fn polled(lantern: &Lantern) -> PollReport {
    lantern.pass(TimeDelta::days(1));
    let report = poll::poll_due(&lantern.publication).await.unwrap().remove(0);
    assert_eq!(report.trouble, None);
    report
}

async fn bodies(lantern: &Lantern) -> Vec<(String, String)> {
    let newest = lantern.publication.store.newest_of(&news(), 100).await.unwrap();
    let mut bodies: Vec<_> = newest.into_iter().map(|one| (one.article.title, one.article.html)).collect();
    bodies.sort();
    bodies
}

async fn tally(lantern: &Lantern) -> FullTexts {
    lantern.publication.store.full_text_tally("feed:blog").await.unwrap()
}

fn times(server: &Server, path: &str) -> usize {
    server.asked().iter().filter(|(asked, _)| asked == path).count()
}

async fn summaries_get_the_text_of_their_pages_and_each_page_is_asked_for_once(url: String) {
    let entries = Arc::new(Mutex::new(vec![
        ("1", "/p/one", "In short.", ""),
        ("2", "/p/two", "In short.", "<p>All of it is here, and it is not long.</p>"),
        ("3", "/p/three", "In short.", "<p>It begins here, and goes on there […]</p>"),
        ("4", "/private/four", "In short.", ""),
        ("5", "/short", "In short.", ""),
    ]));
    let shown = Arc::clone(&entries);
    let server = Server::saying(move |path, _| match path {
        "/feed.xml" => feed(&shown.lock().unwrap()),
        "/robots.txt" => reply("200 OK", "", "User-agent: *\nDisallow: /private/\n"),
        "/short" => reply("302 Found", "Location: /p/short\r\n", ""),
        path if path.starts_with("/p/") => page(&path[3..]),
        _ => reply("404 Not Found", "", ""),
    });
    let lantern = lantern(&url, &server).await;
    let first = polled(&lantern).await;
    assert_eq!((first.new, first.released, first.pages, first.pages_failed), (5, 5, 3, 1), "{first:?}");
    let bodies_of = bodies(&lantern).await;
    for (number, wanted) in
        [(0, "Of one:"), (1, "All of it is here"), (2, "Of three:"), (3, "In short."), (4, "Of short:")]
    {
        assert!(bodies_of[number].1.contains(wanted), "{bodies_of:#?}");
    }
    let one = &bodies_of[0].1;
    assert!(!one.contains("Masthead") && !one.contains("alert") && !one.contains("About"), "{one}");
    assert!(one.contains(&format!("href=\"{}\"", server.url("/other"))), "{one}");
    let summary = lantern.rows("SELECT summary FROM articles WHERE title = 'Piece 1'").await;
    assert_eq!(summary, [["In short."]]);
    assert_eq!((times(&server, "/private/four"), times(&server, "/p/two"), times(&server, "/robots.txt")), (0, 0, 1));
    assert!(server.asked().iter().all(|(_, head)| head.contains("user-agent: tidings/")));
    let known = tally(&lantern).await;
    assert_eq!((known.whole, known.due, known.given_up), (3, 0, 1));
    assert!(known.why.unwrap().contains("robots.txt asks"));

    // Nothing changed: nothing is asked for.
    let before = server.times();
    let second = polled(&lantern).await;
    assert!(!second.is_change() && server.times() == before + 1, "{second:?}");
    // One is new, one was edited: their pages, and no other.
    entries.lock().unwrap()[0] = ("1", "/p/one", "In short, edited.", "");
    entries.lock().unwrap().insert(0, ("6", "/p/six", "In short.", ""));
    let third = polled(&lantern).await;
    assert_eq!((third.new, third.changed, third.released, third.pages), (1, 1, 1, 2), "{third:?}");
    assert_eq!((times(&server, "/p/one"), times(&server, "/p/six"), times(&server, "/p/three")), (2, 1, 1));
    assert!(bodies(&lantern).await[5].1.contains("Of six:"));
}

async fn a_page_that_fails_keeps_its_summary_and_is_tried_five_times(url: String) {
    let server = Server::saying(|path, head| match path {
        "/feed.xml" if head.contains("if-none-match") => reply("304 Not Modified", "", ""),
        "/feed.xml" => feed(&[("1", "/p/one", "In short.", ""), ("2", "/p/two", "In short.", "")]),
        "/p/two" => page("two"),
        "/robots.txt" => reply("404 Not Found", "", ""),
        _ => reply("500 Oops", "", ""),
    });
    let lantern = lantern(&url, &server).await;
    let first = polled(&lantern).await;
    assert_eq!((first.released, first.pages, first.pages_failed), (2, 1, 1), "it is not held back: {first:?}");
    let known = tally(&lantern).await;
    assert_eq!(
        (known.whole, known.due, known.why.as_deref()),
        (1, 1, Some("the page's server answers 500 Internal Server Error"))
    );
    for _ in 0..8 {
        polled(&lantern).await;
    }
    assert_eq!((times(&server, "/p/one"), times(&server, "/p/two")), (5, 1));
    let known = tally(&lantern).await;
    assert_eq!((known.whole, known.due, known.given_up), (1, 0, 1));
    assert!(bodies(&lantern).await[0].1.contains("In short."));
    // While a page was due its document was asked for whole; since then it is not.
    let asked = server.asked();
    let conditional = |(_, head): &&(String, String)| head.contains("if-none-match");
    assert_eq!(asked.iter().filter(conditional).count(), 4, "{asked:#?}");

    // It comes after all: the article is edited, and nobody gets it once more.
    let revised = Arc::new(Mutex::new(false));
    let is_revised = Arc::clone(&revised);
    server.says(move |path, _| match path {
        "/feed.xml" => feed(&[("1", "/p/one", "In short, edited.", ""), ("2", "/p/two", "In short.", "")]),
        "/p/one" if !*is_revised.lock().unwrap() => reply("503 Busy", "", ""),
        path if path.starts_with("/p/") => page(&path[3..]),
        _ => reply("404 Not Found", "", ""),
    });
    let edited = polled(&lantern).await;
    assert_eq!((edited.changed, edited.pages_failed), (1, 1), "{edited:?}");
    *revised.lock().unwrap() = true;
    let whole = polled(&lantern).await;
    assert_eq!((whole.changed, whole.released, whole.pages), (1, 0, 1), "{whole:?}");
    assert!(bodies(&lantern).await[0].1.contains("Of one:"));
}

async fn another_setting_keeps_the_text_without_asking_again(url: String) {
    let server = Server::saying(|path, _| match path {
        "/feed.xml" => feed(&[("1", "/p/one", "In short.", "")]),
        "/robots.txt" => reply("404 Not Found", "", ""),
        _ => page("one"),
    });
    let lantern = lantern(&url, &server).await;
    polled(&lantern).await;
    let config = lantern.folder.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let with = async |text: String| {
        std::fs::write(&config, text).unwrap();
        let mut again = lantern.again().await;
        again.fetcher = hurried(Duration::ZERO);
        poll::poll_now(&again, &[&again.config.sources[0]]).await.unwrap().remove(0)
    };
    let report = with(text.replace("private = true", "private = true\nauthors = [\"Mara Quill\"]")).await;
    assert_eq!((report.changed, report.pages, times(&server, "/p/one")), (1, 0, 1), "{report:?}");
    assert!(bodies(&lantern).await[0].1.contains("Of one:"));
    // Without it the summary is back; with it again the page is asked once more.
    let report = with(text.replace("full_text = true\n", "")).await;
    assert_eq!((report.changed, bodies(&lantern).await[0].1.as_str()), (1, "In short."));
    let report = with(text.clone()).await;
    assert_eq!((report.changed, report.pages, times(&server, "/p/one")), (1, 1, 2), "{report:?}");
}

async fn an_entry_that_is_no_summary_any_more_has_its_own_text(url: String) {
    let shown = Arc::new(Mutex::new([("In short.", ""), ("In short.", "")]));
    let entries = Arc::clone(&shown);
    let server = Server::saying(move |path, head| match path {
        "/feed.xml" if head.contains("if-none-match") => reply("304 Not Modified", "", ""),
        "/feed.xml" => {
            let [one, two] = *entries.lock().unwrap();
            feed(&[("1", "/p/one", one.0, one.1), ("2", "/oops", two.0, two.1)])
        }
        "/robots.txt" => reply("404 Not Found", "", ""),
        "/oops" => reply("500 Oops", "", ""),
        _ => page("one"),
    });
    let lantern = lantern(&url, &server).await;
    let first = polled(&lantern).await;
    assert_eq!((first.pages, first.pages_failed), (1, 1), "{first:?}");
    // Both come whole from now on: nothing is asked for, and nothing of before stands over them.
    *shown.lock().unwrap() = [("In short.", "<p>All of one is here.</p>"), ("In short.", "<p>All of two is here.</p>")];
    let whole = polled(&lantern).await;
    assert_eq!((whole.changed, whole.pages, whole.pages_failed), (2, 0, 0), "{whole:?}");
    let bodies_of = bodies(&lantern).await;
    assert!(bodies_of[0].1.contains("All of one") && bodies_of[1].1.contains("All of two"), "{bodies_of:#?}");
    let known = tally(&lantern).await;
    assert_eq!((known.whole, known.due, known.given_up), (0, 0, 0));
    // Nothing is due: the feed is asked for on condition again.
    assert!(polled(&lantern).await.not_modified);
    assert_eq!((times(&server, "/p/one"), times(&server, "/oops")), (1, 1));
}

#[tokio::test]
async fn pages_of_a_site_are_asked_for_one_after_the_other_with_a_pause() {
    const PAUSE: Duration = Duration::from_millis(60);
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let server = Server::saying(move |path, _| match path {
        "/feed.xml" => feed(&[("1", "/p/1", "x", ""), ("2", "/p/2", "x", ""), ("3", "/p/3", "x", "")]),
        path => {
            noted.lock().unwrap().push(Instant::now());
            if path == "/robots.txt" {
                reply("200 OK", "", "User-agent: tidings\nCrawl-delay: 0.12\n")
            } else {
                page(path)
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut lantern = lantern(&format!("sqlite://{}/t.db", folder.path().display()), &server).await;
    lantern.publication.fetcher = hurried(PAUSE);
    assert_eq!(polled(&lantern).await.pages, 3);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4);
    // The site asks for twice as long.
    assert!(asked.windows(2).all(|two| two[1] - two[0] >= PAUSE * 2), "{asked:?}");
}

#[tokio::test]
async fn while_a_site_cannot_say_what_it_allows_nothing_is_asked_for() {
    let server = Server::saying(|path, _| match path {
        "/feed.xml" => feed(&[("1", "/p/1", "In short.", "")]),
        "/robots.txt" => reply("503 Busy", "", ""),
        path => page(path),
    });
    let folder = tempfile::tempdir().unwrap();
    let lantern = lantern(&format!("sqlite://{}/t.db", folder.path().display()), &server).await;
    assert_eq!(polled(&lantern).await.pages_failed, 1);
    assert_eq!(times(&server, "/p/1"), 0);
    assert!(tally(&lantern).await.why.unwrap().contains("robots.txt cannot be read"));
}
