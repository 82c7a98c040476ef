//! Pages and mail from Handlebars templates; mail bodies are MJML besides.
//!
//! The publication's own files in `templates/` stand in front of those that are built in. Templates see the data
//! that they are given and nothing else, and a field that does not exist is a fault with file and line. Text
//! mails and subjects are rendered without HTML escaping.

mod attributes;
mod body;
mod digest;
mod example;
mod helpers;
mod rendering;
pub mod view;
pub mod words;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use handlebars::{Context, Handlebars};
use rust_embed::RustEmbed;
use serde::Serialize;

use crate::problem::{Problem, did_you_mean};

use rendering::{Aside, Blocks};
use words::{Speech, Words};

pub use digest::{CompiledDigest, Own, Place};
pub use example::{Example, digest as example_digest, notice_mail as example_notice};
pub use helpers::NAMES as HELPERS;
pub use rendering::MAX_BYTES as MAX_RENDERED_BYTES;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct BuiltIn;

/// Most bytes that one template may be: far above any page or mail, far below what would exhaust memory.
const MAX_BYTES: u64 = 1024 * 1024;

/// Changes with every template that is built in.
pub fn built_in_fingerprint() -> String {
    let mut names: Vec<_> = BuiltIn::iter().collect();
    names.sort();
    let files = names.iter().filter_map(|name| BuiltIn::get(name));
    let hashes =
        files.map(|file| uuid::Uuid::from_slice(&file.metadata.sha256_hash()[..16]).unwrap_or_default().to_string());
    hashes.collect()
}

/// A file of `templates/` that is built in.
#[derive(Debug, Clone)]
pub struct BuiltInFile {
    /// Its path below `templates/`.
    pub name: String,
    /// What is in it.
    pub bytes: Cow<'static, [u8]>,
}

