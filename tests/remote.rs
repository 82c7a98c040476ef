//! Feeds elsewhere as sources, against a real server on loopback: each article once for every reader, whatever the feed
//! does; and a server that is asked politely.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use support::elsewhere::{Server, entry, feed, ok, reply};
use support::place::Place;
use support::publication::{Lantern, Letter, Setup, URL, at, news};
use tidings::domain::newsletter::Cadence;
use tidings::source::remote::{self, Document};
use tidings::task::poll::{self, PollReport};
use tidings::task::{notice, publish, run, schedule};

support::engines::for_each_engine! {
    every_reader_gets_each_article_once_whatever_the_feed_does,
    what_did_not_change_costs_nothing,
    a_feed_that_fails_is_asked_less_and_less_and_stops_no_other,
    a_feed_that_is_gone_is_told_to_the_editors_and_keeps_its_articles,
    a_feed_that_moved_is_asked_where_it_is_from_then_on,
    two_machines_do_not_ask_twice,
    slugs_stay_and_never_clash,
    machines_that_give_one_slug_at_once_give_two,
    a_feeds_own_rhythm_outlives_a_304,
    another_name_or_address_keeps_what_came,
    the_page_here_names_the_original,
}

fn several(from: usize, to: usize) -> String {
    let one = |number: usize| {
        entry(
            &format!("urn:{number}"),
            &format!("Piece {number}"),
            &format!("/p/{number}/"),
            &format!("2026-11-{:02}T08:00:00Z", number.min(24)),
        )
    };
    feed(&(from..to).rev().map(one).collect::<String>())
}

/// Sources in `config.toml`, in the section of the newsletter.
fn sources(server: &Server, names: &[&str]) -> &'static str {
    let section = |name: &&str| {
        format!(
            "[[source]]\nfeed = \"{}\"\nname = \"{name}\"\nsection = \"news\"\nprivate = true\n",
            server.url(&format!("/{name}.xml"))
        )
    };
    Box::leak(names.iter().map(section).collect::<String>().into_boxed_str())
}

async fn lantern(url: &str, server: &Server, names: &[&str]) -> Lantern {
    let lantern = Lantern::open(url, Setup { more: sources(server, names), ..Setup::default() }).await;
    poll::know(&lantern.publication).await.unwrap();
    lantern
}

async fn polled(lantern: &Lantern) -> Vec<PollReport> {
    poll::poll_due(&lantern.publication).await.unwrap()
}

/// Polls now; there is one source.
async fn asked_now(lantern: &Lantern) -> PollReport {
    let all: Vec<_> = lantern.publication.config.sources.iter().collect();
    poll::poll_now(&lantern.publication, &all).await.unwrap().remove(0)
}

async fn titles(lantern: &Lantern) -> Vec<String> {
    let newest = lantern.publication.store.newest_of(&news(), 100).await.unwrap();
    newest.into_iter().map(|released| released.article.title).collect()
}

#[expect(clippy::many_single_char_names, reason = "the entries are called so")]
/// A feed's story: at hour so and so it becomes this.
fn story(base: &str) -> Vec<(i64, String)> {
    let date =
        |hours: i64| (at("2026-11-24T12:00:00Z") + TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let one = |name: &str, date: &str| {
        entry(&format!("urn:{name}"), &format!("Piece {name}"), &format!("{base}/p/{name}/"), date)
    };
    let old: String = ["o1", "o2"].iter().map(|name| one(name, "2020-01-01T00:00:00Z")).collect();
    let old = old + &one("o3", "2099-01-01T00:00:00Z") + &one("o4", "") + &one("o5", "0000-01-01T00:00:00Z");
    let day = |days: i64| 24 * days;
    let a = one("a", &date(day(1)));
    let a_edited = entry("urn:a", "Piece a, edited", &format!("{base}/p/a/"), &date(day(1)));
    let a_again = entry("urn:a", "Piece a, once more", &format!("{base}/p/a/"), &date(day(6)));
    // Without an id, and by its link alone.
    let b = entry("", "Piece b", &format!("{base}/p/b/"), &date(day(2)));
    let c = one("c", &date(day(14)));
    let d = one("d", &date(day(7))) + &entry("urn:d", "Piece d, double", &format!("{base}/p/d/"), &date(day(7)));
    let e = one("e", "2019-05-05T00:00:00Z");
    // With nothing but a title and a date.
    let f = entry("", "Piece f", "", &date(day(10)));
    let g = one("g", &date(day(13)));
    let h = one("h", &date(day(15)));
    let (i, j) = (one("i", ""), one("j", &date(day(21))));
    let gone = "<at:deleted-entry ref=\"urn:g\" when=\"2026-12-14T12:00:00Z\"/>";
    vec![
        (0, old.clone()),
        (day(1), format!("{a}{old}")),
        (day(2), format!("{b}{a}{old}")),
        (day(3), format!("{b}{a_edited}{old}")),
        (day(4), format!("{c}{b}{a_edited}{old}")),
        // In another order.
        (day(5), format!("{old}{a_edited}{b}{c}")),
        (day(6), format!("{a_again}{c}{b}{old}")),
        (day(7), format!("{d}{a_again}{c}{b}{old}")),
        (day(8), format!("{d}{a_again}{c}{b}{e}{old}")),
        // Only the newest; what falls out comes back.
        (day(9), d.clone()),
        (day(10), format!("{f}{d}")),
        (day(12), format!("{f}{d}{a_again}{c}{b}{e}{old}")),
        (day(13), format!("{g}{f}{d}")),
        (day(15), format!("{h}{g}{f}{d}")),
        (day(20), format!("{gone}{h}{f}{d}")),
        (day(21), format!("{i}{j}{h}{f}{d}")),
        (day(22), String::new()),
        (day(23), format!("{i}{j}{h}{f}{d}{a}{b}{c}{e}{old}")),
    ]
}

/// How a server answers at a time of the story: conditionally, with what is new alone where that is asked for, and in the
/// ways in which servers fail.
fn served(story: &[(i64, String)], now: DateTime<Utc>, path: &str, head: &str) -> Vec<u8> {
    let hours = (now - at("2026-11-24T12:00:00Z")).num_hours();
    let place = story.iter().rposition(|(from, _)| *from <= hours).unwrap_or(0);
    let body = feed(&story[place].1);
    match hours {
        // Down, busy, cut off, moved.
        312..318 => return vec![],
        318..322 => return reply("503 Service Unavailable", "Retry-After: 7200\r\n", "later"),
        360..380 => return ok(&body[..body.len() / 2]),
        384.. if path == "/blog.xml" => return reply("301 Moved Permanently", "Location: /moved.xml\r\n", ""),
        _ => {}
    }
    let known = head.split("if-none-match: \"v").nth(1).and_then(|rest| rest.split('"').next()?.parse::<usize>().ok());
    let etag = format!("ETag: \"v{place}\"\r\nContent-Type: application/atom+xml\r\n");
    match known {
        Some(known) if known == place => reply("304 Not Modified", &etag, ""),
        Some(known) if head.contains("a-im: feed") && known < place && place % 2 == 1 => {
            let before = &story[known].1;
            let entries = story[place].1.split_inclusive("</entry>").filter(|entry| !before.contains(entry));
            reply("226 IM Used", &format!("{etag}IM: feed\r\n"), &feed(&entries.collect::<String>()))
        }
        _ => reply("200 OK", &etag, &body),
    }
}

/// Everything in the outbox, which is empty then.
fn letters(lantern: &Lantern) -> Vec<Letter> {
    let Ok(listing) = std::fs::read_dir(&lantern.publication.config.mail.outbox) else { return vec![] };
    let take = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let letter = Letter::read(&std::fs::read(&path).unwrap());
        std::fs::remove_file(path).unwrap();
        letter
    };
    listing.map(take).collect()
}

