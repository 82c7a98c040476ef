//! Feeds as a whole: who walks back from the document that readers poll meets each article once, whatever happens
//! meanwhile; what went leaves its mark; addresses of before lead on.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use support::engines::for_each_engine;
use support::http::{Answer, ask};
use support::place::{CONFIG, Place, differences};
use support::site::Site;
use tidings::syndication::Format;
use tidings::task::dispatch::Stop;
use tidings::task::document::Coding;
use tidings::task::{Clock, Publication, run};
use tidings::web::{self, App};

for_each_engine! {
    a_crawler_meets_each_article_once_whatever_happens_meanwhile,
}

#[tokio::test]
async fn a_first_sync_that_was_killed_is_brought_to_its_end_by_the_next() {
    let place = Place::new();
    (1..=9).for_each(|day| place.article(&format!("n{day}"), "N", &format!("2026-01-0{day}"), "A text."));
    let open = async || Publication::open(place.config(), Clock::system()).await.unwrap();
    let killed = open().await;
    assert!(killed.store.drop_orderings().await.unwrap());
    drop(killed);
    let publication = open().await;
    let report = tidings::task::sync::sync(&publication, &|_, _| {}).await.unwrap();
    assert_eq!((report.new, report.released), (9, 9));
    assert_eq!(publication.store.fact("orderings_missing").await.unwrap(), None);
    assert!(!publication.store.drop_orderings().await.unwrap());
}

/// A publication that is served as its configuration is now; the next one is another server on the same database.
struct Server {
    app: Arc<App>,
    at: SocketAddr,
    word: tokio::sync::watch::Sender<bool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.word.send(true);
    }
}

impl Server {
    async fn start(place: &Place) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut config = place.config();
        config.listen = at;
        let app = Arc::new(App::new(Publication::open(config, Clock::system()).await.unwrap()).unwrap());
        let (word, stop) = Stop::new();
        tokio::spawn(web::serve(listener, Arc::clone(&app), stop));
        let server = Self { app, at, word };
        server.refresh().await;
        server
    }

    async fn refresh(&self) {
        run::sync_and_publish(&self.app.publication, &self.app.site).await.unwrap();
    }

    async fn get(&self, path: &str) -> Page {
        let answer = ask(self.at, "GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{path}");
        read(path, &answer)
    }

    /// Every document of a feed from this one back.
    async fn walk_from(&self, first: Page) -> Vec<Page> {
        let mut pages = vec![first];
        while let Some(previous) = pages.last().unwrap().previous.clone() {
            pages.push(self.get(&previous).await);
        }
        pages
    }
}

/// One document of a feed, as other people's parsers read it.
#[derive(Debug, Clone)]
struct Page {
    path: String,
    /// The slugs of its entries, by id.
    entries: BTreeMap<String, String>,
    /// The ids of what went, where the format says so.
    deleted: BTreeSet<String>,
    previous: Option<String>,
    next: Option<String>,
    current: Option<String>,
    is_archive: bool,
}

fn path_of(url: &str) -> String {
    url::Url::parse(url).unwrap().path().to_owned()
}

fn slug_of(url: &str) -> String {
    path_of(url).trim_matches('/').rsplit('/').next().unwrap().to_owned()
}

