//! Articles in: whole folders as other site generators leave them, files with every fault, and hostile markup.

use std::fmt::Write;
use std::path::Path;

use chrono::DateTime;
use proptest::prelude::*;
use tidings::domain::article::{Article, ArticleId};
use tidings::source::{self, Context, Parsed};
use url::Url;
use uuid::Uuid;

fn parse(key: &str, bytes: &[u8]) -> Parsed {
    let base = Url::parse("https://lantern.example").expect("a URL");
    let now = DateTime::from_timestamp_secs(1_780_000_000).expect("a moment in May 2026");
    let context = Context { base: &base, time_zone: chrono_tz::Europe::Lisbon, now };
    source::parse(ArticleId(Uuid::nil()), &format!("articles/{key}"), key, bytes, &context)
}

fn corpus() -> Vec<(String, Parsed)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/articles");
    let source::Finds { files: found, problems, .. } = source::walk(&folder);
    assert_eq!(problems, []);
    let read = |path: &Path| std::fs::read(path).expect("a fixture");
    found.into_iter().map(|file| (file.key.clone(), parse(&file.key, &read(&file.path)))).collect()
}

fn article(key: &str) -> Article {
    let (_, parsed) = corpus().into_iter().find(|(found, _)| found == key).expect("a fixture");
    parsed.article.expect("an article that comes in")
}

