//! What readers and robots get over HTTP, from a real server in this process.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::http::ask;
use support::place::{NEWS, Place};
use support::site::Site;
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::SubscriptionState;
use tidings::task::{Clock, confirm};

async fn sample() -> Site {
    Site::serve(Place::sample(), Clock::system()).await
}

/// What `attribute="…"` holds, everywhere in a page.
fn attributes(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let values = html.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(|value| value.replace("&#x3D;", "=").replace("&#x3d;", "=").replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn everything_answers_with_its_type() {
    let site = sample().await;
    for (path, status, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/articles/the-lighthouse-is-lit-again/", 200, "text/html; charset=utf-8"),
        ("/feeds/news/", 200, "text/html; charset=utf-8"),
        ("/subscribe", 200, "text/html; charset=utf-8"),
        ("/feeds/news/rss.xml", 200, "application/rss+xml; charset=utf-8"),
        ("/feeds/news/atom.xml", 200, "application/atom+xml; charset=utf-8"),
        ("/feeds/news/feed.json", 200, "application/feed+json"),
        ("/feeds.opml", 200, "text/x-opml; charset=utf-8"),
        ("/style.css", 200, "text/css; charset=utf-8"),
        ("/style.css?v=1", 200, "text/css; charset=utf-8"),
        ("/feed.css", 200, "text/css; charset=utf-8"),
        ("/form.js", 200, "text/javascript; charset=utf-8"),
        ("/images/ferry.png", 200, "image/png"),
        ("/nothing", 404, "text/html; charset=utf-8"),
        ("/articles/no-such-article/", 404, "text/html; charset=utf-8"),
        ("/feeds/no-such-feed/", 404, "text/html; charset=utf-8"),
        ("/feeds/no-such-feed/rss.xml", 404, "text/html; charset=utf-8"),
        ("/feeds/news/other.xml", 404, "text/html; charset=utf-8"),
        ("/confirm/x", 404, "text/html; charset=utf-8"),
        ("/unsubscribe/x", 404, "text/html; charset=utf-8"),
        ("/preferences/x", 404, "text/html; charset=utf-8"),
    ] {
        let answer = site.get(path).await;
        let kind_is = answer.header("content-type").unwrap_or_default();
        assert_eq!((answer.status, kind_is), (status, kind), "{path}");
        let head = site.ask("HEAD", path).await;
        assert_eq!(head.status, status, "HEAD {path}");
        assert!(head.body.is_empty(), "HEAD {path}");
        for header in ["content-type", "etag", "cache-control", "content-length"] {
            assert_eq!(head.header(header), answer.header(header), "HEAD {path}: {header}");
        }
    }
    for (path, leads_to) in [
        ("/articles/night-ferry", "./night-ferry/"),
        ("/feeds/news", "./news/"),
        ("/articles/javascript:alert(1)", "./javascript:alert(1)/"),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (308, Some(leads_to)), "{path}");
    }
}

#[tokio::test]
async fn a_browser_gets_a_feed_as_xml_that_it_can_show() {
    let site = sample().await;
    let browser = [("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")];
    for (file, own) in [("rss.xml", "application/rss+xml"), ("atom.xml", "application/atom+xml")] {
        let path = format!("/feeds/news/{file}");
        let shown = site.get_with(&path, &browser).await;
        assert_eq!(shown.header("content-type"), Some("application/xml; charset=utf-8"));
        assert!(shown.text().contains("<?xml-stylesheet type=\"text/css\""));
        let read = site.get_with(&path, &[("Accept", "application/rss+xml, */*")]).await;
        assert!(read.header("content-type").unwrap().starts_with(own));
        assert_eq!(
            (shown.header("vary"), read.header("vary")),
            (Some("accept, accept-encoding"), Some("accept, accept-encoding"))
        );
        assert_eq!(shown.body, read.body);
        // Under another media type it is another representation (RFC 9110 §8.8.3).
        let own = shown.header("etag").unwrap();
        assert_ne!(Some(own), read.header("etag"));
        let again = site.get_with(&path, &[browser[0], ("If-None-Match", own)]).await;
        assert_eq!((again.status, again.header("etag")), (304, Some(own)));
        assert_eq!(site.get_with(&path, &[("If-None-Match", own)]).await.status, 200);
    }
}

#[tokio::test]
async fn every_response_has_its_policies_and_no_cookie() {
    let site = sample().await;
    let mut answers = vec![];
    for path in [
        "/",
        "/feeds/news/rss.xml",
        "/style.css",
        "/images/ferry.png",
        "/nothing",
        "/articles/night-ferry",
        "/confirm/x",
        "/%ff",
        "/articles/%ff/",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            answers.push((format!("{method} {path}"), site.ask(method, path).await));
        }
    }
    answers.push(("a form".into(), site.post("/subscribe", &[("address", "x")]).await));
    answers.push(("a large form".into(), site.post("/subscribe", &[("name", &"x".repeat(70_000))]).await));
    for (what, answer) in answers {
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: {answer:?}"));
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        // Only where the form is may a script run, and only ours.
        let has_form = what == "HEAD /" || answer.text().contains("<form class=\"signup\"");
        assert_eq!(policy.contains("; script-src 'self'; connect-src 'self';"), has_form, "{what}: {policy}");
        assert_eq!(policy.matches("script-src").count(), usize::from(has_form), "{what}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert!(answer.header("referrer-policy").is_some(), "{what}");
        assert_eq!(answer.header("set-cookie"), None, "{what}");
        assert_eq!(answer.header("server"), None, "{what}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_refused_with_those_that_are() {
    let site = sample().await;
    for (path, allowed) in [
        ("/", "GET,HEAD"),
        ("/feeds/news/rss.xml", "GET,HEAD"),
        ("/articles/night-ferry/", "GET,HEAD"),
        ("/style.css", "GET,HEAD"),
        ("/images/ferry.png", "GET,HEAD"),
        ("/subscribe", "GET,HEAD,POST"),
        ("/unsubscribe/x", "GET,HEAD,POST"),
    ] {
        for method in ["PUT", "DELETE", "PATCH"] {
            let answer = site.ask(method, path).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn conditional_requests_are_answered_by_tag_first_and_by_date_without_one() {
    let site = sample().await;
    const PATH: &str = "/feeds/news/rss.xml";
    let whole = site.get(PATH).await;
    let tag = whole.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 16, "{tag}");
    let modified = whole.header("last-modified").unwrap().to_owned();
    assert!(modified.ends_with(" GMT"), "{modified}");
    let weak = format!("W/{tag}");
    let list = format!("\"one\", {tag}, \"two\"");
    let weak_list = format!("\"one\",W/{tag}");
    let bare = tag.trim_matches('"').to_owned();
    let at = chrono::DateTime::parse_from_rfc2822(&modified).unwrap();
    let (of_old, of_c) =
        (at.format("%A, %d-%b-%y %H:%M:%S GMT").to_string(), at.format("%a %b %e %H:%M:%S %Y").to_string());
    const OLD: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    const FAR: &str = "Sat, 01 Jan 2101 00:00:00 GMT";
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[], 200),
        (&[("If-None-Match", &tag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", &list)], 304),
        (&[("If-None-Match", &weak_list)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"one\""), ("If-None-Match", &tag)], 304),
        (&[("If-None-Match", "\"unknown\"")], 200),
        (&[("If-None-Match", &bare)], 200),
        (&[("If-None-Match", "")], 200),
        (&[("If-Modified-Since", &modified)], 304),
        (&[("If-Modified-Since", &of_old)], 304),
        (&[("If-Modified-Since", &of_c)], 304),
        // Who says to have what is still to come would never be sent anything again.
        (&[("If-Modified-Since", FAR)], 200),
        (&[("If-Modified-Since", OLD)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-None-Match", "\"unknown\""), ("If-Modified-Since", &modified)], 200),
        (&[("If-None-Match", &tag), ("If-Modified-Since", OLD)], 304),
        (&[("If-Match", &tag)], 200),
        (&[("If-Match", "*"), ("If-None-Match", &tag)], 304),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", "\"unknown\""), ("If-None-Match", &tag)], 412),
        (&[("If-Unmodified-Since", &modified)], 200),
        (&[("If-Unmodified-Since", OLD)], 412),
        (&[("If-Match", &tag), ("If-Unmodified-Since", OLD)], 200),
    ];
    for (headers, status) in cases {
        for method in ["GET", "HEAD"] {
            let answer = ask(site.at, method, PATH, headers, b"").await;
            assert_eq!(answer.status, *status, "{method} {headers:?}");
            for name in ["etag", "cache-control", "last-modified", "vary"] {
                if *status == 412 && name == "cache-control" {
                    assert_eq!(answer.header(name), Some("no-store"), "nobody else is to be given this");
                    continue;
                }
                assert_eq!(answer.header(name), whole.header(name), "{method} {headers:?}: {name}");
            }
            if *status != 200 {
                assert!(answer.body.is_empty() && answer.header("content-type").is_none(), "{answer:?}");
            }
        }
    }
    assert!(whole.header("cache-control").unwrap().contains("public"));
    assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_reader_in_a_browser_may_ask_conditionally_from_another_site() {
    let site = sample().await;
    const PATH: &str = "/feeds/news/feed.json";
    let asked = [("Origin", "https://reader.example"), ("Access-Control-Request-Method", "GET")];
    let headers = [asked[0], asked[1], ("Access-Control-Request-Headers", "if-none-match")];
    let answer = ask(site.at, "OPTIONS", PATH, &headers, b"").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("if-none-match"));
    let exposed = site.get(PATH).await.header("access-control-expose-headers").unwrap().to_owned();
    assert!(exposed.contains("etag"), "{exposed}");
    assert_eq!(site.ask("OPTIONS", PATH).await.status, 405, "not a question of a browser");
}

#[tokio::test]
async fn pages_can_be_asked_for_conditionally_and_are_never_stale_for_long() {
    let site = sample().await;
    for path in ["/", "/articles/the-lighthouse-is-lit-again/", "/feeds/news/"] {
        let page = site.get(path).await;
        let tag = page.header("etag").unwrap_or_else(|| panic!("{path} has no ETag")).to_owned();
        let again = site.get_with(path, &[("If-None-Match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("cache-control"), page.header("cache-control"), "{path}");
        assert_eq!(site.get_with(path, &[("If-None-Match", "\"other\"")]).await.status, 200, "{path}");
    }
    // What is not there may be there in a moment.
    assert_eq!(site.get("/articles/no-such-article/").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn an_edit_is_seen_by_those_who_ask_by_date_alone() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    let seconds = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1_800_000_000));
    let shown = std::sync::Arc::clone(&seconds);
    let clock = Clock::from_fn(move || {
        chrono::DateTime::from_timestamp(shown.load(std::sync::atomic::Ordering::SeqCst), 0).unwrap()
    });
    let site = Site::serve(place, clock).await;
    const PATH: &str = "/feeds/news/atom.xml";
    let before = site.get(PATH).await;
    let modified = before.header("last-modified").unwrap().to_owned();
    assert_eq!(site.get_with(PATH, &[("If-Modified-Since", &modified)]).await.status, 304);
    let kept_for = before.header("cache-control").unwrap().split("max-age=").nth(1).unwrap().parse::<i64>().unwrap();
    let expires = chrono::DateTime::parse_from_rfc2822(before.header("expires").unwrap()).unwrap();
    assert_eq!(expires.timestamp(), 1_800_000_000 + kept_for);

    seconds.fetch_add(60, std::sync::atomic::Ordering::SeqCst);
    site.place.article("one", "One, edited", "2026-03-01", "Text");
    site.refresh().await;
    let after = site.get_with(PATH, &[("If-Modified-Since", &modified)]).await;
    assert_eq!(after.status, 200);
    assert!(after.text().contains("One, edited"));
    assert_ne!(after.header("etag"), before.header("etag"));
}

#[tokio::test]
async fn what_another_process_synced_is_served_too() {
    let place = Place::new();
    place.article("one", "One", "2026-03-01", "Text");
    let site = Site::serve(place, Clock::system()).await;
    site.place.article("two", "Second thoughts", "2026-03-02", "Text");
    site.place.run(&["publish"]).ended(0);
    site.refresh().await;
    assert!(site.get("/feeds/news/rss.xml").await.text().contains("Second thoughts"));
}

#[tokio::test]
async fn no_path_leads_out_of_the_static_folder() {
    let place = Place::sample();
    place.write("secret.txt", "canary");
    place.write("static/.hidden", "canary");
    place.write("static/plain.txt", "plain");
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(place.path().join("secret.txt"), place.path().join("static/link.txt")).unwrap();
        symlink(place.path(), place.path().join("static/all")).unwrap();
        symlink(place.path().join("static/plain.txt"), place.path().join("static/inside.txt")).unwrap();
    }
    let site = Site::serve(place, Clock::system()).await;
    assert_eq!(site.get("/plain.txt").await.text(), "plain");
    let long = format!("/{}", "a".repeat(4096));
    let deep = format!("/articles/{}/", "../".repeat(1000));
    for path in [
        "/../config.toml",
        "/static/../config.toml",
        "/images/../../config.toml",
        "/%2e%2e/config.toml",
        "/images/%2e%2e/%2e%2e/config.toml",
        "/..%2fconfig.toml",
        "/..%5cconfig.toml",
        "/images/..%5c..%5cconfig.toml",
        "/..\\config.toml",
        "/%252e%252e/config.toml",
        "/plain.txt%00",
        "/plain.txt%00.png",
        "/articles/%00/",
        "/articles/..%2f..%2fconfig.toml/",
        "/feeds/%2e%2e/",
        "/feeds/news/..%2f..%2f..%2fconfig.toml",
        "/feeds/news/%00",
        "//etc/passwd",
        "/etc/passwd",
        "/link.txt",
        "/inside.txt",
        "/all/secret.txt",
        "/all/config.toml",
        "/.hidden",
        "/images/",
        "/images",
        "/config.toml",
        "/tidings.db",
        "/confirm/%00",
        "/unsubscribe/..%2f",
        &long,
        &deep,
    ] {
        let answer = site.get(path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        let text = answer.text();
        assert!(!text.contains("canary") && !text.contains("[publication]") && !text.contains("root:"), "{path}");
    }
}

#[tokio::test]
async fn every_link_of_the_sample_leads_somewhere() {
    let site = sample().await;
    let origin = site.url("");
    let mut waiting = vec!["/".to_owned()];
    let mut seen: BTreeMap<String, String> = BTreeMap::from([("/".into(), "the start".into())]);
    let mut pages = 0;
    while let Some(path) = waiting.pop() {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 200, "{path}, linked from {}", seen[&path]);
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        let text = answer.text();
        assert!(!text.contains("lantern.example/"), "{path} leads to an address that is not there yet");
        let mut links = vec![];
        if kind.starts_with("text/html") {
            pages += 1;
            links.extend(attributes(&text, "href"));
            links.extend(attributes(&text, "src"));
        } else if kind.contains("xml") || kind.contains("opml") || kind.contains("json") {
            // Every address of ours that stands in a feed, whatever it stands in.
            links.extend(text.split(&origin).skip(1).map(|rest| {
                let end =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/-_.%".contains(c))).unwrap_or(rest.len());
                format!("{origin}{}", rest[..end].trim_end_matches(['\\', '.']))
            }));
        }
        for link in links {
            let link = link.split('#').next().unwrap_or_default();
            let link = link.strip_prefix(&origin).unwrap_or(link);
            if link.starts_with('/') && !link.starts_with("//") && !seen.contains_key(link) {
                seen.insert(link.to_owned(), path.clone());
                waiting.push(link.to_owned());
            }
        }
    }
    assert!(pages >= 17 + 3 + 2, "only {pages} pages were reached");
    for path in ["/feeds/news/rss.xml", "/feeds/offers/feed.json", "/feeds.opml", "/images/ferry.png", "/feed.css"] {
        assert!(seen.contains_key(path), "nothing leads to {path}");
    }
}

#[tokio::test]
async fn every_page_announces_every_feed() {
    let site = sample().await;
    for path in ["/", "/articles/the-lighthouse-is-lit-again/", "/feeds/offers/", "/subscribe", "/nothing"] {
        let html = site.get(path).await.text();
        let links: Vec<&str> =
            html.lines().filter(|line| line.starts_with("<link rel=\"alternate\" type=\"application/")).collect();
        assert_eq!(links.len(), 9, "{path}: {links:?}");
        for link in links {
            let (kind, title, href) =
                (&attributes(link, "type")[0], &attributes(link, "title")[0], &attributes(link, "href")[0]);
            assert!(!title.is_empty());
            let answer = site.get(href.strip_prefix(&site.url("")).unwrap_or(href)).await;
            assert_eq!(answer.status, 200, "{href}");
            assert!(answer.header("content-type").unwrap().starts_with(kind.as_str()), "{href}");
        }
    }
}

/// The first link to `/PURPOSE/…` in a message.
fn link_in(message: &[u8], purpose: &str) -> String {
    let parsed = mail_parser::MessageParser::default().parse(message).expect("a message");
    let text = parsed.body_text(0).expect("a text part");
    let at = text.find(&format!("/{purpose}/")).unwrap_or_else(|| panic!("no /{purpose}/ in {text}"));
    text[at..].split_whitespace().next().unwrap().to_owned()
}

async fn states(site: &Site, address: &str) -> BTreeMap<String, String> {
    let key = EmailAddress::parse(address).unwrap().key();
    let store = &site.app.publication.store;
    let Some(person) = store.subscriber_by_address(&key).await.unwrap() else { return BTreeMap::new() };
    let subscriptions = store.subscriptions_of(person.id).await.unwrap();
    subscriptions
        .into_iter()
        .map(|one| (one.feed.to_string(), format!("{} {}", one.cadence, one.state.as_str())))
        .collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// Signs an address up for news, confirms it, and gives the link to its choices.
async fn subscribed(site: &Site, address: &str) -> String {
    site.post("/subscribe", &[("address", address), ("feed", "news")]).await;
    let mail = site.mail().await;
    let confirm = link_in(&mail[0], "confirm");
    let answer = site.post(&confirm, &[]).await;
    assert_eq!(answer.status, 200);
    attributes(&answer.text(), "href")
        .into_iter()
        .find(|href| href.contains("/preferences/"))
        .expect("a link to choices")
}

#[tokio::test]
async fn a_reader_comes_chooses_and_leaves() {
    let site = sample().await;
    let address = "mara@quill.example";
    let fields = [
        ("address", address),
        ("name", "Mara"),
        ("feed", "news"),
        ("cadence.news", "weekly"),
        ("feed", "offers"),
        ("cadence.offers", "nonsense"),
    ];
    assert_eq!(site.post("/subscribe", &fields).await.status, 200);
    assert_eq!(states(&site, address).await, map(&[("news", "weekly pending"), ("offers", "weekly pending")]));

    // The confirmation goes to the address, says nothing that was typed, and its link shows a button.
    let mail = site.mail().await;
    assert_eq!(mail.len(), 1);
    let parsed = mail_parser::MessageParser::default().parse(&mail[0]).unwrap();
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some(address));
    assert!(!String::from_utf8_lossy(&mail[0]).contains("Mara"));
    let confirm = link_in(&mail[0], "confirm");
    let page = site.get(&confirm).await;
    assert_eq!(
        (page.status, page.header("cache-control"), page.header("referrer-policy")),
        (200, Some("no-store"), Some("no-referrer"))
    );
    assert!(
        page.text().contains("method=\"post\"") && page.text().contains("Latest news and Offers"),
        "{}",
        page.text()
    );
    assert_eq!(states(&site, address).await["news"], "weekly pending");

    let confirmed = site.post(&confirm, &[]).await;
    assert_eq!(confirmed.status, 200);
    assert_eq!(states(&site, address).await, map(&[("news", "weekly active"), ("offers", "weekly active")]));
    for replay in [site.get(&confirm).await, site.post(&confirm, &[]).await] {
        assert_eq!(replay.status, 404);
        assert!(replay.text().contains("This link has run out"));
    }

    // Choosing: another cadence, one feed less, one more, another name and clock.
    let preferences =
        attributes(&confirmed.text(), "href").into_iter().find(|href| href.contains("/preferences/")).unwrap();
    let page = site.get(&preferences).await;
    assert!(page.text().contains(address) && page.text().contains("value=\"Mara\""));
    let choices = [
        ("feed", "news"),
        ("cadence.news", "instant"),
        ("feed", "announcements"),
        ("name", "Mara Q"),
        ("time_zone", "Asia/Tokyo"),
    ];
    let saved = site.post(&preferences, &choices).await;
    assert_eq!(saved.status, 200);
    assert!(
        saved.text().contains("Saved.")
            && saved.text().contains("value=\"Asia/Tokyo\"")
            && saved.text().contains("Mara Q")
    );
    let expected = map(&[("announcements", "instant active"), ("news", "instant active"), ("offers", "weekly ended")]);
    assert_eq!(states(&site, address).await, expected);
    let wrong_zone =
        site.post(&preferences, &[("feed", "news"), ("feed", "announcements"), ("time_zone", "Nowhere/Else")]).await;
    let wrong_zone = wrong_zone.text();
    assert!(wrong_zone.contains("value=\"Asia/Tokyo\"") && !wrong_zone.contains("Saved."), "{wrong_zone}");
    assert!(wrong_zone.contains("There is no time zone") && wrong_zone.contains("Nowhere/Else"), "{wrong_zone}");
    let any_case = [("feed", "news"), ("feed", "announcements"), ("time_zone", "asia/tokyo")];
    assert!(site.post(&preferences, &any_case).await.text().contains("Saved."));

    // Leaving everything.
    let leave = attributes(&site.get(&preferences).await.text(), "href")
        .into_iter()
        .find(|href| href.contains("/unsubscribe/"))
        .unwrap();
    assert!(site.get(&leave).await.text().contains("Leave?"));
    let left = site.post(&leave, &[]).await;
    assert!(left.status == 200 && left.text().contains("You have left"));
    assert!(states(&site, address).await.values().all(|state| state.ends_with("ended")));
}

#[tokio::test]
async fn a_feed_that_the_choices_do_not_show_is_not_left_by_saving_them() {
    let site = sample().await;
    let address = "mara@quill.example";
    let preferences = subscribed(&site, address).await;
    let publication = &site.app.publication;
    let subscriber = publication.store.subscriber_by_address(&EmailAddress::parse(address).unwrap().key()).await;
    // As when the definition of a feed has a fault today.
    let faulty = (FeedName::parse("faulty").unwrap(), Cadence::Daily);
    confirm::subscribe(publication, &subscriber.unwrap().unwrap(), &[faulty], SubscriptionState::Active).await.unwrap();
    assert_eq!(site.post(&preferences, &[("name", "Mara")]).await.status, 200);
    let states = states(&site, address).await;
    assert_eq!((states["faulty"].as_str(), states["news"].ends_with("ended")), ("daily active", true), "{states:?}");
}

#[tokio::test]
async fn one_click_leaves_at_once_whatever_the_body_and_twice_is_once() {
    let site = sample().await;
    let bodies: [(&str, &str); 4] = [
        ("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n",
        ),
        ("text/plain", ""),
        ("application/json", "not json"),
    ];
    for (number, (kind, body)) in bodies.into_iter().enumerate() {
        let address = format!("reader{number}@quill.example");
        subscribed(&site, &address).await;
        let key = EmailAddress::parse(&address).unwrap().key();
        let store = &site.app.publication.store;
        let person = store.subscriber_by_address(&key).await.unwrap().unwrap();
        let link = tidings::domain::link::Link {
            purpose: tidings::domain::link::Purpose::Leave,
            subscriber: person.id,
            feed: tidings::domain::feed::FeedName::parse("news"),
            expires_at: None,
        };
        let path = format!("/unsubscribe/{}", site.app.publication.keyring.sign(&link));
        let mut before = None;
        for _ in 0..2 {
            let answer = ask(site.at, "POST", &path, &[("Content-Type", kind)], body.as_bytes()).await;
            assert_eq!((answer.status, answer.header("location")), (200, None), "{kind}");
            assert_eq!(states(&site, &address).await["news"], "daily ended", "{kind}");
            let now = site.database().await;
            assert!(before.is_none_or(|before| before == now), "{kind}: leaving twice changed something");
            before = Some(now);
        }
    }
}

#[tokio::test]
async fn the_form_answers_everyone_the_same() {
    let site = sample().await;
    subscribed(&site, "known@quill.example").await;
    site.post("/subscribe", &[("address", "pending@quill.example"), ("feed", "news")]).await;
    let hash = site.app.publication.keyring.address_hash(&EmailAddress::parse("gone@quill.example").unwrap().key());
    let suppressed = site.app.publication.store.suppress(&hash, "complaint", "", chrono::DateTime::UNIX_EPOCH).await;
    suppressed.unwrap();
    let mut answers = BTreeSet::new();
    for name in ["known", "pending", "gone", "fresh"] {
        let address = format!("{name}@quill.example");
        let answer = site.post("/subscribe", &[("address", &address), ("feed", "news")]).await;
        let headers: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name != "date" && name != "content-length").cloned().collect();
        answers.insert((answer.status, headers, answer.text().replace(&address, "ADDRESS")));
    }
    // A robot that fills in the field that nobody sees is told the same, and nothing happens.
    let before = site.database().await;
    let answer = site
        .post(
            "/subscribe",
            &[("address", "robot@quill.example"), ("feed", "news"), ("website", "https://spam.example")],
        )
        .await;
    let headers: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name != "date" && name != "content-length").cloned().collect();
    answers.insert((answer.status, headers, answer.text().replace("robot@quill.example", "ADDRESS")));
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(site.database().await, before);
    // Mail goes to those who have not confirmed, once, and to nobody who is suppressed.
    let to = |mail: &[u8]| {
        mail_parser::MessageParser::default()
            .parse(mail)
            .unwrap()
            .to()
            .unwrap()
            .first()
            .unwrap()
            .address()
            .unwrap()
            .to_owned()
    };
    let sent: BTreeSet<String> = site.mail().await.iter().map(|mail| to(mail)).collect();
    assert_eq!(sent, BTreeSet::from(["fresh@quill.example".into(), "pending@quill.example".into()]));
    for _ in 0..20 {
        site.post("/subscribe", &[("address", "fresh@quill.example"), ("feed", "offers")]).await;
    }
    assert_eq!(site.mail().await.len(), 0, "one confirmation a day, however often the form is posted");
}

