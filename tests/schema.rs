//! Outside verdicts on every document of a publication: xmllint finds it well-formed, and each Atom document, volumes
//! included, is what the schema of RFC 4287 says.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::path::Path;
use std::process::Command;

use support::place::Place;

/// The schema of RFC 4287.
fn schema() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schemas/atom.rng").display().to_string()
}

/// Whether there is an xmllint; CI has to have it.
fn is_there() -> bool {
    let there = Command::new("xmllint").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "CI has to have xmllint");
    if !there {
        eprintln!("skipped: xmllint is not installed");
    }
    there
}

/// What xmllint complains of in these files.
fn complaints(options: &[&str], place: &Place, files: &[String]) -> Vec<String> {
    let root = place.path().join("public");
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet"])
        .args(options)
        .args(files.iter().map(|file| root.join(file)))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<String> =
        text.lines().filter(|line| !line.ends_with(" validates")).map(str::to_owned).collect();
    assert_eq!(output.status.success(), complaints.is_empty(), "{text}");
    complaints
}

/// The sample publication with shelves, with feeds that are small enough to have volumes, and with a podcast.
fn full() -> Place {
    let place = Place::sample();
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}\n[feeds]\nby = [\"section\", \"tag\", \"author\"]\nhub = \"own\"\n"));
    let news = place.read("feeds/news.toml");
    let news: Vec<&str> = news.lines().filter(|line| !line.starts_with("limit")).collect();
    place.write("feeds/news.toml", format!("limit = 6\n{}", news.join("\n")));
    place.write(
        "feeds/waves.toml",
        "title = \"Waves & more\"\nimage = \"/images/ferry.png\"\nlimit = 2\nselect = { section = \"waves\" }\n\n[podcast]\n\
         owner = \"Mara Quill <waves@lantern.example>\"\ncategories = [\"News > Daily News\", \"History\"]\nlocked = true\n\
         persons = [{ name = \"Mara Quill\", role = \"host\" }]\n",
    );
    place.write("static/audio/horn.mp3", "no music at all");
    for number in 1..=5 {
        place.write(
            &format!("articles/horn-{number}.md"),
            format!(
                "+++\ntitle = \"The <horn> & {number}\"\ndate = 2026-03-0{number}\nsection = \"waves\"\n\
                 image = \"/images/lighthouse.png\"\nimage_alt = \"A \\\"lamp\\\" & <more>\"\n\
                 enclosure = \"/audio/horn.mp3\"\n[episode]\nnumber = {number}\nseason = 1\nexplicit = false\n\
                 persons = [{{ name = \"João & Co\", role = \"guest\" }}]\n+++\nListen.\n"
            ),
        );
    }
    place
}

#[test]
fn every_document_is_well_formed_and_every_atom_document_meets_its_schema() {
    if !is_there() {
        return;
    }
    let place = full();
    place.run(&["publish"]).ended(0);
    // What went leaves a mark in the live document and in a volume.
    for number in [1, 5] {
        place.remove(&format!("articles/horn-{number}.md"));
    }
    place.run(&["publish"]).ended(0);
    let files: Vec<String> = place.files("public").into_keys().collect();
    let ending =
        |ending: &str| -> Vec<String> { files.iter().filter(|file| file.ends_with(ending)).cloned().collect() };
    let (xml, atom) = ([ending(".xml"), ending(".opml")].concat(), ending("atom.xml"));
    for of in ["feeds/news/archive/1/atom.xml", "feeds/waves/archive/1/atom.xml", "sections/news/atom.xml"] {
        assert!(atom.iter().any(|file| file == of), "{of} is not in {atom:#?}");
    }
    assert!(xml.len() > 60 && atom.len() > 30, "{} {}", xml.len(), atom.len());
    assert!(place.read("public/feeds/waves/atom.xml").contains("at:deleted-entry"));
    assert_eq!(complaints(&[], &place, &xml), Vec::<String>::new());
    assert_eq!(complaints(&["--relaxng", &schema()], &place, &atom), Vec::<String>::new());
}

#[test]
fn the_schema_says_no_where_a_document_is_not_atom() {
    if !is_there() {
        return;
    }
    let place = Place::new();
    let feed = |inside: &str| format!("<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:o=\"o:\">{inside}</feed>");
    let head = "<id>a:b</id><title>T</title><updated>2026-03-01T00:00:00Z</updated>";
    let entry = format!("<entry>{head}</entry>");
    for (inside, is_good) in [
        (format!("{head}<o:x y=\"z\"><o:w/></o:x>{entry}"), true),
        (format!("{head}<link href=\"/x\" rel=\"enclosure\" length=\"1\" type=\"audio/mpeg\"/>"), true),
        ("<id>a:b</id><title>T</title><updated>2026-03-01</updated>".to_owned(), false),
        ("<id>a:b</id><updated>2026-03-01T00:00:00Z</updated>".to_owned(), false),
        (format!("{head}{entry}<o:x/>"), false),
        (format!("{head}<link rel=\"self\"/>"), false),
        (format!("{head}<link href=\"/x\" type=\"sound\"/>"), false),
        (format!("{head}<title>Another</title>"), false),
        (format!("{head}<surprise/>"), false),
    ] {
        place.write("public/atom.xml", feed(&inside));
        let said = complaints(&["--relaxng", &schema()], &place, &["atom.xml".to_owned()]);
        assert_eq!(said.is_empty(), is_good, "{inside}: {said:#?}");
    }
}