fn read(path: &str, answer: &Answer) -> Page {
    let bytes = answer.body.as_slice();
    let mut page = Page {
        path: path.to_owned(),
        entries: BTreeMap::new(),
        deleted: BTreeSet::new(),
        previous: None,
        next: None,
        current: None,
        is_archive: false,
    };
    let mut note = |rel: &str, url: &str| match rel {
        "prev-archive" => page.previous = Some(path_of(url)),
        "next-archive" => page.next = Some(path_of(url)),
        "current" => page.current = Some(path_of(url)),
        _ => {}
    };
    if path.ends_with("feed.json") {
        let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        if let Some(url) = json["next_url"].as_str() {
            note("prev-archive", url);
        }
        let is_archive = path_of(json["feed_url"].as_str().unwrap()) != path;
        page.is_archive = is_archive;
    } else if path.ends_with("atom.xml") {
        let feed = atom_syndication::Feed::read_from(bytes).unwrap();
        feed.links.iter().for_each(|link| note(&link.rel, &link.href));
        page.is_archive = feed.extensions.get("fh").is_some_and(|fh| fh.contains_key("archive"));
        for deleted in feed.extensions.get("at").and_then(|at| at.get("deleted-entry")).into_iter().flatten() {
            chrono::DateTime::parse_from_rfc3339(&deleted.attrs["when"]).unwrap();
            assert!(page.deleted.insert(deleted.attrs["ref"].clone()), "{path}: twice");
        }
    } else {
        let channel = rss::Channel::read_from(bytes).unwrap();
        channel.atom_ext.as_ref().unwrap().links.iter().for_each(|link| note(&link.rel, &link.href));
        page.is_archive = channel.extensions.get("fh").is_some_and(|fh| fh.contains_key("archive"));
    }
    for entry in feed_rs::parser::parse(bytes).unwrap().entries {
        let slug = slug_of(&entry.links[0].href);
        assert!(page.entries.insert(entry.id, slug).is_none(), "{path}: twice");
    }
    page
}

/// What a walk found, held against what there is.
#[derive(Debug, Default)]
struct Memory {
    /// The volume in which each id was first seen, by format.
    volumes: BTreeMap<(String, String), String>,
    /// The id of each article.
    ids: BTreeMap<String, String>,
}

impl Memory {
    /// Every entry once, and in the volume in which it was before.
    fn check(&mut self, pages: &[Page], expected: &BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        for (place, page) in pages.iter().enumerate() {
            let file = page.path.rsplit('/').next().unwrap().to_owned();
            assert_eq!(page.is_archive, place > 0, "{}", page.path);
            for (id, slug) in &page.entries {
                assert!(seen.insert(slug.clone()), "{slug} is met twice, in {}", page.path);
                assert_eq!(self.ids.entry(slug.clone()).or_insert_with(|| id.clone()), id);
            }
            if place == 0 {
                continue;
            }
            for id in page.entries.keys().chain(&page.deleted) {
                let volume = self.volumes.entry((file.clone(), id.clone())).or_insert_with(|| page.path.clone());
                assert_eq!(*volume, page.path, "{id} has moved");
            }
            if !file.ends_with("feed.json") {
                let live = format!("/feeds/news/{file}");
                assert_eq!(page.current.as_deref(), Some(live.as_str()));
                assert!(place == 1 || page.next.as_ref() == Some(&pages[place - 1].path), "{page:?}");
            }
        }
        assert_eq!(seen, *expected, "{:?}", pages.iter().map(|page| &page.path).collect::<Vec<_>>());
    }
}

/// The articles of a made-up history.
struct Newsroom {
    place: Place,
    /// By slug, whether it is in the feed, and its file where it has one.
    articles: BTreeMap<String, (bool, Option<String>)>,
    count: u64,
    limit: usize,
    dice: u64,
}

impl Newsroom {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn pick(&mut self, wanted: impl Fn(&(bool, Option<String>)) -> bool) -> Option<String> {
        let slugs: Vec<String> =
            self.articles.iter().filter(|(_, article)| wanted(article)).map(|(slug, _)| slug.clone()).collect();
        let at = usize::try_from(self.roll(slugs.len().max(1) as u64)).unwrap();
        slugs.get(at).cloned()
    }

    fn write(&mut self, slug: &str, section: &str) {
        let (day, edit) = (1 + self.roll(28), self.roll(1000));
        let year = 2020 + self.roll(7);
        let text = format!(
            "+++\ntitle = \"{slug}, {edit}\"\ndate = {year}-03-{day:02}\nsection = \"{section}\"\n+++\nText {edit}\n"
        );
        self.place.write(&format!("articles/{slug}.md"), &text);
        self.articles.insert(slug.to_owned(), (section == "news", Some(text)));
    }

