//! The whole life of a reader in a real browser against the program as it runs; what happens in it stands in
//! `tests/verify/life.py`. Without Chromium and Playwright it is skipped with a word; in CI both have to be there.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use support::place::Place;

/// Where pictures of every page go, for people to look at.
const PICTURES: &str = "TIDINGS_PICTURES";

/// The sample with a feed for each section, tag and author, a past digest, an article that was withdrawn, and one that moved.
fn with_a_past() -> Place {
    let place = Place::sample();
    let config = place.read("config.toml").replace("# [feeds]\n# by =", "[feeds]\nby =");
    place.write("config.toml", config);
    let run = |verbs: &[&str]| assert!(place.command(verbs).output().expect("the program runs").status.success());
    run(&["publish"]);
    run(&["subscribers", "add", "cid@reader.example", "--feed", "news"]);
    run(&["digest", "send", "news", "--latest", "3", "--yes"]);
    std::fs::remove_file(place.path().join("articles/night-ferry.md")).expect("it is there");
    let boats = place.read("articles/forty-boats-and-one-bathtub.md");
    place.write(
        "articles/forty-boats-and-one-bathtub.md",
        boats.replacen("+++\n", "+++\nslug = \"the-bathtub-race\"\n", 1),
    );
    run(&["publish"]);
    place
}

#[test]
fn a_reader_signs_up_confirms_chooses_pauses_leaves_comes_back_and_is_erased() {
    let imports =
        ["-c", "import axe_playwright_python, playwright, shutil, sys; sys.exit(not shutil.which('chromium'))"];
    let is_there = Command::new("python3").args(imports).output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "CI has to have chromium, playwright and axe");
    if !is_there {
        eprintln!("skipped: chromium, playwright or axe is not installed");
        return;
    }
    let place = with_a_past();
    let mut serving = place
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut said = BufReader::new(serving.stdout.take().expect("a pipe"));
    let mut base = None;
    let mut line = String::new();
    while base.is_none() && said.read_line(&mut line).is_ok_and(|read| read > 0) {
        base = line.find("http://127.0.0.1:").map(|at| line[at..].trim().trim_end_matches(['/', '.']).to_owned());
        line.clear();
    }
    // What it says from here on is read away, lest it wait for a reader.
    let rest = std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    let pictures = std::env::var_os(PICTURES).map_or_else(|| place.path().join("pictures"), Into::into);
    let lived = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify/life.py"))
        .arg(base.expect("it says where it listens"))
        .arg(place.path().join("outbox"))
        .arg(place.path().join("public"))
        .arg(pictures)
        .output()
        .expect("python3 runs");
    serving.kill().expect("it runs");
    let _ = serving.wait();
    let _ = rest.join();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(lived.status.success(), "{}\n{}", text(&lived.stdout), text(&lived.stderr));
}
