//! The templates of a publication: which there are, copies of ours to change, and whether everything renders.

use std::path::Path;

use super::{TaskError, fit};
use crate::config::Config;
use crate::mail::compiled::html_bytes;
use crate::problem::{Problem, did_you_mean};
use crate::template::{self, BuiltInFile, Example, Templates};

/// Whether a file is meant by a name: its path, the folder that it is in, or what its name begins with.
fn is_meant(file: &str, name: &str) -> bool {
    let name = name.trim_start_matches("./").trim_start_matches("templates/").trim_end_matches('/');
    let is_below = file.strip_prefix(name).is_some_and(|rest| rest.starts_with(['/', '.']));
    file == name || is_below || stem(file) == Some(name)
}

fn stem(file: &str) -> Option<&str> {
    file.rsplit('/').next()?.split('.').next()
}

/// What became of the files that were asked for.
#[derive(Debug, Default, serde::Serialize)]
pub struct Ejected {
    /// Written now.
    pub written: Vec<String>,
    /// There already, with something else in them: left as they are.
    pub kept: Vec<String>,
    /// There already, as they are built in.
    pub unchanged: Vec<String>,
}

/// A name by which no template is built in, and the one that is nearest to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// As it was given.
    pub name: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

/// The first of these names by which nothing is built in.
pub fn unknown(names: &[String]) -> Option<Unknown> {
    let all = template::built_in();
    let name = names.iter().find(|name| !all.iter().any(|file| is_meant(&file.name, name)))?;
    let known = all.iter().flat_map(|file| [Some(file.name.as_str()), stem(&file.name)]);
    let meant = did_you_mean(name, known.flatten()).map(str::to_owned);
    Some(Unknown { name: name.clone(), meant })
}

/// Copies files that are built in to `templates/`: those that are meant by `names`, or all where there is none. What is
/// there already is written over only with `force`.
///
/// # Errors
/// When a file cannot be written.
pub fn eject(config: &Config, names: &[String], force: bool) -> Result<Ejected, TaskError> {
    let folder = config.name_of(&config.templates);
    let mut ejected = Ejected::default();
    let is_chosen = |file: &BuiltInFile| names.is_empty() || names.iter().any(|name| is_meant(&file.name, name));
    for file in template::built_in().into_iter().filter(is_chosen) {
        let path = config.templates.join(&file.name);
        let shown = format!("{folder}/{}", file.name);
        match std::fs::read(&path) {
            Ok(there) if there == *file.bytes => ejected.unchanged.push(shown),
            Ok(_) if !force => ejected.kept.push(shown),
            _ => {
                write(&path, &file.bytes).map_err(|source| TaskError::Write { path: shown.clone(), source })?;
                ejected.written.push(shown);
            }
        }
    }
    Ok(ejected)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    // Nobody reads half a template, whatever happens.
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(&fresh, path)
}

/// A template and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Listed {
    /// Its path below `templates/`.
    pub name: String,
    /// `built in`, `own`, or how the two stand to each other.
    pub whose: &'static str,
}

/// Every template, by name.
pub fn list(config: &Config) -> Vec<Listed> {
    let built_in = template::built_in();
    let whose = |file: &BuiltInFile| match std::fs::read(config.templates.join(&file.name)) {
        Ok(there) if there == *file.bytes => "own, as built in",
        Ok(_) => "own, in front of the built-in",
        Err(_) => "built in",
    };
    let own = template::own_files(&config.templates).into_iter();
    let own = own.filter(|name| !built_in.iter().any(|file| file.name == *name));
    let mut listed: Vec<Listed> = built_in
        .iter()
        .map(|file| Listed { name: file.name.clone(), whose: whose(file) })
        .chain(own.map(|name| Listed { name, whose: "own" }))
        .collect();
    listed.sort();
    listed
}