    fn limit(&mut self, limit: usize) {
        self.limit = limit;
        let text = format!("title = \"News\"\nselect = {{ section = \"news\" }}\nlimit = {limit}\n");
        self.place.write("feeds/news.toml", text);
    }

    /// One thing happens; whether the definition changed.
    fn turn(&mut self) -> bool {
        match self.roll(12) {
            0..=4 => {
                for _ in 0..=self.roll(3) {
                    self.count += 1;
                    self.write(&format!("article-{}", self.count), "news");
                }
            }
            5 | 6 => {
                // Edited, and given any other date.
                if let Some(slug) = self.pick(|(is_in, text)| *is_in && text.is_some()) {
                    self.write(&slug, "news");
                }
            }
            7 => {
                if let Some(slug) = self.pick(|(is_in, _)| *is_in) {
                    self.place.remove(&format!("articles/{slug}.md"));
                    self.articles.get_mut(&slug).unwrap().0 = false;
                }
            }
            8 => {
                // What went or is elsewhere comes back, as it was or otherwise.
                if let Some(slug) = self.pick(|(is_in, _)| !is_in) {
                    self.write(&slug, "news");
                }
            }
            9 | 10 => {
                if let Some(slug) = self.pick(|(is_in, _)| *is_in) {
                    self.write(&slug, "elsewhere");
                }
            }
            _ => {
                let limit = 1 + self.roll(9);
                self.limit(usize::try_from(limit).unwrap());
                return true;
            }
        }
        false
    }

    fn expected(&self) -> BTreeSet<String> {
        self.articles.iter().filter(|(_, (is_in, _))| *is_in).map(|(slug, _)| slug.clone()).collect()
    }
}

async fn a_crawler_meets_each_article_once_whatever_happens_meanwhile(url: String) {
    const TURNS: usize = 40;
    let place = Place::empty();
    place.write("config.toml", format!("{CONFIG}\n[database]\nurl = \"{url}\"\n"));
    let mut newsroom = Newsroom { place, articles: BTreeMap::new(), count: 0, limit: 0, dice: 7 };
    newsroom.limit(4);
    for number in 1..=13 {
        newsroom.write(&format!("first-{number}"), "news");
    }
    let mut server = Server::start(&newsroom.place).await;
    let paths = Format::ALL.map(|format| format!("/feeds/news/{}", format.file_name()));
    let mut memory = Memory::default();
    for turn in 0..TURNS {
        let before = newsroom.expected();
        let path = &paths[turn % paths.len()];
        let begun = server.get(path).await;
        if newsroom.turn() {
            server = Server::start(&newsroom.place).await;
        } else {
            server.refresh().await;
        }
        let expected = newsroom.expected();
        let pages = server.walk_from(server.get(path).await).await;
        memory.check(&pages, &expected);
        let polled = pages[0].entries.len();
        assert!(polled <= newsroom.limit && (polled > 0 || expected.is_empty()), "turn {turn}: {polled}");
        // Who came before, and walks on now, has missed nothing that was there all the time.
        let pages = server.walk_from(begun).await;
        let met: Vec<&String> = pages.iter().flat_map(|page| page.entries.values()).collect();
        let once: BTreeSet<&String> = met.iter().copied().collect();
        assert_eq!(once.len(), met.len(), "turn {turn}, {path}: twice");
        assert!(before.intersection(&expected).all(|slug| once.contains(slug)), "turn {turn}, {path}");
        // What went is named, in Atom, where it stood and among the last where everyone looks; what is there is not.
        let pages = server.walk_from(server.get(&paths[1]).await).await;
        memory.check(&pages, &expected);
        let in_volumes: Vec<&String> = pages[1..].iter().flat_map(|page| &page.deleted).collect();
        let deleted: BTreeSet<&String> = pages.iter().flat_map(|page| &page.deleted).collect();
        let gone = |slug: &&String| !expected.contains(*slug);
        let expected: BTreeSet<&String> = memory.ids.keys().filter(gone).map(|slug| &memory.ids[slug]).collect();
        assert_eq!(in_volumes.iter().collect::<BTreeSet<_>>().len(), in_volumes.len(), "turn {turn}");
        assert!(pages[0].deleted.len() >= expected.len().min(newsroom.limit), "turn {turn}");
        assert_eq!(deleted, expected, "turn {turn}");
    }
    let volumes: BTreeSet<&String> = memory.volumes.values().collect();
    assert!(volumes.len() > 10, "{volumes:?}");
}

