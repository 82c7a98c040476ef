//! Pages of HTML, saved or fetched: the article in them, what their heads say, and nothing active.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use chrono::DateTime;
use proptest::prelude::*;
use support::place::Place;
use tidings::domain::article::ArticleId;
use tidings::source::import::{self, Brought, Kind, Way};
use tidings::source::{self, Context};
use url::Url;
use uuid::Uuid;

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let base = Url::parse("https://lantern.example").unwrap();
    let now = DateTime::from_timestamp_secs(1_780_000_000).unwrap();
    run(&Context { base: &base, time_zone: chrono_tz::Europe::Lisbon, now })
}

fn read(name: &str, bytes: &[u8], way: Way<'_>) -> Brought {
    with_context(|context| import::read(name, bytes, way, context, "en"))
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pages").join(name)).unwrap()
}

fn shown(name: &str) -> String {
    let brought = read(name, &fixture(name), Way::default());
    assert_eq!(brought.kind, Kind::Page);
    let mut out = String::new();
    for piece in &brought.pieces {
        writeln!(out, "== {}.{}\n{}", piece.stem().unwrap(), piece.ending(), piece.text()).unwrap();
    }
    for entry in &brought.account {
        writeln!(out, "{:?}{} {}: {}", entry.fate, if entry.unsure { " (?)" } else { "" }, entry.what, entry.text)
            .unwrap();
    }
    for problem in &brought.problems {
        writeln!(out, "{problem}").unwrap();
    }
    out
}

#[test]
fn a_page_that_says_much_of_itself_comes_in_with_all_of_it() {
    insta::assert_snapshot!(shown("bell.html"));
}

#[test]
fn a_page_that_says_little_and_in_an_old_encoding_comes_in_too() {
    insta::assert_snapshot!(shown("faehre.html"));
}

#[test]
fn what_comes_in_is_read_by_a_sync() {
    for name in ["bell.html", "faehre.html"] {
        let brought = read(name, &fixture(name), Way::default());
        let text = brought.pieces[0].text();
        let parsed =
            with_context(|context| source::parse(ArticleId(Uuid::nil()), name, name, text.as_bytes(), context));
        assert_eq!(parsed.problems, [], "{name}");
        assert!(parsed.article.is_some(), "{name}");
    }
}

#[test]
fn the_encoding_is_the_servers_then_the_pages_then_a_guess() {
    let page = |meta: &str| {
        format!(
            "<!doctype html><html><head>{meta}<title>Köln</title></head><body><article><p>{}</p></article></body></html>",
            "Über die Brücke. ".repeat(30)
        )
    };
    let latin = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    let title =
        |bytes: &[u8], content_type| read("page", bytes, Way { content_type, url: None }).pieces[0].title.clone();
    assert_eq!(title(page("").as_bytes(), None), "Köln");
    assert_eq!(title(page("<meta charset=\"iso-8859-1\">").as_bytes(), None), "Köln", "UTF-8 whatever it says");
    assert_eq!(title(&latin(&page("<meta charset=\"utf-8\">")), None), "Köln", "not UTF-8 whatever it says");
    assert_eq!(title(&latin(&page("")), Some("text/html; charset=windows-1252")), "Köln");
    let (greek, _, _) = encoding_rs::ISO_8859_7.encode("<!doctype html><title>Λιμάνι</title><article><p>Το λιμάνι ήταν άδειο. Το λιμάνι ήταν άδειο. Το λιμάνι ήταν άδειο.</p></article>");
    assert_eq!(title(&greek, Some("text/html;charset=\"iso-8859-7\"")), "Λιμάνι");
}

#[test]
fn a_page_without_an_article_is_a_fault_with_its_remedy() {
    let brought = read("page.html", b"<!doctype html><title>Menu</title><body></body>", Way::default());
    assert!(brought.pieces.is_empty());
    assert!(
        brought.problems[0].to_string().contains("hint: copy the article's text into a file"),
        "{:?}",
        brought.problems
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn nothing_active_comes_out_whatever_goes_in(inside in proptest::collection::vec(proptest::sample::select(vec![
        "<script>alert(1)</script>", "<p onclick=x()>a</p>", "<a href='javascript:x'>b</a>", "<svg onload=x>", "<iframe src='data:text/html,x'></iframe>",
        "<img src=x onerror=x>", "<p>", "</div>", "<table><tr><td>", "<!--", "--><script>", "text text text, text text text. ", "<style>*{}</style>",
        "<form action='https://evil.example'>", "<math><mtext><script>x</script>", "<template><script>x</script></template>", "<base href='https://evil.example/'>",
    ]), 0..40)) {
        let page = format!("<!doctype html><title>A title</title><article><p>{}</p>{}</article>", "Words enough for an article. ".repeat(20), inside.concat());
        let brought = read("page.html", page.as_bytes(), Way::default());
        for piece in &brought.pieces {
            let body = piece.body.to_lowercase();
            for gone in ["<script", "onclick", "onerror", "onload", "javascript:", "<iframe", "<form", "<style", "<svg", "<base"] {
                prop_assert!(!body.contains(gone), "{}: {}", gone, piece.body);
            }
        }
    }
}

/// A server that answers every request with this page, until it is dropped with the test.
fn serve(status: &str, kind: &str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    format!("http://{address}/2024/the-drowned-bell")
}

#[test]
fn an_address_is_fetched_and_a_private_one_when_a_person_says_so() {
    let place = Place::new();
    let page = String::from_utf8(fixture("bell.html"))
        .unwrap()
        .replace("<link rel=\"canonical\" href=\"https://post.example/2024/03/the-drowned-bell.html\">", "");
    let address = serve("200 OK", "text/html; charset=utf-8", page.into_bytes());
    let ran = place.run(&["import", &address, "--dry-run"]).ended(1);
    assert!(ran.err.contains("which is not a public one; --private allows it"), "{}", ran.err);
    let ran = place.run(&["import", &address, "--private", "--yes"]).ended(0);
    assert!(ran.out.contains("articles/the-drowned-bell.html"), "{}", ran.out);
    let text = place.read("articles/the-drowned-bell.html");
    let root = address.strip_suffix("/2024/the-drowned-bell").unwrap();
    assert!(text.contains(&format!("<a href=\"{root}/2023/anchor.html\">")), "{text}");
}

#[test]
fn an_address_that_has_nothing_says_what_to_do() {
    let place = Place::new();
    let address = serve("404 Not Found", "text/html", b"no".to_vec());
    let ran = place.run(&["import", &address, "--private", "--yes"]).ended(1);
    assert!(ran.err.contains("its server answers 404 Not Found"), "{}", ran.err);
    assert!(ran.err.contains("hint: open it in a browser"), "{}", ran.err);
}