const CADENCES: [Cadence; 4] = [Cadence::Instant, Cadence::Daily, Cadence::Weekly, Cadence::Monthly];

/// How often each reader got each article, by reader and name.
type Got = BTreeMap<(String, String), usize>;

/// Lives through 39 days, three hours at a time, with a reader for each cadence: polls what is due, composes, sends and
/// counts. `before` is called at the beginning of each step; the troubles that polls had come with it.
async fn a_month_of_mail(
    lantern: &Lantern,
    names: &[&str],
    links: impl Fn(&str) -> Vec<String>,
    before: impl AsyncFn(DateTime<Utc>),
) -> (Got, Vec<String>) {
    for cadence in CADENCES {
        lantern.reader(&format!("{cadence}@reader.example"), cadence, None).await;
    }
    schedule::tick(&lantern.publication).await.unwrap();
    let (mut got, mut troubles) = (Got::new(), vec![]);
    for _ in 0..(39 * 8) {
        before(lantern.now()).await;
        for report in polled(lantern).await {
            troubles.extend(report.trouble);
        }
        schedule::tick(&lantern.publication).await.unwrap();
        lantern.dispatch().await;
        for letter in letters(lantern) {
            for name in names {
                if links(name).iter().any(|link| letter.text.contains(link)) {
                    *got.entry((letter.to.clone(), (*name).to_owned())).or_default() += 1;
                }
            }
        }
        lantern.pass(TimeDelta::hours(3));
    }
    (got, troubles)
}

/// Each article of the story came once to each, the archive to nobody.
fn assert_each_once(got: &Got, names: &[&str], troubles: &[String]) {
    for cadence in CADENCES {
        for name in names {
            let number = got.get(&(format!("{cadence}@reader.example"), (*name).to_owned())).copied().unwrap_or(0);
            // What was withdrawn before the first of the month came is nobody's.
            let is_nobodys = name.starts_with('o') || (*name == "g" && cadence == Cadence::Monthly);
            assert_eq!(number, usize::from(!is_nobodys), "{name} by {cadence}: {got:#?}\n{troubles:#?}");
        }
    }
}

