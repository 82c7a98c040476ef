//! What articles bring along to be heard or watched: through feeds, pages, mail, `serve` and `publish`, and back out of the
//! parsers of others.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::path::Path;
use std::process::Command;

use support::http::ask;
use support::place::Place;
use support::site::Site;
use tidings::syndication::Format;
use tidings::task::Clock;

/// A tone of a second and a half, as WAV (RIFF, PCM): 8,000 samples of 8 bits a second.
fn tone() -> Vec<u8> {
    let samples: Vec<u8> = (0..12_000u32).map(|n| if n / 10 % 2 == 0 { 96 } else { 160 }).collect();
    let length = u32::try_from(samples.len()).unwrap();
    let mut wave = b"RIFF".to_vec();
    wave.extend((36 + length).to_le_bytes());
    wave.extend(b"WAVEfmt ");
    wave.extend(16u32.to_le_bytes());
    wave.extend([1, 0, 1, 0]);
    wave.extend(8_000u32.to_le_bytes());
    wave.extend(8_000u32.to_le_bytes());
    wave.extend([1, 0, 8, 0]);
    wave.extend(b"data");
    wave.extend(length.to_le_bytes());
    wave.extend(samples);
    wave
}

/// The smallest picture that says how large it is: the head of a PNG of 800 by 600.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x03\x20\0\0\x02\x58\x08\x02\0\0\0";

/// A feed that is a podcast, with an episode whose file is ours and one whose file is elsewhere.
fn waves() -> Place {
    let place = Place::new();
    place.write(
        "feeds/waves.toml",
        "title = \"Waves\"\ndescription = \"The harbour, to be heard.\"\nimage = \"/images/waves.png\"\n\
         select = { section = \"waves\" }\n\n[podcast]\nauthor = \"Mara Quill\"\n\
         owner = \"Mara Quill <waves@test.example>\"\ncategories = [\"News > Daily News\"]\nlocked = true\n\
         funding = [{ url = \"/give\", text = \"Keep it lit\" }]\n",
    );
    place.write("static/audio/a tone.wav", tone());
    place.write("static/audio/tone.vtt", "WEBVTT\n\n00:00.000 --> 00:01.500\nHoot.\n");
    place.write("static/images/boat.png", PICTURE);
    place.write(
        "articles/horn.md",
        "+++\ntitle = \"The horn\"\ndate = 2026-03-02\nsection = \"waves\"\nauthors = [\"Mara Quill\"]\n\
         image = \"/images/boat.png\"\nenclosure = \"/audio/a tone.wav\"\n\n[episode]\nseason = 1\nnumber = 2\ntype = \"full\"\n\
         persons = [{ name = \"João Peixoto\", role = \"guest\" }]\ntranscript = \"/audio/tone.vtt\"\n+++\nListen to the horn.\n",
    );
    place.write(
        "articles/far.md",
        "+++\ntitle = \"Far off\"\ndate = 2026-03-01\nsection = \"waves\"\n[enclosure]\n\
         url = \"https://cdn.example/far.mp4\"\nlength = 14031872\nduration = \"12:34\"\n+++\nSee the far light.\n",
    );
    place
}

fn read(bytes: &[u8]) -> feed_rs::model::Feed {
    feed_rs::parser::parse(bytes).unwrap()
}

/// Address, media type and length of what an entry brings along.
fn brought(format: Format, entry: &feed_rs::model::Entry) -> (String, String, Option<u64>) {
    if format != Format::Rss {
        let is_one = |link: &&feed_rs::model::Link| link.rel.as_deref() == Some("enclosure") || link.length.is_some();
        let link = entry.links.iter().find(is_one).unwrap();
        return (link.href.clone(), link.media_type.clone().unwrap(), link.length);
    }
    let mut content = entry.media.iter().flat_map(|media| &media.content);
    let found = content.find(|content| content.size.is_some()).unwrap_or_else(|| panic!("{entry:#?}"));
    (found.url.clone().unwrap().into(), found.content_type.as_ref().unwrap().to_string(), found.size)
}

