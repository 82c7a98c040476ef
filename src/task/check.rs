//! Everything wrong in a publication's files, without touching the store.

use rayon::prelude::*;

use super::Clock;
use crate::config::Config;
use crate::domain::article::ArticleId;
use crate::domain::feed::Feed;
use crate::problem::Problem;
use crate::source::{self, Context};
use crate::template::Templates;
use crate::template::view::DigestView;

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Article files read.
    pub articles: usize,
    /// Feed definitions read.
    pub feeds: usize,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

/// Reads articles, feeds and templates and names what is wrong with them.
pub fn check(config: &Config, clock: &Clock) -> Checked {
    let (feeds, mut problems) = crate::config::load_feeds(config);
    match Templates::load(Some(&config.templates)) {
        Ok(templates) => {
            problems.extend(templates.check());
            problems.extend(newsletters(config, &feeds, &templates));
        }
        Err(faults) => problems.extend(faults),
    }
    let articles = check_articles(config, clock, &mut problems);
    Checked { articles, feeds: feeds.len(), problems }
}

/// What is wrong with the subjects of newsletters, and with the names of their templates.
pub fn newsletters(config: &Config, feeds: &[Feed], templates: &Templates) -> Vec<Problem> {
    let mut problems = vec![];
    for feed in feeds {
        let Some(newsletter) = &feed.newsletter else { continue };
        let path = config.feeds.join(format!("{}.toml", feed.name));
        let file = config.name_of(&path);
        let line = |key: &str| line_of(&std::fs::read_to_string(&path).unwrap_or_default(), key);
        let example: DigestView = crate::template::example_digest();
        if let Err(mut problem) = templates.subject(&newsletter.subject, &file, &example) {
            problem.line = line("subject");
            problems.push(problem);
        }
        if !templates.has_mail(&newsletter.template) {
            let what = format!("there is no template templates/mail/{}.mjml.hbs and .txt.hbs", newsletter.template);
            let mut problem = Problem::new(file, what).hint("write them, or leave `template` out");
            problem.line = line("template");
            problems.push(problem);
        }
    }
    problems
}

/// The line (from 1) on which a TOML file sets `key`, bare or as the last part of a dotted key.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        let written = line.split('=').next().unwrap_or_default().trim();
        written.rsplit('.').next().is_some_and(|last| last.trim() == key) && line.contains('=')
    };
    text.lines().position(sets).map(|at| at + 1)
}

fn check_articles(config: &Config, clock: &Clock, problems: &mut Vec<Problem>) -> usize {
    let (found, faults) = source::walk(&config.articles);
    problems.extend(faults);
    let folder = config.name_of(&config.articles);
    let context = Context { base: &config.publication.url, time_zone: config.publication.time_zone, now: clock.now() };
    // Every problem of a file, and the slug and related slugs of its article.
    type Read = (Vec<Problem>, Option<(String, Vec<String>)>);
    let read = |file: &source::Found| -> Read {
        let name = format!("{folder}/{}", file.key);
        if file.size > source::MAX_BYTES {
            return (vec![source::too_large(&name)], None);
        }
        match std::fs::read(&file.path) {
            Ok(bytes) => {
                let parsed = source::parse(ArticleId(uuid::Uuid::nil()), &name, &file.key, &bytes, &context);
                let article = parsed.article.map(|article| (article.slug.as_str().to_owned(), article.related));
                (parsed.problems, article)
            }
            Err(error) => (vec![Problem::new(name, format!("cannot be read: {error}"))], None),
        }
    };
    let results: Vec<Read> = found.par_iter().map(read).collect();
    let mut owners: std::collections::HashMap<&str, &str> = std::collections::HashMap::new();
    for (file, (faults, article)) in found.iter().zip(&results) {
        problems.extend(faults.iter().cloned());
        let Some((slug, _)) = article else { continue };
        match owners.entry(slug) {
            std::collections::hash_map::Entry::Occupied(owner) => problems.push(
                Problem::new(
                    format!("{folder}/{}", file.key),
                    format!("the slug {slug:?} is taken by {folder}/{}", owner.get()),
                )
                .hint("write another slug = \"…\" in its front matter, or rename the file"),
            ),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(&file.key);
            }
        }
    }
    for (file, (_, article)) in found.iter().zip(&results) {
        for related in
            article.iter().flat_map(|(_, related)| related).filter(|related| !owners.contains_key(related.as_str()))
        {
            let what = format!("`related` names an article that is not there: {related:?}");
            let meant = crate::problem::did_you_mean(related, owners.keys().copied());
            let hint = meant
                .map_or_else(|| "write the slug of an article".to_owned(), |meant| format!("did you mean {meant}?"));
            problems.push(Problem::new(format!("{folder}/{}", file.key), what).hint(hint));
        }
    }
    found.len()
}