async fn every_reader_gets_each_article_once_whatever_the_feed_does(url: String) {
    let server = Server::saying(|_, _| vec![]);
    let base = server.url("");
    let lantern = lantern(&url, &server, &["blog"]).await;
    let (hand, story) = (lantern.hand(), story(&base));
    let statuses = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let counted = Arc::clone(&statuses);
    server.says(move |path, head| {
        let now = DateTime::from_timestamp_millis(hand.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
        let answer = served(&story, now, path, head);
        let status = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
        *counted.lock().unwrap().entry(status).or_default() += 1;
        answer
    });
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "o1", "o2", "o3", "o4", "o5"];
    let links = |name: &str| vec![format!("{base}/p/{name}/"), format!("{URL}/articles/piece-{name}/")];
    let (got, troubles) = a_month_of_mail(&lantern, &names, links, async |_| {}).await;
    assert_each_once(&got, &names, &troubles);
    let statuses = statuses.lock().unwrap().clone();
    let times = |status: &str| statuses.get(status).copied().unwrap_or(0);
    assert!(times("226") >= 5 && times("304") > 100 && times("200") < 30, "{statuses:?}");
    let asked = server.asked();
    assert!(asked.iter().any(|(path, _)| path == "/moved.xml"));
    let last = asked.iter().rposition(|(path, _)| path == "/blog.xml").unwrap();
    assert!(last < asked.len() - 10, "it is asked where it has moved to");
    assert!(troubles.iter().any(|trouble| trouble.contains("503")), "{troubles:#?}");
    assert!(troubles.iter().any(|trouble| trouble.contains("cut off")), "{troubles:#?}");
    assert_eq!(lantern.count("SELECT COUNT(*) FROM articles WHERE withdrawn_at IS NOT NULL").await, 1);
    let withdrawn = lantern.rows("SELECT title FROM articles WHERE withdrawn_at IS NOT NULL").await;
    assert_eq!(withdrawn, [["Piece g"]]);
    // Nothing lies ahead, and nothing lies before there were dates.
    let now = lantern.now().timestamp_millis();
    assert_eq!(lantern.count(&format!("SELECT COUNT(*) FROM articles WHERE date > {now} OR date < 0")).await, 0);
}

async fn what_did_not_change_costs_nothing(url: String) {
    let server = Server::saying(|_, head| {
        if head.contains("if-none-match: \"v1\"") && head.contains("if-modified-since: mon, 23 nov 2026 08:00:00 gmt") {
            return reply("304 Not Modified", "Cache-Control: max-age=10800\r\n", "");
        }
        let headers =
            "ETag: \"v1\"\r\nLast-Modified: Mon, 23 Nov 2026 08:00:00 GMT\r\nCache-Control: public, max-age=7200\r\n";
        reply("200 OK", headers, &several(1, 4))
    });
    let lantern = lantern(&url, &server, &["blog"]).await;
    let first = polled(&lantern).await.remove(0);
    assert!(first.first && first.new == 3 && first.released == 3 && first.trouble.is_none(), "{first:?}");
    assert!(first.next_at.unwrap() >= lantern.now() + TimeDelta::hours(2));
    assert!(polled(&lantern).await.is_empty(), "not due yet");
    let revision = lantern.publication.store.revision().await.unwrap();
    lantern.pass(TimeDelta::hours(24));
    let second = polled(&lantern).await.remove(0);
    assert!(
        second.not_modified && !second.is_change() && second.next_at.unwrap() >= lantern.now() + TimeDelta::hours(3)
    );
    assert_eq!(lantern.publication.store.revision().await.unwrap(), revision);
    // The same bytes without a word about it: nothing is written either.
    server.says(|_, _| ok(&several(1, 4)));
    let third = asked_now(&lantern).await;
    assert!(!third.not_modified && !third.is_change() && third.found == 3, "{third:?}");
    assert_eq!(lantern.publication.store.revision().await.unwrap(), revision);
    // It is not so much as read, unless something about it is another than it was.
    let known = lantern.rows("SELECT document, entries FROM remotes").await;
    assert!(known[0][0].len() == 32 && known[0][1] == "3", "{known:?}");
    let gone = "UPDATE articles SET withdrawn_at = 1 WHERE title = 'Piece 2'";
    lantern.rows(gone).await;
    let fourth = asked_now(&lantern).await;
    assert!(!fourth.not_modified && !fourth.is_change() && fourth.found == 3, "{fourth:?}");
    server.says(|_, _| ok(&format!("{}\n", several(1, 4))));
    let fifth = asked_now(&lantern).await;
    assert!(fifth.changed == 1 && fifth.found == 3, "{fifth:?}");
    let asked = server.asked();
    assert!(asked[1].1.contains("a-im: feed") && !asked[0].1.contains("a-im"), "{asked:?}");
    assert!(asked[0].1.contains("user-agent: tidings/"));
    // Digests bring nothing of all that.
    lantern.reader("mara@reader.example", Cadence::Daily, None).await;
    let newest = lantern.publication.store.newest_release().await.unwrap();
    assert!(lantern.publication.store.released_between(&news(), 0, newest).await.unwrap().is_empty());
    server.says(|_, _| ok(&several(1, 5)));
    assert_eq!(asked_now(&lantern).await.released, 1);
    let (digest, _) = lantern.compose().await.unwrap();
    let brought = lantern.publication.store.articles_of(digest.id).await.unwrap();
    assert_eq!(brought.iter().map(|one| one.article.title.as_str()).collect::<Vec<_>>(), ["Piece 4"]);
}

