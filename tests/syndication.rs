//! Feeds as bytes: snapshots of a small feed, and every document read back by other people's parsers.

use chrono::{DateTime, TimeZone, Utc};
use feed_rs::model::Feed;
use proptest::prelude::*;
use tidings::domain::article::Image;
use tidings::domain::crew::{GROUPS, ROLES};
use tidings::domain::entry::{Deleted, Entry, FeedDocument, History, OutlineFeed};
use tidings::domain::media::{Enclosure, Episode, EpisodeKind, Person, Transcript};
use tidings::domain::podcast::{Category, Funding, Order, Owner, Podcast};
use tidings::domain::text::clean;
use tidings::syndication::{Format, opml};

fn at(day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, day, hour, minute, 0).single().expect("a time of day")
}

fn lighthouse() -> Entry {
    Entry {
        id: "tag:lantern.example,2026-11-20:0193497d-8f00-7000-8000-000000000002".into(),
        url: "https://lantern.example/the-lighthouse-is-lit-again/?from=feed&lang=en".into(),
        title: "R&D: the keeper's <lamp> is \"lit\" again".into(),
        label: Some("Breaking news".into()),
        summary: "After nine dark winters, the lamp turns & burns (if 1 < 2).".into(),
        html: Some(
            "<p><strong>Port Example</strong></p>\n<p>It's lit &amp; turning: <code>]]&gt;</code> ]]></p>".into(),
        ),
        published: at(20, 6, 40),
        updated: at(20, 9, 5) + chrono::TimeDelta::nanoseconds(123_456_789),
        authors: vec!["Mara Quill".into(), "João Peixoto".into()],
        categories: vec!["news".into(), "harbour".into(), "news".into()],
        image: Some(Image {
            url: "https://lantern.example/lamp.jpg?w=800&h=600".into(),
            alt: "The lamp room \"at night\" & the sea".into(),
            size: Some((800, 600)),
        }),
        enclosure: None,
        language: None,
    }
}

fn farol() -> Entry {
    Entry {
        id: "tag:lantern.example,2026-11-02:0193497d-8f00-7000-8000-000000000001".into(),
        url: "https://lantern.example/farol/".into(),
        title: "O farol 🚨 às escuras".into(),
        label: None,
        summary: "Nove invernos sem luz.".into(),
        html: None,
        published: at(2, 18, 0),
        updated: at(2, 18, 0),
        authors: vec![],
        categories: vec![],
        image: None,
        enclosure: None,
        language: Some("pt".into()),
    }
}

fn feed(entries: Vec<Entry>) -> FeedDocument {
    FeedDocument {
        id: "tag:lantern.example,2026-10-01:feeds/news".into(),
        title: "Latest news & more".into(),
        description: "Everything we report, as it happens.".into(),
        language: "en".into(),
        page_url: "https://lantern.example/news/".into(),
        rss_url: "https://lantern.example/news/rss.xml".into(),
        atom_url: "https://lantern.example/news/atom.xml".into(),
        json_url: "https://lantern.example/news/feed.json".into(),
        stylesheet_url: Some("https://lantern.example/feed.css".into()),
        publication: "The Harbour Lantern".into(),
        publication_url: "https://lantern.example/".into(),
        image: Some(Image { url: "https://lantern.example/logo.png".into(), alt: "A lantern".into(), size: None }),
        podcast: None,
        hubs: vec!["https://hub.example/".into()],
        updated: entries.iter().map(|entry| entry.updated).max(),
        entries,
        history: History::default(),
    }
}

