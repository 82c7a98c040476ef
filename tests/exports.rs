//! Exports of other programs and folders of theirs: what comes in, what does not and why, and what hostile ones do.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;

use chrono::DateTime;
use tidings::source::Context;
use tidings::source::import::{self, Brought, Fate, Kind};
use url::Url;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let base = Url::parse("https://post.example").expect("a URL");
    let now = DateTime::from_timestamp_secs(1_780_000_000).expect("a moment in May 2026");
    run(&Context { base: &base, time_zone: chrono_tz::Europe::Lisbon, now })
}

fn read(name: &str, bytes: &[u8]) -> Brought {
    with_context(|context| import::read(name, bytes, import::Way::default(), context, "en"))
}

fn shown(brought: &Brought) -> String {
    let mut out = format!("{}\n", brought.kind.name());
    for piece in &brought.pieces {
        let name = piece
            .whole
            .as_ref()
            .map_or_else(|| format!("{}.{}", piece.stem().expect("a name"), piece.ending()), |(key, _)| key.clone());
        writeln!(out, "== {name}\n{}", piece.text()).expect("a string");
    }
    out.push_str("== account\n");
    for entry in &brought.account {
        let unsure = if entry.unsure { " (?)" } else { "" };
        writeln!(out, "{}:{} {:?}{unsure}: {}: {}", entry.file, entry.line, entry.fate, entry.what, entry.text)
            .expect("a string");
    }
    for problem in &brought.problems {
        writeln!(out, "{problem}").expect("a string");
    }
    out
}

fn problems(brought: &Brought) -> Vec<String> {
    brought.problems.iter().map(ToString::to_string).collect()
}

const WORDPRESS: &str = include_str!("fixtures/exports/wordpress.xml");
const GHOST: &str = include_str!("fixtures/exports/ghost.json");

#[test]
fn an_export_of_wordpress_comes_in_with_all_that_its_posts_have() {
    insta::assert_snapshot!(shown(&read("wordpress.xml", WORDPRESS.as_bytes())));
}

#[test]
fn an_export_of_ghost_comes_in_with_all_that_its_posts_have() {
    insta::assert_snapshot!(shown(&read("ghost.json", GHOST.as_bytes())));
}

#[test]
fn what_is_no_export_is_told_apart_and_named() {
    for (bytes, expected) in [
        (&b"<?xml version=\"1.0\"?><rss><channel/></rss>"[..], "page: XML, but no export of WordPress"),
        (b"%PDF-1.7", "page: neither text nor an export that is known"),
        (b"PK\x03\x04 not really", "page: not a ZIP that can be read"),
        (b"{\"db\": [{\"data\": {\"posts\": []", "page:1: not JSON"),
        (b"{\"db\": [], \"meta\": 1}", "page: no posts in it"),
    ] {
        let found = problems(&read("page", bytes));
        assert!(found.first().is_some_and(|problem| problem.starts_with(expected)), "{expected}: {found:?}");
    }
    assert_eq!(Kind::of("page", b"The steps are open\n").expect("text"), Kind::Text);
}

#[test]
fn a_hostile_export_of_wordpress_is_stopped_where_it_begins_to_be_one() {
    let bomb =
        WORDPRESS.replacen("<rss", "<!DOCTYPE rss [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<rss", 1);
    let brought = read("wordpress.xml", bomb.as_bytes());
    assert_eq!(brought.pieces.len(), 0);
    assert!(
        problems(&brought)[0].starts_with("wordpress.xml:4: the file has a document type"),
        "{:?}",
        problems(&brought)
    );

    let outside = WORDPRESS.replacen("<title>Not ready</title>", "<title>Not &file; ready</title>", 1);
    let brought = read("wordpress.xml", outside.as_bytes());
    assert!(brought.pieces.iter().any(|piece| piece.title == "Not &file; ready"));
    assert!(
        problems(&brought).iter().any(|problem| problem.contains("&file; is not known in XML")),
        "{:?}",
        problems(&brought)
    );

    let deep = WORDPRESS.replacen("<item>", &format!("<item>{}", "<x>".repeat(5000)), 1);
    let found = problems(&read("wordpress.xml", deep.as_bytes()));
    assert!(found[0].contains("nested more than 32 deep"), "{found:?}");

    let half = &WORDPRESS[..WORDPRESS.find("<title>Not ready").expect("it")];
    let brought = read("wordpress.xml", half.as_bytes());
    assert_eq!(brought.pieces.len(), 2, "what came before the end is here");
    assert!(
        problems(&brought).iter().any(|problem| problem.contains("ends in the middle")),
        "{:?}",
        problems(&brought)
    );

    let active = WORDPRESS.replacen(
        "<p>Half of it.</p>",
        "<p onclick=\"x()\">Half<script>alert(1)</script><a href=\"javascript:x\">y</a></p>",
        1,
    );
    let brought = read("wordpress.xml", active.as_bytes());
    let text: String = brought.pieces.iter().map(import::Piece::text).collect();
    for gone in ["<script", "onclick", "javascript:"] {
        assert!(!text.contains(gone), "{gone}");
    }
}

/// Bytes of a ZIP with these files.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a file in it");
        writer.write_all(content).expect("bytes in it");
    }
    writer.finish().expect("a ZIP").into_inner()
}