async fn a_feed_that_fails_is_asked_less_and_less_and_stops_no_other(url: String) {
    let server = Server::saying(|path, _| match path {
        "/bad.xml" => reply("500 Internal Server Error", "", "oops"),
        "/html.xml" => reply(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<!doctype html><link rel=alternate type=application/rss+xml href=/real.xml>",
        ),
        "/huge.xml" => {
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<rss version=\"2.0\"><channel><title>".to_vec();
            [head, vec![b'x'; 17 << 20]].concat()
        }
        _ => ok(&several(1, 3)),
    });
    let lantern = lantern(&url, &server, &["bad", "good", "html", "huge"]).await;
    let reports = polled(&lantern).await;
    let of = |name: &str| reports.iter().find(|report| report.source == name).unwrap();
    assert_eq!((of("good").new, of("good").trouble.as_deref()), (2, None));
    assert!(of("bad").trouble.as_deref().unwrap().contains("500"), "{reports:?}");
    assert!(of("html").trouble.as_deref().unwrap().contains("/real.xml"), "{reports:?}");
    assert!(of("huge").trouble.as_deref().unwrap().contains("larger than"), "{reports:?}");
    // A day and a night, minute by minute.
    for _ in 0..(24 * 60) {
        lantern.pass(TimeDelta::minutes(1));
        if lantern.publication.store.due_remotes(lantern.now()).await.unwrap().iter().any(|due| due == "bad") {
            let bad: Vec<_> = lantern.publication.config.sources.iter().filter(|source| source.name == "bad").collect();
            // As it comes due; the others are left out to save their bytes.
            assert_eq!(poll::poll_now(&lantern.publication, &bad).await.unwrap().len(), 1);
        }
    }
    let times = server.asked().iter().filter(|(path, _)| path == "/bad.xml").count();
    assert!((6..=9).contains(&times), "{times}");
    let state =
        lantern.publication.store.remotes().await.unwrap().into_iter().find(|remote| remote.name == "bad").unwrap();
    assert_eq!(state.failures as usize, times);
    assert!(state.succeeded_at.is_none() && state.next_at > lantern.now());
    // It is well again: as if nothing had been.
    server.says(|_, _| ok(&several(1, 3).replace("urn:", "urn:bad-")));
    lantern.pass(TimeDelta::days(2));
    let well = polled(&lantern).await;
    let bad = well.iter().find(|report| report.source == "bad").unwrap();
    assert!(bad.trouble.is_none() && bad.first && bad.new == 2, "{bad:?}");
}

async fn a_feed_that_is_gone_is_told_to_the_editors_and_keeps_its_articles(url: String) {
    let server = Server::saying(|_, _| ok(&several(1, 3)));
    let more = format!("[editors]\nnotify = [\"editor@lantern.example\"]\n{}", sources(&server, &["blog"]));
    let lantern = Lantern::open(&url, Setup { more: Box::leak(more.into_boxed_str()), ..Setup::default() }).await;
    poll::know(&lantern.publication).await.unwrap();
    polled(&lantern).await;
    server.says(|_, _| reply("410 Gone", "", ""));
    lantern.pass(TimeDelta::days(1));
    let report = polled(&lantern).await.remove(0);
    assert!(report.next_at.is_none() && report.trouble.unwrap().contains("410"));
    let times = server.times();
    for _ in 0..10 {
        lantern.pass(TimeDelta::days(1));
        assert!(polled(&lantern).await.is_empty());
        poll::know(&lantern.publication).await.unwrap();
    }
    assert_eq!(server.times(), times);
    assert_eq!(titles(&lantern).await.len(), 2);
    assert_eq!(notice::tell(&lantern.publication).await.unwrap(), 1);
    let told = letters(&lantern).remove(0);
    assert!(told.subject.contains("Gone: blog") && told.text.contains("tidings source remove"), "{told:?}");
    assert_eq!(notice::tell(&lantern.publication).await.unwrap(), 0);
    // Somebody asks all the same, and it is there.
    server.says(|_, _| ok(&several(1, 4)));
    let back = asked_now(&lantern).await;
    assert!(back.released == 1 && back.next_at.is_some(), "{back:?}");
}

async fn a_feed_that_moved_is_asked_where_it_is_from_then_on(url: String) {
    let server = Server::saying(|path, _| match path {
        "/blog.xml" => reply("308 Permanent Redirect", "Location: /new.xml\r\n", ""),
        "/new.xml" => ok(&several(1, 3)),
        _ => reply("404 Not Found", "", ""),
    });
    let lantern = lantern(&url, &server, &["blog"]).await;
    polled(&lantern).await;
    asked_now(&lantern).await;
    let paths = |server: &Server| server.asked().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(paths(&server), ["/blog.xml", "/new.xml", "/new.xml"]);
    // For a while only: nothing is remembered.
    server.says(|path, _| match path {
        "/new.xml" => reply("302 Found", "Location: /there.xml\r\n", ""),
        _ => ok(&several(1, 3)),
    });
    asked_now(&lantern).await;
    let state = lantern.publication.store.remotes().await.unwrap().remove(0);
    assert_eq!(state.moved_to.as_deref(), Some(server.url("/new.xml").as_str()));
    // The new place is no place any more, not even for good: after a while the one that is configured is tried again.
    server.says(|path, _| if path == "/new.xml" { reply("410 Gone", "", "") } else { ok(&several(1, 4)) });
    for _ in 0..3 {
        assert!(asked_now(&lantern).await.next_at.is_some());
    }
    assert_eq!(asked_now(&lantern).await.released, 1);
    // Nor is a place remembered where there is no feed.
    server.says(|path, _| match path {
        "/blog.xml" => reply("308 Permanent Redirect", "Location: /none.xml\r\n", ""),
        _ => reply("410 Gone", "", ""),
    });
    assert!(asked_now(&lantern).await.next_at.is_some(), "what is gone is not the address that is configured");
    assert_eq!(lantern.publication.store.remotes().await.unwrap().remove(0).moved_to, None);
}