/// An episode of a podcast, with all that one can say.
fn episode() -> Entry {
    let person = |name: &str, role: &str| Person {
        name: name.into(),
        role: Some(role.into()),
        group: Some("cast".into()),
        image: Some("https://lantern.example/mara.jpg?a=1&b=2".into()),
        url: None,
    };
    let transcript = |file: &str, kind: &str, captions: bool| Transcript {
        url: format!("https://lantern.example/audio/{file}"),
        media_type: kind.into(),
        language: captions.then(|| "en".into()),
        captions,
    };
    Entry {
        id: "tag:lantern.example,2026-11-21:0193497d-8f00-7000-8000-000000000003".into(),
        url: "https://lantern.example/the-keeper-speaks/".into(),
        title: "Ep. 4: the keeper speaks".into(),
        enclosure: Some(Enclosure {
            url: "https://lantern.example/audio/keeper%20&%20lamp.mp3?from=feed&x=\"1\"".into(),
            length: Some(14_031_872),
            media_type: None,
            duration_s: Some(754),
            episode: Episode {
                title: Some("The keeper <speaks> & sings".into()),
                season: Some(2),
                number: Some(4),
                kind: Some(EpisodeKind::Full),
                explicit: Some(false),
                block: true,
                image: Some("https://lantern.example/keeper.jpg".into()),
                persons: vec![person("Mara Quill & \"Co\"", "host"), person("João Peixoto", "guest")],
                transcripts: vec![
                    transcript("keeper.vtt", "text/vtt", true),
                    transcript("keeper.html", "text/html", false),
                ],
                chapters: Some("https://lantern.example/audio/keeper.json".into()),
            },
        }),
        ..lighthouse()
    }
}

fn podcast() -> Podcast {
    Podcast {
        guid: Some("917393e3-1b1e-5cef-ace4-edaa54e1f810".into()),
        author: Some("Mara Quill & friends".into()),
        owner: Some(Owner { name: Some("The <Lantern>".into()), address: "podcast@lantern.example".into() }),
        categories: ["News > Daily News", "Society & Culture > Documentary", "History"]
            .map(|name| Category::named(name).expect("a category"))
            .into(),
        explicit: false,
        order: Order::Serial,
        block: true,
        complete: true,
        locked: Some(true),
        medium: Some("podcast".into()),
        funding: vec![Funding { url: "https://lantern.example/give?a=1&b=2".into(), text: "Keep it <lit>".into() }],
        persons: vec![Person { name: "Mara Quill".into(), ..Person::default() }],
    }
}

fn waves() -> FeedDocument {
    FeedDocument { podcast: Some(podcast()), ..feed(vec![episode(), farol()]) }
}

#[test]
fn a_podcast_is_written_as_its_snapshot() {
    for format in Format::ALL {
        insta::assert_snapshot!(format!("podcast-{format:?}"), text(format, &waves()));
    }
}

#[test]
fn another_parser_finds_the_same_enclosure_in_every_format() {
    let written = waves();
    let file = written.entries[0].enclosure.clone().unwrap();
    let url = url::Url::parse(&file.url).unwrap();
    for format in Format::ALL {
        let entry = &parsed(format, &written).entries[0];
        let (found, kind, length) = if format == Format::Rss {
            let mut content = entry.media.iter().flat_map(|media| &media.content);
            let found = content.find(|found| found.url.as_ref() == Some(&url)).unwrap_or_else(|| panic!("{entry:#?}"));
            (found.url.clone().unwrap().into(), found.content_type.as_ref().map(ToString::to_string), found.size)
        } else {
            let is_one =
                |link: &&feed_rs::model::Link| link.rel.as_deref() == Some("enclosure") || link.length.is_some();
            let link = entry.links.iter().find(is_one).unwrap_or_else(|| panic!("{entry:#?}"));
            (link.href.clone(), link.media_type.clone(), link.length)
        };
        assert_eq!(url::Url::parse(&found).unwrap(), url, "{format:?}");
        assert_eq!((kind.as_deref(), length), (Some("audio/mpeg"), file.length), "{format:?}");
    }
}

#[test]
fn a_file_of_unknown_size_has_a_length_of_nothing_in_rss_alone() {
    let mut entry = episode();
    let file = Enclosure { url: "https://cdn.example/one.ogg".into(), ..Enclosure::default() };
    entry.enclosure = Some(file);
    let written = feed(vec![entry]);
    assert!(
        text(Format::Rss, &written)
            .contains("<enclosure url=\"https://cdn.example/one.ogg\" length=\"0\" type=\"audio/ogg\"/>")
    );
    assert!(!text(Format::Atom, &written).contains("length="));
    assert!(!text(Format::Json, &written).contains("size_in_bytes"));
    // Who is no podcast speaks of none.
    assert!(!text(Format::Rss, &written).contains("itunes:") && !text(Format::Rss, &written).contains("podcast:"));
}