#[tokio::test]
async fn a_file_of_ours_is_told_of_with_its_true_length_in_every_document() {
    let place = waves();
    let length = tone().len() as u64;
    place.run(&["publish"]).ended(0);
    for format in Format::ALL {
        let bytes = std::fs::read(place.path().join(format!("public/feeds/waves/{}", format.file_name()))).unwrap();
        let feed = read(&bytes);
        let url = "https://test.example/audio/a%20tone.wav".to_owned();
        assert_eq!(brought(format, &feed.entries[0]), (url, "audio/wav".to_owned(), Some(length)), "{format:?}");
        let far = ("https://cdn.example/far.mp4".to_owned(), "video/mp4".to_owned(), Some(14_031_872));
        assert_eq!(brought(format, &feed.entries[1]), far, "{format:?}");
    }
    assert_eq!(std::fs::read(place.path().join("public/audio/a tone.wav")).unwrap(), tone());
    let rss = place.read("public/feeds/waves/rss.xml");
    for tag in [
        "<itunes:duration>2</itunes:duration>",
        "<itunes:duration>754</itunes:duration>",
        "<itunes:season>1</itunes:season>",
        "<itunes:category text=\"News\"><itunes:category text=\"Daily News\">",
        "<itunes:image href=\"https://test.example/images/waves.png\"/>",
        "<podcast:locked owner=\"waves@test.example\">yes</podcast:locked>",
        "<podcast:funding url=\"https://test.example/give\">Keep it lit</podcast:funding>",
        "<podcast:person role=\"guest\">João Peixoto</podcast:person>",
        "<podcast:transcript type=\"text/vtt\" url=\"https://test.example/audio/tone.vtt\">",
        "<media:thumbnail height=\"600\" url=\"https://test.example/images/boat.png\" width=\"800\">",
    ] {
        assert!(rss.contains(tag), "{tag} is not in {rss}");
    }
    let guid = tidings::domain::podcast::guid_of("https://test.example/feeds/waves/rss.xml");
    assert!(rss.contains(&format!("<podcast:guid>{guid}</podcast:guid>")));
    // Who is no podcast has the file all the same, and none of the tags.
    let news = place.read("public/feeds/news/rss.xml");
    assert!(news.contains("<enclosure url=\"https://test.example/audio/a%20tone.wav\""), "{news}");
    assert!(!news.contains("itunes:") && !news.contains("podcast:"));
    let json: serde_json::Value = serde_json::from_str(&place.read("public/feeds/waves/feed.json")).unwrap();
    let attached = &json["items"][0]["attachments"][0];
    assert_eq!(attached["size_in_bytes"], length);
    assert_eq!(attached["duration_in_seconds"], 2);
}

#[tokio::test]
async fn a_file_that_is_exchanged_is_told_of_rightly_though_its_article_stays() {
    let place = waves();
    place.run(&["publish"]).ended(0);
    let mut longer = tone();
    longer.extend([128; 1000]);
    place.write("static/audio/a tone.wav", &longer);
    place.run(&["publish"]).ended(0);
    assert!(place.read("public/feeds/waves/rss.xml").contains(&format!("length=\"{}\"", longer.len())));
    place.remove("static/audio/a tone.wav");
    place.run(&["publish"]).ended(0);
    let rss = place.read("public/feeds/waves/rss.xml");
    assert!(rss.contains("<title>The horn</title>") && !rss.contains("tone.wav\" length"), "{rss}");
    assert!(!place.has("public/audio/a tone.wav"));
}

#[test]
fn a_copy_has_the_time_of_its_file_and_is_made_anew_for_other_bytes_alone() {
    let place = waves();
    let touch = |days: u64| {
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24 * days);
        let file = std::fs::File::options().write(true).open(place.path().join("static/audio/a tone.wav")).unwrap();
        file.set_modified(at).unwrap();
        at
    };
    let copied = || place.path().join("public/audio/a tone.wav").metadata().unwrap().modified().unwrap();
    let first = touch(20_000);
    place.run(&["publish"]).ended(0);
    assert_eq!(copied(), first);
    touch(20_100);
    place.run(&["publish"]).ended(0);
    assert_eq!(copied(), first, "it has the same bytes");
    let mut other = tone();
    *other.last_mut().unwrap() ^= 1;
    place.write("static/audio/a tone.wav", &other);
    let third = touch(19_000);
    place.run(&["publish"]).ended(0);
    assert_eq!((copied(), std::fs::read(place.path().join("public/audio/a tone.wav")).unwrap()), (third, other));
    let left = std::fs::read_dir(place.path().join("public/audio")).unwrap().count();
    assert_eq!(left, 2, "nothing but the files");
}

