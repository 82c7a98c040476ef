//! The folder, watched by the program as it runs: what is saved is in the feeds within moments, a burst is one sync, and half
//! a file is waited out. How long it takes is printed, and held to nothing: machines differ.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use support::http::ask;
use support::place::Place;

/// Longer than anything here takes, so that a test that hangs says where.
const PATIENCE: Duration = Duration::from_mins(1);

/// `tidings serve` on a place of its own; gone when it is dropped.
struct Served {
    place: Place,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    at: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With what `prepare` has put there.
    fn start_with(prepare: impl Fn(&Place)) -> Self {
        let place = Place::new();
        prepare(&place);
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut at = None;
        for line in lines.by_ref().map_while(Result::ok).take_while(|line| line != "Ctrl-C stops.") {
            at = at.or(line.trim().strip_prefix("Home").map(|home| home.trim().to_owned()));
        }
        let at = at.unwrap().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        Self { place, child, lines, at }
    }

    async fn feed(&self) -> String {
        ask(self.at, "GET", "/feeds/news/atom.xml", &[], b"").await.text()
    }

    /// The feed as soon as it has this in it.
    async fn feed_with(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let feed = self.feed().await;
            if feed.contains(text) {
                return feed;
            }
            assert!(began.elapsed() < PATIENCE, "{text} is never in the feed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the next sync says that it brought: articles that are new.
    fn synced(&mut self) -> usize {
        let is_sync = |line: &String| line.starts_with("articles: ");
        let line = self.lines.by_ref().map_while(Result::ok).find(is_sync).unwrap();
        line["articles: ".len()..].split(' ').next().unwrap().replace(',', "").parse().unwrap()
    }
}

fn article(title: &str, body: &str) -> String {
    format!("+++\ntitle = \"{title}\"\ndate = 2026-11-20T08:00:00Z\n+++\n{body}\n")
}

#[tokio::test]
async fn what_is_saved_is_in_the_feeds_within_moments() {
    let served = Served::start();
    let mut took = vec![];
    for number in 0..7 {
        let (title, body) = (format!("Saved {number}"), format!("Body {number}."));
        let began = Instant::now();
        served.place.write(&format!("articles/saved-{number}.md"), article(&title, &body));
        served.feed_with(&format!("Body {number}.")).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    eprintln!("saved to served: least {:?}, median {:?}, most {:?}", took[0], took[3], took[6]);
}

#[tokio::test]
async fn a_file_is_seen_in_a_static_folder_that_comes_later() {
    let served = Served::start();
    let text = article("Heard", "A body.").replace("\n+++\n", "\nenclosure = \"/horn.mp3\"\n+++\n");
    served.place.write("articles/heard.md", text);
    let feed = served.feed_with("A body.").await;
    assert!(!feed.contains("horn.mp3"), "{feed}");
    for bytes in ["no music", "no music at all"] {
        served.place.write("static/horn.mp3", bytes);
        served.feed_with(&format!("length=\"{}\"", bytes.len())).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_no_watch_tells_of_is_seen_after_what_it_tells_of() {
    let served = Served::start_with(|place| {
        for number in 0..400 {
            place.write(&format!("articles/old-{number:03}.md"), article(&format!("Old {number}"), "A body."));
        }
        place.write("elsewhere.md", article("Linked", "A body.").replace("2026-11-20", "2026-11-22"));
        // Its other name is in no folder that is watched.
        std::fs::hard_link(place.path().join("elsewhere.md"), place.path().join("articles/linked.md")).unwrap();
    });
    served.feed_with("Linked").await;
    let path = served.place.path().join("elsewhere.md");
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    writeln!(file, "One more line.").unwrap();
    drop(file);
    served.place.write("articles/told.md", article("Told of", "A body.").replace("2026-11-20", "2026-11-21"));
    served.feed_with("Told of").await;
    served.feed_with("One more line.").await;
}

#[tokio::test]
async fn a_burst_of_files_is_one_sync() {
    let mut served = Served::start();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..500 {
        let before = Instant::now();
        served.place.write(&format!("articles/burst-{number}.md"), article(&format!("Burst {number}"), "A body."));
        longest = longest.max(before.elapsed());
    }
    let written = began.elapsed();
    let (mut syncs, mut new) = (0, 0);
    while new < 500 {
        new += served.synced();
        syncs += 1;
    }
    eprintln!("500 files written in {written:?}, served after {:?}, in {syncs} sync(s)", began.elapsed());
    // Whoever writes slower than that writes no burst.
    assert!(syncs == 1 || longest > Duration::from_millis(200) || written > Duration::from_secs(4), "{syncs} syncs");
}

#[tokio::test]
async fn half_a_file_is_waited_out() {
    let served = Served::start();
    let path = served.place.path().join("articles/slow.md");
    let mut file = std::fs::File::create(path).unwrap();
    let mut longest = Duration::ZERO;
    file.write_all(article("Slow", "The first part.").as_bytes()).unwrap();
    for number in 0..8 {
        let before = Instant::now();
        tokio::time::sleep(Duration::from_millis(60)).await;
        writeln!(file, "Part {number}.").unwrap();
        longest = longest.max(before.elapsed());
    }
    writeln!(file, "The last part.").unwrap();
    let feed = served.feed_with("The first part.").await;
    eprintln!("the longest pause between two parts: {longest:?}");
    // A pause that is longer than the folder has to be quiet is the end of a file.
    assert!(feed.contains("The last part.") || longest > Duration::from_millis(250), "{feed}");
}
