//! A digest compiled once for all its readers: rendered with marks where a reader's own words belong, cut at the
//! marks, and per reader only put together again.
//!
//! A template may show a reader's fields and attributes anywhere. What looks at them, compares or measures, stands in a
//! `{{#reader}}` block: that alone is rendered for each reader and put into its place, after the layout. A template that
//! looks at a reader outside of such a block gives two sample readers something else than the patched digest; it is
//! then rendered in full for everyone.

use std::sync::{Arc, Mutex, PoisonError};

use handlebars::Context;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::attributes::{at, shown};
use super::body::{html_of, wrap, wrap_marked};
use super::rendering::{Aside, Blocks, MARK_END, mark};
use super::view::{DigestView, ReaderView};
use super::words::Speech;
use super::{Bodies, Kind, Templates};
use crate::domain::attributes::Attributes;
use crate::domain::text::escape_html;
use crate::problem::Problem;

/// How many fields of a reader have a place of their own; what comes after them are blocks.
const FIELDS: usize = 4;

/// The marks of one rendering: `BEGIN number END`, where BEGIN is a word that no article can contain by accident or
/// on purpose, since half of it is random. Letters and digits only: `mrml` writes attributes with `{:?}`, which
/// would spell private-use characters out.
#[derive(Debug)]
struct Marks {
    begin: String,
}

impl Marks {
    fn new() -> Self {
        let mut random = [0; 16];
        // Without randomness from the system there would be no keys either, and the program would not have started.
        let filled = getrandom::fill(&mut random).is_ok();
        debug_assert!(filled);
        Self { begin: format!("q{:032x}q", u128::from_ne_bytes(random)) }
    }

    fn reader(&self) -> ReaderView {
        let mark = |number| mark(&self.begin, number);
        ReaderView {
            greeting: mark(0),
            unsubscribe_url: mark(1),
            preferences_url: mark(2),
            name: Some(mark(3)),
            attributes: Attributes::default(),
        }
    }

    /// What waits for its reader put aside, numbered from `first` on.
    fn aside(&self, first: usize) -> Blocks {
        Blocks::Aside { begin: self.begin.clone(), first }
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
    /// As they gave it.
    pub name: Option<String>,
    /// What else is known of them; needed only where [`Templates::names_attributes`].
    pub attributes: Attributes,
}

impl Own {
    /// What stands in the places of fields.
    fn fields(&self) -> [&str; FIELDS] {
        [&self.greeting, &self.unsubscribe_url, &self.preferences_url, self.name.as_deref().unwrap_or_default()]
    }

    fn of(view: ReaderView) -> Self {
        let ReaderView { greeting, unsubscribe_url, preferences_url, name, attributes } = view;
        Self { greeting, unsubscribe_url, preferences_url, name, attributes }
    }

    /// What a template that is rendered in full sees.
    pub fn view(&self) -> ReaderView {
        ReaderView {
            greeting: self.greeting.clone(),
            unsubscribe_url: self.unsubscribe_url.clone(),
            preferences_url: self.preferences_url.clone(),
            name: self.name.clone(),
            attributes: self.attributes.clone(),
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
            let (number, after) = part.split_once(MARK_END)?;
            Some((number.parse().ok()?, after.to_owned()))
        });
        Self { first, rest: rest.collect() }
    }

    fn with(&self, values: &[String]) -> String {
        let mut out =
            String::with_capacity(self.first.len() + self.rest.iter().map(|(_, text)| text.len() + 160).sum::<usize>());
        out.push_str(&self.first);
        for (place, text) in &self.rest {
            out.push_str(values.get(*place).map_or("", String::as_str));
            out.push_str(text);
        }
        out
    }

    fn iter(&self) -> impl Iterator<Item = (Option<usize>, &str)> {
        std::iter::once((None, self.first.as_str()))
            .chain(self.rest.iter().map(|(number, text)| (Some(*number), text.as_str())))
    }

    fn has(&self, place: usize) -> bool {
        self.rest.iter().any(|(number, _)| *number == place)
    }
}

/// What stands before a piece of a body, by its number among [`CompiledDigest::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A field or an attribute of the reader: text, to be escaped in HTML.
    Field(usize),
    /// A block rendered for the reader: as it stands.
    Block(usize),
}