fn text(format: Format, feed: &FeedDocument) -> String {
    String::from_utf8(format.bytes(feed)).expect("UTF-8")
}

fn parsed(format: Format, feed: &FeedDocument) -> Feed {
    feed_rs::parser::parse(format.bytes(feed).as_slice()).expect("a feed")
}

#[test]
fn rss_is_written_as_its_snapshot() {
    insta::assert_snapshot!("rss", text(Format::Rss, &feed(vec![lighthouse(), farol()])));
}

#[test]
fn atom_is_written_as_its_snapshot() {
    insta::assert_snapshot!("atom", text(Format::Atom, &feed(vec![lighthouse(), farol()])));
}

#[test]
fn json_is_written_as_its_snapshot() {
    insta::assert_snapshot!("json", text(Format::Json, &feed(vec![lighthouse(), farol()])));
}

/// A volume between two others, of which an entry went.
fn volume() -> FeedDocument {
    let place = |name: &str| Some(format!("https://lantern.example/news{name}"));
    let deleted = Deleted { id: "tag:lantern.example,2026-11-01:x\"&<y>".into(), at: at(21, 7, 30) };
    FeedDocument {
        history: History {
            current: place(""),
            previous: place("/archive/1"),
            next: place("/archive/3?a=1&b=2"),
            deleted: vec![deleted],
        },
        hubs: vec![],
        ..feed(vec![farol()])
    }
}

#[test]
fn a_volume_is_written_as_its_snapshot() {
    for format in Format::ALL {
        insta::assert_snapshot!(format!("volume-{format:?}"), text(format, &volume()));
    }
}

#[test]
fn other_parsers_find_the_way_through_a_feed() {
    let urls = |folder: &str, file: &str| format!("https://lantern.example/news{folder}/{file}");
    for (format, file) in [(Format::Rss, "rss.xml"), (Format::Atom, "atom.xml")] {
        let text = text(format, &volume());
        assert!(text.contains("<fh:archive") && text.contains("xmlns:fh=\"http://purl.org/syndication/history/1.0\""));
        if format == Format::Atom {
            let read = parsed(format, &volume());
            let link =
                |rel: &str| read.links.iter().find(|link| link.rel.as_deref() == Some(rel)).unwrap().href.clone();
            assert_eq!(link("current"), urls("", file));
            assert_eq!(link("prev-archive"), urls("/archive/1", file));
            assert_eq!(link("next-archive"), urls("/archive/3?a=1&b=2", file));
        }
    }
    let json: serde_json::Value = serde_json::from_str(&text(Format::Json, &volume())).unwrap();
    assert_eq!(json["next_url"], urls("/archive/1", "feed.json"));
    assert_eq!(json["feed_url"], urls("", "feed.json"));
    let atom = atom_syndication::Feed::read_from(text(Format::Atom, &volume()).as_bytes()).unwrap();
    let deleted = &atom.extensions["at"]["deleted-entry"][0].attrs;
    assert_eq!(deleted["ref"], volume().history.deleted[0].id);
    assert_eq!(deleted["when"], "2026-11-21T07:30:00Z");
}

#[test]
fn opml_is_written_as_its_snapshot() {
    let outline = |name: &str| OutlineFeed {
        title: format!("{name} & \"more\""),
        description: "Everything we report, as it happens.".into(),
        xml_url: format!("https://lantern.example/{name}/rss.xml"),
        html_url: format!("https://lantern.example/{name}/"),
        language: "en".into(),
        categories: vec!["harbour".into(), "sea, and ships".into()],
        created: None,
    };
    let bytes = opml::bytes("The Harbour <Lantern>", Some(at(20, 9, 5)), &[outline("news"), outline("letters")]);
    insta::assert_snapshot!("opml", String::from_utf8(bytes).unwrap());
}

