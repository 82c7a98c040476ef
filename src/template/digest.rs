//! A digest compiled once for all its readers: rendered with marks where a reader's own words belong, cut at the
//! marks, and per reader only put together again.
//!
//! That is right while a template does nothing but show a reader's fields. One that compares or measures them gives two
//! sample readers something else than the patched digest; it is then rendered in full for everyone.

use super::view::{DigestView, ReaderView};
use super::{Bodies, Templates};
use crate::domain::text::escape_html;
use crate::problem::Problem;

/// The marks of one rendering: `BEGIN number END`, where BEGIN is a word that no article can contain by accident or
/// on purpose, since half of it is random. Letters and digits only: `mrml` writes attributes with `{:?}`, which
/// would spell private-use characters out.
#[derive(Debug)]
struct Marks {
    begin: String,
}

impl Marks {
    const END: char = 'z';

    fn new() -> Self {
        let mut random = [0; 16];
        // Without randomness from the system there would be no keys either, and the program would not have started.
        let filled = getrandom::fill(&mut random).is_ok();
        debug_assert!(filled);
        Self { begin: format!("q{:032x}q", u128::from_ne_bytes(random)) }
    }

    fn mark(&self, number: usize) -> String {
        format!("{}{number}{}", self.begin, Self::END)
    }

    fn reader(&self) -> ReaderView {
        ReaderView { greeting: self.mark(0), unsubscribe_url: self.mark(1), preferences_url: self.mark(2) }
    }
}

/// What is the reader's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// "Hello Mara," or "Hello,".
    pub greeting: String,
    /// One click and out.
    pub unsubscribe_url: String,
    /// All choices.
    pub preferences_url: String,
}

impl Own {
    /// What stands in the places of a compiled digest.
    pub fn values(&self) -> [&str; 3] {
        [&self.greeting, &self.unsubscribe_url, &self.preferences_url]
    }

    fn of(view: ReaderView) -> Self {
        let ReaderView { greeting, unsubscribe_url, preferences_url } = view;
        Self { greeting, unsubscribe_url, preferences_url }
    }

    /// What a template that is rendered in full sees.
    pub fn view(&self) -> ReaderView {
        ReaderView {
            greeting: self.greeting.clone(),
            unsubscribe_url: self.unsubscribe_url.clone(),
            preferences_url: self.preferences_url.clone(),
        }
    }
}

/// A body cut at its marks: text, then the number of a place, and so on; it ends with text.
#[derive(Debug, Clone)]
struct Pieces {
    first: String,
    rest: Vec<(usize, String)>,
}

impl Pieces {
    fn cut(text: &str, marks: &Marks) -> Self {
        let mut parts = text.split(&marks.begin);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.filter_map(|part| {
            let (number, after) = part.split_once(Marks::END)?;
            Some((number.parse().ok()?, after.to_owned()))
        });
        Self { first, rest: rest.collect() }
    }

    fn with(&self, values: &[impl AsRef<str>; 3]) -> String {
        let mut out =
            String::with_capacity(self.first.len() + self.rest.iter().map(|(_, text)| text.len() + 160).sum::<usize>());
        out.push_str(&self.first);
        for (place, text) in &self.rest {
            out.push_str(values.get(*place).map_or("", AsRef::as_ref));
            out.push_str(text);
        }
        out
    }

    fn iter(&self) -> impl Iterator<Item = (Option<usize>, &str)> {
        std::iter::once((None, self.first.as_str()))
            .chain(self.rest.iter().map(|(place, text)| (Some(*place), text.as_str())))
    }
}

/// A digest for all readers who get the same articles.
#[derive(Debug, Clone)]
pub struct CompiledDigest {
    /// Subject line.
    pub subject: String,
    html: Pieces,
    text: Pieces,
    /// The template and its data, where the pieces do not tell the whole truth.
    whole: Option<Box<(String, DigestView)>>,
}

impl CompiledDigest {
    /// Renders the newsletter's template once with marks in the reader's places, and twice in full to compare: for the
    /// reader in `view`, who has no name, and for one who has.
    ///
    /// # Errors
    /// A template that cannot be rendered, by file and line.
    pub fn compile(templates: &Templates, template: &str, mut view: DigestView) -> Result<Self, Problem> {
        let marks = Marks::new();
        let nameless = Own::of(std::mem::replace(&mut view.reader, marks.reader()));
        let bodies = templates.mail(template, &view)?;
        let mut compiled = Self {
            subject: view.digest.subject.clone(),
            html: Pieces::cut(&bodies.html, &marks),
            text: Pieces::cut(&bodies.text, &marks),
            whole: None,
        };
        let named = Own { greeting: "Hello Mara Quill,".to_owned(), ..nameless.clone() };
        for own in [nameless, named] {
            view.reader = own.view();
            // A rendering that fails for one reader alone is no better than the pieces.
            if templates.mail(template, &view).is_ok_and(|whole| !read_alike(&compiled.patched(&own), &whole)) {
                compiled.whole = Some(Box::new((template.to_owned(), view)));
                break;
            }
        }
        Ok(compiled)
    }

    /// The bodies for one reader.
    pub fn for_reader(&self, templates: &Templates, own: &Own) -> Bodies {
        if let Some((template, view)) = self.whole.as_deref() {
            let view = DigestView { reader: own.view(), ..view.clone() };
            if let Ok(bodies) = templates.mail(template, &view) {
                return bodies;
            }
        }
        self.patched(own)
    }