/// Every file that is built in, by name.
pub fn built_in() -> Vec<BuiltInFile> {
    let file =
        |name: Cow<'static, str>| Some(BuiltInFile { bytes: BuiltIn::get(&name)?.data, name: name.into_owned() });
    let mut files: Vec<_> = BuiltIn::iter().filter_map(file).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// The folders below `templates/`.
const ROOMS: [&str; 4] = ["page", "mail", "mail/parts", "words"];

/// The publication's own files, by their path below `folder`.
pub fn own_files(folder: &Path) -> Vec<String> {
    ROOMS.into_iter().flat_map(|room| files_in(folder, room)).collect()
}

fn files_in(folder: &Path, room: &str) -> Vec<String> {
    let Ok(listing) = std::fs::read_dir(folder.join(room)) else { return vec![] };
    let files = listing.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<_> = files.map(|entry| format!("{room}/{}", entry.file_name().to_string_lossy())).collect();
    names.sort();
    names
}

/// Every template, ready to render.
pub struct Templates {
    pages: Handlebars<'static>,
    mail_html: Handlebars<'static>,
    mail_text: Handlebars<'static>,
    words: Arc<Words>,
    /// Where each stands, as a person knows it.
    files: HashMap<(Kind, String), String>,
    /// Those that name attributes of the reader.
    naming: HashSet<(Kind, String)>,
    folder: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The two bodies of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bodies {
    /// HTML, with its CSS inlined.
    pub html: String,
    /// The same for those who read text.
    pub text: String,
}

fn registry(escape: bool) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.set_prevent_indent(true);
    if !escape {
        registry.register_escape_fn(handlebars::no_escape);
    }
    rendering::register(&mut registry);
    registry
}

impl Templates {
    /// The templates in `folder` over those that are built in.
    ///
    /// # Errors
    /// Every template that cannot be read or is not well formed.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut templates = Self {
            pages: registry(true),
            mail_html: registry(true),
            mail_text: registry(false),
            words: Arc::default(),
            files: HashMap::new(),
            naming: HashSet::new(),
            folder: folder.map(Path::to_owned),
        };
        let mut problems = vec![];
        templates.words = Arc::new(templates.all_words(&mut problems));
        for registry in [&mut templates.pages, &mut templates.mail_html, &mut templates.mail_text] {
            helpers::register(registry, &templates.words);
            attributes::register(registry, &templates.words);
        }
        for (name, text) in templates.sources(&mut problems) {
            let Some(stem) = name.strip_suffix(".hbs") else { continue };
            let (kind, stem) = match stem.split_once('/') {
                Some(("page", page)) => (Kind::Page, page.trim_end_matches(".html")),
                Some(("mail", mail)) => {
                    let bare = mail.strip_prefix("parts/").unwrap_or(mail);
                    match (bare.strip_suffix(".mjml"), bare.strip_suffix(".txt")) {
                        (Some(stem), _) => (Kind::Html, stem),
                        (_, Some(stem)) => (Kind::Text, stem),
                        _ if bare.len() < mail.len() => (Kind::Html, bare),
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let registry = match kind {
                Kind::Page => &mut templates.pages,
                Kind::Html => &mut templates.mail_html,
                Kind::Text => &mut templates.mail_text,
            };
            templates.files.insert((kind, stem.to_owned()), format!("templates/{name}"));
            let registered = register(registry, stem, &text);
            if let Ok(true) = registered {
                templates.naming.insert((kind, stem.to_owned()));
            }
            if let Err(error) = registered {
                let mut problem = Problem::new(format!("templates/{name}"), error.reason().to_string());
                problem.line = error.pos().map(|(line, _)| line);
                problems.push(problem.hint("each {{#block}} needs its {{/block}}, each {{ its }}"));
            }
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// The words that are built in, and the publication's own over them.
    fn all_words(&self, problems: &mut Vec<Problem>) -> Words {
        let mut words = Words::default();
        let language = |name: &str| Some(name.strip_prefix("words/")?.strip_suffix(".toml")?.to_owned());
        let mut built_in: Vec<String> =
            BuiltIn::iter().filter(|name| language(name).is_some()).map(Cow::into_owned).collect();
        // English first: the others are measured by it.
        built_in.sort_by_key(|name| (language(name).as_deref() != Some(words::FIRST), name.clone()));
        for name in built_in {
            let (Some(language), Some(file)) = (language(&name), BuiltIn::get(&name)) else { continue };
            words.add(&language, &format!("templates/{name}"), &String::from_utf8_lossy(&file.data), problems);
        }
        for name in self.own_files("words") {
            let Some(language) = language(&name) else { continue };
            match self.read(&name) {
                Ok(Some(bytes)) => {
                    words.add(&language, &format!("templates/{name}"), &String::from_utf8_lossy(&bytes), problems);
                }
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        words
    }

    /// The publication's own files in a folder of `templates/`, by name.
    fn own_files(&self, room: &str) -> Vec<String> {
        self.folder.as_ref().map(|folder| files_in(folder, room)).unwrap_or_default()
    }

    /// Every template's name below `templates/` and its text, the publication's own in front.
    fn sources(&self, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
        let mut names: Vec<String> = BuiltIn::iter().map(Cow::into_owned).collect();
        for room in ["page", "mail", "mail/parts"] {
            names.extend(self.own_files(room));
        }
        names.sort();
        names.dedup();
        let mut sources = vec![];
        for name in names.into_iter().filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "hbs")) {
            match self.read(&name) {
                Ok(Some(bytes)) => match String::from_utf8(bytes.into_owned()) {
                    Ok(text) => sources.push((name, text)),
                    Err(_) => problems
                        .push(Problem::new(format!("templates/{name}"), "is not UTF-8 text").hint("save it as UTF-8")),
                },
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        sources
    }

    fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, Problem> {
        if let Some(path) = self.folder.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_file()) {
            let file = format!("templates/{name}");
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            if size > MAX_BYTES {
                return Err(Problem::new(file, format!("is too large: {size} bytes")).hint("a template may have 1 MiB"));
            }
            let bytes = std::fs::read(&path).map_err(|error| Problem::new(file, format!("cannot be read: {error}")))?;
            return Ok(Some(bytes.into()));
        }
        Ok(BuiltIn::get(name).map(|file| file.data))
    }

    /// The languages that have words.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.words.languages()
    }

    /// A file of `templates/` as it is, such as `page/style.css`.
    pub fn asset(&self, name: &str) -> Option<Cow<'static, [u8]>> {
        self.read(name).ok().flatten()
    }

    /// A page.
    ///
    /// # Errors
    /// A template that asks for what is not there, by file and line.
    pub fn page(&self, name: &str, data: &impl Serialize) -> Result<String, Problem> {
        let rendered = context(data).and_then(|context| {
            rendering::render(&self.pages, name, &context, Blocks::Inline, rendering::MAX_PAGE_BYTES)
        });
        rendered.map(|(page, _)| page).map_err(|error| self.problem(&error, Kind::Page, name, data))
    }

    /// A mail's two bodies.
    ///
    /// # Errors
    /// A template that asks for what is not there, or whose MJML is not well formed, by file and line.
    pub fn mail(&self, name: &str, data: &impl Serialize) -> Result<Bodies, Problem> {
        digest::whole(self, name, data)
    }

    /// What a mail's HTML or text template becomes, apart from what waits for its reader.
    fn rendered(
        &self,
        kind: Kind,
        name: &str,
        context: &Context,
        blocks: Blocks,
    ) -> Result<(String, Vec<Aside>), Problem> {
        rendering::render(self.registry(kind), name, context, blocks, MAX_RENDERED_BYTES)
            .map_err(|error| self.problem(&error, kind, name, context.data()))
    }

    fn problem(&self, error: &handlebars::RenderError, kind: Kind, name: &str, data: &impl Serialize) -> Problem {
        let name = error.template_name.as_deref().unwrap_or(name);
        let file = self.files.get(&(kind, name.to_owned())).cloned().unwrap_or_else(|| kind.file(name));
        render_problem(error, file, data)
    }

    fn registry(&self, kind: Kind) -> &Handlebars<'static> {
        match kind {
            Kind::Page => &self.pages,
            Kind::Html => &self.mail_html,
            Kind::Text => &self.mail_text,
        }
    }

    /// Where the HTML of a mail stands.
    pub fn file_of_mail(&self, name: &str) -> String {
        Kind::Html.file(name)
    }

    /// How a language speaks in mail.
    pub fn speech(&self, language: &str) -> Speech<'_> {
        self.words.of(language)
    }

    /// Every catalogue of words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Whether a mail may show attributes of its reader: any template of mail names some, since one may include another.
    pub fn names_attributes(&self) -> bool {
        self.naming.iter().any(|(kind, _)| *kind != Kind::Page)
    }

    /// Whether there is a mail template of this name, in both its forms.
    pub fn has_mail(&self, name: &str) -> bool {
        let is_mail = |kind: Kind| {
            self.files.get(&(kind, name.to_owned())).is_some_and(|file| !file.starts_with("templates/mail/parts/"))
        };
        is_mail(Kind::Html) && is_mail(Kind::Text)
    }

    /// A subject line: one line of plain text. `file` is where it is written.
    ///
    /// # Errors
    /// A subject that is not well formed or asks for what is not there.
    pub fn subject(&self, template: &str, file: &str, data: &impl Serialize) -> Result<String, Problem> {
        let subject = self.subject_line(template, data).map_err(|error| {
            let problem = Problem::new(file, format!("the subject cannot be rendered: {}", reason(&error)));
            match error.reason() {
                handlebars::RenderErrorReason::MissingVariable(Some(path)) => problem.hint(path_hint(path, data)),
                _ => problem.hint(format!("known here: {}", known_fields(data).join(", "))),
            }
        })?;
        Ok(crate::domain::text::one_line(&subject))
    }

    fn subject_line(&self, template: &str, data: &impl Serialize) -> Result<String, handlebars::RenderError> {
        const NAME: &str = "the subject";
        let mut registry = registry(false);
        helpers::register(&mut registry, &self.words);
        attributes::register(&mut registry, &self.words);
        register(&mut registry, NAME, template)?;
        Ok(rendering::render(&registry, NAME, &context(data)?, Blocks::Inline, MAX_RENDERED_BYTES)?.0)
    }

    /// Renders every page and mail with example data, full and bare, to find what would fail later.
    pub fn check(&self) -> Vec<Problem> {
        example::check(self)
    }
}

/// Where a template belongs, and with that how its file's name ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Page,
    Html,
    Text,
}