async fn two_machines_do_not_ask_twice(url: String) {
    let server = Server::saying(|_, _| {
        std::thread::sleep(Duration::from_millis(50));
        ok(&several(1, 30))
    });
    let lantern = lantern(&url, &server, &["blog"]).await;
    let other = lantern.again().await;
    let (here, there) = tokio::join!(poll::poll_due(&lantern.publication), poll::poll_due(&other));
    assert_eq!(here.unwrap().len() + there.unwrap().len(), 1);
    assert_eq!(server.times(), 1);
    assert_eq!(titles(&lantern).await.len(), 29);
    // A process that died with a poll in hand: it passes on.
    let store = &lantern.publication.store;
    let until = lantern.now() + TimeDelta::minutes(10);
    assert!(store.claim_remote("blog", "dead", until, true, lantern.now()).await.unwrap().is_some());
    lantern.pass(TimeDelta::minutes(9));
    assert!(poll::poll_now(&other, &[&other.config.sources[0]]).await.unwrap().is_empty());
    lantern.pass(TimeDelta::minutes(2));
    assert_eq!(poll::poll_now(&other, &[&other.config.sources[0]]).await.unwrap().len(), 1);
}

async fn slugs_stay_and_never_clash(url: String) {
    let server = Server::saying(|path, _| {
        let id = path.trim_end_matches(".xml");
        ok(&feed(
            &(entry(&format!("{id}2"), "Spring", "/2", "2026-11-20T00:00:00Z")
                + &entry(&format!("{id}1"), "Spring", "/1", "2026-11-19T00:00:00Z")),
        ))
    });
    let lantern = Lantern::open(
        &url,
        Setup { more: sources(&server, &["one", "two"]), archive: vec!["spring"], ..Setup::default() },
    )
    .await;
    poll::know(&lantern.publication).await.unwrap();
    polled(&lantern).await;
    let slugs = async || {
        let rows = lantern.rows("SELECT slug FROM articles ORDER BY slug").await;
        rows.into_iter().map(|mut row| row.remove(0)).collect::<Vec<_>>()
    };
    let wanted = ["spring", "spring-2", "spring-3", "spring-4", "spring-5"];
    assert_eq!(slugs().await, wanted);
    server.says(|path, _| {
        let id = path.trim_end_matches(".xml");
        ok(&feed(
            &(entry(&format!("{id}1"), "Summer", "/1", "2026-11-19T00:00:00Z")
                + &entry(&format!("{id}2"), "Autumn", "/2", "")),
        ))
    });
    lantern.pass(TimeDelta::days(1));
    let reports = polled(&lantern).await;
    assert!(reports.iter().all(|report| report.changed == 2 && report.new == 0), "{reports:?}");
    assert_eq!(slugs().await, wanted);
    // A file that would like one of theirs is told so.
    lantern.write("spring-3", lantern.now(), "");
    let report = tidings::task::sync::sync(&lantern.publication, &|_, _| {}).await.unwrap();
    assert!(report.problems[0].what.contains("taken by an article from the source"), "{:?}", report.problems);
    assert_eq!(slugs().await, wanted);
    // And so is one that comes back to a slug which somebody took meanwhile.
    let file = lantern.folder.path().join("articles/spring.md");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(lantern.folder.path().join("articles/spring-3.md")).unwrap();
    tidings::task::sync::sync(&lantern.publication, &|_, _| {}).await.unwrap();
    server.says(|path, _| ok(&feed(&entry(&format!("{path}3"), "Spring", "/3", ""))));
    lantern.pass(TimeDelta::days(1));
    polled(&lantern).await;
    std::fs::write(&file, text).unwrap();
    let report = tidings::task::sync::sync(&lantern.publication, &|_, _| {}).await.unwrap();
    assert!(report.problems[0].what.contains("\"spring\" is taken by an article from"), "{:?}", report.problems);
}

async fn machines_that_give_one_slug_at_once_give_two(url: String) {
    let server = Server::saying(|path, _| {
        let id = path.trim_end_matches(".xml").trim_start_matches('/');
        ok(&feed(&(0..20).map(|number| entry(&format!("urn:{id}:{number}"), "Spring", "", "")).collect::<String>()))
    });
    let names = ["a", "b", "c", "d", "e", "f"];
    let lantern = lantern(&url, &server, &names).await;
    let machines = [lantern.publication.clone(), lantern.again().await, lantern.again().await];
    let polls = machines.iter().enumerate().map(|(number, machine)| async move {
        // Each begins with others, so that they meet.
        let mut sources: Vec<_> = machine.config.sources.iter().collect();
        sources.rotate_left(number * 2);
        poll::poll_now(machine, &sources).await.unwrap()
    });
    let reports: Vec<PollReport> = futures_util::future::join_all(polls).await.into_iter().flatten().collect();
    assert!(reports.iter().all(|report| report.trouble.is_none()), "{reports:?}");
    let slugs = lantern.rows("SELECT slug FROM articles").await;
    let distinct = lantern.rows("SELECT DISTINCT slug FROM articles").await;
    assert_eq!((slugs.len(), distinct.len()), (20 * names.len(), 20 * names.len()));
    assert!(slugs.iter().all(|row| row[0] == "spring" || row[0].starts_with("spring-")), "{slugs:?}");
}