#[tokio::test]
async fn a_file_that_a_page_saw_first_reaches_the_feeds_all_the_same() {
    let place = waves();
    place.remove("static/audio/a tone.wav");
    let site = Site::serve(place, Clock::system()).await;
    let rss = async || String::from_utf8(site.get("/feeds/waves/rss.xml").await.body).unwrap();
    assert!(!rss().await.contains("tone.wav\" length"));
    let mut longer = tone();
    longer.extend([128; 1000]);
    for file in [&tone(), &longer] {
        site.place.write("static/audio/a tone.wav", file);
        let page = String::from_utf8(site.get("/articles/horn/").await.body).unwrap();
        assert!(page.contains("tone.wav"), "{page}");
        site.refresh().await;
        let rss = rss().await;
        assert!(rss.contains(&format!("length=\"{}\"", file.len())), "{rss}");
    }
}

#[tokio::test]
async fn a_file_that_is_exchanged_is_told_of_rightly_in_what_is_made_when_it_is_asked_for() {
    let place = waves();
    place.write("config.toml", format!("{}\n[feeds]\nby = [\"section\"]\n", place.read("config.toml")));
    place.write("feeds/brief.toml", "title = \"Brief\"\nlimit = 2\nselect = { section = \"waves\" }\n");
    for day in 3..8 {
        place.write(
            &format!("articles/day{day}.md"),
            format!("+++\ntitle = \"Day {day}\"\ndate = 2026-03-0{day}\nsection = \"waves\"\n+++\nWaves.\n"),
        );
    }
    let site = Site::serve(place, Clock::system()).await;
    let documents = async || {
        let volumes: Vec<String> = (1..5).map(|number| format!("/feeds/brief/archive/{number}/rss.xml")).collect();
        let mut of_volumes = String::new();
        for volume in volumes {
            of_volumes += &String::from_utf8(site.get(&volume).await.body).unwrap();
        }
        [of_volumes, String::from_utf8(site.get("/sections/waves/rss.xml").await.body).unwrap()]
    };
    for more in [0, 1000] {
        let mut longer = tone();
        longer.extend(vec![128; more]);
        site.place.write("static/audio/a tone.wav", &longer);
        site.refresh().await;
        for document in documents().await {
            assert!(document.contains(&format!("length=\"{}\"", longer.len())), "{more}: {document}");
        }
    }
}

#[tokio::test]
async fn the_page_has_a_player_and_mail_has_a_link() {
    let site = Site::serve(waves(), Clock::system()).await;
    let answer = site.get("/articles/horn/").await;
    let page = String::from_utf8(answer.body.clone()).unwrap();
    let url = site.url("/audio/a%20tone.wav");
    assert!(
        page.contains(&format!("<audio controls preload=\"none\" src=\"{url}\" aria-label=\"The horn\">")),
        "{page}"
    );
    assert!(page.contains("download>Download (1 min, 12 kB)</a>"), "{page}");
    assert!(answer.header("content-security-policy").unwrap().contains("media-src 'self'"));
    let rss = String::from_utf8(site.get("/feeds/waves/rss.xml").await.body).unwrap();
    assert!(rss.contains(&format!("<podcast:funding url=\"{}\">", site.url("/give"))), "{rss}");
    let page = String::from_utf8(site.get("/articles/far/").await.body).unwrap();
    assert!(page.contains("<video controls preload=\"none\" src=\"https://cdn.example/far.mp4\""), "{page}");
    let mail = |form: &str| site.place.run(&["digest", "preview", "news", "--latest", "2", "--as", form]).ended(0).out;
    let (text, html) = (mail("text"), mail("html"));
    for label in ["Listen (1 min, 12 kB)", "Watch (13 min, 14 MB)"] {
        assert!(
            text.contains(&format!("{label}:\nhttps://")) || text.contains(&format!("{label}:\nhttp://")),
            "{text}"
        );
        assert!(html.contains(&format!(">{label}</a>")), "{html}");
    }
}