impl Kind {
    fn file(self, name: &str) -> String {
        match self {
            Self::Page => format!("templates/page/{name}.html.hbs"),
            Self::Html => format!("templates/mail/{name}.mjml.hbs"),
            Self::Text => format!("templates/mail/{name}.txt.hbs"),
        }
    }
}

/// Registers a template so that what it may cost is bounded. Returns whether it names attributes of the reader.
fn register(registry: &mut Handlebars<'static>, name: &str, text: &str) -> Result<bool, handlebars::TemplateError> {
    registry.register_template_string(name, text)?;
    let mut names_attributes = false;
    if let Some(template) = registry.get_template(name).cloned() {
        registry.register_template(name, rendering::guarded(template, &mut names_attributes));
    }
    Ok(names_attributes)
}

fn context(data: &impl Serialize) -> Result<Context, handlebars::RenderError> {
    Context::wraps(data)
}

fn reason(error: &handlebars::RenderError) -> String {
    match error.reason() {
        handlebars::RenderErrorReason::MissingVariable(Some(path)) => format!("there is no field `{path}`"),
        handlebars::RenderErrorReason::MissingVariable(None) => "there is no such field".to_owned(),
        reason => reason.to_string(),
    }
}

fn known_fields(data: &impl Serialize) -> Vec<String> {
    match serde_json::to_value(data) {
        Ok(serde_json::Value::Object(fields)) => fields.keys().cloned().collect(),
        _ => vec![],
    }
}