const POSTS: &str = "post_id,post_date,is_published,email_sent_at,inbox_sent_at,type,audience,title,subtitle,podcast_url\n\
    101.the-steps,2023-05-01T06:00:00.000Z,true,2023-05-01T06:00:10.000Z,,newsletter,everyone,The steps are open,\"Mind the third, please\",https://cdn.example/podcast/101\n\
    102.for-friends,2023-06-01T06:00:00.000Z,true,,,newsletter,only_paid,For friends,,\n\
    103.unfinished,,false,,,newsletter,everyone,Unfinished,,\n\
    104.talk,2023-06-02T06:00:00.000Z,true,,,thread,everyone,Let us talk,,\n\
    105.lost,2023-06-03T06:00:00.000Z,true,,,newsletter,everyone,Lost,,\n";

const STEPS: &str = "<p>You can walk down again.</p><div class=\"captioned-image-container\"><figure><a class=\"image-link\" href=\"https://cdn.example/big.png\"><div class=\"image2-inset\"><img src=\"https://cdn.example/steps.png\" alt=\"Steps\"><div class=\"image-link-expand\"><svg></svg></div></div></a></figure></div>\
    <div class=\"subscription-widget-wrap\"><p class=\"cta-caption\">Thanks for reading! Subscribe for free.</p><form><input type=\"email\"></form></div>\
    <div class=\"youtube-wrap\"><iframe src=\"https://video.example/embed/2\"></iframe></div>";

#[test]
fn an_export_of_substack_comes_in_with_all_that_its_posts_have() {
    let bytes = zip(&[
        ("posts.csv", POSTS.as_bytes()),
        ("posts/101.the-steps.html", STEPS.as_bytes()),
        ("posts/102.for-friends.html", b"<p>Hush.</p>"),
        ("posts/103.unfinished.html", b"<p>Half of it.</p>"),
        ("posts/101.the-steps.delivers.csv", b"post_id,timestamp,email"),
        ("email_list.csv", b"email\nann@reader.example\n"),
    ]);
    let brought = read("export.zip", &bytes);
    insta::assert_snapshot!(shown(&brought));
    let text: String = brought.pieces.iter().map(import::Piece::text).collect();
    assert!(!text.contains("ann@reader.example"));
}

#[test]
fn a_hostile_zip_writes_nothing_and_names_what_it_holds() {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default();
    for name in ["../../posts/1.up.html", "/posts/2.root.html", "posts/..\\3.back.html"] {
        writer.start_file(name, options).expect("a file");
        writer.write_all(b"<p>x</p>").expect("bytes");
    }
    writer.add_symlink("posts/4.link.html", "/etc/passwd", options).expect("a link");
    writer.start_file("posts/5.bomb.html", options).expect("a file");
    writer.write_all(&vec![b'a'; 4 * 1024 * 1024]).expect("bytes");
    writer
        .start_file("posts/6.large.html", options.compression_method(zip::CompressionMethod::Stored))
        .expect("a file");
    writer.write_all(&vec![b'a'; 6 * 1024 * 1024]).expect("bytes");
    writer.start_file("posts.csv", options).expect("a file");
    writer.write_all(POSTS.as_bytes()).expect("bytes");
    writer.start_file("posts/101.the-steps.html", options).expect("a file");
    writer.write_all(STEPS.as_bytes()).expect("bytes");
    let bytes = writer.finish().expect("a ZIP").into_inner();
    let brought = read("export.zip", &bytes);
    assert_eq!(brought.pieces.len(), 1, "the good one comes in");
    let found = problems(&brought);
    for (file, what) in [
        ("1.up.html", "leads out of the archive"),
        ("2.root.html", "leads out of the archive"),
        ("3.back.html", "leads out of the archive"),
        ("4.link.html", "a symbolic link"),
        ("5.bomb.html", "more than 200 times"),
        ("6.large.html", "larger than 5 MiB"),
    ] {
        assert!(
            found.iter().any(|problem| problem.contains(file) && problem.contains(what)),
            "{file} {what}: {found:#?}"
        );
    }
    // Any byte of it broken: a fault at most.
    for at in (0..bytes.len().min(2000)).step_by(7) {
        let mut broken = zip(&[("posts.csv", POSTS.as_bytes()), ("posts/101.the-steps.html", STEPS.as_bytes())]);
        if let Some(byte) = broken.get_mut(at) {
            *byte ^= 0x55;
        }
        read("export.zip", &broken);
    }
}

fn folder(name: &str) -> Brought {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    with_context(|context| import::folder("old", &path, None, false, context))
}

#[test]
fn folders_of_hugo_and_jekyll_stay_as_they_are_but_for_what_their_places_said() {
    insta::assert_snapshot!(shown(&folder("exports/hugo")) + &shown(&folder("exports/jekyll")));
}

#[test]
fn old_posts_are_archive_and_drafts_and_what_is_to_come_are_not() {
    for brought in
        [read("wordpress.xml", WORDPRESS.as_bytes()), read("ghost.json", GHOST.as_bytes()), folder("exports/hugo")]
    {
        for piece in brought.pieces.iter().filter(|piece| !piece.draft) {
            assert!(piece.archive, "{}", piece.title);
        }
        assert!(brought.account.iter().all(|entry| entry.fate != Fate::Kept));
    }
    let later = WORDPRESS.replace("2019-11-09 12:30:00", "2031-11-09 12:30:00").replacen("publish", "future", 1);
    let brought = read("wordpress.xml", later.as_bytes());
    assert!(!brought.pieces[0].archive, "what is published one day is news on that day");
}
