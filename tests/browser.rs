//! The pages as Chromium shows them. Without it these tests are skipped with a word; in CI it has to be there.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use support::place::Place;
use support::site::Site;
use tidings::domain::feed::FeedName;
use tidings::task::{Clock, pages};

/// Longer than a page takes on a busy machine, so that a browser that hangs is ended and named.
const PATIENCE: Duration = Duration::from_secs(45);
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 900;

/// What the browser made of an address.
#[derive(Debug)]
struct Seen {
    dom: String,
    /// What it wrote to its console: faults of scripts, refusals by policy, what could not be loaded.
    console: Vec<String>,
    picture: Vec<u8>,
}

fn is_there() -> bool {
    let there = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "CI has to have chromium");
    if !there {
        eprintln!("skipped: chromium is not installed");
    }
    there
}

/// Opens an address with a new, empty profile, and closes the browser again.
async fn open(address: &str) -> Seen {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || open_and_wait(&address, &[])).await.unwrap()
}

/// The same, while so much time passes for the page's scripts.
async fn open_for(address: &str, time_ms: u32) -> Seen {
    let address = address.to_owned();
    let time = format!("--virtual-time-budget={time_ms}");
    tokio::task::spawn_blocking(move || open_and_wait(&address, &[&time])).await.unwrap()
}

