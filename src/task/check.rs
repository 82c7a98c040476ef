//! Everything wrong in a publication's files, without touching the store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rayon::prelude::*;

use super::media::{self, Media};
use super::{Clock, shelves, sign};
use crate::config::Config;
use crate::domain::article::{ArticleId, Slug};
use crate::domain::feed::Feed;
use crate::domain::shelf::Kinds;
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
    problems.extend(crate::config::load_segments(config, &feeds).1);
    problems.extend(sign::faults(config, &feeds));
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
        let of_key = |subject, key| {
            let problem = templates.subject(subject, &file, &example).err()?;
            Some(Problem { line: line(key), ..problem })
        };
        problems.extend(of_key(&newsletter.subject, "subject"));
        problems.extend(newsletter.subjects.iter().find_map(|subject| of_key(subject, "subjects")));
        let from = newsletter.from.as_ref().unwrap_or(&config.mail.from);
        if let Some(mut problem) = sign::unsigned(config, &from.address, &file) {
            problem.line = line("from");
            problems.push(problem);
        }
        if let Some(template) = newsletter.template.as_ref().filter(|template| !templates.has_mail(template)) {
            let what = format!("there is no template templates/mail/{template}.mjml.hbs and .txt.hbs");
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

/// What one file was found to hold.
#[derive(Default)]
struct Read {
    problems: Vec<Problem>,
    slug: Option<String>,
    /// Slugs under "Also read".
    related: Vec<String>,
    /// What its links name below `/articles/`: a slug, and what comes behind it.
    links: Vec<(String, String)>,
}

fn check_articles(config: &Config, clock: &Clock, problems: &mut Vec<Problem>) -> usize {
    let source::Finds { files: found, problems: faults, .. } = source::walk(&config.articles);
    problems.extend(faults);
    let folder = config.name_of(&config.articles);
    let name = |key: &str| format!("{folder}/{key}");
    let context = Context { base: &config.publication.url, time_zone: config.publication.time_zone, now: clock.now() };
    let articles = config.urls().at("/articles/");
    let media = Media::new(config);
    let look = Look { context: &context, articles: &articles, by: config.feed_rules.by, media: &media };
    let results: Vec<Read> = found.par_iter().map(|file| read(file, &name(&file.key), &look)).collect();
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for (file, read) in found.iter().zip(&results) {
        problems.extend(read.problems.iter().cloned());
        let Some(slug) = &read.slug else { continue };
        match owners.entry(slug) {
            Entry::Occupied(owner) => problems.push(
                Problem::new(name(&file.key), format!("the slug {slug:?} is taken by {}", name(owner.get())))
                    .hint("write another slug = \"…\" in its front matter, or rename the file"),
            ),
            Entry::Vacant(place) => {
                place.insert(&file.key);
            }
        }
    }
    for (file, read) in found.iter().zip(&results) {
        for related in read.related.iter().filter(|related| !owners.contains_key(related.as_str())) {
            let what = format!("`related` names an article that is not there: {related:?}");
            problems.push(Problem::new(name(&file.key), what).hint(meant(
                related,
                &owners,
                "write the slug of an article",
            )));
        }
        for (slug, behind) in &read.links {
            problems
                .extend(dead_link(slug, behind, &owners).map(|problem| Problem { file: name(&file.key), ..problem }));
        }
    }
    found.len()
}

/// What an article's file is looked at with.
struct Look<'a> {
    context: &'a Context<'a>,
    /// Where articles stand.
    articles: &'a str,
    by: Kinds,
    media: &'a Media,
}

fn read(file: &source::Found, name: &str, look: &Look<'_>) -> Read {
    let only = |problem| Read { problems: vec![problem], ..Read::default() };
    if file.size > source::MAX_BYTES {
        return only(source::too_large(name));
    }
    let bytes = match std::fs::read(&file.path) {
        Ok(bytes) => bytes,
        Err(error) => return only(Problem::new(name, format!("cannot be read: {error}"))),
    };
    let parsed = source::parse(ArticleId(uuid::Uuid::nil()), name, &file.key, &bytes, look.context);
    let Some(article) = parsed.article else { return Read { problems: parsed.problems, ..Read::default() } };
    let problems = parsed.problems.into_iter().chain(shelves::faults(&article, look.by, name));
    let of_files = media::faults(look.media, &article, name, &String::from_utf8_lossy(&bytes));
    let problems = problems.chain(of_files).collect();
    let texts = std::iter::once(&article.html).chain(article.faq.iter().map(|question| &question.answer_html));
    let mut links: Vec<_> = texts.flat_map(|html| links_to(look.articles, html)).collect();
    links.sort();
    links.dedup();
    Read { problems, slug: Some(article.slug.as_str().to_owned()), related: article.related, links }
}

/// The links of some HTML that begin with `base`: the part behind it, and what comes behind that.
fn links_to(base: &str, html: &str) -> Vec<(String, String)> {
    let start = format!("=\"{base}");
    let ends = html.split(&start).skip(1).filter_map(|rest| rest.split(['"', '#', '?']).next());
    let parts = ends.filter_map(|path| path.split_once('/').or(Some((path, ""))));
    parts.filter(|(slug, _)| !slug.is_empty()).map(|(slug, behind)| (slug.to_owned(), behind.to_owned())).collect()
}

/// A link that leads nowhere.
fn dead_link(slug: &str, behind: &str, owners: &HashMap<&str, &str>) -> Option<Problem> {
    if !behind.is_empty() {
        return Some(
            Problem::new("", format!("a link or picture leads to a file that is not published: {behind:?}"))
                .hint("put the file into static/ and write its path from there, such as /images/boat.png"),
        );
    }
    if owners.contains_key(slug) {
        return None;
    }
    // A link to `other.md` goes by the file's name; that file may have given itself another slug.
    let is_stem = |key: &str| {
        let stem = key.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or(key, |(stem, _)| stem);
        Slug::from_text(stem).is_some_and(|stem| stem.as_str() == slug)
    };
    let own = owners.iter().find(|(_, key)| is_stem(key)).map(|(own, _)| *own);
    let hint = own.map_or_else(
        || meant(slug, owners, "write the path of an article, such as /articles/hello/"),
        |own| format!("its address is /articles/{own}/: write that"),
    );
    Some(Problem::new("", format!("a link leads to an article that is not there: /articles/{slug}/")).hint(hint))
}

fn meant(slug: &str, owners: &HashMap<&str, &str>, otherwise: &str) -> String {
    let meant = crate::problem::did_you_mean(slug, owners.keys().copied());
    meant.map_or_else(|| otherwise.to_owned(), |meant| format!("did you mean {meant}?"))
}