/// Long enough to be worth coding.
const TEXT: &str = "After nine dark winters the lamp burns again. ";

/// A feed of which five entries may be loose, two in a volume, and `count` articles a day apart.
fn with_articles(count: u32) -> Place {
    let place = Place::new();
    place.write("feeds/news.toml", "title = \"News\"\nlimit = 5\n");
    for number in 1..=count {
        place.article(
            &format!("a-{number}"),
            &format!("Title {number}"),
            &format!("2026-03-{number:02}"),
            "Some text.",
        );
    }
    place
}

async fn live(site: &Site) -> Page {
    read("/feeds/news/atom.xml", &site.get("/feeds/news/atom.xml").await)
}

fn slugs(page: &Page) -> BTreeSet<&str> {
    page.entries.values().map(String::as_str).collect()
}

#[tokio::test]
async fn a_feed_that_has_room_for_all_has_no_volume() {
    let site = Site::serve(with_articles(5), Clock::system()).await;
    let page = live(&site).await;
    assert_eq!((page.entries.len(), page.previous), (5, None));
    assert_eq!(site.get("/feeds/news/archive/1/atom.xml").await.status, 404);
}

#[tokio::test]
async fn an_article_with_an_old_date_is_seen_by_those_who_poll_and_an_import_of_many_floods_nobody() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    assert_eq!(slugs(&live(&site).await), BTreeSet::from(["a-11", "a-12", "a-13", "a-14", "a-15"]));
    site.place.article("late", "Late", "2019-01-01", "Text");
    site.refresh().await;
    assert_eq!(slugs(&live(&site).await), BTreeSet::from(["a-13", "a-14", "a-15", "late"]));
    for number in 1..=28 {
        site.place.article(&format!("old-{number}"), "Old", &format!("2012-02-{number:02}"), "Text");
    }
    site.refresh().await;
    let page = live(&site).await;
    assert_eq!(slugs(&page).into_iter().filter(|slug| slug.starts_with("a-")).count(), 3, "{page:?}");
}

#[tokio::test]
async fn a_feed_changed_when_an_article_with_an_old_date_came() {
    let site =
        Site::serve(with_articles(3), Clock::from_fn(|| chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap()))
            .await;
    let updated = async || {
        let atom = site.get("/feeds/news/atom.xml").await;
        atom_syndication::Feed::read_from(&atom.body[..]).unwrap().updated().to_rfc3339()
    };
    assert_eq!(updated().await, "2026-03-03T00:00:00+00:00", "what the first sync found was there");
    site.place.article("late", "Late", "2019-01-01", "Text");
    site.refresh().await;
    assert_eq!(updated().await, "2027-01-15T08:00:00+00:00");
}

#[tokio::test]
async fn what_was_withdrawn_makes_room_for_what_is_older() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    for number in 13..=15 {
        site.place.remove(&format!("articles/a-{number}.md"));
    }
    site.refresh().await;
    let page = live(&site).await;
    assert_eq!(slugs(&page), BTreeSet::from(["a-9", "a-10", "a-11", "a-12"]));
    assert_eq!((page.deleted.len(), page.previous.as_deref()), (3, Some("/feeds/news/archive/4/atom.xml")));
}

#[tokio::test]
async fn a_volume_of_which_nothing_is_left_is_no_end_of_the_feed() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    for number in 9..=10 {
        site.place.remove(&format!("articles/a-{number}.md"));
    }
    site.refresh().await;
    let page = live(&site).await;
    assert_eq!(slugs(&page), BTreeSet::from(["a-11", "a-12", "a-13", "a-14", "a-15"]));
    assert_eq!((page.deleted.len(), page.previous.as_deref()), (2, Some("/feeds/news/archive/4/atom.xml")));
}

