//! Feeds elsewhere in every shape that they come in: what is read of each, and that nothing hostile does harm.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use tidings::domain::article::{Article, ArticleId};
use tidings::problem::Problem;
use tidings::source::remote::{self, Document, Manner, Remote, RemoteEntry};
use url::Url;

const FEED: &str = "https://blog.example/feed.xml";

fn now() -> DateTime<Utc> {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

fn read_as(bytes: &[u8], content_type: Option<&str>) -> Result<Remote, Problem> {
    let url = Url::parse(FEED).unwrap();
    remote::read(&Document { url: &url, content_type, bytes })
}

fn read(text: &str) -> Remote {
    read_as(text.as_bytes(), None).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

fn manner() -> Manner {
    Manner {
        name: "blog.example".into(),
        section: None,
        language: None,
        authors: vec![],
        pages: false,
        own_language: "en".into(),
    }
}

fn article(entry: &RemoteEntry) -> Article {
    let date = entry.published.unwrap_or_else(now);
    remote::article(ArticleId::new(now()), remote::slug(entry), date, entry, &manner())
}

/// The one article of a document.
fn only(text: &str) -> Article {
    let remote = read(text);
    let [entry] = remote.entries.as_slice() else { panic!("{} entries in {text}", remote.entries.len()) };
    article(entry)
}

fn rss(item: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\" xmlns:content=\"http://purl.org/rss/1.0/modules/content/\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:media=\"http://search.yahoo.com/mrss/\"><channel><title>B</title>\
         <link>https://blog.example/</link><description>d</description><language>en-us</language><item>{item}</item></channel></rss>"
    )
}

#[test]
fn an_episode_keeps_its_sound_beside_a_picture() {
    let sound = "<enclosure url=\"https://cdn.example/1.mp3?a=1&amp;b=2\" length=\"4096\" type=\"audio/mpeg\"/>";
    let picture = "<media:content url=\"https://cdn.example/1.jpg\" medium=\"image\" type=\"image/jpeg\"/>";
    let film = "<media:content url=\"https://cdn.example/1.mp4\" type=\"video/mp4\"/>";
    for (media, url, pictured) in [
        (sound.to_owned(), "https://cdn.example/1.mp3?a=1&b=2", false),
        (format!("{sound}{picture}"), "https://cdn.example/1.mp3?a=1&b=2", true),
        (format!("{picture}{sound}"), "https://cdn.example/1.mp3?a=1&b=2", true),
        (format!("<media:group>{picture}</media:group>{sound}"), "https://cdn.example/1.mp3?a=1&b=2", true),
        (format!("{sound}{film}"), "https://cdn.example/1.mp4", false),
    ] {
        let made = only(&rss(&format!("<guid>1</guid><title>T</title>{media}")));
        let enclosure = made.enclosure.unwrap_or_else(|| panic!("{media}"));
        assert_eq!(enclosure.url.as_str(), url, "{media}");
        assert_eq!(made.image.is_some(), pictured, "{media}");
        assert!(url.contains("mp4") || enclosure.length == Some(4096), "{media}");
    }
}

#[test]
fn an_episode_says_how_long_it_is_wherever_else_its_file_is_named() {
    let sound = "<enclosure url=\"https://cdn.example/1.mp3\" length=\"4096\" type=\"audio/mpeg\"/>";
    let media = "<media:content url=\"https://cdn.example/1.mp3\" type=\"audio/mpeg\"/>";
    for media in ["", &format!("<media:group>{media}</media:group>"), media] {
        let told = ["title", "duration"]
            .map(|name| format!("<i:{name} xmlns:i=\"http://www.itunes.com/dtds/podcast-1.0.dtd\">10:00</i:{name}>"));
        let made = only(&rss(&format!("<guid>1</guid><title>T</title>{sound}{media}{}", told.concat())));
        assert_eq!(made.enclosure.unwrap().duration_s, Some(600), "{media}");
    }
}

fn atom(entry: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><feed xmlns=\"http://www.w3.org/2005/Atom\"><title>B</title><id>urn:b</id>\
         <link href=\"https://blog.example/\"/><author><name>Mara Quill</name></author><entry>{entry}</entry></feed>"
    )
}

fn json(item: &str) -> String {
    format!(
        "{{\"version\": \"https://jsonfeed.org/version/1.1\", \"title\": \"B\", \"home_page_url\": \"https://blog.example/\", \"items\": [{item}]}}"
    )
}

