//! A digest compiled once for all its readers: rendered with marks where a reader's own words belong, cut at the
//! marks, and per reader only put together again.

use super::view::{DigestView, ReaderView};
use super::{Bodies, Templates};
use crate::domain::text::escape_html;
use crate::problem::Problem;

/// A mark is `OPEN digit CLOSE`: private-use characters, which no source lets through (they have no meaning in
/// interchange, Unicode §23.5) and which neither MJML nor CSS inlining touches.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// What is one reader's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// "Hello Mara," or "Hello,".
    pub greeting: String,
    /// One click and out.
    pub unsubscribe_url: String,
    /// All choices.
    pub preferences_url: String,
}

impl Slots {
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

    fn marks() -> ReaderView {
        let mark = |number: usize| format!("{OPEN}{number}{CLOSE}");
        ReaderView { greeting: mark(0), unsubscribe_url: mark(1), preferences_url: mark(2) }
    }
}

/// A body cut at its marks: text, then a slot's number, and so on; it ends with text.
#[derive(Debug, Clone)]
struct Pieces {
    first: String,
    rest: Vec<(usize, String)>,
}

impl Pieces {
    fn cut(text: &str) -> Self {
        let mut parts = text.split(OPEN);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.filter_map(|part| {
            let (number, after) = part.split_once(CLOSE)?;
            Some((number.parse().ok()?, after.to_owned()))
        });
        Self { first, rest: rest.collect() }
    }

    fn with(&self, values: &[impl AsRef<str>; 3]) -> String {
        let mut out =
            String::with_capacity(self.first.len() + self.rest.iter().map(|(_, text)| text.len() + 160).sum::<usize>());
        out.push_str(&self.first);
        for (slot, text) in &self.rest {
            out.push_str(values.get(*slot).map_or("", AsRef::as_ref));
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
        view.reader = Slots::marks();
        let bodies = templates.mail(template, &view)?;
        Ok(Self { subject: view.digest.subject, html: Pieces::cut(&bodies.html), text: Pieces::cut(&bodies.text) })
    }

    /// The bodies for one reader.
    pub fn for_reader(&self, slots: &Slots) -> Bodies {
        let values = slots.values();
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
            let slots = Slots {
                greeting: name.into(),
                unsubscribe_url: "https://a.example/unsubscribe/x?y=1&z=2".into(),
                preferences_url: "https://a.example/preferences/x".into(),
            };
            let whole = templates.mail("digest", &DigestView { reader: slots.view(), ..example::digest() }).unwrap();
            let patched = compiled.for_reader(&slots);
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