/// How large the HTML of a mail is, encoded, with example data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MailSize {
    /// The template's name.
    pub name: String,
    /// With every field, in bytes.
    pub full: usize,
    /// With no field that may be missing.
    pub minimal: usize,
    /// With twenty articles, where it shows as many as there are.
    pub twenty_articles: Option<usize>,
}

/// What a check of the templates found.
#[derive(Debug, Default)]
pub struct CheckedTemplates {
    /// The mails that can be rendered.
    pub mails: Vec<MailSize>,
    /// Everything wrong.
    pub problems: Vec<Problem>,
    /// What is not wrong, but good to know.
    pub notes: Vec<Problem>,
}

/// Renders every template with example data, and measures the mails.
pub fn check(config: &Config) -> CheckedTemplates {
    let templates = match Templates::load(Some(&config.templates)) {
        Ok(templates) => templates,
        Err(problems) => return CheckedTemplates { problems, ..CheckedTemplates::default() },
    };
    let mut checked = CheckedTemplates { problems: templates.check(), ..CheckedTemplates::default() };
    for name in templates.mail_names() {
        // One that cannot be rendered is among the problems.
        let size = |example| Some(html_bytes(&templates.example(name, example).ok()?.html));
        let (Some(full), Some(minimal)) = (size(Example::Full), size(Example::Bare)) else { continue };
        let twenty_articles = size(Example::Articles(20)).filter(|_| templates.shows_articles(name));
        if let Some(bytes) = twenty_articles.filter(|bytes| *bytes > fit::MOST_BYTES) {
            let what = format!(
                "comes to {bytes} bytes of HTML with 20 articles; Gmail clips a mail at {}",
                fit::GMAIL_CLIPS_AT
            );
            checked.notes.push(Problem::new(templates.file_of_mail(name), what).hint(
                "nothing is lost: what does not fit is sent as headlines, then left out, with a link to the page",
            ));
        }
        checked.mails.push(MailSize { name: name.to_owned(), full, minimal, twenty_articles });
    }
    checked.problems.extend(wordless(config, &templates));
    checked.notes.extend(words(config, &templates));
    checked
}

/// Languages that are to be spoken and have no words.
fn wordless(config: &Config, templates: &Templates) -> Vec<Problem> {
    let named = config.form.languages.iter().flatten().filter(|language| !templates.words().has(language));
    named
        .map(|language| {
            let what = format!("form.languages: there are no words for {language}");
            Problem::new("config.toml", what).hint(how_to_add(language))
        })
        .collect()
}

fn how_to_add(language: &str) -> String {
    format!("copy templates/words/en.toml to templates/words/{language}.toml and translate it")
}

/// What is not said in a language that is spoken.
fn words(config: &Config, templates: &Templates) -> Vec<Problem> {
    let language = &config.publication.language;
    let words = templates.words();
    let mut notes = vec![];
    if !words.has(language) {
        let what =
            format!("pages and mail speak English: there are no words for the language of the publication, {language}");
        notes.push(Problem::new("config.toml", what).hint(how_to_add(language)));
    }
    let own = crate::template::own_files(&config.templates);
    let own = own.iter().filter_map(|name| name.strip_prefix("words/")?.strip_suffix(".toml"));
    notes.extend(own.filter_map(|language| {
        let lacks = words.lacks(&language.to_ascii_lowercase());
        let what = format!("lacks {}", lacks.join(", "));
        let problem = Problem::new(format!("templates/words/{language}.toml"), what);
        (!lacks.is_empty()).then(|| problem.hint("until they are there, those words are said in English"))
    }));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_a_file_a_template_or_a_folder() {
        for name in ["mail/digest.mjml.hbs", "templates/mail/digest.mjml.hbs", "digest", "mail", "mail/"] {
            assert!(is_meant("mail/digest.mjml.hbs", name), "{name}");
        }
        for name in ["dig", "page", "digest.mjml", ""] {
            assert!(!is_meant("mail/digest.mjml.hbs", name), "{name}");
        }
        assert!(is_meant("words/de.toml", "de") && is_meant("words/de.toml", "words"));
    }
}