/// A shape and what is read of it: key, title, date where there is one, and what the body is or holds.
type Shape = (String, &'static str, &'static str, Option<&'static str>, &'static str);

#[expect(clippy::too_many_lines, reason = "a table")]
fn rss_shapes() -> Vec<Shape> {
    let of = |item: &str, key, title, date, body| (rss(item), key, title, date, body);
    let usual = "<title>T</title><link>https://blog.example/t</link><guid>g</guid>";
    let with = |more: &str| format!("{usual}{more}");
    vec![
        of(usual, "g", "T", None, ""),
        of(&with("<pubDate>Fri, 27 Nov 2026 08:00:00 GMT</pubDate>"), "g", "T", Some("2026-11-27T08:00:00Z"), ""),
        of(&with("<pubDate>Fri, 27 Nov 2026 08:00:00 +0100</pubDate>"), "g", "T", Some("2026-11-27T07:00:00Z"), ""),
        of(&with("<pubDate>Thu, 27 Nov 2026 08:00:00 EST</pubDate>"), "g", "T", Some("2026-11-27T13:00:00Z"), ""),
        of(&with("<pubDate>27 Nov 2026 08:00 UT</pubDate>"), "g", "T", Some("2026-11-27T08:00:00Z"), ""),
        of(&with("<pubDate>2026-11-27T08:00:00+00:00</pubDate>"), "g", "T", Some("2026-11-27T08:00:00Z"), ""),
        of(
            &with("<pubDate>Friday, 27 November 2026 08:00:00 GMT</pubDate>"),
            "g",
            "T",
            Some("2026-11-27T08:00:00Z"),
            "",
        ),
        of(&with("<dc:date>2026-11-27T08:00:00Z</dc:date>"), "g", "T", Some("2026-11-27T08:00:00Z"), ""),
        of(&with("<pubDate>yesterday</pubDate>"), "g", "T", None, ""),
        of(&with("<pubDate>Mon, 30 Nov -0001 00:00:00 +0000</pubDate>"), "g", "T", None, ""),
        of(&with("<pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate>"), "g", "T", None, ""),
        of(&with("<pubDate>Sat, 01 Jan 0000 00:00:00 GMT</pubDate>"), "g", "T", None, ""),
        of(&with("<pubDate></pubDate>"), "g", "T", None, ""),
        of(
            &with("<description>&lt;p&gt;One &amp;amp; two&lt;/p&gt;</description>"),
            "g",
            "T",
            None,
            "<p>One &amp; two</p>",
        ),
        of(
            &with("<description><![CDATA[<p>One <b>two</b></p>]]></description>"),
            "g",
            "T",
            None,
            "<p>One <b>two</b></p>",
        ),
        of(&with("<description>Plain words.</description>"), "g", "T", None, "Plain words."),
        of(
            &with("<description>Short.</description><content:encoded><![CDATA[<p>Whole.</p>]]></content:encoded>"),
            "g",
            "T",
            None,
            "<p>Whole.</p>",
        ),
        of(&with("<description>Fish & chips</description>"), "g", "T", None, "Fish &amp; chips"),
        of(&with("<description>caf&eacute; &nbsp;</description>"), "g", "T", None, "café"),
        of("<title>A &amp; B</title><guid>g</guid>", "g", "A & B", None, ""),
        of("<title>A &amp;amp; B</title><guid>g</guid>", "g", "A & B", None, ""),
        of("<title>caf&eacute;</title><guid>g</guid>", "g", "café", None, ""),
        of("<title><![CDATA[caf&eacute; & <em>more</em>]]></title><guid>g</guid>", "g", "café & more", None, ""),
        of("<title>Vec&lt;T&gt; explained</title><guid>g</guid>", "g", "Vec<T> explained", None, ""),
        of("<title>1 &lt; 2</title><guid>g</guid>", "g", "1 < 2", None, ""),
        of("<title>  two\n lines </title><guid> g </guid>", "g", "two lines", None, ""),
        of("<title>T</title><link>/t</link>", "https://blog.example/t", "T", None, ""),
        of("<title>T</title><link>https://blog.example/t</link><guid/>", "https://blog.example/t", "T", None, ""),
        of(
            "<description>No title, just a thought that goes on. And on.</description><guid>g</guid>",
            "g",
            "No title, just a thought that goes on. And on.",
            None,
            "No title",
        ),
        of(
            "<title/><description>&lt;p&gt;First.&lt;/p&gt;&lt;p&gt;Second.&lt;/p&gt;</description><guid>g</guid>",
            "g",
            "First. Second.",
            None,
            "<p>First.</p>",
        ),
        of("<guid>g</guid>", "g", "blog.example", None, ""),
        of(
            &with("<description>&lt;a href=\"../x\"&gt;x&lt;/a&gt;</description>"),
            "g",
            "T",
            None,
            "<a href=\"https://blog.example/x\">x</a>",
        ),
        of(
            &with("<description>&lt;img src=\"/i.png\"&gt;</description>"),
            "g",
            "T",
            None,
            "<img src=\"https://blog.example/i.png\">",
        ),
        of(
            &with("<description>&lt;img src=\"//cdn.example/i.png\"&gt;</description>"),
            "g",
            "T",
            None,
            "<img src=\"https://cdn.example/i.png\">",
        ),
        of(
            &with(
                "<description>&lt;script&gt;alert(1)&lt;/script&gt;&lt;p onclick=\"x\"&gt;Safe&lt;/p&gt;</description>",
            ),
            "g",
            "T",
            None,
            "<p>Safe</p>",
        ),
        of(
            &with("<description>&lt;a href=\"javascript:alert(1)\"&gt;x&lt;/a&gt;</description>"),
            "g",
            "T",
            None,
            "<a>x</a>",
        ),
        of(&with("<title>a&#x202E;b</title>"), "g", "ab", None, ""),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn other_shapes() -> Vec<Shape> {
    let plain = |xml: &str, key, title, date, body| (xml.to_owned(), key, title, date, body);
    let of = |entry: &str, key, title, date, body| (atom(entry), key, title, date, body);
    let usual = "<id>urn:1</id><title>T</title><link href=\"/t\"/><updated>2026-11-27T08:00:00Z</updated>";
    let with = |more: &str| format!("{usual}{more}");
    let day = Some("2026-11-27T08:00:00Z");
    vec![
        of(usual, "urn:1", "T", day, ""),
        of(
            &with("<published>2026-11-20T08:00:00.123+01:00</published>"),
            "urn:1",
            "T",
            Some("2026-11-20T07:00:00Z"),
            "",
        ),
        of(&with("<content type=\"html\">&lt;p&gt;One&lt;/p&gt;</content>"), "urn:1", "T", day, "<p>One</p>"),
        of(
            &with(
                "<content type=\"xhtml\"><div xmlns=\"http://www.w3.org/1999/xhtml\"><p>One <em>two</em></p></div></content>",
            ),
            "urn:1",
            "T",
            day,
            "<p>One <em>two</em></p>",
        ),
        of(&with("<content>a &lt; b\n\nc</content>"), "urn:1", "T", day, "<p>a &lt; b</p>\n<p>c</p>"),
        of(&with("<content type=\"text\">a &amp;amp; b</content>"), "urn:1", "T", day, "a &amp;amp; b"),
        of(&with("<content type=\"image/png\">AAAA</content><summary>s</summary>"), "urn:1", "T", day, "s"),
        of(
            &with("<content src=\"https://blog.example/t.html\" type=\"text/html\"/><summary>s</summary>"),
            "urn:1",
            "T",
            day,
            "s",
        ),
        of(&with("<summary type=\"html\">&lt;p&gt;s&lt;/p&gt;</summary>"), "urn:1", "T", day, "<p>s</p>"),
        of(
            &with(
                "<content type=\"html\" xml:base=\"https://other.example/a/\">&lt;a href=\"b\"&gt;x&lt;/a&gt;</content>",
            ),
            "urn:1",
            "T",
            day,
            "https://other.example/a/b",
        ),
        of(
            &with("<content type=\"html\">&lt;a href=\"b.md\"&gt;x&lt;/a&gt;</content>"),
            "urn:1",
            "T",
            day,
            "https://blog.example/b.md",
        ),
        of(
            "<id>urn:1</id><title type=\"html\">A &amp;lt;b&amp;gt; &lt;i&gt;c&lt;/i&gt;</title>",
            "urn:1",
            "A <b> c",
            None,
            "",
        ),
        of("<id>urn:1</id><title>A &lt;b&gt;</title>", "urn:1", "A <b>", None, ""),
        of(
            "<id>urn:1</id><title type=\"xhtml\"><div xmlns=\"http://www.w3.org/1999/xhtml\">A <i>c</i></div></title>",
            "urn:1",
            "A c",
            None,
            "",
        ),
        of(
            "<title>T</title><link rel=\"self\" href=\"/self\"/><link rel=\"alternate\" type=\"text/html\" href=\"/t\"/>",
            "https://blog.example/t",
            "T",
            None,
            "",
        ),
        of("<id>https://blog.example/t</id><title>T</title>", "https://blog.example/t", "T", None, ""),
        plain(
            "<feed version=\"0.3\" xmlns=\"http://purl.org/atom/ns#\"><title>B</title><entry><id>a</id><title>T</title><issued>2026-11-27T08:00:00Z</issued><content type=\"text/html\" mode=\"escaped\">&lt;p&gt;x&lt;/p&gt;</content></entry></feed>",
            "a",
            "T",
            day,
            "<p>x</p>",
        ),
        plain(
            "<a:feed xmlns:a=\"http://www.w3.org/2005/Atom\"><a:title>B</a:title><a:entry><a:id>a</a:id><a:title>T</a:title></a:entry></a:feed>",
            "a",
            "T",
            None,
            "",
        ),
        plain("<feed><title>B</title><entry><id>a</id><title>T</title></entry></feed>", "a", "T", None, ""),
        plain(
            "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" xmlns=\"http://purl.org/rss/1.0/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><channel><title>B</title></channel><item rdf:about=\"x\"><title>T</title><link>https://blog.example/t</link><dc:date>2026-11-27T08:00:00Z</dc:date><description>d</description></item></rdf:RDF>",
            "https://blog.example/t",
            "T",
            day,
            "d",
        ),
        plain(
            "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" xmlns=\"http://my.netscape.com/rdf/simple/0.9/\"><channel><title>B</title></channel><item><title>T</title><link>https://blog.example/t</link></item></rdf:RDF>",
            "https://blog.example/t",
            "T",
            None,
            "",
        ),
        plain(
            "<!DOCTYPE rss PUBLIC \"-//Netscape Communications//DTD RSS 0.91//EN\" \"http://my.netscape.com/publish/formats/rss-0.91.dtd\"><rss version=\"0.91\"><channel><title>B</title><item><title>T</title><link>https://blog.example/t</link><description>caf&eacute;</description></item></channel></rss>",
            "https://blog.example/t",
            "T",
            None,
            "café",
        ),
        plain(
            "<rss version=\"0.92\"><channel><item><description>Only words</description></item></channel></rss>",
            "text:",
            "Only words",
            None,
            "Only words",
        ),
        plain("<rss><channel><item><title>T</title><guid>g</guid></item></channel></rss>", "g", "T", None, ""),
        plain(
            "<rss version='0.94' xmlns='http://backend.userland.com/rss2'><channel><item><title>T</title><guid>g</guid></item></channel></rss>",
            "g",
            "T",
            None,
            "",
        ),
        plain(
            "\n\n  <?xml version=\"1.0\"?>\n<rss version=\"2.0\"><channel><item><title>T</title><guid>g</guid></item></channel></rss>\n<!-- cached -->",
            "g",
            "T",
            None,
            "",
        ),
        (
            json(
                "{\"id\": \"1\", \"title\": \"T\", \"url\": \"https://blog.example/t\", \"content_html\": \"<p>x</p>\", \"date_published\": \"2026-11-27T08:00:00Z\"}",
            ),
            "1",
            "T",
            day,
            "<p>x</p>",
        ),
        (json("{\"id\": 17, \"title\": \"T\", \"content_text\": \"a < b\"}"), "17", "T", None, "<p>a &lt; b</p>"),
        (
            json(
                "{\"id\": \"https://blog.example/t\", \"content_text\": \"Just words\", \"date_published\": \"2026-11-27\"}",
            ),
            "https://blog.example/t",
            "Just words",
            Some("2026-11-27T00:00:00Z"),
            "Just words",
        ),
        (
            json(
                "{\"title\": \"T\", \"url\": \"/t\", \"summary\": \"s\", \"tags\": [1, null, \"x\"], \"authors\": \"nobody\"}",
            ),
            "https://blog.example/t",
            "T",
            None,
            "s",
        ),
        (
            json(
                "{\"id\": \"1\", \"title\": null, \"content_html\": \"<a href='/x'>link</a>\", \"external_url\": \"https://other.example/p/\"}",
            ),
            "1",
            "link",
            None,
            "https://other.example/x",
        ),
        (json("{\"id\": \"1\", \"title\": \"T\"}").replace("version/1.1", "version/1"), "1", "T", None, ""),
    ]
}

#[test]
fn every_shape_of_a_feed_is_read_as_it_is_meant() {
    let shapes: Vec<Shape> = rss_shapes().into_iter().chain(other_shapes()).collect();
    assert!(shapes.len() >= 60, "{}", shapes.len());
    let mut wrong = String::new();
    for (text, key, title, date, body) in shapes {
        let remote = match read_as(text.as_bytes(), None) {
            Ok(remote) => remote,
            Err(problem) => {
                let _ = writeln!(wrong, "{text}\n  {problem}");
                continue;
            }
        };
        let [entry] = remote.entries.as_slice() else {
            let _ = writeln!(wrong, "{text}\n  {} entries", remote.entries.len());
            continue;
        };
        let made = article(entry);
        let own = entry.published.map(|date| date.to_rfc3339_opts(SecondsFormat::Secs, true));
        let is_key = if key.ends_with(':') && key.len() == 5 { entry.key.starts_with(key) } else { entry.key == key };
        if !is_key || made.title != title || own.as_deref() != date || !made.html.contains(body) {
            let _ = writeln!(wrong, "{text}\n  {:?} {:?} {own:?} {:?}", entry.key, made.title, made.html);
        }
        if body.is_empty() && !made.html.is_empty() {
            let _ = writeln!(wrong, "{text}\n  {:?}", made.html);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_entry_becomes_an_article_with_all_that_it_says() {
    let made =
        only(&rss("<title>The lamp</title><link>https://blog.example/lamp</link><guid isPermaLink=\"false\">1</guid>\
         <author>mara@blog.example (Mara Quill)</author><dc:creator>Tom Reed</dc:creator><category>Harbour</category>\
         <category><![CDATA[Fish &amp; chips]]></category><category>Harbour</category>\
         <media:content url=\"https://blog.example/lamp.jpg\" medium=\"image\" type=\"image/jpeg\"/>\
         <description>What it is about.</description>\
         <content:encoded><![CDATA[<p>It burns again.</p><iframe src=\"x\"></iframe>]]></content:encoded>"));
    assert_eq!(made.authors, ["Mara Quill", "Tom Reed"]);
    assert_eq!(made.tags, ["Harbour", "Fish & chips"]);
    assert_eq!(made.image.unwrap().url, "https://blog.example/lamp.jpg");
    assert_eq!((made.summary.as_str(), made.summary_given, made.words), ("What it is about.", true, 3));
    assert_eq!(made.original.unwrap().url, "https://blog.example/lamp");
    assert_eq!((made.slug.as_str(), made.language, made.html.as_str()), ("the-lamp", None, "<p>It burns again.</p>"));
    let excerpt = only(&rss(
        "<guid>1</guid><title>T</title><description>It burns again after nine […]</description><content:encoded><![CDATA[<p>It burns again after nine dark winters.</p>]]></content:encoded>",
    ));
    assert_eq!((excerpt.summary.as_str(), excerpt.summary_given), ("It burns again after nine dark winters.", false));
    let atom = only(&atom(
        "<id>1</id><title>T</title><category term=\"t\" label=\"Label\"/><link rel=\"enclosure\" type=\"image/png\" href=\"/i.png\"/>",
    ));
    assert_eq!((atom.authors, atom.tags), (vec!["Mara Quill".to_owned()], vec!["Label".to_owned()]));
    assert_eq!(atom.image.unwrap().url, "https://blog.example/i.png");
    let json = only(&json(
        "{\"id\": \"1\", \"title\": \"T\", \"image\": \"https://blog.example/i.png\", \"language\": \"de_at\", \"authors\": [{\"name\": \"Mara Quill\"}], \"tags\": [\"a\"]}",
    ));
    assert_eq!(
        (json.language.as_deref(), json.authors, json.tags),
        (Some("de-AT"), vec!["Mara Quill".to_owned()], vec!["a".to_owned()])
    );
    assert!(json.image.is_some());
    assert_eq!(only(&rss("<title>灯台</title><guid>1</guid>")).slug.as_str(), "deng-tai");
    assert!(only(&rss("<title>…</title><guid>1</guid>")).slug.as_str().starts_with("entry-"));
}

#[test]
fn encodings_are_read_as_they_are_and_not_as_they_are_declared() {
    let feed = |title: &[u8], declared: &str| {
        let head = format!(
            "<?xml version=\"1.0\" encoding=\"{declared}\"?><rss version=\"2.0\"><channel><item><guid>g</guid><title>"
        );
        [head.as_bytes(), title, b"</title></item></channel></rss>"].concat()
    };
    let utf16: Vec<u8> = String::from_utf8(feed("café".as_bytes(), "UTF-16"))
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    for (bytes, content_type) in [
        (feed("café".as_bytes(), "utf-8"), None),
        (feed("café".as_bytes(), "iso-8859-1"), Some("text/xml; charset=ISO-8859-1")),
        (feed(b"caf\xE9", "utf-8"), Some("application/rss+xml; charset=UTF-8")),
        (feed(b"caf\xE9", "windows-1252"), None),
        (feed(b"caf\x8E", "macintosh"), None),
        ([b"\xFE\xFF".to_vec(), utf16.clone()].concat(), Some("text/xml; charset=utf-8")),
        (utf16, None),
        ([b"\xEF\xBB\xBF".to_vec(), feed("café".as_bytes(), "us-ascii")].concat(), None),
    ] {
        let remote = read_as(&bytes, content_type).unwrap_or_else(|problem| panic!("{content_type:?}: {problem}"));
        assert_eq!(article(&remote.entries[0]).title, "café", "{content_type:?}");
    }
}

#[test]
fn what_is_no_feed_is_named_with_the_way_on() {
    for (text, what, hint) in [
        (
            "<!doctype html><html><head><link rel=\"alternate\" type=\"application/rss+xml\" href=\"/rss.xml\"></head>",
            "a page, not a feed",
            "https://blog.example/rss.xml",
        ),
        ("<html><body>Hello", "a page, not a feed", "announces no feed"),
        ("", "empty document", "browser"),
        ("Not found", "something else", "browser"),
        ("<opml><body/></opml>", "begins with <opml>", "RSS, Atom and JSON Feed"),
        ("{\"items\": []}", "no JSON Feed", "version"),
        ("{\"version\": \"https://jsonfeed.org/version/1\", \"items\": [", "cut off", "stays"),
        ("<rss version=\"2.0\"><channel><item><title>x</title>", "cut off or not well-formed", "stays"),
        ("<rss version=\"2.0\"><channel><item></title></item></channel></rss>", "not well-formed", "stays"),
    ] {
        let problem = read_as(text.as_bytes(), Some("text/html")).unwrap_err();
        assert!(problem.what.contains(what) && problem.hint.as_ref().unwrap().contains(hint), "{text}: {problem}");
        assert_eq!(problem.file, FEED);
    }
}

#[test]
fn one_bad_entry_keeps_out_none_of_the_others() {
    let good = |id: u32| format!("<entry><id>urn:{id}</id><title>T{id}</title></entry>");
    let bad = "<entry><id>urn:bad</id><title type=\"application/x-nonsense\">Odd one</title></entry>";
    let text =
        format!("<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>B</title>{}{bad}{}</feed>", good(1), good(2));
    let remote = read(&text);
    assert_eq!(remote.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["urn:1", "urn:2"]);
    assert_eq!(remote.title.as_deref(), Some("B"));
    let [problem] = remote.problems.as_slice() else { panic!("{:?}", remote.problems) };
    assert!(problem.what.contains("Odd one") && problem.file == FEED, "{problem}");
    let nothing = read(&json("{\"id\": \"1\", \"title\": \"T\"}, {}, 7, null"));
    assert_eq!((nothing.entries.len(), nothing.problems.len()), (1, 3));
    // What makes the reader of names stumble costs that entry.
    let stumbles = "<author>（mara@blog.example）</author><title>Odd</title><guid>2</guid>";
    let remote = read(&rss(&format!("<title>T</title><guid>1</guid></item><item>{stumbles}")));
    assert_eq!(remote.entries[0].key, "1");
}

#[test]
fn of_two_entries_with_one_id_the_later_stays_and_it_is_said() {
    let entry = |link: &str, updated: u32| {
        format!(
            "<entry><id>urn:1</id><title>T{updated}</title><link href=\"{link}\"/><updated>2026-11-0{updated}T00:00:00Z</updated></entry>"
        )
    };
    let feed = |entries: &[String]| format!("<feed xmlns=\"http://www.w3.org/2005/Atom\">{}</feed>", entries.concat());
    let revised = read(&feed(&[entry("/a", 1), entry("/a", 2)]));
    assert_eq!(
        (article(&revised.entries[0]).title.as_str(), revised.entries.len(), revised.problems.len()),
        ("T2", 1, 0)
    );
    let clash = read(&feed(&[entry("/a", 2), entry("/b", 1)]));
    assert_eq!((article(&clash.entries[0]).title.as_str(), clash.entries.len(), clash.problems.len()), ("T2", 1, 1));
}

#[test]
fn a_tombstone_withdraws_unless_the_entry_was_edited_after_it() {
    let feed = |updated: &str| {
        format!(
            "<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:at=\"http://purl.org/atompub/tombstones/1.0\">\
             <at:deleted-entry ref=\"urn:gone\" when=\"2026-11-20T00:00:00Z\"/>\
             <at:deleted-entry ref=\"urn:1\" when=\"2026-11-20T00:00:00Z\"><at:comment>x</at:comment></at:deleted-entry>\
             <entry><id>urn:1</id><title>T</title><updated>{updated}</updated></entry></feed>"
        )
    };
    let before = read(&feed("2026-11-19T00:00:00Z"));
    assert_eq!((before.gone, before.entries.len()), (vec!["urn:gone".to_owned(), "urn:1".to_owned()], 0));
    let after = read(&feed("2026-11-21T00:00:00Z"));
    assert_eq!((after.gone, after.entries.len()), (vec!["urn:gone".to_owned()], 1));
}

/// On threads with little room: what works by recursion would not come back.
fn confined(bytes: Vec<u8>) -> Result<usize, String> {
    let reading = move || {
        let remote = read_as(&bytes, None).map_err(|problem| problem.to_string())?;
        let made: Vec<Article> = remote.entries.iter().map(|entry| article(entry)).collect();
        Ok(made.len())
    };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).stack_size(1 << 20).build().unwrap();
    threads.install(reading)
}

#[test]
fn hostile_documents_do_no_harm() {
    let lol: String = (1..10).fold("<!ENTITY lol0 \"lol\">".to_owned(), |all, level| {
        format!("{all}<!ENTITY lol{level} \"{}\">", format!("&lol{};", level - 1).repeat(10))
    });
    let laughs = format!(
        "<!DOCTYPE rss [{lol}]><rss version=\"2.0\"><channel><item><guid>1</guid><title>&lol9;</title></item></channel></rss>"
    );
    assert_eq!(confined(laughs.into_bytes()), Ok(1));
    let outside = "<!DOCTYPE rss [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><rss version=\"2.0\"><channel><item><guid>1</guid><title>&x;</title></item></channel></rss>";
    assert_eq!(only(outside).title, "&x;");
    for open in ["<a>", "<entry>", "<content type=\"xhtml\"><div>"] {
        let deep = format!("<feed xmlns=\"http://www.w3.org/2005/Atom\">{}", open.repeat(100_000));
        assert!(confined(deep.into_bytes()).unwrap_err().contains("nested too deep"));
    }
    // Escaped, so that the XML is flat.
    let deep =
        rss(&format!("<guid>1</guid><title>T</title><description>{}</description>", "&lt;b&gt;".repeat(100_000)));
    assert_eq!(confined(deep.into_bytes()), Ok(1));
    assert!(confined(json(&"[".repeat(100_000)).into_bytes()).unwrap_err().contains("cut off or no JSON"));
    let attributes = (0..200_000).fold(String::new(), |mut all, number| {
        let _ = write!(all, " a{number}=\"x\"");
        all
    });
    for tag in [format!("<title{attributes}>T</title>"), format!("<title{attributes}/>")] {
        assert!(confined(rss(&tag).into_bytes()).unwrap_err().contains("too many attributes"));
    }
    let namespaces = "<a xmlns=\"x\" xmlns:a=\"y\">".repeat(200);
    assert!(confined(rss(&namespaces).into_bytes()).unwrap_err().contains("too many attributes"));
    // Each group would have each of the pictures: sixteen million.
    let (pictures, groups) = (
        "<media:thumbnail url=\"/p\"/>".repeat(4000),
        "<media:group><media:content url=\"a:\"/></media:group>".repeat(4000),
    );
    let grouped = rss(&format!("<guid>1</guid><title>T</title>{pictures}{groups}"));
    let read = read(&grouped.replace("<item>", "<item><guid>0</guid><title>S</title></item><item>"));
    assert_eq!((read.entries.len(), read.problems.len()), (1, 1));
    assert!(read.problems[0].what.contains("too many groups of media"), "{}", read.problems[0]);
    let nothing = format!("<rss version=\"2.0\"><channel>{}</channel></rss>", "<item/>".repeat(200_000));
    assert_eq!(confined(nothing.into_bytes()), Ok(0));
    let long =
        format!("<guid>1</guid><title>T</title><enclosure url=\"https://blog.example/?{}\"/>", "a=b&amp;".repeat(1000));
    assert_eq!(confined(rss(&long).into_bytes()), Ok(1));
    // A long head and many entries of which one is bad: each is read without the head.
    let bad = "<entry><id>urn:bad</id><title type=\"application/x-nonsense\">x</title></entry>";
    let many = (0..5_000).fold(String::new(), |mut all, number| {
        let _ = write!(all, "<entry><id>urn:{number}</id><title>Untitled</title></entry>");
        all
    });
    let head = "y".repeat(4 << 20);
    let text = format!("<feed xmlns=\"http://www.w3.org/2005/Atom\"><subtitle>{head}</subtitle>{bad}{many}</feed>");
    assert_eq!(confined(text.into_bytes()), Ok(5_000));
    let entries = "<entry><id>urn:x</id></entry>".repeat(50_000);
    assert!(
        confined(format!("<feed xmlns=\"http://www.w3.org/2005/Atom\">{entries}</feed>").into_bytes()).unwrap()
            <= 20_000
    );
    for bytes in [
        b"\0\0\0\0".to_vec(),
        b"<".repeat(1 << 16),
        b"<!".repeat(1 << 16),
        b"&".repeat(1 << 16),
        b"<![CDATA[".to_vec(),
        vec![0xFF; 1 << 16],
        b"{".repeat(1 << 16),
        b"<?xml".to_vec(),
        b"<rss".to_vec(),
        b"<rss a=\"".to_vec(),
    ] {
        assert!(confined(bytes).is_err());
    }
    let controls = only(&rss(
        "<guid>1</guid><title>a\u{1}b\u{202E}c&#7;d</title><description>x\u{8}y&lt;b&gt;&#x85;z</description>",
    ));
    assert_eq!(controls.title, "a bc d");
    assert!(!controls.html.chars().any(|c| c.is_control() && c != '\n'), "{:?}", controls.html);
}

#[test]
fn a_document_cut_anywhere_is_a_fault_or_a_feed_and_never_a_panic() {
    let whole = atom(
        "<id>1</id><title type=\"html\">T &amp;amp; U</title><content type=\"xhtml\"><div xmlns=\"http://www.w3.org/1999/xhtml\"><p>é</p></div></content>",
    );
    for cut in 0..whole.len() {
        let _ = read_as(&whole.as_bytes()[..cut], None);
        let mut flipped = whole.as_bytes().to_vec();
        flipped[cut] ^= 0x15;
        let read = read_as(&flipped, None).unwrap_or_default();
        read.entries.iter().for_each(|entry| drop(article(entry)));
    }
}

#[test]
fn a_password_in_the_address_goes_no_further() {
    let url = Url::parse("https://mara:secret@blog.example/feed.xml").unwrap();
    for text in [
        rss("<title>T</title><link>/t</link><guid>g</guid><description>&lt;a href=\"u\"&gt;u&lt;/a&gt;</description>"),
        json(r#"{"id": "g", "title": "T", "url": "/t", "content_html": "<a href=\"u\">u</a>"}"#),
    ] {
        let remote = remote::read(&Document { url: &url, content_type: None, bytes: text.as_bytes() }).unwrap();
        let article = article(&remote.entries[0]);
        assert_eq!(article.original.as_ref().unwrap().url.as_str(), "https://blog.example/t");
        assert!(article.html.contains("https://blog.example/u"), "{}", article.html);
        assert!(!format!("{article:?} {remote:?}").contains("secret"));
    }
}