/// One body of a mail, with what is rendered for each reader.
#[derive(Debug, Clone)]
struct Part {
    pieces: Pieces,
    /// What waits for its reader, numbered from `first` on.
    aside: Vec<Aside>,
    first: usize,
}

impl Part {
    /// Renders a body with what waits for its reader put aside, numbered from `first` on.
    fn render(
        templates: &Templates,
        kind: Kind,
        name: &str,
        context: &Context,
        marks: &Marks,
        first: usize,
    ) -> Result<Self, Problem> {
        let (source, aside) = templates.rendered(kind, name, context, marks.aside(first))?;
        let file = || kind.file(name);
        let body = match kind {
            Kind::Html => html_of(&source, &file()),
            _ => Ok(wrap_marked(&source, &marks.begin)),
        };
        let pieces = Pieces::cut(&body.map_err(|problem| near_blocks(problem, &aside))?, marks);
        for (number, one) in (first..).zip(&aside) {
            if pieces.has(number) {
                continue;
            }
            return Err(match one {
                Aside::Block(_) => {
                    Problem::new(file(), "a {{#reader}} block stands where the layout drops it").hint(INSIDE_TEXT)
                }
                Aside::Attribute(names) => {
                    let what = format!("reader.attributes.{} stands where the layout drops it", names.join("."));
                    Problem::new(file(), what).hint("put it inside <mj-text>, or into the value of an attribute")
                }
            });
        }
        Ok(Self { pieces, aside, first })
    }

    fn place(&self, number: usize) -> Place {
        let aside = number.checked_sub(self.first).and_then(|at| self.aside.get(at));
        if matches!(aside, Some(Aside::Block(_))) { Place::Block(number) } else { Place::Field(number) }
    }

    /// In pieces, each with what stands before it.
    fn iter(&self) -> impl Iterator<Item = (Option<Place>, &str)> {
        self.pieces.iter().map(|(number, text)| (number.map(|number| self.place(number)), text))
    }

    fn has_blocks(&self) -> bool {
        self.aside.iter().any(|one| matches!(one, Aside::Block(_)))
    }

    /// What waits, for a reader with these attributes, who stands in `context` where there are blocks; attributes are not
    /// escaped yet.
    fn values(
        &self,
        templates: &Templates,
        (kind, name): (Kind, &str),
        context: Option<&Context>,
        attributes: &Map<String, Json>,
        speech: &Speech<'_>,
    ) -> Result<Vec<String>, Problem> {
        let say = |one: &Aside| {
            let block = match one {
                Aside::Attribute(names) => return Ok(shown(at(attributes, names), speech)),
                Aside::Block(block) => block,
            };
            let Some(context) = context else { return Ok(String::new()) };
            let text = block
                .render(templates.registry(kind), context)
                .map_err(|error| templates.problem(&error, kind, name, context.data()))?;
            if kind == Kind::Html && text.contains("<mj-") {
                let problem = Problem::new(kind.file(name), "a {{#reader}} block has MJML in it");
                return Err(problem.hint(INSIDE_TEXT));
            }
            // What stands on lines of its own is folded as all text is.
            Ok(if kind == Kind::Text && text.contains('\n') { wrap(&text) } else { text })
        };
        self.aside.iter().map(say).collect()
    }
}

const INSIDE_TEXT: &str = "put it inside <mj-text>, with HTML and text in it: the layout is made once, for all readers";

fn near_blocks(problem: Problem, aside: &[Aside]) -> Problem {
    if aside.iter().any(|one| matches!(one, Aside::Block(_))) { problem.hint(INSIDE_TEXT) } else { problem }
}

/// Both bodies with what is one reader's, by the numbers of the places.
fn together(html: &Part, text: &Part, values: Vec<String>) -> Bodies {
    let plain = text.pieces.with(&values);
    let escaped = values.into_iter().enumerate().map(|(number, value)| match html.place(number) {
        Place::Field(_) => escape_html(&value),
        Place::Block(_) => value,
    });
    Bodies { html: html.pieces.with(&escaped.collect::<Vec<_>>()), text: plain }
}