#[tokio::test]
async fn a_volume_has_the_same_tag_until_something_in_it_changes() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    for format in Format::ALL {
        let path = format!("/feeds/news/archive/2/{}", format.file_name());
        let whole = site.get(&path).await;
        assert_eq!(whole.header("content-type"), Some(format.content_type()));
        let mut tags = vec![whole.header("etag").unwrap().to_owned()];
        for coding in Coding::ALL {
            let accepted = ("Accept-Encoding", coding.token());
            let coded = site.get_with(&path, &[accepted]).await;
            assert_eq!(coded.header("content-encoding"), Some(coding.token()), "{path}");
            tags.push(coded.header("etag").unwrap().to_owned());
            let known = site.get_with(&path, &[accepted, ("If-None-Match", &tags[tags.len() - 1])]).await;
            assert_eq!(known.status, 304, "{path}");
        }
        assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), 4, "{tags:?}");
        // A publish that alters other articles leaves it as it is.
        site.place.article("a-15", &format!("Edited for {path}"), "2026-03-15", "Text");
        site.refresh().await;
        assert_eq!(site.get_with(&path, &[("If-None-Match", &tags[0])]).await.status, 304, "{path}");
        site.place.article("a-3", &format!("Edited for {path}"), "2026-03-03", &TEXT.repeat(12));
        site.refresh().await;
        let edited = site.get(&path).await;
        assert!(edited.text().contains("Edited for") && edited.header("etag") != Some(&tags[0]), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_volume_is_not_there() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    for path in ["0/atom.xml", "01/atom.xml", "+1/atom.xml", "-1/atom.xml", "99/atom.xml", "1/other.xml", "x/rss.xml"] {
        assert_eq!(site.get(&format!("/feeds/news/archive/{path}")).await.status, 404, "{path}");
    }
    assert_eq!(site.get("/feeds/other/archive/1/atom.xml").await.status, 404);
    assert_eq!(site.get("/feeds/of/archive/1/atom.xml").await.status, 404);
    assert_eq!(site.ask("POST", "/feeds/news/archive/1/atom.xml").await.status, 405);
}

#[test]
fn public_has_every_volume_and_only_those_that_changed_are_written() {
    let place = with_articles(15);
    place.run(&["publish"]).ended(0);
    for format in Format::ALL {
        for number in 1..=5 {
            let path = format!("public/feeds/news/archive/{number}/{}", format.file_name());
            assert!(place.has(&path), "{path}");
        }
        assert!(!place.has(&format!("public/feeds/news/archive/6/{}", format.file_name())));
    }
    let first = place.files("public/feeds/news/archive");
    place.article("a-3", "Edited", "2026-03-03", "Other text");
    let report = place.run(&["publish", "--json"]).ended(0).json();
    assert_eq!(report["publish"]["volumes"], 1, "{report}");
    let second = place.files("public/feeds/news/archive");
    assert!(differences(&first, &second).iter().all(|name| name.starts_with("2/")), "{second:?}");
    // A new volume, and the one before it, which leads to it now.
    for number in 16..=17 {
        place.article(&format!("a-{number}"), "New", &format!("2026-03-{number}"), "Text");
    }
    place.run(&["publish"]).ended(0);
    let third = place.files("public/feeds/news/archive");
    let changed: BTreeSet<String> = differences(&second, &third).iter().map(|name| name[..1].to_owned()).collect();
    assert_eq!(changed, BTreeSet::from(["5".to_owned(), "6".to_owned()]));
    // Nothing is left of a feed that is gone.
    place.write("feeds/other.toml", "title = \"Other\"\n");
    place.remove("feeds/news.toml");
    place.run(&["publish"]).ended(0);
    assert!(!place.has("public/feeds/news") && place.has("public/feeds/other/atom.xml"));
}