#[tokio::test]
async fn a_page_plays_only_what_it_lets_a_browser_fetch() {
    let place = waves();
    for (name, url, transcript) in [
        ("plain", "http://cdn.example/far.mp4", "/audio/tone.vtt"),
        ("ours", "https://cdn.example/far.mp4", "/audio/tone.vtt"),
        ("theirs", "https://cdn.example/far.mp4", "https://cdn.example/far.vtt"),
    ] {
        let text = format!(
            "+++\ntitle = \"T\"\ndate = 2026-03-01\nenclosure = {{ url = \"{url}\", length = 9 }}\n\
             [episode]\ntranscript = \"{transcript}\"\n+++\nText.\n"
        );
        place.write(&format!("articles/{name}.md"), text);
    }
    let site = Site::serve(place, Clock::system()).await;
    let page = async |name: &str| String::from_utf8(site.get(&format!("/articles/{name}/")).await.body).unwrap();
    let plain = page("plain").await;
    assert!(!plain.contains("<video") && plain.contains("<a href=\"http://cdn.example/far.mp4\""), "{plain}");
    let own = site.url("/audio/tone.vtt");
    assert!(plain.contains(&format!("<a href=\"{own}\"")), "{plain}");
    let ours = page("ours").await;
    assert!(ours.contains("<video") && ours.contains(&format!("<track kind=\"captions\" src=\"{own}\"")), "{ours}");
    let theirs = page("theirs").await;
    assert!(theirs.contains("<video") && !theirs.contains("<track"), "{theirs}");
    assert!(theirs.contains("<a href=\"https://cdn.example/far.vtt\""), "{theirs}");
}