fn open_and_wait(address: &str, more: &[&str]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    let mut child = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"])
        .arg("--enable-logging=stderr")
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--window-size={WIDTH},{HEIGHT}"))
        .arg(format!("--screenshot={}", picture.display()))
        .args(more)
        .args(["--dump-dom", address])
        // What it puts beside its profile goes with the folder.
        .envs(["TMPDIR", "HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, folder.path())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chromium starts");
    let (done, ended) = channel();
    let read = |mut pipe: Box<dyn Read + Send>| {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut bytes = vec![];
            let _ = pipe.read_to_end(&mut bytes);
            let _ = done.send(());
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let in_time = (0..2).all(|_| ended.recv_timeout(PATIENCE).is_ok());
    if !in_time {
        let _ = child.kill();
    }
    let _ = child.wait();
    assert!(in_time, "{address}: the browser did not end");
    let (dom, log) = (out.join().unwrap(), err.join().unwrap());
    let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    Seen { dom, console, picture: std::fs::read(&picture).unwrap_or_else(|error| panic!("{address}: {error}\n{log}")) }
}

/// Width and height of a PNG (its IHDR chunk).
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn file(path: &Path, html: &str) -> String {
    std::fs::write(path, html).unwrap();
    format!("file://{}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_page_is_shown_without_a_word_in_the_console() {
    if !is_there() {
        return;
    }
    let site = Site::serve(Place::sample(), Clock::system()).await;
    // What this test would see if there were something: a script that fails, and a page with nothing on it.
    let folder = tempfile::tempdir().unwrap();
    let faulty =
        open(&file(&folder.path().join("faulty.html"), "<p>x<script>document.title='ran';nothing()</script>")).await;
    assert!(faulty.dom.contains("<title>ran</title>") && faulty.console.len() == 1, "{:?}", faulty.console);
    let blank = faulty.picture.len();

    for (path, words) in [
        ("/", "The lighthouse is lit again"),
        ("/articles/the-lighthouse-is-lit-again/", "Two flashes, then a breath"),
        ("/feeds/news/", "In a feed reader"),
        ("/subscribe", "What would you like to read?"),
        ("/feeds/news/rss.xml", "The lighthouse is lit again"),
    ] {
        let seen = open(&site.url(path)).await;
        assert!(seen.dom.contains(words), "{path}: {words:?} is not in {}", seen.dom);
        assert_eq!(size(&seen.picture), (WIDTH, HEIGHT), "{path}");
        assert!(
            seen.picture.len() > 3 * blank,
            "{path}: {} bytes, as against {blank} of an empty page",
            seen.picture.len()
        );
        // A browser asks for the icon of an XML document by itself.
        let console: Vec<_> = seen.console.iter().filter(|line| !line.contains("favicon.ico")).collect();
        assert!(console.is_empty(), "{path}: {console:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_article_brings_along_runs() {
    if !is_there() {
        return;
    }
    const RUN: &str = "document.documentElement.dataset.ran='1';document.title='ran'";
    let hostile = [
        format!("<script>{RUN}</script>"),
        format!("<img src=x onerror=\"{RUN}\">"),
        format!("<svg onload=\"{RUN}\"></svg>"),
        format!("<svg><script>{RUN}</script></svg>"),
        format!("<details open ontoggle=\"{RUN}\"><summary>x</summary></details>"),
        format!("<input autofocus onfocus=\"{RUN}\">"),
        format!("<iframe srcdoc=\"<script>parent.{RUN}</script>\"></iframe>"),
        format!("<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror={RUN}&gt;\">"),
        format!("</script><script>{RUN}</script>"),
        format!("\"><body onload=\"{RUN}\">"),
        "<meta http-equiv=refresh content='0;url=data:text/html,<title>ran</title>'>".to_owned(),
    ];
    let place = Place::new();
    let all = hostile.join("\n\n");
    let quoted = toml::Value::String(hostile.join(" "));
    place.write(
        "articles/hostile.md",
        format!(
            "+++\ntitle = {quoted}\ndate = 2026-03-01\nlabel = {quoted}\nsummary = {quoted}\nauthors = [{quoted}]\ntags = [{quoted}]\nimage = \"/x.png\"\nimage_alt = {quoted}\nfaq = [{{ question = {quoted}, answer = {quoted} }}]\n+++\n{all}\n"
        ),
    );
    place.write(
        "articles/page.html",
        format!("<html><head><title>x</title><meta name=date content=2026-03-02></head><body>{all}</body></html>"),
    );
    let site = Site::serve(place, Clock::system()).await;
    for path in ["/articles/hostile/", "/", "/feeds/news/rss.xml"] {
        let seen = open(&site.url(path)).await;
        assert!(seen.dom.contains("<html") || seen.dom.contains("<rss"), "{path}: {}", seen.dom);
        assert!(!seen.dom.contains("data-ran") && !seen.dom.contains("<title>ran</title>"), "{path}: {}", seen.dom);
        // Not even the policy had to step in: nothing was there to be refused. (The pictures do not exist.)
        let refused: Vec<_> = seen.console.iter().filter(|line| line.contains("Content Security Policy")).collect();
        assert!(refused.is_empty(), "{path}: {refused:#?}");
    }
}

/// Answers every request with this page, on a port of its own: another site.
async fn elsewhere(html: String) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{html}",
                html.len()
            );
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_answers_in_its_place_on_another_site() {
    if !is_there() {
        return;
    }
    let site = Site::serve(Place::sample(), Clock::system()).await;
    let publication = &site.app.publication;
    let wanted = pages::Snippet { feeds: &[FeedName::parse("news").unwrap()], language: Some("fr"), script: true };
    let form = pages::snippet(publication, wanted).unwrap();
    let visitor = "addEventListener('load', () => { const form = document.forms[0]; \
                   form.elements.address.value = 'mara@quill.example'; form.requestSubmit(); })";
    let page = format!("<!doctype html><title>Elsewhere</title><main>{form}</main><script>{visitor}</script>");
    let seen = open_for(&format!("http://{}/", elsewhere(page).await), 30_000).await;
    assert!(seen.dom.contains("<title>Elsewhere</title>"), "{}", seen.dom);
    assert!(
        seen.dom.contains("Consultez votre boîte de réception") && seen.dom.contains("role=\"status\""),
        "{seen:#?}"
    );
    let who = publication.store.subscriber_by_address("mara@quill.example").await.unwrap();
    assert!(who.is_some(), "{seen:#?}");
    assert_eq!(site.mail().await.len(), 1);
}