#[test]
fn another_parser_reads_the_same_feed_from_every_format() {
    let written = feed(vec![lighthouse(), farol()]);
    for format in Format::ALL {
        let read = parsed(format, &written);
        assert_eq!(read.title.unwrap().content, written.title, "{format:?}");
        assert_eq!(read.description.unwrap().content, written.description, "{format:?}");
        assert_eq!(read.language.as_deref(), Some("en"), "{format:?}");
        assert_eq!(read.entries.len(), 2, "{format:?}");
        for (read, written) in read.entries.iter().zip(&written.entries) {
            assert_eq!(read.id, written.id, "{format:?}");
            assert_eq!(read.title.as_ref().unwrap().content, written.title, "{format:?}");
            assert_eq!(read.published, Some(written.published), "{format:?}");
            assert_eq!(read.links[0].href, written.url, "{format:?}");
            if let Some(html) = &written.html {
                assert_eq!(read.content.as_ref().unwrap().body.as_ref(), Some(html), "{format:?}");
            }
        }
        let first = &read.entries[0];
        let names: Vec<_> = first.authors.iter().filter_map(|author| author.name.as_deref()).collect();
        assert_eq!(names, ["Mara Quill", "João Peixoto"], "{format:?}");
        let words: Vec<_> = first.categories.iter().map(|word| word.term.as_str()).collect();
        assert_eq!(words, ["Breaking news", "news", "harbour"], "{format:?}");
        if format != Format::Rss {
            assert_eq!(first.updated, Some(at(20, 9, 5)), "{format:?}");
        }
        if format != Format::Json {
            let media = &first.media[0];
            assert_eq!(media.content[0].url.as_ref().unwrap().as_str(), "https://lantern.example/lamp.jpg?w=800&h=600");
        }
    }
}

#[test]
fn each_document_says_where_it_stands_and_which_hub_tells_of_it() {
    let written = feed(vec![lighthouse()]);
    for (format, url) in [(Format::Rss, &written.rss_url), (Format::Atom, &written.atom_url)] {
        let read = parsed(format, &written);
        let with = |rel: &str| {
            let links = read.links.iter().filter(|link| link.rel.as_deref() == Some(rel));
            links.map(|link| link.href.clone()).collect::<Vec<_>>()
        };
        assert_eq!(with("self"), [url.as_str()], "{format:?}");
        assert_eq!(with("hub"), ["https://hub.example/"], "{format:?}");
    }
    let json: serde_json::Value = serde_json::from_slice(&Format::Json.bytes(&written)).unwrap();
    assert_eq!(json["feed_url"], written.json_url.as_str());
    assert_eq!(json["hubs"], serde_json::json!([{ "type": "WebSub", "url": "https://hub.example/" }]));
}

#[test]
fn a_feed_without_entries_is_valid_and_tells_no_build_time() {
    let mut empty = feed(vec![]);
    empty.stylesheet_url = None;
    assert!(!text(Format::Rss, &empty).contains("lastBuildDate"));
    assert!(text(Format::Atom, &empty).contains("<updated>2026-10-01T00:00:00+00:00</updated>"));
    for format in Format::ALL {
        assert_eq!(parsed(format, &empty).entries.len(), 0, "{format:?}");
    }
    assert!(String::from_utf8(opml::bytes("None", None, &[])).unwrap().contains("<body>\n</body>"));
}

#[test]
fn a_feed_of_summaries_has_its_summaries_as_content_where_content_is_required() {
    let written = feed(vec![farol()]);
    let json: serde_json::Value = serde_json::from_slice(&Format::Json.bytes(&written)).unwrap();
    assert_eq!(json["items"][0]["content_text"], "Nove invernos sem luz.");
    assert!(json["items"][0].get("content_html").is_none());
    assert!(!text(Format::Rss, &written).contains("content:encoded"));
    assert!(!text(Format::Atom, &written).contains("<content"));
}

#[test]
fn an_rss_feed_without_a_description_is_described_by_its_title() {
    let written = FeedDocument { description: " ".into(), ..feed(vec![]) };
    assert_eq!(parsed(Format::Rss, &written).description.unwrap().content, written.title);
}