/// A mail rendered for the one reader that its data tells of, if it tells of one.
pub(super) fn whole(templates: &Templates, name: &str, data: &impl Serialize) -> Result<Bodies, Problem> {
    let context = super::context(data).map_err(|error| templates.problem(&error, Kind::Html, name, data))?;
    let marks = Marks::new();
    let html = Part::render(templates, Kind::Html, name, &context, &marks, FIELDS)?;
    let text = Part::render(templates, Kind::Text, name, &context, &marks, FIELDS + html.aside.len())?;
    let none = Map::new();
    let attributes = context.data().pointer("/reader/attributes").and_then(Json::as_object).unwrap_or(&none);
    let speech = templates.speech(super::helpers::language(context.data()));
    let mut values = vec![String::new(); FIELDS];
    for (kind, part) in [(Kind::Html, &html), (Kind::Text, &text)] {
        values.extend(part.values(templates, (kind, name), Some(&context), attributes, &speech)?);
    }
    Ok(together(&html, &text, values))
}

/// A digest for all readers who get the same articles.
#[derive(Debug, Clone)]
pub struct CompiledDigest {
    /// Subject line.
    pub subject: String,
    /// What an editor should know of it, though nothing is wrong.
    pub notes: Vec<Problem>,
    template: String,
    language: String,
    html: Part,
    text: Part,
    /// The data, where blocks look at it; the reader in it changes.
    context: Option<Arc<Mutex<Context>>>,
    /// The data, where the pieces do not tell the whole truth.
    whole: Option<Box<DigestView>>,
}

impl CompiledDigest {
    /// Renders the newsletter's template once with marks in the reader's places, and twice in full to compare: for a
    /// reader who has no name, and for one who has.
    ///
    /// # Errors
    /// A template that cannot be rendered, by file and line.
    pub fn compile(templates: &Templates, template: &str, mut view: DigestView) -> Result<Self, Problem> {
        let mut compiled = Self::draft(templates, template, &mut view)?;
        let speech = templates.speech(&view.language);
        let own = |name: Option<&str>| Own {
            greeting: speech.greeting(name),
            name: name.map(str::to_owned),
            ..Own::of(view.reader.clone())
        };
        let (nameless, named) = (own(None), own(Some("Mara Quill")));
        for own in [nameless, named] {
            // A block that fails would fail for every such reader.
            let patched = compiled.patched(templates, &own)?;
            view.reader = own.view();
            // A rendering that fails for one reader alone is no better than the pieces.
            if templates.mail(template, &view).is_ok_and(|whole| !read_alike(&patched, &whole)) {
                compiled.whole = Some(Box::new(view));
                break;
            }
        }
        Ok(compiled)
    }

    /// The same without a look at whether the pieces are the whole truth: enough to see how large it becomes.
    ///
    /// # Errors
    /// A template that cannot be rendered, by file and line.
    pub fn draft(templates: &Templates, template: &str, view: &mut DigestView) -> Result<Self, Problem> {
        let marks = Marks::new();
        let reader = std::mem::replace(&mut view.reader, marks.reader());
        let context = super::context(view).map_err(|error| templates.problem(&error, Kind::Html, template, view));
        view.reader = reader;
        let context = context?;
        let html = Part::render(templates, Kind::Html, template, &context, &marks, FIELDS)?;
        let text = Part::render(templates, Kind::Text, template, &context, &marks, FIELDS + html.aside.len())?;
        let has_blocks = html.has_blocks() || text.has_blocks();
        Ok(Self {
            subject: view.digest.subject.clone(),
            notes: vec![],
            template: template.to_owned(),
            language: view.language.clone(),
            html,
            text,
            context: has_blocks.then(|| Arc::new(Mutex::new(context))),
            whole: None,
        })
    }

    /// The bodies for one reader.
    ///
    /// # Errors
    /// A `{{#reader}}` block that cannot be rendered for this one, by file and line.
    pub fn for_reader(&self, templates: &Templates, own: &Own) -> Result<Bodies, Problem> {
        if let Some(view) = self.whole.as_deref() {
            let view = DigestView { reader: own.view(), ..view.clone() };
            if let Ok(bodies) = templates.mail(&self.template, &view) {
                return Ok(bodies);
            }
        }
        self.patched(templates, own)
    }