    fn patched(&self, own: &Own) -> Bodies {
        let values = own.values();
        Bodies { html: self.html.with(&values.map(escape_html)), text: self.text.with(&values) }
    }

    /// Whether the bodies are the same for all readers but for what stands in the places of their pieces.
    pub fn is_patched(&self) -> bool {
        self.whole.is_none()
    }

    /// The text body in pieces: which of [`Own::values`] stands before each, if any, and the piece.
    pub fn text_pieces(&self) -> impl Iterator<Item = (Option<usize>, &str)> {
        self.text.iter()
    }

    /// The HTML body in pieces, likewise; the values are to be escaped.
    pub fn html_pieces(&self) -> impl Iterator<Item = (Option<usize>, &str)> {
        self.html.iter()
    }
}

/// Whether two renderings say the same: text may be folded elsewhere, and entities may be spelt in two ways.
fn read_alike(one: &Bodies, other: &Bodies) -> bool {
    one.text.split_whitespace().eq(other.text.split_whitespace()) && plain(&one.html) == plain(&other.html)
}

fn plain(html: &str) -> String {
    html.replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
        .replace("&#x3D;", "=")
        .replace("&gt;", ">")
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn own(greeting: &str) -> Own {
        Own {
            greeting: greeting.into(),
            unsubscribe_url: "https://a.example/unsubscribe/x?y=1&z=2".into(),
            preferences_url: "https://a.example/preferences/x".into(),
        }
    }

    /// Templates of which one of the two of `digest` is this.
    fn with(file: &str, template: &str) -> Templates {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mail")).unwrap();
        std::fs::write(folder.path().join("mail").join(file), template).unwrap();
        Templates::load(Some(folder.path())).unwrap()
    }

    fn with_html(head: &str, body: &str) -> Templates {
        let mjml = format!(
            "<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column><mj-text>{body}</mj-text></mj-column>\
             </mj-section></mj-body></mjml>"
        );
        with("digest.mjml.hbs", &mjml)
    }

    #[test]
    fn a_patched_digest_is_the_one_that_is_rendered_in_full() {
        let templates = Templates::load(None).unwrap();
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        assert!(compiled.is_patched());
        for name in ["Hello,", "Hello Mara O'Neill <b>,", "Hello \"Ö\" & ш,"] {
            let own = own(name);
            let whole = templates.mail("digest", &DigestView { reader: own.view(), ..example::digest() }).unwrap();
            let patched = compiled.for_reader(&templates, &own);
            assert_eq!(patched.text, whole.text);
            assert!(read_alike(&patched, &whole), "{}", patched.html);
        }
    }

    #[test]
    fn the_pieces_and_the_values_are_the_bodies() {
        let templates = Templates::load(None).unwrap();
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        let own = own("Hello Mara,");
        let joined: String = compiled
            .text_pieces()
            .flat_map(|(place, text)| [place.map_or("", |place| own.values()[place]), text])
            .collect();
        assert_eq!(joined, compiled.for_reader(&templates, &own).text);
        assert!(compiled.html_pieces().count() > 3);
    }

    #[test]
    fn a_field_in_a_title_an_attribute_or_a_query_is_escaped_for_each_reader() {
        let greeting = "Hello \"M\" <b> & 'O',";
        let escaped = "Hello &quot;M&quot; &lt;b&gt; &amp; &#39;O&#39;,";
        for (head, body) in [
            ("<mj-title>{{reader.greeting}}</mj-title>", "x"),
            ("", "<img src=\"https://a.example/a.png\" alt=\"{{reader.greeting}}\" />"),
            ("", "<a href=\"https://a.example/?to={{reader.greeting}}\">x</a>"),
            ("", "{{{reader.greeting}}}"),
        ] {
            let templates = with_html(head, body);
            let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
            assert!(compiled.is_patched(), "{body}");
            let html = compiled.for_reader(&templates, &own(greeting)).html;
            assert!(html.contains(escaped) && !html.contains("<b>"), "{html}");
        }
    }

    #[test]
    fn a_template_without_fields_of_the_reader_is_one_piece() {
        let templates = with_html("", "Nobody's own.");
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        assert!(compiled.is_patched());
        assert_eq!(compiled.html_pieces().map(|(place, _)| place).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn a_template_that_compares_or_measures_a_field_is_rendered_for_each_reader() {
        for body in [
            "{{#if (eq reader.greeting \"Hello,\")}}You have no name.{{else}}{{reader.greeting}}{{/if}}",
            "{{#if (gt (len reader.greeting) 8)}}{{reader.greeting}}{{else}}You have no name.{{/if}}",
        ] {
            for templates in [with_html("", body), with("digest.txt.hbs", body)] {
                let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
                assert!(!compiled.is_patched(), "{body}");
                let says = |greeting: &str, words: &str| {
                    let bodies = compiled.for_reader(&templates, &own(greeting));
                    bodies.html.contains(words) || bodies.text.contains(words)
                };
                assert!(says("Hello,", "You have no name.") && !says("Hello Mara Quill,", "You have no name."));
                assert!(says("Hello Mara Quill,", "Hello Mara Quill,"));
            }
        }
    }
}