async fn a_feeds_own_rhythm_outlives_a_304(url: String) {
    let server = Server::saying(|_, head| {
        if head.contains("if-none-match") {
            return reply("304 Not Modified", "", "");
        }
        let date = "Tue, 24 Nov 2026 11:00:00 GMT";
        let item = format!("<item><guid>1</guid><title>A</title><pubDate>{date}</pubDate></item>");
        let text = format!("<rss version=\"2.0\"><channel><title>B</title><ttl>300</ttl>{item}</channel></rss>");
        reply("200 OK", "ETag: \"a\"\r\n", &text)
    });
    let lantern = lantern(&url, &server, &["blog"]).await;
    for is_unchanged in [false, true, true] {
        let report = asked_now(&lantern).await;
        assert_eq!(report.not_modified, is_unchanged);
        assert_eq!(report.next_at, Some(lantern.now() + TimeDelta::minutes(300)), "{report:?}");
        lantern.pass(TimeDelta::minutes(1));
    }
}

async fn another_name_or_address_keeps_what_came(url: String) {
    let server = Server::saying(|_, _| ok(&several(1, 3)));
    let lantern = lantern(&url, &server, &["blog"]).await;
    polled(&lantern).await;
    let ids = lantern.rows("SELECT id FROM articles ORDER BY id").await;
    let config = lantern.folder.path().join("config.toml");
    for (from, to) in [("name = \"blog\"", "name = \"Our blog\""), ("/blog.xml", "/other.xml")] {
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace(from, to)).unwrap();
        let again = lantern.again().await;
        poll::know(&again).await.unwrap();
        let report = poll::poll_now(&again, &[&again.config.sources[0]]).await.unwrap().remove(0);
        assert!(!report.first && report.new == 0 && report.released == 0, "{from}: {report:?}");
        assert_eq!(lantern.rows("SELECT id FROM articles ORDER BY id").await, ids);
    }
    assert!(server.asked().last().unwrap().0 == "/other.xml");
    // Another section goes for what the document holds, without a word from the server that anything is new.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("section = \"news\"", "section = \"sport\"")).unwrap();
    let again = lantern.again().await;
    poll::know(&again).await.unwrap();
    let report = poll::poll_now(&again, &[&again.config.sources[0]]).await.unwrap().remove(0);
    assert!(report.changed == 2 && report.released == 0, "{report:?}");
    assert!(titles(&lantern).await.is_empty());
}

async fn the_page_here_names_the_original(url: String) {
    let server = Server::saying(|_, _| {
        ok(&feed(&entry("urn:1", "Lit again", "https://www.blog.example/lit?a=1&amp;b=2", "2026-11-20T00:00:00Z")))
    });
    let lantern = lantern(&url, &server, &["blog"]).await;
    polled(&lantern).await;
    let site = arc_swap::ArcSwap::from_pointee(publish::Site::default());
    run::sync_and_publish(&lantern.publication, &site).await.unwrap();
    let public = |path: &str| std::fs::read_to_string(lantern.publication.config.public.join(path)).unwrap();
    let page = public("articles/lit-again/index.html");
    assert!(
        page.contains("<link rel=\"canonical\" href=\"https://www.blog.example/lit?a&#x3D;1&amp;b&#x3D;2\">"),
        "{page}"
    );
    assert!(page.contains("First published at <a href=") && page.contains("<bdi>blog.example</bdi>"), "{page}");
    assert!(public("index.html").contains("href=\"https://www.blog.example/lit?a"));
    let links = |lantern: &Lantern| {
        let public = lantern.publication.config.public.clone();
        ["atom.xml", "rss.xml"].map(|file| {
            let bytes = std::fs::read(public.join("feeds/news").join(file)).unwrap();
            feed_rs::parser::parse(bytes.as_slice()).unwrap().entries[0].links[0].href.clone()
        })
    };
    assert_eq!(links(&lantern), ["https://www.blog.example/lit?a=1&b=2"; 2]);
    // Or everything leads to the page here; nothing new is released by that.
    let config = lantern.folder.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}pages = true\n")).unwrap();
    let again = lantern.again().await;
    let report = poll::poll_now(&again, &[&again.config.sources[0]]).await.unwrap().remove(0);
    assert_eq!((report.changed, report.released), (1, 0));
    run::sync_and_publish(&again, &site).await.unwrap();
    assert_eq!(links(&lantern), [format!("{URL}/articles/lit-again/"), format!("{URL}/articles/lit-again/")]);
    assert!(public("articles/lit-again/index.html").contains("First published at"));
}

