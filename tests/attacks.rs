//! What leads inside, swells or never ends, at every door of the program that takes something from outside: feeds elsewhere,
//! pages of their entries, `tidings import`, hubs elsewhere and callbacks of our own. Each test prints what stopped it.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::HashMap;
use std::io::{Cursor, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::bomb::bomb;
use support::elsewhere::{Server, entry, feed, ok, reply};
use support::place::{CONFIG, Place, clock_at};
use support::publication::{Lantern, Setup};
use support::site::Site;
use tidings::fetch::{Fetcher, Manners};
use tidings::task::dispatch::Stop;
use tidings::task::hub::{Hub, keep_telling_hubs};
use tidings::task::poll::{self, PollReport};
use tidings::task::{Publication, import, push};
use zip::write::SimpleFileOptions;

/// 127.0.0.1 stands for the internet here, and this for what is inside.
const INSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Somebody inside who must not be asked for anything: every connection is counted.
struct Victim {
    port: u16,
    met: Arc<AtomicUsize>,
}

impl Victim {
    fn new() -> Self {
        let listener = TcpListener::bind((INSIDE, 0)).unwrap();
        let (port, met) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&met);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                drop(stream);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, met }
    }

    /// Ways of writing addresses inside, this one's among them.
    fn spellings(&self) -> Vec<String> {
        let hosts = [
            "127.0.0.2",
            "2130706434",
            "0x7f000002",
            "0x7f.0.0.2",
            "0177.0.0.2",
            "017700000002",
            "127.2",
            "127.0.2",
            "[::ffff:127.0.0.2]",
            "[::ffff:7f00:2]",
            "[64:ff9b::7f00:2]",
            "[2002:7f00:2::]",
            "[::1]",
            "[::]",
            "0",
            "10.0.0.1",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "192.168.1.1",
            "100.64.0.1",
            "inside.example",
            "both.example",
            "１２７.0.0.2",
        ];
        hosts.iter().enumerate().map(|(number, host)| format!("http://{host}:{}/{number}", self.port)).collect()
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

/// As the program fetches, with names that lead where the attacker likes: `flip.example` is outside when it is looked up for
/// the first time, and inside ever after; `both.example` is both.
fn fetcher() -> (Fetcher, Arc<Mutex<HashMap<String, usize>>>) {
    let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&asked);
    let resolve = move |host: String, port: u16| {
        let mut asked = counted.lock().unwrap();
        let times = asked.entry(host.clone()).or_default();
        *times += 1;
        let outside = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let addresses: Vec<IpAddr> = match host.as_str() {
            "both.example" => vec![outside, INSIDE.into()],
            name if name.starts_with("flip") && *times == 1 => vec![outside],
            _ => vec![INSIDE.into()],
        };
        let addresses = addresses.into_iter().map(|address| (address, port).into()).collect();
        Box::pin(async move { Ok(addresses) }) as tidings::fetch::Resolving
    };
    let manners = Manners {
        also_public: |address| address == IpAddr::V4(Ipv4Addr::LOCALHOST),
        resolve: Arc::new(resolve),
        pause: Duration::ZERO,
        ..Manners::new("Tidings/0".into(), tidings::mail::trust)
    };
    (Fetcher::new(manners), asked)
}

/// A publication with these sources, none of which may be private.
async fn publication(folder: &tempfile::TempDir, feeds: &[String], more: &str) -> Lantern {
    let source = |(number, feed): (usize, &String)| {
        format!("[[source]]\nfeed = \"{feed}\"\nname = \"s{number}\"\nsection = \"news\"\n{more}\n")
    };
    let sources: String = feeds.iter().enumerate().map(source).collect();
    let url = format!("sqlite://{}/t.db", folder.path().display());
    let mut lantern =
        Lantern::open(&url, Setup { more: Box::leak(sources.into_boxed_str()), ..Setup::default() }).await;
    lantern.publication.fetcher = fetcher().0;
    poll::know(&lantern.publication).await.unwrap();
    lantern
}