#[test]
fn every_fault_is_named_with_its_file_line_and_remedy() {
    let mut report = String::new();
    for (key, parsed) in corpus() {
        let state = if parsed.article.is_some() { "comes in" } else { "stays out" };
        writeln!(report, "== {key} {state}").unwrap();
        for problem in parsed.problems {
            writeln!(report, "{problem}").unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn an_article_with_every_key_comes_in_whole() {
    insta::assert_snapshot!(readable(&article("own/everything.md")));
}

#[test]
fn a_hugo_folder_comes_in_as_it_is() {
    insta::assert_snapshot!(
        readable(&article("hugo/posts/harbour-lights.md")) + &readable(&article("hugo/bundle/index.md"))
    );
}

#[test]
fn a_zola_folder_comes_in_as_it_is() {
    insta::assert_snapshot!(readable(&article("zola/keeper.md")));
}

#[test]
fn a_jekyll_folder_comes_in_as_it_is() {
    insta::assert_snapshot!(
        readable(&article("jekyll/_posts/2026-03-02-first-boats.md"))
            + &readable(&article("jekyll/_posts/2026-04-01-no-front-matter-date.markdown"))
    );
}

#[test]
fn html_in_markdown_keeps_what_is_harmless() {
    insta::assert_snapshot!(readable(&article("own/html-inside.md")));
}

#[test]
fn pages_of_html_and_plain_text_are_articles_too() {
    insta::assert_snapshot!(
        readable(&article("own/page.html"))
            + &readable(&article("own/2026-05-04-note.txt"))
            + &readable(&article("own/heading-title.md"))
    );
}

#[test]
fn two_ideographs_count_as_a_word() {
    assert_eq!(article("own/cjk.md").words, 3 + 3);
}

/// The fields one to a line, and the body as it is.
fn readable(article: &Article) -> String {
    let without_body = Article { html: String::new(), ..article.clone() };
    format!("{without_body:#?}\n{}\n", article.html)
}

/// Markup that runs, or makes a browser fetch or show what it should not, in one or other way of reading it.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src='x'onerror='alert(1)'>",
    "<img/src/onerror=alert(1)>",
    "<img src=javascript:alert(1)>",
    "<img src=data:image/svg+xml;base64,PHN2Zy8+>",
    "<img src=x srcset='https://evil.example 1x'>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1) /></svg>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<math><annotation-xml encoding='text/html'><img src=x onerror=alert(1)></annotation-xml></math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<title><img src=x onerror=alert(1)></title>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='javascript:alert(1)'></object>",
    "<embed src='https://evil.example/x.swf'>",
    "<applet code=x></applet>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<p style='background:url(javascript:alert(1))'>x</p>",
    "<p style='position:fixed;inset:0'>x</p>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='JaVaScRiPt&colon;alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='java&#x0A;script:alert(1)'>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href=https://a.example ping=https://evil.example onmouseover=alert(1)>x</a>",
    "<blockquote cite='javascript:alert(1)'>x</blockquote>",
    "<form action='javascript:alert(1)'><input type=submit></form>",
    "<input type=image src=x onerror=alert(1) autofocus onfocus=alert(1)>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)></audio>",
    "<body onload=alert(1)>",
    "<table background=javascript:alert(1)><tr><td>x</td></tr></table>",
    "<div id=location name=cookie class=desk>x</div>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml-stylesheet href='javascript:alert(1)'?>",
    "<a\u{0}href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JAVASCRIPT:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](\u{1}javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x) ![x](javascript:x)",
    "![x](data:image/svg+xml,<svg/onload=alert(1)>)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "[x](https://a.example \"\\\" onmouseover=alert(1) x=\\\"\")",
    "[x](https://a.example/\"onmouseover=alert(1)//)",
    "![\" onerror=alert(1) x=\"](https://a.example/x.png)",
    "![x](https://a.example/x.png '\"><script>alert(1)</script>')",
    "```\"><script>alert(1)</script>\nx\n```",
    "    <script>alert(1)</script>",
    "`<script>alert(1)</script>`",
    "\\<script>alert(1)\\</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[^\"><script>]\n\n[^\"><script>]: x",
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "[<img src=x onerror=alert(1)>](https://a.example)",
    "![<script>alert(1)</script>](https://a.example/x.png)",
];

const TAGS: &[&str] = &[
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "input",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
];

const ATTRIBUTES: &[&str] = &[
    "align", "alt", "checked", "class", "cite", "disabled", "height", "href", "id", "open", "rel", "src", "start",
    "title", "type", "width",
];

/// Reads finished HTML strictly: whatever is not a known tag with known, quoted attributes is a fault.
fn faults(html: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for tag in html.split('<').skip(1) {
        let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric() && c != '/').unwrap_or(tag.len());
        let name = tag[..name_end].trim_matches('/');
        if !TAGS.contains(&name) {
            faults.push(format!("tag <{name}>"));
        }
        let mut rest = tag[name_end..].trim_start();
        while !rest.starts_with('>') && !rest.starts_with("/>") {
            let Some((attribute, after)) = rest.split_once("=\"") else {
                faults.push(format!("unquoted in <{tag}"));
                break;
            };
            let Some((value, after)) = after.split_once('"') else {
                faults.push(format!("unclosed in <{tag}"));
                break;
            };
            let own_id = attribute != "id" || value.starts_with("hostile-fn");
            let inert_class = attribute != "class" || value.starts_with("language-");
            let good_url = !["href", "src", "cite"].contains(&attribute)
                || ["https://", "http://", "mailto:", "tel:"].iter().any(|scheme| value.starts_with(scheme));
            let checkbox = attribute != "type" || value == "checkbox";
            if !ATTRIBUTES.contains(&attribute) || !own_id || !inert_class || !good_url || !checkbox {
                faults.push(format!("{attribute}={value:?}"));
            }
            rest = after.trim_start();
        }
    }
    faults
}

fn html_of(ending: &str, body: &str) -> String {
    let file = format!("---\ntitle: Zzz\ndate: 2026-03-02\n---\n{body}");
    parse(&format!("hostile.{ending}"), file.as_bytes()).article.expect("an article").html
}

#[test]
fn nothing_active_survives_in_markdown_html_or_text() {
    for hostile in HOSTILE {
        for ending in ["md", "html", "txt"] {
            for body in [
                (*hostile).to_owned(),
                format!("Text\n\n{hostile}\n\n<b>bold</b>\n"),
                format!("- {hostile}\n- [x](#y)[^1]\n\n[^1]: {hostile}"),
                format!("<div>{hostile}"),
                format!("<p title=\"{hostile}\">"),
            ] {
                let html = html_of(ending, &body);
                assert_eq!(faults(&html), Vec::<String>::new(), "{ending}: {body}\nbecame {html}");
            }
        }
    }
}

#[test]
fn nothing_active_survives_in_an_answer_or_a_field() {
    for hostile in HOSTILE {
        let quoted = serde_json::to_string(hostile).unwrap();
        let file = format!(
            "---\ntitle: Zzz\ndate: 2026-03-02\nimage: {quoted}\nfaq:\n  - question: Q\n    answer: {quoted}\n---\nx"
        );
        let Some(article) = parse("hostile.md", file.as_bytes()).article else {
            continue;
        };
        for question in &article.faq {
            assert_eq!(
                faults(&question.answer_html.replace("hostile-faq1-fn", "hostile-fn")),
                Vec::<String>::new(),
                "{hostile}"
            );
        }
        if let Some(image) = &article.image {
            assert!(image.url.starts_with("https://") || image.url.starts_with("http://"), "{}", image.url);
        }
    }
}

#[test]
fn a_file_that_is_too_large_is_named_and_not_read() {
    let parsed = parse("big.md", &vec![b'a'; usize::try_from(source::MAX_BYTES).unwrap() + 1]);
    assert_eq!(parsed.article, None);
    assert_eq!(parsed.problems[0].to_string().lines().next(), Some("articles/big.md: the file is larger than 5 MiB"));
}

#[test]
fn a_nest_without_end_is_read_in_seconds() {
    let size = usize::try_from(source::MAX_BYTES).unwrap() / 8;
    for (ending, open) in [
        ("md", "> "),
        ("md", "- "),
        ("md", "["),
        ("md", "!["),
        ("md", "*a **b "),
        ("md", "[^1]"),
        ("md", "[x](data:x) "),
        ("md", "{{ a "),
        ("md", "<a>"),
        ("html", "<div>"),
        ("html", "<div></b>"),
        ("html", "<p><b>"),
        ("html", "<b>"),
        ("html", "<table><td>"),
        ("html", "<a href=data:x>"),
    ] {
        let started = std::time::Instant::now();
        html_of(ending, &open.repeat(size / open.len()));
        let took = started.elapsed();
        assert!(took.as_secs() < 60, "{open:?} took {took:?}");
    }
}

/// HTML as any serialiser would write it.
fn normal(html: &str) -> String {
    html.replace(" />", ">").replace("&quot;", "\"").replace('\u{A0}', "&nbsp;").replace('\r', "\n").trim().to_owned()
}

/// Pieces of Markdown that hold no HTML of their own.
fn markdown() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "word",
        "two words",
        " ",
        "\n",
        "\n\n",
        "\n\n    ",
        "# ",
        "\n## ",
        "* ",
        "\n- ",
        "\n1. ",
        "\n7) ",
        "> ",
        "*",
        "**",
        "_",
        "`",
        "```",
        "\n```rust\n",
        "~~",
        "[",
        "](",
        ")",
        "![",
        "](https://a.example/?a=1&b=\"2\" 't')",
        "](other.md)",
        "](#x)",
        "](javascript:x)",
        "<https://a.example>",
        "<a@b.example>",
        "[^1]",
        "\n\n[^1]: ",
        "\n\n[^2]: ",
        "[^2]",
        "\n\n| a | b |\n|:-:|--:|\n| c | d |\n",
        "|",
        "\\",
        "&amp;",
        "&#x1f;",
        "&nbsp;",
        "\"",
        "'",
        "...",
        "--",
        "- [x] ",
        "\n- [ ] ",
        "\t",
        "\r\n",
        "\u{7f}",
        "\u{a0}",
        "é",
        "灯台",
        "---",
        "\n---\n",
        "&lt;b&gt;",
        "[r]",
        "\n\n[r]: /x\n\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_markdown_becomes_passes_the_sanitiser_unchanged(body in markdown()) {
        let fast = html_of("md", &body);
        prop_assert_eq!(faults(&fast), Vec::<String>::new());
        let sanitised = html_of("html", &fast);
        prop_assert_eq!(normal(&fast), normal(&sanitised), "{:?}", body);
    }

    #[test]
    fn both_paths_say_the_same(body in markdown()) {
        // A comment over two lines sends the whole body through the sanitiser and leaves nothing behind.
        let fast = html_of("md", &body);
        let sanitised = html_of("md", &format!("<!--\n-->\n\n{body}"));
        prop_assert_eq!(normal(&fast), normal(&sanitised), "{:?}", body);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for key in ["a.md", "b.html", "c.txt"] {
            parse(key, &bytes);
        }
    }

    #[test]
    fn any_front_matter_is_read_without_panic(fence in "(\\+\\+\\+|---)", front in "[a-z:=\\[\\]{}\"' \n0-9T&*+|>#-]{0,80}", body in "\\PC{0,80}") {
        for key in ["a.md", "b.html", "c.txt"] {
            parse(key, format!("{fence}\n{front}\n{fence}\n{body}").as_bytes());
        }
    }

    #[test]
    fn any_date_is_read_without_panic(date in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]?[0-9:.]{0,12} ?[-+Zz]?[0-9:]{0,5}") {
        parse("a.md", format!("---\ntitle: T\ndate: {date}\n---\nx").as_bytes());
    }
}
