//! Documents over HTTP and in `public/`: coded once per publish, and what is new in a feed alone for who knows the rest.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::io::Read as _;
use std::process::{Command, Output};
use std::time::Duration;

use support::http::{Answer, ask};
use support::place::Place;
use support::site::Site;
use tidings::task::Clock;
use tidings::task::document::Coding;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const PATHS: [&str; 3] = ["/feeds/news/rss.xml", "/feeds/news/atom.xml", "/feeds/news/feed.json"];

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut back = vec![];
    match coding {
        Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut back).map(drop),
        Coding::Zstd => zstd::stream::copy_decode(bytes, &mut back),
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut back).map(drop),
    }
    .unwrap();
    back
}

async fn accepting(site: &Site, path: &str, codings: &str) -> Answer {
    site.get_with(path, &[("Accept-Encoding", codings)]).await
}

#[tokio::test]
async fn a_reader_gets_the_coding_that_it_likes_best() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    for (accepted, coding) in [
        ("", None),
        ("identity", None),
        ("deflate, compress", None),
        ("gzip", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("gzip;q=0", None),
        ("gzip;q=0.000, br;q=0", None),
        ("gzip;q=1.0, br;q=0.5", Some("gzip")),
        ("br;q=0, zstd;q=0, *", Some("gzip")),
        ("*;q=0", None),
        ("*;q=0, br", Some("br")),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0, gzip;q=0.5", Some("gzip")),
        ("gzip;q=never", None),
        ("gzip ; q=0.3 , deflate", Some("gzip")),
    ] {
        let answer = accepting(&site, PATHS[0], accepted).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{accepted:?}");
        assert!(answer.header("vary").unwrap().contains("accept-encoding"), "{accepted:?}");
    }
    // Of those that are as welcome, the smallest.
    let sizes: Vec<_> = {
        let mut sizes = vec![];
        for coding in Coding::ALL {
            sizes.push((accepting(&site, PATHS[0], coding.token()).await.body.len(), coding.token()));
        }
        sizes
    };
    let best = accepting(&site, PATHS[0], "gzip, deflate, br, zstd").await;
    assert_eq!(best.header("content-encoding"), Some(sizes.iter().min().unwrap().1), "{sizes:?}");
}

#[tokio::test]
async fn each_coding_has_a_tag_of_its_own_and_the_same_bytes() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    for path in PATHS.into_iter().chain(["/style.css"]) {
        let whole = site.get(path).await;
        assert_eq!(whole.header("content-encoding"), None);
        let mut tags = vec![whole.header("etag").unwrap().to_owned()];
        for coding in Coding::ALL {
            let coded = accepting(&site, path, coding.token()).await;
            assert!(coded.body.len() * 2 < whole.body.len(), "{path}: {coding:?} {}", coded.body.len());
            assert_eq!(decoded(coding, &coded.body), whole.body, "{path}: {coding:?}");
            let tag = coded.header("etag").unwrap().to_owned();
            let asked = [("Accept-Encoding", coding.token()), ("If-None-Match", &tag)];
            let again = site.get_with(path, &asked).await;
            assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())), "{path}");
            // What a reader has in one coding is not what it would get in another.
            assert_eq!(site.get_with(path, &[("If-None-Match", &tag)]).await.status, 200, "{path}");
            let head = ask(site.at, "HEAD", path, &[("Accept-Encoding", coding.token())], b"").await;
            assert_eq!(head.header("content-length"), Some(coded.body.len().to_string().as_str()), "{path}");
            assert!(head.body.is_empty());
            tags.push(tag);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "{path}: {tags:?}");
    }
}

/// Asks on a connection that stays open; the status and the length of the body.
async fn asked_on(stream: &mut TcpStream, path: &str) -> (String, usize) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: lantern.example\r\n\r\n").as_bytes()).await.unwrap();
    let mut reader = BufReader::new(stream);
    let (mut status, mut length, mut line) = (String::new(), 0, String::new());
    while reader.read_line(&mut line).await.unwrap() > 2 {
        if status.is_empty() {
            status = line.trim().to_owned();
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).await.unwrap();
    assert!(reader.buffer().is_empty());
    (status, length)
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_ends_with_the_server() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    let mut stream = TcpStream::connect(site.at).await.unwrap();
    for path in [PATHS[0], "/", PATHS[1], "/subscribe", PATHS[0]] {
        let (status, length) = asked_on(&mut stream, path).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
        assert!(length > 1000, "{path}: {length}");
    }
    drop(site);
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
    assert_eq!(ended.expect("an idle connection does not keep the server").unwrap(), 0);
}

#[tokio::test]
async fn public_has_every_document_in_every_coding_beside_it() {
    let place = Place::sample();
    place.run(&["publish"]).ended(0);
    for path in PATHS.into_iter().chain(["/style.css"]) {
        let whole = std::fs::read(place.path().join(format!("public{path}"))).unwrap();
        for coding in Coding::ALL {
            let coded = std::fs::read(place.path().join(format!("public{path}.{}", coding.ending()))).unwrap();
            assert_eq!(decoded(coding, &coded), whole, "{path}: {coding:?}");
        }
    }
    // What went goes in each coding.
    std::fs::remove_file(place.path().join("feeds/offers.toml")).unwrap();
    place.run(&["publish"]).ended(0);
    assert!(!place.path().join("public/feeds/offers").exists(), "{:?}", place.files("public").keys());
}