    fn patched(&self, templates: &Templates, own: &Own) -> Result<Bodies, Problem> {
        Ok(together(&self.html, &self.text, self.values(templates, own)?))
    }

    /// What stands in the places of the bodies for one reader, by their numbers.
    ///
    /// # Errors
    /// A `{{#reader}}` block that cannot be rendered for this one, by file and line.
    pub fn values(&self, templates: &Templates, own: &Own) -> Result<Vec<String>, Problem> {
        let mut values: Vec<String> = own.fields().map(str::to_owned).into();
        if self.html.aside.is_empty() && self.text.aside.is_empty() {
            return Ok(values);
        }
        let mut context = self.context.as_ref().map(|context| context.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(data) = context.as_mut().and_then(|context| context.data_mut().as_object_mut()) {
            data.insert("reader".to_owned(), serde_json::to_value(own.view()).unwrap_or_default());
        }
        let speech = templates.speech(&self.language);
        for (kind, part) in [(Kind::Html, &self.html), (Kind::Text, &self.text)] {
            let of = (kind, self.template.as_str());
            values.extend(part.values(templates, of, context.as_deref(), own.attributes.as_map(), &speech)?);
        }
        Ok(values)
    }

    /// Whether the bodies are the same for all readers but for what stands in the places of their pieces.
    pub fn is_patched(&self) -> bool {
        self.whole.is_none()
    }

    /// The text body in pieces: which of [`CompiledDigest::values`] stands before each, if any, and the piece.
    pub fn text_pieces(&self) -> impl Iterator<Item = (Option<Place>, &str)> {
        self.text.iter()
    }

    /// The HTML body in pieces, likewise.
    pub fn html_pieces(&self) -> impl Iterator<Item = (Option<Place>, &str)> {
        self.html.iter()
    }
}

/// Whether two renderings say the same: text may be folded elsewhere, and entities may be spelt in two ways.
fn read_alike(one: &Bodies, other: &Bodies) -> bool {
    one.text.split_whitespace().eq(other.text.split_whitespace()) && plain(&one.html) == plain(&other.html)
}

fn plain(html: &str) -> String {
    // A break between two tags says nothing: that of a line whose only block came out empty.
    html.replace(">\n<", "><")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
        .replace("&#x3D;", "=")
        .replace("&nbsp;", "\u{a0}")
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
            name: None,
            attributes: Attributes::default(),
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
            let patched = compiled.for_reader(&templates, &own).unwrap();
            assert_eq!(patched.text, whole.text);
            assert!(read_alike(&patched, &whole), "{}", patched.html);
        }
    }

    #[test]
    fn the_pieces_and_the_values_are_the_bodies() {
        let templates = Templates::load(None).unwrap();
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        let own = own("Hello Mara,");
        let values = compiled.values(&templates, &own).unwrap();
        let value = |place| match place {
            Some(Place::Field(number) | Place::Block(number)) => values[number].as_str(),
            None => "",
        };
        let joined: String = compiled.text_pieces().flat_map(|(place, text)| [value(place), text]).collect();
        assert_eq!(joined, compiled.for_reader(&templates, &own).unwrap().text);
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
            let html = compiled.for_reader(&templates, &own(greeting)).unwrap().html;
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
                    let bodies = compiled.for_reader(&templates, &own(greeting)).unwrap();
                    bodies.html.contains(words) || bodies.text.contains(words)
                };
                assert!(says("Hello,", "You have no name.") && !says("Hello Mara Quill,", "You have no name."));
                assert!(says("Hello Mara Quill,", "Hello Mara Quill,"));
            }
        }
    }

    /// Both parts of `digest` made of the same lines.
    fn of_lines(lines: &[&str]) -> Templates {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mail")).unwrap();
        let body = lines.join("\n");
        let mjml = format!(
            "<mjml><mj-body><mj-section><mj-column><mj-text>{body}</mj-text></mj-column></mj-section></mj-body></mjml>"
        );
        std::fs::write(folder.path().join("mail/digest.mjml.hbs"), mjml).unwrap();
        std::fs::write(folder.path().join("mail/digest.txt.hbs"), body).unwrap();
        Templates::load(Some(folder.path())).unwrap()
    }

    /// What a reader gets where each block is rendered in its place, and nothing is patched.
    fn in_full(templates: &Templates, own: &Own) -> Bodies {
        let view = DigestView { reader: own.view(), ..example::digest() };
        let context = super::super::context(&view).unwrap();
        let render = |kind| templates.rendered(kind, "digest", &context, Blocks::Inline).unwrap().0;
        Bodies { html: html_of(&render(Kind::Html), "digest").unwrap(), text: wrap(&render(Kind::Text)) }
    }

    const LINES: [&str; 12] = [
        "A line that is everybody's & <b>bold</b>.",
        "{{reader.greeting}}",
        "{{#reader}}{{#if reader.name}}For {{reader.name}} <i>alone</i>.{{else}}For whoever you are.{{/if}}{{/reader}}",
        "{{#reader}}{{#if (gt (len reader.greeting) 8)}}{{reader.greeting}}{{/if}}{{/reader}}",
        "{{#each articles}}{{title}}: {{#reader}}{{@index}} {{title}} {{#if @last}}last{{/if}} {{reader.greeting}}{{/reader}} {{/each}}",
        "{{#reader}}{{@root.digest.count}} {{t \"minutes\" count=@root.digest.count}} {{#each articles}}{{url}} {{/each}}{{/reader}}",
        "{{#with (lookup articles 0)}}{{#reader}}{{label}} {{reader.unsubscribe_url}}{{/reader}}{{/with}}",
        "<a href=\"https://a.example/\">plain</a> {{reader.name}}",
        "From {{reader.attributes.city}}, {{{reader.attributes.tags}}} and {{@root.reader.attributes.[the n]}}: {{reader.attributes.vip}}",
        "{{#each articles}}{{title}} {{reader.attributes.of.a}} {{../reader.attributes.tags.0}} {{/each}}",
        "{{#reader}}{{#if reader.attributes.vip}}{{reader.attributes.city}}{{else}}nobody's{{/if}} {{#each reader.attributes.tags}}{{this}}; {{/each}}{{/reader}}",
        "{{#reader}}{{#if (eq reader.attributes.[the n] 2.5)}}{{t \"minutes\" count=@root.digest.count}}{{/if}} {{#each reader.attributes}}{{@key}} {{/each}}{{/reader}}",
    ];

    /// Attributes of every kind, with this text in them.
    fn known(text: &str, which: usize) -> Attributes {
        let all = serde_json::json!({
            "city": text, "the n": 2.5, "vip": which.is_multiple_of(2), "tags": [text, "b", true], "of": { "a": text },
        });
        let Json::Object(all) = all else { panic!("an object") };
        Attributes::of(all.into_iter().enumerate().filter(|(at, _)| which >> at & 1 == 1).map(|(_, one)| one).collect())
            .unwrap()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]
        #[test]
        fn blocks_for_each_reader_are_what_a_full_rendering_has(
            chosen in proptest::collection::vec(0..LINES.len(), 1..6),
            name in proptest::option::of("[a-zà-ÿ<&'\"=\u{5d0}-\u{5ea}\u{a0}.]{1,12}"),
            city in "[a-zà-ÿ<&'\"={}\u{5d0}-\u{5ea}.]{1,12}",
            which in 0_usize..32,
        ) {
            let lines: Vec<&str> = chosen.iter().map(|at| LINES[*at]).collect();
            let templates = of_lines(&lines);
            let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
            proptest::prop_assert!(compiled.is_patched(), "{lines:?}");
            let greeting = templates.speech("en").greeting(name.as_deref());
            let own = Own { name, attributes: known(&city, which), ..own(&greeting) };
            let (patched, full) = (compiled.for_reader(&templates, &own).unwrap(), in_full(&templates, &own));
            proptest::prop_assert!(read_alike(&patched, &full), "{lines:?}\n{patched:#?}\n{full:#?}");
        }
    }

    #[test]
    fn a_block_for_each_reader_takes_no_layout_and_says_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mail")).unwrap();
        for body in [
            "<mj-section>{{#reader}}<mj-column><mj-text>{{reader.name}}</mj-text></mj-column>{{/reader}}</mj-section>",
            "{{#reader}}<mj-section><mj-column><mj-text>{{reader.greeting}}</mj-text></mj-column></mj-section>{{/reader}}",
        ] {
            let mjml = format!("<mjml><mj-body>{body}</mj-body></mjml>");
            std::fs::write(folder.path().join("mail/digest.mjml.hbs"), mjml).unwrap();
            let templates = Templates::load(Some(folder.path())).unwrap();
            let problem = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap_err();
            assert_eq!(problem.file, "templates/mail/digest.mjml.hbs");
            assert_eq!(problem.hint.as_deref(), Some(INSIDE_TEXT), "{problem}");
        }
    }

    #[test]
    fn what_is_known_of_a_reader_is_shown_escaped_and_what_is_not_is_empty() {
        let templates = of_lines(&[
            "<a title=\"{{reader.attributes.city}}\" href=\"https://a.example/?a={{reader.attributes.city}}\">x</a>",
            "[{{reader.attributes.tags}}|{{reader.attributes.vip}}|{{reader.attributes.n}}|{{reader.attributes.of}}|{{reader.attributes.gone}}]",
        ]);
        assert!(templates.names_attributes());
        let compiled = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap();
        assert!(compiled.is_patched() && compiled.context.is_none(), "nothing is rendered for each reader");
        let known = r#"{"city": "\"<b>&", "tags": ["a<", 2, "c"], "vip": true, "n": 1984, "of": {"a": 1}}"#;
        let own = Own { attributes: Attributes::parse(known).unwrap(), ..own("Hello,") };
        let bodies = compiled.for_reader(&templates, &own).unwrap();
        let escaped = "&quot;&lt;b&gt;&amp;";
        assert!(bodies.html.contains(&format!("title=\"{escaped}\"")), "{}", bodies.html);
        assert!(bodies.html.contains(&format!("?a={escaped}")) && bodies.html.contains("[a&lt;, 2 and c|yes|1984||]"));
        assert!(bodies.text.contains("title=\"\"<b>&\"") && bodies.text.contains("[a<, 2 and c|yes|1984||]"));
    }

    #[test]
    fn what_looks_at_an_attribute_for_all_readers_at_once_says_where_it_belongs() {
        for (line, words) in [
            ("{{#if reader.attributes.vip}}x{{/if}}", "stands inside {{#reader}}"),
            ("{{#if (eq reader.attributes.city \"x\")}}x{{/if}}", "stands inside {{#reader}}"),
            ("{{truncate reader.attributes.city 3}}", "stands inside {{#reader}}"),
            ("{{#each reader.attributes.tags}}x{{/each}}", "stands inside {{#reader}}"),
            ("{{#reader}}{{#with reader.attributes}}{{city}}{{/with}}{{/reader}}", "by its whole name"),
            ("{{reader.attributes}}", "needs a name"),
        ] {
            let problem = CompiledDigest::compile(&of_lines(&["one", line]), "digest", example::digest()).unwrap_err();
            assert_eq!((problem.file.as_str(), problem.line), ("templates/mail/digest.mjml.hbs", Some(2)), "{problem}");
            assert!(problem.what.contains(words), "{line}: {problem}");
        }
        let problem = of_lines(&["x"]).subject("{{reader.attributes.city}}", "feeds/a.toml", &1).unwrap_err();
        assert!(problem.what.contains("no field `reader.attributes.city`"), "{problem}");
    }

    #[test]
    fn a_fault_in_a_block_is_named_with_its_line() {
        let templates = of_lines(&["one", "{{#reader}}{{#if reader.name}}", "{{reader.nam}}{{/if}}{{/reader}}"]);
        let problem = CompiledDigest::compile(&templates, "digest", example::digest()).unwrap_err();
        assert_eq!((problem.file.as_str(), problem.line), ("templates/mail/digest.mjml.hbs", Some(3)), "{problem}");
        assert!(problem.what.contains("reader.nam"), "{problem}");
    }
}