#[tokio::test]
async fn a_form_that_cannot_be_used_comes_back_with_what_was_typed() {
    let site = sample().await;
    for (fields, words) in [
        (vec![("address", "not an address"), ("feed", "news")], "not an address"),
        (vec![("address", ""), ("feed", "news")], "role=\"alert\""),
        (vec![("address", "a@b.example")], "Please choose at least one feed."),
        (vec![("address", "a@b.example"), ("feed", "no-such-feed")], "Please choose at least one feed."),
        (vec![("address", "a@b.example\r\nBcc: x@y.example"), ("feed", "news")], "role=\"alert\""),
    ] {
        let before = site.database().await;
        let answer = site.post("/subscribe", &fields).await;
        assert_eq!((answer.status, answer.header("cache-control")), (422, Some("no-store")), "{fields:?}");
        assert!(
            answer.text().contains(words) && answer.text().contains("role=\"alert\""),
            "{fields:?}: {}",
            answer.text()
        );
        assert_eq!(site.database().await, before);
    }
    for (kind, body, status) in [
        ("application/json", "{}", 415),
        ("application/x-www-form-urlencoded", "address=%ff%fe&feed=news", 422),
        ("", "", 415),
    ] {
        let answer = ask(site.at, "POST", "/subscribe", &[("Content-Type", kind)], body.as_bytes()).await;
        assert_eq!(answer.status, status, "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let site = sample().await;
    let preferences = subscribed(&site, "mara@quill.example").await;
    let leave = attributes(&site.get(&preferences).await.text(), "href")
        .into_iter()
        .find(|href| href.contains("/unsubscribe/"))
        .unwrap();
    let before = site.database().await;
    let large = "x".repeat(64 * 1024 + 1);
    for path in ["/subscribe", &preferences, &leave] {
        let answer =
            ask(site.at, "POST", path, &[("Content-Type", "application/x-www-form-urlencoded")], large.as_bytes())
                .await;
        assert_eq!(answer.status, 413, "{path}");
    }
    assert_eq!(site.database().await, before);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let site = sample().await;
    let preferences = subscribed(&site, "mara@quill.example").await;
    site.post("/subscribe", &[("address", "tobias@fenn.example"), ("feed", "news")]).await;
    let mail = site.mail().await;
    let mut paths = vec!["/".to_owned(), "/subscribe".into(), link_in(&mail[0], "confirm"), preferences.clone()];
    paths.extend(
        attributes(&site.get(&preferences).await.text(), "href")
            .into_iter()
            .filter(|href| href.contains("/unsubscribe/")),
    );
    // Every address in the message too, as a scanner finds them.
    let text = String::from_utf8_lossy(&mail[0]).replace("=\r\n", "").replace("=3D", "=");
    let origin = site.url("");
    paths.extend(
        text.split(&origin)
            .skip(1)
            .map(|rest| rest.split(['"', ' ', '>', '<', '\r', '\n']).next().unwrap_or_default().to_owned()),
    );
    assert!(paths.len() >= 6, "{paths:?}");
    let before = site.database().await;
    for path in &paths {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND"] {
            let answer = ask(site.at, method, path, &[("User-Agent", "scanner")], b"").await;
            assert!(answer.status < 500, "{method} {path}");
            assert_eq!(site.database().await, before, "{method} {path}");
        }
    }
    assert_eq!(site.mail().await.len(), 0);
}

#[tokio::test]
async fn a_link_serves_one_purpose_and_cannot_be_altered() {
    let site = sample().await;
    let preferences = subscribed(&site, "mara@quill.example").await;
    let token = preferences.rsplit('/').next().unwrap();
    let before = site.database().await;
    for purpose in ["confirm", "unsubscribe"] {
        let path = format!("/{purpose}/{token}");
        assert_eq!((site.get(&path).await.status, site.post(&path, &[]).await.status), (404, 404), "{path}");
    }
    for at in 0..token.len() {
        let mut altered = token.as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let path = format!("/preferences/{}", String::from_utf8(altered).unwrap());
        // The last character carries bits that mean nothing; those may differ without harm only if they are refused.
        assert_eq!(site.get(&path).await.status, 404, "{path}");
    }
    for path in
        [format!("/preferences/{token}="), format!("/preferences/{token}A"), format!("/preferences/{}", &token[1..])]
    {
        assert_eq!(site.post(&path, &[("feed", "news")]).await.status, 404, "{path}");
    }
    assert_eq!(site.database().await, before);
}

#[tokio::test]
async fn a_removed_reader_leaves_links_that_lead_nowhere() {
    let site = sample().await;
    let preferences = subscribed(&site, "mara@quill.example").await;
    let leave = attributes(&site.get(&preferences).await.text(), "href")
        .into_iter()
        .find(|href| href.contains("/unsubscribe/"))
        .unwrap();
    site.place.run(&["subscribers", "erase", "mara@quill.example", "--yes"]).ended(0);
    assert_eq!(site.get(&preferences).await.status, 404);
    assert_eq!(site.post(&preferences, &[("feed", "news")]).await.status, 404);
    assert_eq!(site.get(&leave).await.status, 404);
    assert!(site.post(&leave, &[]).await.status < 500);
    assert!(!site.database().await.contains("mara@"));
}

#[tokio::test]
async fn the_form_says_what_looks_mistyped_and_refuses_what_the_editor_refuses() {
    let asked = async |site: &Site, address: &str| {
        let answer = site.post("/subscribe", &[("address", address), ("feed", "news")]).await;
        (answer.status, answer.text())
    };
    let site = sample().await;
    let (status, text) = asked(&site, "ann@gmial.com").await;
    assert!(status == 200 && text.contains("Did you mean ann@gmail.com?"), "{text}");
    assert!(site.database().await.contains("ann@gmial.com"), "nothing is changed by itself");
    let (status, text) = asked(&site, "ann@gmail.com").await;
    assert!(status == 200 && !text.contains("Did you mean"), "{text}");
    for address in ["postmaster@quill.example", "ann@mailinator.com"] {
        assert_eq!(asked(&site, address).await.0, 200, "taken where nothing is said");
    }
    let place = Place::sample();
    let config = place.read("config.toml") + "\n[form]\nrole_addresses = \"refuse\"\ndisposable = \"refuse\"\n";
    place.write("config.toml", &config);
    let site = Site::serve(place, Clock::system()).await;
    for (address, words) in [("postmaster@quill.example", "of your own"), ("ann@mailinator.com", "that you keep")] {
        let (status, text) = asked(&site, address).await;
        assert!(status == 422 && text.contains(words), "{text}");
        assert!(!site.database().await.contains(address));
    }
    assert_eq!(asked(&site, "ann@quill.example").await.0, 200);
}

/// Strings that would run, break out, or be taken for a template, wherever they are put.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></textarea><svg onload=alert(1)>",
    "{{publication.url}} {{{constructor}}}",
    "javascript:alert(1)//</script><!--",
];