/// What was probably meant by a path of which some step is not there, or what could stand in its place.
fn path_hint(path: &str, data: &impl Serialize) -> String {
    let mut inside = serde_json::to_value(data).unwrap_or_default();
    let mut before = String::new();
    for step in path.split(['.', '[', ']', '/']).filter(|step| !step.is_empty()) {
        let next = match &mut inside {
            serde_json::Value::Object(fields) => fields.get_mut(step),
            serde_json::Value::Array(values) => step.parse::<usize>().ok().and_then(|at| values.get_mut(at)),
            _ => None,
        };
        let Some(next) = next else {
            let known = known_fields(&inside);
            return match did_you_mean(step, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{before}{meant}`?"),
                None if before.is_empty() => format!("known here: {}", known.join(", ")),
                None if known.is_empty() => format!("`{}` has no fields", before.trim_end_matches('.')),
                None => format!("known in `{}`: {}", before.trim_end_matches('.'), known.join(", ")),
            };
        };
        before = format!("{before}{step}.");
        inside = next.take();
    }
    // Every step is there: the path was meant from somewhere inside, such as a list's element.
    format!("known here: {}", known_fields(data).join(", "))
}

/// What Handlebars has of its own.
const BUILT_IN_HELPERS: [&str; 15] =
    ["if", "unless", "each", "with", "lookup", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len"];

fn render_problem(error: &handlebars::RenderError, file: String, data: &impl Serialize) -> Problem {
    let mut problem = Problem::new(file, reason(error));
    problem.line = error.line_no;
    match error.reason() {
        handlebars::RenderErrorReason::MissingVariable(Some(path)) => problem.hint(path_hint(path, data)),
        handlebars::RenderErrorReason::HelperNotFound(name) => {
            let known = HELPERS.into_iter().chain(BUILT_IN_HELPERS).chain(["reader"]);
            match did_you_mean(name, known) {
                Some(meant) => problem.hint(format!("did you mean {meant}?")),
                None => problem.hint(format!("there are {}, and those of Handlebars", HELPERS.join(", "))),
            }
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_templates_render_with_full_and_with_bare_data() {
        let templates = Templates::load(None).unwrap();
        let problems = templates.check();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn a_template_that_asks_for_what_is_not_there_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("page")).unwrap();
        std::fs::write(folder.path().join("page/notice.html.hbs"), "<p>\n{{notise.heading}}</p>").unwrap();
        let problems = Templates::load(Some(folder.path())).unwrap().check();
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["templates/page/notice.html.hbs:2: there is no field `notise.heading`\n  hint: did you mean `notice`?"]
        );
    }

    #[test]
    fn a_template_that_is_not_closed_is_named_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("mail")).unwrap();
        std::fs::write(folder.path().join("mail/digest.txt.hbs"), "a\n{{#if x}}\nb").unwrap();
        let problems = Templates::load(Some(folder.path())).unwrap_err();
        assert!(problems[0].to_string().starts_with("templates/mail/digest.txt.hbs:"), "{problems:?}");
    }

    #[test]
    fn subjects_are_plain_text_on_one_line() {
        let templates = Templates::load(None).unwrap();
        let data = serde_json::json!({ "name": "O'Neill & Sons\r\nBcc: x" });
        assert_eq!(templates.subject("To {{name}}", "feeds/a.toml", &data).unwrap(), "To O'Neill & Sons Bcc: x");
        let problem = templates.subject("{{nam}}", "feeds/a.toml", &data).unwrap_err();
        assert!(problem.to_string().contains("did you mean `name`?"), "{problem}");
    }
}