/// Python's own web server over a folder, gone when it is dropped.
struct Python(std::process::Child, String);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Python {
    fn serving(folder: &std::path::Path) -> Option<Self> {
        use std::io::BufRead as _;
        let mut command = std::process::Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let Ok(mut child) = command.spawn() else {
            assert!(std::env::var_os("CI").is_none(), "python3 is needed here");
            eprintln!("skipped: there is no python3");
            return None;
        };
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(" port ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        Some(Self(child, format!("http://127.0.0.1:{port}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_gets_each_article_once_from_files_behind_pythons_server() {
    let (site, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(python) = Python::serving(site.path()) else { return };
    let base = python.1.clone();
    let more = format!("[[source]]\nfeed = \"{base}/blog.xml\"\nname = \"blog\"\nsection = \"news\"\nprivate = true\n");
    let url = format!("sqlite://{}/t.db", folder.path().display());
    let lantern = Lantern::open(&url, Setup { more: Box::leak(more.into_boxed_str()), ..Setup::default() }).await;
    poll::know(&lantern.publication).await.unwrap();
    let story = story(&base);
    let shown = std::cell::Cell::new(usize::MAX);
    let file = site.path().join("blog.xml");
    let write = async |now: DateTime<Utc>| {
        let hours = (now - at("2026-11-24T12:00:00Z")).num_hours();
        let place = story.iter().rposition(|(from, _)| *from <= hours).unwrap_or(0);
        if shown.replace(place) != place {
            std::fs::write(&file, feed(&story[place].1)).unwrap();
            // As the file would have it in that month.
            let written = std::fs::File::options().write(true).open(&file).unwrap();
            written.set_modified(std::time::SystemTime::from(now)).unwrap();
        }
    };
    write(lantern.now()).await;
    polled(&lantern).await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "o1", "o2", "o3", "o4", "o5"];
    let links = |name: &str| vec![format!("{base}/p/{name}/"), format!("{URL}/articles/piece-{name}/")];
    let (got, troubles) = a_month_of_mail(&lantern, &names, links, write).await;
    assert_each_once(&got, &names, &troubles);
    assert_eq!(troubles, [""; 0]);
}

/// New, edited, renamed, backdated, post-dated, withdrawn and put back, in a second publication of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_gets_each_article_once_from_another_publication_of_ours() {
    let start = at("2026-11-24T12:00:00Z");
    let hand = Arc::new(std::sync::atomic::AtomicI64::new(start.timestamp_millis()));
    let held = Arc::clone(&hand);
    let clock = tidings::task::Clock::from_fn(move || {
        DateTime::from_timestamp_millis(held.load(std::sync::atomic::Ordering::SeqCst)).unwrap()
    });
    let place = Place::new();
    place.article("old", "Old", "2026-11-01T08:00:00Z", "Of before.");
    let site = support::site::Site::serve(place, clock).await;
    let more = format!(
        "[[source]]\nfeed = \"{}\"\nname = \"other\"\nsection = \"news\"\nprivate = true\n",
        site.url("/feeds/news/atom.xml")
    );
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/t.db", folder.path().display());
    let lantern = Lantern::open(&url, Setup { more: Box::leak(more.into_boxed_str()), ..Setup::default() }).await;
    poll::know(&lantern.publication).await.unwrap();
    assert!(polled(&lantern).await[0].first);
    let day = std::cell::Cell::new(0);
    let live = async |now: DateTime<Utc>| {
        hand.store(now.timestamp_millis(), std::sync::atomic::Ordering::SeqCst);
        let today = (now - start).num_days();
        let write =
            |name: &str, date: DateTime<Utc>, body: &str| site.place.article(name, name, &date.to_rfc3339(), body);
        if day.replace(today) != today {
            match today {
                1 => write("a", now, "New."),
                3 => write("a", now - TimeDelta::days(2), "New, and edited."),
                5 | 23 => write("b", at("2019-05-05T00:00:00Z"), "Backdated."),
                6 => write("c", now + TimeDelta::days(4), "For later."),
                12 => write("a", now, "New, and with another date: in another place."),
                13 => write("w", now, "Withdrawn later."),
                15 => {
                    let text = site.place.read("articles/a.md");
                    site.place.write("articles/a.md", text.replacen("+++\n", "+++\nslug = \"a-moved\"\n", 1));
                }
                20 => site.place.remove("articles/w.md"),
                21 => site.place.remove("articles/b.md"),
                26 => write("d", now, "The last."),
                _ => {}
            }
        }
        site.refresh().await;
    };
    let names = ["a", "b", "c", "d", "w", "old"];
    let links = |name: &str| {
        let moved = if name == "a" { "a-moved" } else { name };
        vec![site.url(&format!("/articles/{name}/")), site.url(&format!("/articles/{moved}/"))]
    };
    let (got, troubles) = a_month_of_mail(&lantern, &names, links, live).await;
    assert_eq!(troubles, [""; 0]);
    for cadence in CADENCES {
        for name in names {
            let number = got.get(&(format!("{cadence}@reader.example"), name.to_owned())).copied().unwrap_or(0);
            let is_nobodys = name == "old" || (name == "w" && cadence == Cadence::Monthly);
            assert_eq!(number, usize::from(!is_nobodys), "{name} by {cadence}: {got:#?}");
        }
    }
    let withdrawn = lantern.rows("SELECT title FROM articles WHERE withdrawn_at IS NOT NULL").await;
    assert_eq!(withdrawn, [["w"]]);
    assert_eq!(
        lantern.rows("SELECT html FROM articles a JOIN bodies b ON b.article = a.id WHERE title = 'a'").await.len(),
        1
    );
}

#[tokio::test]
async fn what_another_publication_of_ours_publishes_comes_in_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let lantern = Lantern::open(
        &format!("sqlite://{}/t.db", folder.path().display()),
        Setup { archive: vec!["first", "second"], ..Setup::default() },
    )
    .await;
    let (site, _) = publish::site(&lantern.publication, lantern.publication.config.urls()).await.unwrap();
    let released = lantern.publication.store.newest_of(&news(), 10).await.unwrap();
    for format in ["atom.xml", "rss.xml", "feed.json"] {
        let document = &site.documents[&format!("/feeds/news/{format}")];
        let url = format!("{URL}/feeds/news/{format}").parse().unwrap();
        let bytes: &[u8] = &document.bytes;
        let read = remote::read(&Document { url: &url, content_type: None, bytes }).unwrap();
        assert_eq!((read.entries.len(), read.problems.len(), read.gone.len()), (2, 0, 0), "{format}");
        for (entry, own) in read.entries.iter().zip(&released) {
            assert_eq!(entry.key, own.release.entry_id, "{format}");
            assert_eq!(remote::title(entry), own.article.title, "{format}");
            assert_eq!(entry.published.unwrap().timestamp(), own.article.date.timestamp(), "{format}");
            assert_eq!(
                entry.link.as_ref().unwrap().as_str(),
                format!("{URL}/articles/{}/", own.article.slug),
                "{format}"
            );
            let manner = remote::Manner {
                name: "x".into(),
                section: None,
                language: None,
                authors: vec![],
                pages: true,
                own_language: "en".into(),
            };
            let made = remote::article(own.article.id, own.article.slug.clone(), own.article.date, entry, &manner);
            assert_eq!(made.html.trim(), own.article.html.trim(), "{format}");
        }
    }
}