/// Whether a page has an element or an attribute that runs.
fn runs(html: &str) -> Option<String> {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap_or(rest.len());
        let tag = &rest[..end];
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let is_data = tag == "script type=\"application/ld+json\""
            || tag.strip_prefix("script src=\"/form.js?v&#x3D;").is_some_and(|rest| rest.ends_with("\" defer"));
        // What stands between quotation marks is a value.
        let bare: String = tag.split('"').step_by(2).collect::<Vec<_>>().join("\"\"").to_lowercase();
        if (matches!(name.as_str(), "script" | "svg" | "iframe" | "object" | "embed") && !is_data)
            || bare.split_whitespace().any(|word| word.starts_with("on") && word.contains('='))
            || attributes(&format!(" {tag}"), "href")
                .iter()
                .any(|href| href.trim().to_lowercase().starts_with("javascript"))
        {
            return Some(tag.to_owned());
        }
    }
    None
}

#[tokio::test]
async fn hostile_text_is_shown_and_never_runs() {
    let place = Place::new();
    for (number, text) in HOSTILE.iter().enumerate() {
        let quoted = toml::Value::String((*text).to_owned());
        let front = format!(
            "+++\ntitle = {quoted}\ndate = 2026-03-0{}\nlabel = {quoted}\nplace = {quoted}\nsection = {quoted}\nsummary = {quoted}\nauthors = [{quoted}]\ntags = [{quoted}]\nimage = \"/x.png\"\nimage_alt = {quoted}\nfaq = [{{ question = {quoted}, answer = {quoted} }}]\n+++\n{text}\n",
            number + 1
        );
        place.write(&format!("articles/hostile-{number}.md"), front);
    }
    place.write("feeds/news.toml", NEWS.replace("Latest news", "<script>alert(1)</script> & \\\"news\\\""));
    let site = Site::serve(place, Clock::system()).await;
    let mut paths: Vec<String> = (0..HOSTILE.len()).map(|number| format!("/articles/hostile-{number}/")).collect();
    paths.extend(["/".into(), "/feeds/news/".into(), "/subscribe".into()]);
    for path in &paths {
        let page = site.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(runs(&page.text()), None, "{path}");
    }
    assert!(
        site.get("/articles/hostile-4/").await.text().contains("{{{constructor}}}"),
        "a template's signs stay text"
    );
    assert!(
        runs("<p onclick=alert(1)>").is_some()
            && runs("<a href=\"javascript:x\">").is_some()
            && runs("<script>").is_some()
    );

    for text in HOSTILE {
        let address = format!("{text}@quill.example");
        for fields in [
            [("address", address.as_str()), ("name", text), ("feed", "news")],
            [("address", text), ("name", text), ("feed", text)],
            [("address", "mara@quill.example"), ("name", text), ("feed", text)],
        ] {
            let answer = site.post("/subscribe", &fields).await;
            assert!(answer.status < 500, "{fields:?}");
            assert_eq!(runs(&answer.text()), None, "{fields:?}");
        }
        let answer = site.get(&format!("/{}", text.replace([' ', '<', '>', '"', '{', '}'], "%3C"))).await;
        assert_eq!(runs(&answer.text()), None, "{text}");
    }
    let preferences = subscribed(&site, "reader@quill.example").await;
    for text in HOSTILE {
        let saved = site.post(&preferences, &[("feed", "news"), ("name", text), ("time_zone", text)]).await;
        assert_eq!((saved.status, runs(&saved.text())), (200, None), "{text}");
    }
}