#[test]
fn a_very_long_title_comes_back_whole() {
    let mut entry = lighthouse();
    entry.title = "a&<]]>\u{1}é".repeat(10_000);
    let written = feed(vec![entry]);
    for format in Format::ALL {
        let read = parsed(format, &written);
        assert_eq!(read.entries[0].title.as_ref().unwrap().content, "a&<]]>é".repeat(10_000), "{format:?}");
    }
}

/// Text made to break documents: any characters at all, between pieces of markup and what XML forbids.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        2 => "[ -~]{0,8}",
        4 => prop::sample::select(vec![
            "]]>", "<![CDATA[", "&", "&amp;", "&lt;", "&#x1f;", "&#0;", "<", ">", "\"", "'", "<!--", "-->", "<?", "?>",
            "</title>", "<script>", "\0", "\u{b}", "\u{1f}", "\u{7f}", "\u{85}", "\u{fffe}", "\u{ffff}", "\u{1fffe}",
            "\u{feff}", "\u{202e}", "\u{2028}", "\r", "\n", "\r\n", "\t", " ", "😀", "e\u{301}", "%00", "{{x}}", "\\u0000",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn hostile_image() -> impl Strategy<Value = Image> {
    (hostile(), hostile()).prop_map(|(url, alt)| Image { url, alt, size: None })
}

fn hostile_person() -> impl Strategy<Value = Person> {
    // What they do is one of some words, each of which is known at the door.
    let words = (prop::option::of(prop::sample::select(ROLES)), prop::option::of(prop::sample::select(&GROUPS[..])));
    let urls = (prop::option::of(hostile()), prop::option::of(hostile()));
    (hostile(), words, urls).prop_map(|(name, (role, group), (image, url))| Person {
        name,
        role: role.map(str::to_owned),
        group: group.map(str::to_owned),
        image,
        url,
    })
}

fn hostile_enclosure() -> impl Strategy<Value = Enclosure> {
    let options = [prop::option::of(hostile()), prop::option::of(hostile()), prop::option::of(hostile())];
    let numbers = (prop::option::of(any::<u64>()), prop::option::of(any::<u32>()), any::<bool>());
    let persons = prop::collection::vec(hostile_person(), 0..3);
    (hostile(), options, numbers, persons).prop_map(
        |(url, [media_type, title, image], (length, number, block), persons)| {
            let media_type_of = media_type.clone().unwrap_or_default();
            let transcript =
                Transcript { url: url.clone(), media_type: media_type_of, language: title.clone(), captions: block };
            let episode = Episode {
                chapters: title.clone(),
                title,
                season: number,
                number,
                kind: Some(EpisodeKind::Trailer),
                explicit: Some(block),
                block,
                image,
                persons,
                transcripts: vec![transcript],
            };
            Enclosure { url, length, media_type, duration_s: number, episode }
        },
    )
}

fn hostile_podcast() -> impl Strategy<Value = Podcast> {
    let persons = prop::collection::vec(hostile_person(), 0..3);
    (hostile(), hostile(), prop::option::of(hostile()), persons).prop_map(|(url, text, option, persons)| Podcast {
        guid: option.clone(),
        author: option.clone(),
        owner: Some(Owner { name: option.clone(), address: text.clone() }),
        medium: option,
        funding: vec![Funding { url, text }],
        persons,
        ..podcast()
    })
}

fn hostile_entry() -> impl Strategy<Value = Entry> {
    let lists = (prop::collection::vec(hostile(), 0..3), prop::collection::vec(hostile(), 0..3));
    let options = (
        prop::option::of(hostile()),
        prop::option::of(hostile()),
        prop::option::of(hostile_image()),
        prop::option::of(hostile()),
    );
    (hostile(), hostile(), hostile(), lists, options, prop::option::of(hostile_enclosure())).prop_map(
        |(url, title, summary, (authors, categories), (label, html, image, language), enclosure)| Entry {
            enclosure,
            url,
            title,
            label,
            summary,
            html,
            authors,
            categories,
            image,
            language,
            ..lighthouse()
        },
    )
}

fn hostile_feed() -> impl Strategy<Value = FeedDocument> {
    let entries = prop::collection::vec(hostile_entry(), 0..3);
    let texts = (hostile(), hostile(), hostile(), hostile(), hostile());
    let options = (prop::option::of(hostile()), prop::option::of(hostile_image()), prop::option::of(hostile_podcast()));
    (entries, texts, options).prop_map(|(entries, (title, description, language, url, publication), options)| {
        FeedDocument {
            rss_url: url.clone(),
            atom_url: url.clone(),
            hubs: vec![url],
            publication,
            stylesheet_url: options.0,
            image: options.1,
            podcast: options.2,
            history: History {
                current: Some(title.clone()),
                previous: Some(description.clone()),
                next: Some(language.clone()),
                deleted: vec![Deleted { id: title.clone(), at: at(2, 3, 4) }],
            },
            title,
            description,
            language,
            ..feed(entries)
        }
    })
}

/// Clean text as parsers report it: they trim, and some of them trim the ends of lines and other white space, too.
fn block(text: &str) -> String {
    clean(text).replace("\r\n", "\n").replace('\r', "\n").trim().to_owned()
}

fn line(text: &str) -> String {
    block(text).replace(['\n', '\t'], " ")
}

fn as_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn lines(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in texts.into_iter().map(|text| line(&text)).filter(|line| !line.is_empty()) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn check(format: Format, read: &feed_rs::model::Entry, written: &Entry) -> Result<(), TestCaseError> {
    let content =
        |text: &Option<feed_rs::model::Text>| text.as_ref().map_or(String::new(), |text| text.content.clone());
    let body = read.content.as_ref().and_then(|content| content.body.as_deref()).unwrap_or_default().trim();
    prop_assert_eq!(&read.id, &written.id);
    prop_assert_eq!(content(&read.title), line(&written.title));
    match (format, &written.html) {
        (Format::Rss, _) => prop_assert_eq!(content(&read.summary), as_html(&block(&written.summary))),
        (Format::Json, None) => prop_assert_eq!(body, block(&written.summary)),
        _ => prop_assert_eq!(content(&read.summary), block(&written.summary)),
    }
    if let Some(html) = &written.html {
        prop_assert_eq!(body, block(html));
    }
    let words: Vec<_> = read.categories.iter().map(|word| word.term.trim().to_owned()).collect();
    prop_assert_eq!(lines(words), lines(written.label.iter().chain(&written.categories).cloned()));
    // From RSS and JSON the parser takes addresses out of the names; those with an `@` are left to Atom.
    let names = lines(written.authors.iter().cloned());
    if format == Format::Atom || !names.is_empty() && !names.iter().any(|name| name.contains('@')) {
        let read = read.authors.iter().filter_map(|author| author.name.clone());
        prop_assert_eq!(lines(read), names);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_a_feed_comes_back_as_clean_text(written in hostile_feed()) {
        for format in Format::ALL {
            let bytes = format.bytes(&written);
            let document = std::str::from_utf8(&bytes).expect("UTF-8");
            prop_assert_eq!(clean(document), document, "characters that XML forbids in {:?}", format);
            let read = feed_rs::parser::parse(bytes.as_slice());
            let read = read.map_err(|error| TestCaseError::fail(format!("{format:?}: {error}: {document}")))?;
            prop_assert_eq!(read.title.map_or(String::new(), |title| title.content), line(&written.title));
            prop_assert_eq!(read.entries.len(), written.entries.len());
            for (read, written) in read.entries.iter().zip(&written.entries) {
                check(format, read, written)?;
            }
        }
    }

    #[test]
    fn a_list_of_feeds_is_well_formed_whatever_stands_in_it(title in hostile(), texts in [hostile(), hostile(), hostile()]) {
        let [name, url, word] = texts;
        let outline = OutlineFeed {
            title: name,
            description: title.clone(),
            xml_url: url.clone(),
            html_url: url,
            language: "en".into(),
            categories: vec![word],
            created: None,
        };
        let document = String::from_utf8(opml::bytes(&title, None, &[outline])).unwrap();
        prop_assert_eq!(clean(&document), document.as_str());
        let markup = document.matches('<').count();
        prop_assert_eq!(markup, 10, "{}", document);
    }
}