#[test]
fn a_feed_is_added_asked_shown_and_removed_on_the_command_line() {
    let server = Server::saying(|path, _| match path {
        "/feed.xml" => ok(&several(1, 4)),
        "/page" => reply(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<html><link rel=\"alternate\" type=\"application/atom+xml\" href=\"/feed.xml\">",
        ),
        _ => reply("404 Not Found", "", ""),
    });
    let place = Place::new();
    let before = place.read("config.toml") + "\n# At the end.\n";
    place.write("config.toml", &before);
    assert_eq!(place.run(&["source", "list"]).ended(0).err, "");
    // Not without a word that it may be private; a page names its feed; nobody is there to be asked.
    let refused = place.run(&["source", "add", &server.url("/feed.xml"), "--yes"]).ended(1);
    assert!(refused.err.contains("private = true allows it"), "{refused:?}");
    let page = place.run(&["source", "add", &server.url("/page"), "--private", "--yes"]).ended(1);
    assert!(page.err.contains(&format!("announces a feed: {}", server.url("/feed.xml"))), "{page:?}");
    place.run(&["source", "add", "blog.example"]).ended(2);
    place.run(&["source", "add", &server.url("/feed.xml"), "--private"]).ended(2);
    let looked =
        place.run(&["source", "add", &server.url("/feed.xml"), "--private", "--dry-run", "--json"]).ended(0).json();
    assert_eq!((looked["entries"].as_u64(), looked["newest"]["title"].as_str()), (Some(3), Some("Piece 3")));
    assert_eq!(place.read("config.toml"), before);
    let added = place
        .run(&[
            "source",
            "add",
            &server.url("/feed.xml"),
            "--private",
            "--name",
            "The \"blog\"",
            "--section",
            "news",
            "--yes",
        ])
        .ended(0);
    assert!(
        added.out.contains("The blog") && added.out.contains("Piece 3") && added.out.contains("3 released as archive"),
        "{added:?}"
    );
    let after = place.read("config.toml");
    assert!(after.starts_with(&before), "{after}");
    assert!(after.ends_with("private = true\n"), "{after}");
    place.run(&["source", "add", &server.url("/feed.xml"), "--private", "--yes"]).ended(1);
    let listed = place.run(&["source", "list", "--json"]).ended(0).json();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["articles"].as_u64()), (Some("The \"blog\""), Some(3)));
    assert!(
        listed[0]["succeeded_at"].is_string() && listed[0]["next_at"].is_string() && listed[0]["trouble"].is_null()
    );
    server.says(|_, _| ok(&several(1, 6)));
    let polled = place.run(&["source", "poll"]).ended(0);
    assert!(polled.out.contains("2 new, 2 released"), "{polled:?}");
    server.says(|_, _| reply("500 Oops", "", ""));
    let failed = place.run(&["source", "poll", "The \"blog\"", "--json"]).ended(1).json();
    assert!(failed[0]["trouble"].as_str().unwrap().contains("500"), "{failed}");
    let listed = place.run(&["source", "list"]).ended(1);
    assert!(listed.out.contains("1 failure"), "{listed:?}");
    let unknown = place.run(&["source", "poll", "The blog"]).ended(1);
    assert!(unknown.err.contains("did you mean The \"blog\"?"), "{unknown:?}");
    let removed = place.run(&["source", "remove", "The \"blog\"", "--dry-run"]).ended(0);
    assert!(removed.out.contains("5 articles from it: they stay"), "{removed:?}");
    assert_eq!(place.read("config.toml"), after);
    place.run(&["source", "remove", "The \"blog\"", "--yes"]).ended(0);
    assert_eq!(place.read("config.toml").trim_end(), before.trim_end());
    assert_eq!(place.run(&["status", "--json"]).ended(0).json()["articles"]["public"].as_u64(), Some(5));
    assert_eq!(place.run(&["source", "list", "--json"]).ended(0).json(), serde_json::json!([]));
    // What came is there once more, as archive, and goes with all that came.
    server.says(|_, _| ok(&several(1, 8)));
    place.run(&["source", "add", &server.url("/feed.xml"), "--private", "--name", "The \"blog\"", "--yes"]).ended(0);
    assert_eq!(place.run(&["status", "--json"]).ended(0).json()["articles"]["public"].as_u64(), Some(7));
    place.run(&["source", "remove", "The \"blog\"", "--withdraw", "--yes"]).ended(0);
    assert_eq!(place.run(&["status", "--json"]).ended(0).json()["articles"]["public"].as_u64(), Some(0));
}