#[tokio::test]
async fn a_withdrawn_article_is_gone_with_a_word_and_everything_comes_back() {
    let site = Site::serve(with_articles(15), Clock::system()).await;
    let text = site.place.read("articles/a-3.md");
    let before = site.get("/feeds/news/archive/2/atom.xml").await;
    site.place.remove("articles/a-3.md");
    site.refresh().await;
    let gone = site.get("/articles/a-3/").await;
    assert_eq!(gone.status, 410);
    let page = gone.text();
    assert!(page.contains("This article was withdrawn") && page.contains("noindex"), "{page}");
    assert!(page.contains("/articles/a-15/") && page.contains("href=\"/\""), "{page}");
    assert!(!site.place.has("public/articles/a-3"));
    let after = read("/feeds/news/archive/2/atom.xml", &site.get("/feeds/news/archive/2/atom.xml").await);
    assert_eq!((slugs(&after), after.deleted.len()), (BTreeSet::from(["a-4"]), 1));
    assert_eq!(live(&site).await.deleted, after.deleted, "nobody who polls looks into volumes again");
    assert_eq!(site.get("/articles/never/").await.status, 404);

    site.place.write("articles/a-3.md", text);
    site.refresh().await;
    assert_eq!(site.get("/articles/a-3/").await.status, 200);
    assert!(live(&site).await.deleted.is_empty());
    assert!(site.place.has("public/articles/a-3/index.html"));
    assert_eq!(site.get("/feeds/news/archive/2/atom.xml").await.body, before.body);
}

#[tokio::test]
async fn an_address_of_before_leads_to_where_the_article_is_now() {
    let site = Site::serve(with_articles(4), Clock::system()).await;
    site.place.write("articles/naming.md", "+++\ntitle = \"N\"\ndate = 2026-03-20\nrelated = [\"a-1\"]\n+++\nText\n");
    site.refresh().await;
    let ids: BTreeSet<String> = live(&site).await.entries.into_keys().collect();
    let lead = async |from: &str| {
        let answer = site.get(&format!("/articles/{from}/")).await;
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let moved = |slug: &str| (301, Some(format!("../{slug}/")));
    let slugged = |slug: &str| format!("+++\ntitle = \"One\"\ndate = 2026-03-01\nslug = \"{slug}\"\n+++\nText\n");
    for slug in ["b-1", "c-1"] {
        site.place.write("articles/a-1.md", slugged(slug));
        site.refresh().await;
    }
    // A chain is one step.
    assert_eq!((lead("a-1").await, lead("b-1").await, lead("c-1").await.0), (moved("c-1"), moved("c-1"), 200));
    for old in ["a-1", "b-1"] {
        let page = site.place.read(&format!("public/articles/{old}/index.html"));
        let now = "https://test.example/articles/c-1/";
        assert!(page.contains(&format!("<link rel=\"canonical\" href=\"{now}\">")), "{page}");
        assert!(page.contains(&format!("http-equiv=\"refresh\" content=\"0; url={now}\"")), "{page}");
    }
    // Who names it by the address of before names it still, and its id is what it was.
    assert!(site.get("/articles/naming/").await.text().contains("/articles/c-1/"));
    assert_eq!(live(&site).await.entries.into_keys().collect::<BTreeSet<_>>(), ids);

    // Who comes to have the old slug has the page.
    site.place.article("b-1", "Another", "2026-03-05", "Text");
    site.refresh().await;
    assert_eq!((lead("a-1").await, lead("b-1").await.0), (moved("c-1"), 200));
    assert!(site.place.read("public/articles/b-1/index.html").contains("Another"));
    // Back where it was.
    site.place.write("articles/a-1.md", slugged("a-1"));
    site.refresh().await;
    assert_eq!((lead("a-1").await.0, lead("c-1").await), (200, moved("a-1")));
    assert!(site.place.read("public/articles/a-1/index.html").contains("One"));
    // With the article its addresses are gone.
    site.place.remove("articles/a-1.md");
    site.refresh().await;
    assert_eq!((lead("a-1").await.0, lead("c-1").await.0), (410, 410));
    assert!(!site.place.has("public/articles/a-1") && !site.place.has("public/articles/c-1"));
}