async fn polled(lantern: &Lantern) -> Vec<PollReport> {
    let sources: Vec<_> = lantern.publication.config.sources.iter().collect();
    poll::poll_now(&lantern.publication, &sources).await.unwrap()
}

/// A server outside that redirects `/N` to the spelling of that number.
fn redirecting(spellings: Vec<String>) -> Server {
    Server::saying(move |path, _| {
        let to = path.trim_start_matches('/').parse::<usize>().ok().and_then(|number| spellings.get(number));
        match to {
            Some(to) => reply("302 Found", &format!("Location: {to}\r\n"), ""),
            None => reply("404 Not Found", "", ""),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_feed_leads_inside_by_its_address_or_a_redirect() {
    let victim = Victim::new();
    let spellings = victim.spellings();
    let server = redirecting(spellings.clone());
    let mut feeds = spellings.clone();
    feeds.extend((0..spellings.len()).map(|number| server.url(&format!("/{number}"))));
    let folder = tempfile::tempdir().unwrap();
    let lantern = publication(&folder, &feeds, "").await;
    let reports = polled(&lantern).await;
    assert_eq!(reports.len(), feeds.len());
    for (report, feed) in reports.iter().zip(&feeds) {
        let trouble = report.trouble.as_deref().unwrap_or_default();
        assert!(trouble.contains("is not a public one"), "{feed}: {trouble}");
    }
    assert_eq!(victim.met(), 0);
    eprintln!("feeds: {} addresses inside, directly and by redirect: 0 connections", spellings.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_that_is_imported_leads_inside() {
    let victim = Victim::new();
    let spellings = victim.spellings();
    let server = redirecting(spellings.clone());
    for (number, spelling) in spellings.iter().enumerate() {
        for address in [spelling.clone(), server.url(&format!("/{number}"))] {
            let refused = import::fetch(&fetcher().0, address.parse().unwrap(), false).await.unwrap_err().to_string();
            assert!(refused.contains("is not a public one"), "{address}: {refused}");
        }
    }
    // By the program itself, to which this machine is inside.
    let place = Place::new();
    let before = place.files("articles");
    for address in [server.url("/0"), "http://169.254.169.254/latest/".into(), "http://[::1]:1/".into()] {
        let ran = place.run(&["import", &address, "--yes"]).ended(1);
        assert!(ran.err.contains("is not a public one"), "{ran:?}");
    }
    assert_eq!((victim.met(), place.files("articles")), (0, before));
    eprintln!("import: {} addresses inside, directly and by redirect: 0 connections", spellings.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_an_entry_leads_inside() {
    let victim = Victim::new();
    let spellings = victim.spellings();
    let redirects = redirecting(spellings.clone());
    let links: Vec<String> = spellings
        .iter()
        .cloned()
        .chain((0..spellings.len()).map(|number| redirects.url(&format!("/{number}"))))
        .collect();
    let shown: Vec<String> = links
        .iter()
        .enumerate()
        .map(|(number, link)| {
            format!("<item><guid>urn:{number}</guid><title>T{number}</title><link>{link}</link><description>S.</description></item>")
        })
        .collect();
    let document = format!("<rss version=\"2.0\"><channel><title>B</title>{}</channel></rss>", shown.concat());
    let server = Server::saying(move |_, _| reply("200 OK", "", &document));
    let folder = tempfile::tempdir().unwrap();
    let lantern = publication(&folder, &[server.url("/feed.xml")], "full_text = true").await;
    let report = polled(&lantern).await.remove(0);
    assert_eq!((report.new, report.released, report.pages), (links.len(), links.len() as u64, 0), "{report:?}");
    assert_eq!((report.pages_failed, victim.met()), (links.len(), 0));
    let known = lantern.publication.store.full_texts("feed:s0").await.unwrap();
    for one in known.values() {
        assert!(one.why.as_deref().unwrap().contains("is not a public one"), "{one:?}");
    }
    eprintln!("pages of entries: {} links that lead inside: 0 connections, each entry keeps its summary", links.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hub_and_no_callback_leads_inside() {
    let victim = Victim::new();
    // A callback, of our own hub.
    let place = Place::new();
    place.write("config.toml", format!("{CONFIG}\n[feeds]\nhub = \"own\"\n"));
    place.article("one", "One", "2026-11-20", "A body.");
    let site = Site::serve(place, clock_at("2026-11-27T08:00:00Z")).await;
    let topic = site.url("/feeds/news/atom.xml");
    for spelling in victim.spellings() {
        let fields = [("hub.mode", "subscribe"), ("hub.topic", topic.as_str()), ("hub.callback", spelling.as_str())];
        let status = site.post_as_it_is("/hub", &fields).await.status;
        let is_name = spelling.contains("example");
        assert_eq!(status, if is_name { 202 } else { 400 }, "{spelling}");
    }
    let redirect = redirecting(victim.spellings());
    let (publication, shown) = (with_fetcher(&site.app.publication), Arc::clone(&site.app.site));
    let fields = [("hub.mode", "subscribe"), ("hub.topic", topic.as_str())];
    for callback in [redirect.url("/0"), format!("http://flip.example:{}/", victim.port)] {
        let fields = [fields[0], fields[1], ("hub.callback", callback.as_str())];
        let status = site.post_as_it_is("/hub", &fields).await.status;
        assert!(matches!(status, 202 | 400), "{callback}: {status}");
    }
    let (word, stop) = Stop::new();
    let keeper = tokio::spawn(async move { keep_telling_hubs(&publication, &shown, stop, &|_| {}).await });
    let waiting = async {
        while site.app.publication.store.hub_requests("").await.unwrap().1 > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    word.send(true).unwrap();
    keeper.await.unwrap();
    assert!(site.app.publication.store.audiences(site.app.publication.clock.now()).await.unwrap().is_empty());

    // A hub that a feed elsewhere names.
    let in_headers = victim.spellings().into_iter().filter(|one| one.is_ascii());
    let spellings: Vec<String> = in_headers.map(|one| one.replace("http:", "https:")).collect();
    let named = spellings.clone();
    let server = Server::saying(move |path, _| {
        let number: usize = path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        reply("200 OK", &format!("Link: <{}>; rel=\"hub\"\r\n", named[number]), &feed(&entry("urn:1", "A", "/a", "")))
    });
    let feeds: Vec<String> = (0..spellings.len()).map(|number| server.url(&format!("/{number}.xml"))).collect();
    let folder = tempfile::tempdir().unwrap();
    let lantern = self::publication(&folder, &feeds, "").await;
    let mut config = (*lantern.publication.config).clone();
    config.serve_url = Some("https://lantern.port.org".parse().unwrap());
    let publication = Publication { config: Arc::new(config), ..lantern.publication.clone() };
    let sources: Vec<_> = publication.config.sources.iter().collect();
    poll::poll_now(&publication, &sources).await.unwrap();
    push::ask_hubs(&publication).await.unwrap();
    let pushes = publication.store.pushes().await.unwrap();
    assert_eq!(pushes.len(), spellings.len());
    for push in &pushes {
        assert!(
            push.trouble.as_deref().unwrap_or_default().contains("is not a public one"),
            "{push:?} {:?}",
            push.trouble
        );
    }
    assert_eq!(victim.met(), 0);
    eprintln!("hubs and callbacks: {} addresses inside each: 0 connections", spellings.len());
}

fn with_fetcher(publication: &Publication) -> Publication {
    let fetcher = fetcher().0;
    Publication { hub: Arc::new(Hub::new(&fetcher)), fetcher, ..publication.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_flips_after_the_check_is_not_looked_up_again() {
    let victim = Victim::new();
    // Outside, at the port of the victim: whoever looked the name up a second time would meet the latter.
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str| format!("http://flip-{name}.example:{}/", victim.port);
    let lantern = publication(&folder, &[page("feed")], "full_text = true").await;
    let (fetcher, asked) = fetcher();
    let reports = {
        let publication = Publication { fetcher: fetcher.clone(), ..lantern.publication.clone() };
        let sources: Vec<_> = publication.config.sources.iter().collect();
        poll::poll_now(&publication, &sources).await.unwrap()
    };
    // There is nobody at the address that was checked, and that is where it ended.
    assert!(reports[0].trouble.as_deref().unwrap().contains("cannot connect"), "{reports:?}");
    let refused = import::fetch(&fetcher, page("import").parse().unwrap(), false).await.unwrap_err().to_string();
    assert!(refused.contains("cannot connect"), "{refused}");
    assert_eq!(
        *asked.lock().unwrap(),
        HashMap::from([("flip-feed.example".into(), 1), ("flip-import.example".into(), 1)])
    );
    // The next request looks it up anew, checks it anew, and goes nowhere.
    let refused = import::fetch(&fetcher, page("import").parse().unwrap(), false).await.unwrap_err().to_string();
    assert!(refused.contains("is not a public one"), "{refused}");
    assert_eq!(victim.met(), 0);
    eprintln!("names that flip: looked up once a request, 0 connections inside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_of_xml_cost_nothing_and_load_nothing() {
    let victim = Victim::new();
    let laughs: Vec<String> =
        (1..30).map(|number| format!("<!ENTITY l{number} \"{}\">", format!("&l{};", number - 1).repeat(10))).collect();
    let inside = format!("http://127.0.0.2:{}/x", victim.port);
    let rss = |head: &str, body: &str| {
        format!("<?xml version=\"1.0\"?>{head}<rss version=\"2.0\"><channel><title>B</title>{body}</channel></rss>")
    };
    let item = |title: &str| format!("<item><guid>1</guid><title>{title}</title><description>x</description></item>");
    let attributes = (0..2000).fold(String::new(), |all, number| all + &format!(" a{number}=\"x\""));
    let documents: Vec<(&str, String)> = vec![
        ("laughs", rss(&format!("<!DOCTYPE rss [<!ENTITY l0 \"ha\">{}]>", laughs.concat()), &item("&l29;"))),
        (
            "quadratic",
            rss(&format!("<!DOCTYPE rss [<!ENTITY q \"{}\">]>", "q".repeat(100_000)), &item(&"&q;".repeat(10_000))),
        ),
        ("external", rss(&format!("<!DOCTYPE rss [<!ENTITY e SYSTEM \"{inside}\">]>"), &item("&e;"))),
        ("parameter", rss(&format!("<!DOCTYPE rss [<!ENTITY % p SYSTEM \"{inside}\"> %p;]>"), &item("x"))),
        (
            "stylesheet",
            rss(&format!("<?xml-stylesheet href=\"{inside}\"?><!DOCTYPE rss SYSTEM \"{inside}\">"), &item("x")),
        ),
        ("deep", rss("", &format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)))),
        ("attributes", rss("", &format!("<a{attributes}/>"))),
        ("cut", rss("", &item("x")).replace("</channel></rss>", "<item><guid>2")),
    ];
    let shown: HashMap<String, String> =
        documents.iter().map(|(name, text)| (format!("/{name}"), text.clone())).collect();
    let server = Server::saying(move |path, _| reply("200 OK", "Content-Type: text/xml\r\n", &shown[path]));
    let folder = tempfile::tempdir().unwrap();
    let feeds: Vec<String> = documents.iter().map(|(name, _)| server.url(&format!("/{name}"))).collect();
    let lantern = publication(&folder, &feeds, "").await;
    let began = Instant::now();
    let reports = polled(&lantern).await;
    for (report, (name, _)) in reports.iter().zip(&documents) {
        let said = report.trouble.clone().unwrap_or_else(|| format!("read, {} entries", report.found));
        eprintln!("{name}: {said}");
        match *name {
            "deep" | "attributes" => assert!(said.contains("nested too deep, or have too many attributes"), "{said}"),
            "cut" => assert!(said.contains("cut off"), "{said}"),
            // A document type means nothing, and its entities are nobody's.
            _ => assert_eq!(report.found, 1, "{name}: {said}"),
        }
    }
    let longest = lantern.count("SELECT MAX(LENGTH(title)) FROM articles").await;
    assert!(longest < 400, "nothing was expanded: {longest}");
    assert_eq!(victim.met(), 0, "nothing was loaded");
    eprintln!("all of them in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_swells_is_not_unpacked_at_any_door() {
    let bytes = bomb(b' ', 64);
    let answer = move |kind: &str| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        [head.as_bytes(), &bytes].concat()
    };
    let server = Server::saying(move |path, _| match path {
        "/bomb.xml" => answer("text/xml"),
        "/feed.xml" => {
            ok(&feed("<entry><id>urn:1</id><title>A</title><summary>S.</summary><link href=\"/page\"/></entry>"))
        }
        "/robots.txt" => reply("404 Not Found", "", ""),
        _ => answer("text/html"),
    });
    let folder = tempfile::tempdir().unwrap();
    let lantern = publication(&folder, &[server.url("/bomb.xml"), server.url("/feed.xml")], "full_text = true").await;
    let reports = polled(&lantern).await;
    let wanted = "more than 200 times as large";
    assert!(reports[0].trouble.as_deref().unwrap().contains(wanted), "{reports:?}");
    assert_eq!((reports[1].released, reports[1].pages_failed), (1, 1), "{reports:?}");
    let page = lantern.publication.store.full_text_tally("feed:s1").await.unwrap().why.unwrap();
    assert!(page.contains(wanted), "{page}");
    let imported = import::fetch(&fetcher().0, server.url("/x").parse().unwrap(), false).await.unwrap_err().to_string();
    assert!(imported.contains(wanted), "{imported}");
    eprintln!("a feed, a page and an import of 1 MB that becomes 1 GB: {wanted}");
}

#[test]
fn a_zip_that_leads_out_or_swells_brings_its_good_part_and_nothing_else() {
    let place = Place::new();
    let mut writer = zip::ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default();
    let posts = "post_id,post_date,is_published,email_sent_at,inbox_sent_at,type,audience,title,subtitle,podcast_url\n\
        101.good,2023-05-01T06:00:00.000Z,true,,,newsletter,everyone,Good,,\n\
        102.bomb,2023-05-01T06:00:00.000Z,true,,,newsletter,everyone,Bomb,,\n\
        ../../evil,2023-05-01T06:00:00.000Z,true,,,newsletter,everyone,Evil,,\n";
    let swollen = vec![b'a'; 4 << 20];
    for (name, content) in [
        ("posts.csv", posts.as_bytes()),
        ("posts/101.good.html", b"<p>Good.</p>".as_slice()),
        ("posts/102.bomb.html", &swollen),
        ("../../../posts/evil.html", b"<p>Evil.</p>".as_slice()),
        ("posts/../../../evil.html", b"<p>Evil.</p>".as_slice()),
        ("/posts/evil.html", b"<p>Evil.</p>".as_slice()),
    ] {
        writer.start_file(name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    place.write("export.zip", writer.finish().unwrap().into_inner());
    let before = place.files("");
    let ran = place.run(&["import", "export.zip", "--yes"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("leads out of the archive") && said.contains("more than 200 times"), "{said}");
    let new = support::place::differences(&before, &place.files(""));
    let new: Vec<&String> = new.iter().filter(|name| !name.contains("tidings.db")).collect();
    assert_eq!(new, ["articles/good.md"].map(|name| name.replace(".md", ".html")).iter().collect::<Vec<_>>(), "{said}");
    eprintln!("a ZIP with names that lead out, and a file that becomes 4 MB: one article, and no other file");
}
