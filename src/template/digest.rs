//! A digest compiled once for all its readers: rendered with marks where a reader's own words belong, cut at the
//! marks, and per reader only put together again.

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
    fn values(&self) -> [&str; 3] {
        [&self.greeting, &self.unsubscribe_url, &self.preferences_url]
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
}

/// A digest for all readers who get the same articles.
#[derive(Debug, Clone)]
pub struct CompiledDigest {
    /// Subject line.
    pub subject: String,
    html: Pieces,
    text: Pieces,
}

impl CompiledDigest {
    /// Renders the newsletter's template once, with marks in the reader's places.
    ///
    /// # Errors
    /// A template that cannot be rendered, by file and line.
    pub fn compile(templates: &Templates, template: &str, mut view: DigestView) -> Result<Self, Problem> {
        let marks = Marks::new();
        view.reader = marks.reader();
        let bodies = templates.mail(template, &view)?;
        Ok(Self {
            subject: view.digest.subject,
            html: Pieces::cut(&bodies.html, &marks),
            text: Pieces::cut(&bodies.text, &marks),
        })
    }

    /// The bodies for one reader.
    pub fn for_reader(&self, own: &Own) -> Bodies {
        let values = own.values();
        Bodies { html: self.html.with(&values.map(escape_html)), text: self.text.with(&values) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn a_patched_digest_is_the_one_that_is_rendered_in_full() {
        let templates = Templates::load(None).unwrap();
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        for name in ["Hello,", "Hello Mara O'Neill <b>,", "Hello \"Ö\" & ш,"] {
            let own = Own {
                greeting: name.into(),
                unsubscribe_url: "https://a.example/unsubscribe/x?y=1&z=2".into(),
                preferences_url: "https://a.example/preferences/x".into(),
            };
            let whole = templates.mail("digest", &DigestView { reader: own.view(), ..example::digest() }).unwrap();
            let patched = compiled.for_reader(&own);
            assert_eq!(patched.text, whole.text);
            // Entities may be spelt in two ways; a browser reads the same.
            let plain = |html: &str| {
                html.replace("&#39;", "'").replace("&#x27;", "'").replace("&quot;", "\"").replace("&gt;", ">")
            };
            let (patched, whole) = (plain(&patched.html), plain(&whole.html));
            let differs = patched.bytes().zip(whole.bytes()).position(|(a, b)| a != b);
            let around = differs.map(|at| (patched.get(at - 20..at + 60), whole.get(at - 20..at + 60)));
            assert!(patched == whole, "{around:?}");
        }
    }
}