/// What the entries of a feed are called, in their order.
fn titles(answer: &Answer) -> Vec<String> {
    let feed = feed_rs::parser::parse(&answer.body[..]).unwrap();
    feed.entries.iter().map(|entry| entry.title.as_ref().unwrap().content.clone()).collect()
}

#[tokio::test]
async fn who_has_a_feed_is_sent_what_is_new_in_it_alone() {
    let place = Place::new();
    for number in 1..=9 {
        place.article(&format!("old-{number}"), &format!("Old {number}"), &format!("2026-03-0{number}"), "Text");
    }
    let site = Site::serve(place, Clock::system()).await;
    for path in PATHS {
        let first = site.get(path).await;
        assert_eq!(titles(&first).len(), 9, "{path}");
        let tag = first.header("etag").unwrap().to_owned();
        let gzip = accepting(&site, path, "gzip").await.header("etag").unwrap().to_owned();
        let since = [("A-IM", "feed"), ("If-None-Match", tag.as_str())];
        assert_eq!(site.get_with(path, &since).await.status, 304, "{path}: nothing is new");

        site.place.article("new", &format!("New for {path}"), "2026-04-01", "Text");
        site.place.article("old-3", &format!("Old 3, edited for {path}"), "2026-03-03", "Text");
        site.refresh().await;
        let whole = site.get(path).await;
        for (known, wanted) in [(&tag, "feed"), (&gzip, "gzip, feed;q=0.8"), (&format!("W/{tag}"), "FEED")] {
            let delta = site.get_with(path, &[("A-IM", wanted), ("If-None-Match", known)]).await;
            assert_eq!((delta.status, delta.header("im")), (226, Some("feed")), "{path} {known}");
            assert_eq!(delta.header("etag"), whole.header("etag"), "{path}");
            assert!(delta.header("cache-control").unwrap().contains("no-store"), "{path}");
            assert_eq!(delta.header("content-type"), whole.header("content-type"), "{path}");
            assert_eq!(delta.header("delta-base"), Some(known.trim_start_matches("W/")), "{path}");
            assert_eq!(delta.header("expires"), None, "{path}");
            let expected = [format!("New for {path}"), format!("Old 3, edited for {path}")];
            assert_eq!(titles(&delta), expected, "{path}");
        }
        // Who does not ask for it, or is not known, gets the whole.
        for headers in [
            vec![("If-None-Match", tag.as_str())],
            vec![("A-IM", "vcdiff, gzip"), ("If-None-Match", &tag)],
            vec![("A-IM", "feed;q=0"), ("If-None-Match", &tag)],
            vec![("A-IM", "feed"), ("If-None-Match", "\"0123456789abcdef\"")],
            vec![("A-IM", "feed"), ("If-None-Match", "*, \"x")],
            vec![("A-IM", "feed")],
        ] {
            let answer = site.get_with(path, &headers).await;
            let expected = if headers.iter().any(|(_, value)| value.starts_with('*')) { 304 } else { 200 };
            assert_eq!((answer.status, answer.header("im")), (expected, None), "{path} {headers:?}");
        }
        // Two versions back as well.
        site.place.article("newer", &format!("Newer for {path}"), "2026-05-01", "Text");
        site.refresh().await;
        let delta = site.get_with(path, &since).await;
        assert_eq!((delta.status, titles(&delta).len()), (226, 3), "{path}");
        for name in ["articles/new.md", "articles/newer.md"] {
            site.place.remove(name);
        }
        site.refresh().await;
    }
}

/// Runs a script, aside from the server.
async fn python(script: &str, arguments: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new("python3");
    command.args(["-c", script]).args(arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap()
}

#[tokio::test]
async fn the_parser_of_python_takes_what_is_new() {
    let there = python("import feedparser", &[]).await;
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "CI has to have feedparser");
    if !there {
        eprintln!("skipped: feedparser is not installed");
        return;
    }
    let place = Place::new();
    place.article("old", "Old", "2026-03-01", "Text");
    let site = Site::serve(place, Clock::system()).await;
    let url = site.url("/feeds/news/rss.xml");
    let ask = async |etag: &str| {
        // It asks for deltas by itself.
        let script = "import feedparser, json, sys\nd = feedparser.parse(sys.argv[1], etag=sys.argv[2] or None)\n\
                      print(json.dumps([d.status, d.get('etag', ''), [e.title for e in d.entries], bool(d.bozo)]))";
        let output = python(script, &[&url, etag]).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<(u16, String, Vec<String>, bool)>(&output.stdout).unwrap()
    };
    let (status, etag, titles, bozo) = ask("").await;
    assert_eq!((status, titles, bozo), (200, vec!["Old".to_owned()], false));
    assert_eq!(ask(&etag).await.0, 304);
    site.place.article("new", "New", "2026-04-01", "Text");
    site.refresh().await;
    let (status, _, titles, bozo) = ask(&etag).await;
    assert_eq!((status, titles, bozo), (226, vec!["New".to_owned()], false));
}