#[tokio::test]
async fn a_player_gets_the_part_that_it_asks_for() {
    let site = Site::serve(waves(), Clock::system()).await;
    let (path, whole) = ("/audio/a%20tone.wav", tone());
    let head = ask(site.at, "HEAD", path, &[], b"").await;
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    assert_eq!(head.header("content-length"), Some(whole.len().to_string().as_str()));
    let (etag, date) = (head.header("etag").unwrap().to_owned(), head.header("last-modified").unwrap().to_owned());
    let last = whole.len() - 1;
    let (all, none) = ((200, 0..whole.len()), (416, 0..0));
    for (range, if_range, (status, bytes)) in [
        ("bytes=0-99", "", (206, 0..100)),
        ("bytes=100-", "", (206, 100..whole.len())),
        ("BYTES=-10", "", (206, whole.len() - 10..whole.len())),
        ("bytes=5-999999999", "", (206, 5..whole.len())),
        ("bytes=0-0", etag.as_str(), (206, 0..1)),
        ("bytes=0-0", date.as_str(), (206, 0..1)),
        ("bytes=0-0", "\"another\"", all.clone()),
        ("bytes=0-0", &format!("W/{etag}"), all.clone()),
        ("bytes=0-0", "Mon, 02 Mar 2026 00:00:00 GMT", all.clone()),
        ("bytes=0-0", "nothing", all.clone()),
        ("bytes=-999999999", "", (206, 0..whole.len())),
        ("bytes=-99999999999999999999", "", (206, 0..whole.len())),
        ("bytes=0005-0009", "", (206, 5..10)),
        ("bytes=5-99999999999999999999", "", (206, 5..whole.len())),
        ("bytes= 0-15", "", (206, 0..16)),
        ("bytes=999999999-", "", none.clone()),
        ("bytes=99999999999999999999-", "", none.clone()),
        ("bytes=-0", "", none),
        // What nobody can read, several at once and other units are as if not there.
        ("bytes=9-1", "", all.clone()),
        ("bytes=-", "", all.clone()),
        ("bytes=a-b", "", all.clone()),
        ("bytes=0-1,5-6", "", all.clone()),
        ("lines=0-1", "", all.clone()),
        ("0-1", "", all.clone()),
    ] {
        let mut headers = vec![("Range", range)];
        headers.extend(Some(("If-Range", if_range)).filter(|(_, value)| !value.is_empty()));
        let answer = site.get_with(path, &headers).await;
        assert_eq!(answer.status, status, "{range} {if_range}");
        if status == 416 {
            assert_eq!(answer.header("content-range"), Some(format!("bytes */{}", whole.len()).as_str()));
            continue;
        }
        assert_eq!(answer.body, whole[bytes.clone()], "{range} {if_range}");
        let named = answer.header("content-range").map(str::to_owned);
        let expected = (status == 206).then(|| format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, whole.len()));
        assert_eq!(named, expected, "{range} {if_range}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let head = ask(site.at, "HEAD", path, &[("Range", "bytes=0-9")], b"").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(whole.len().to_string().as_str())));
    site.place.write("static/empty.mp3", "");
    for (range, status) in [("bytes=0-", 416), ("bytes=-5", 200)] {
        assert_eq!(site.get_with("/empty.mp3", &[("Range", range)]).await.status, status, "{range}");
    }
    let known = site.get_with(path, &[("If-None-Match", &etag), ("Range", "bytes=0-9")]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let other = site.get_with(path, &[("If-Match", "\"another\""), ("Range", "bytes=0-9")]).await;
    assert_eq!(other.status, 412, "{last}");
}

#[tokio::test]
async fn a_file_goes_out_as_what_feeds_say_it_is() {
    let place = waves();
    for name in ["one.m4a", "one.wav", "one.opus", "one.srt", "one.txt", "one.unknown"] {
        place.write(&format!("static/{name}"), "bytes");
    }
    let site = Site::serve(place, Clock::system()).await;
    for (path, kind) in [
        ("/one.m4a", Some("audio/x-m4a")),
        ("/one.wav", Some("audio/wav")),
        ("/one.opus", Some("audio/ogg")),
        ("/one.srt", Some("application/x-subrip")),
        ("/one.txt", Some("text/plain; charset=utf-8")),
        ("/audio/tone.vtt", Some("text/vtt; charset=utf-8")),
        ("/one.unknown", Some("application/octet-stream")),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
        let known = site.get_with(path, &[("If-None-Match", answer.header("etag").unwrap())]).await;
        assert_eq!((known.status, known.header("content-type")), (304, None), "{path}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_its_line_and_the_article_goes_out_without_it() {
    let place = waves();
    std::fs::create_dir_all(place.path().join("static/folder.mp3")).unwrap();
    place.write("static/empty.mp3", "");
    place.write("secret.mp3", "secret");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.mp3", place.path().join("static/link.mp3")).unwrap();
    let line = |key: &str| format!("+++\ntitle = \"T\"\ndate = 2026-03-01\n{key}\n+++\nText.\n");
    let cases = [
        ("a", "enclosure = \"/gone.mp3\"", "a.md:4: the enclosure is not there: static/gone.mp3"),
        ("b", "enclosure = \"/folder.mp3\"", "b.md:4: the enclosure is no file: static/folder.mp3"),
        ("c", "enclosure = \"/empty.mp3\"", "c.md:4: the enclosure is empty: static/empty.mp3"),
        ("d", "enclosure = \"../secret.mp3\"", "d.md:4: enclosure leads out of static/"),
        ("e", "enclosure = \"javascript:alert(1)\"", "e.md:4: enclosure is not an http or https address"),
        (
            "f",
            "enclosure = \"https://cdn.example/a.mp3\"",
            "f.md:4: the enclosure is elsewhere and its size is not known",
        ),
        ("g", "enclosure = { url = \"https://cdn.example/a.mp3\", length = 0 }", "g.md:4: length is 0"),
        ("h", "enclosure = \"/link.mp3\"", "h.md:4: the enclosure is no file: static/link.mp3"),
        ("i", "enclosure = \"/audio/a tone.wav\"\n[episode]\nseason = -1", "i.md:6: season is -1"),
        (
            "j",
            "enclosure = \"/audio/a tone.wav\"\nepisode = { tpye = \"full\" }",
            "j.md:5: unknown key \"tpye\" in episode",
        ),
        (
            "k",
            "enclosure = \"/audio/a tone.wav\"\nepisode = { type = \"half\" }",
            "k.md:5: type of the episode is not known",
        ),
        (
            "l",
            "enclosure = { url = \"/audio/a tone.wav\", duration = \"long\" }",
            "l.md:4: duration is not a length of play",
        ),
        ("m", "enclosure = { url = \"/audio/a tone.wav\", type = \"sound\" }", "m.md:4: type is not a media type"),
        ("n", "episode = { number = 1 }", "n.md:4: there is an episode, and nothing to hear"),
        ("o", "enclosure = 7", "o.md:4: the enclosure is not there: static/7"),
        ("p", "enclosure = [\"a\"]", "p.md:4: enclosure is not text: a list"),
        (
            "q",
            "enclosure = \"/audio/a tone.wav\"\n[episode]\ntranscript = \"/gone.vtt\"",
            "q.md:6: the episode names a file that is not there: static/gone.vtt",
        ),
        (
            "r",
            "enclosure = \"/audio/a tone.wav\"\n[episode]\npersons = [{ name = \"Mara\", role = \"gest\" }]",
            "r.md:6: role is not known: \"gest\"",
        ),
        (
            "s",
            "enclosure = { url = \"https://test.example/old/one.mp3\", length = 777 }",
            "s.md:4: the enclosure is not there: static/old/one.mp3: feeds name it as it is written",
        ),
        ("t", "enclosure = \"/.hidden/two.mp3\"", "t.md:4: the enclosure is not given out"),
        ("u", "enclosure = { url = \"/audio/a:b.mp3\", length = 777 }", "u.md:4: the enclosure is not given out"),
    ];
    for (name, key, _) in cases {
        place.write(&format!("articles/{name}.md"), line(key));
    }
    let said = place.run(&["check"]).ended(1);
    let told: Vec<String> = format!("{}{}", said.out, said.err).lines().map(str::to_owned).collect();
    place.run(&["publish"]).ended(1);
    let rss = place.read("public/feeds/news/rss.xml");
    for (name, _, what) in cases {
        let at = told.iter().position(|line| line.starts_with(&format!("articles/{what}")));
        let at = at.unwrap_or_else(|| panic!("{name}: {told:#?}"));
        assert!(told[at + 1].starts_with("  hint: "), "{name}: {told:#?}");
        assert!(rss.contains(&format!("https://test.example/articles/{name}/")), "{name} does not go out");
    }
    assert!(rss.contains("https://test.example/old/one.mp3\" length=\"777\""), "{rss}");
    for unwanted in ["gone", "folder.mp3", "empty.mp3", "secret", "link.mp3", "two.mp3", "b.mp3"] {
        assert!(!rss.contains(&format!("{unwanted}\" length=")) && !rss.contains("javascript:"), "{unwanted}: {rss}");
    }
    assert_eq!(rss.matches("https://cdn.example/a.mp3\" length=\"0\"").count(), 2, "{rss}");
}

fn python(script: &str, path: &Path) -> Option<serde_json::Value> {
    let output = Command::new("python3").args(["-c", script]).arg(path).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).ok()
}

#[test]
fn the_parser_of_python_finds_the_same_files() {
    let there = Command::new("python3").args(["-c", "import feedparser"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "CI has to have feedparser");
    if !there {
        eprintln!("skipped: feedparser is not installed");
        return;
    }
    let place = waves();
    place.run(&["publish"]).ended(0);
    let length = tone().len().to_string();
    for file in ["rss.xml", "atom.xml"] {
        let script = "import feedparser, json, sys\nd = feedparser.parse(sys.argv[1])\n\
                      print(json.dumps([bool(d.bozo), [[[x.href, x.type, x.length] for x in e.enclosures] for e in d.entries],\n\
                      d.feed.get('itunes_type'), [e.get('itunes_duration') for e in d.entries]]))";
        let found = python(script, &place.path().join(format!("public/feeds/waves/{file}"))).unwrap();
        assert_eq!(found[0], false, "{file}");
        let ours = serde_json::json!([["https://test.example/audio/a%20tone.wav", "audio/wav", length]]);
        let far = serde_json::json!([["https://cdn.example/far.mp4", "video/mp4", "14031872"]]);
        assert_eq!(found[1], serde_json::json!([ours, far]), "{file}");
        if file == "rss.xml" {
            assert_eq!(found[3], serde_json::json!(["2", "754"]));
        }
    }
}
