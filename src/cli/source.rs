//! `tidings source`: feeds elsewhere whose entries are articles here.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;
use url::Url;

use super::digest::agreed;
use super::output::{self, count, grouped};
use super::{Ended, Usage, called_as};
use crate::config::{Config, Source};
use crate::domain::text::one_line;
use crate::problem::{Problem, did_you_mean, printable};
use crate::task::poll::{self, FullTexts, PollReport};
use crate::task::{Publication, TaskError};

const FILE: &str = "config.toml";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Each of them: when it was asked last, when next, and what went wrong
    List,
    /// Look at a feed, and write it into config.toml
    Add(AddArguments),
    /// Ask now, due or not
    Poll {
        /// Only this one
        name: Option<String>,
    },
    /// Take one out of config.toml; its articles stay
    Remove {
        /// Its name
        name: String,
        /// Withdraw its articles, too
        #[arg(long)]
        withdraw: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Only say what it would do
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct AddArguments {
    /// The feed's address
    url: String,
    /// What to call it; its host where nothing is said
    #[arg(long)]
    name: Option<String>,
    /// The section of its articles
    #[arg(long)]
    section: Option<String>,
    /// Lead to pages here, and not to the originals
    #[arg(long)]
    pages: bool,
    /// Take the text of entries that are summaries from their pages
    #[arg(long)]
    full_text: bool,
    /// It may be on this machine or in a private network
    #[arg(long)]
    private: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what it would do
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

pub(super) async fn run(publication: &Publication, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::List => list(publication, json).await,
        Verb::Add(arguments) => add(publication, &arguments, json).await,
        Verb::Poll { name } => poll(publication, name.as_deref(), json).await,
        Verb::Remove { name, withdraw, yes, dry_run } => {
            remove(publication, &name, How { withdraw, yes, dry_run }, json).await
        }
    }
}

/// What a poll brought, on one line.
pub(super) fn describe(report: &PollReport) -> String {
    let name = printable(&report.source);
    if let Some(trouble) = &report.trouble {
        return format!("{name}: {}", printable(trouble));
    }
    let mut parts = vec![];
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", grouped(number)));
        }
    };
    add(report.new as u64, "new");
    add(report.changed as u64, "changed");
    add(report.withdrawn as u64, "withdrawn");
    add(report.pages as u64, "with the text of their pages");
    add(report.pages_failed as u64, "without it: `source list` says why");
    add(report.released, if report.first { "released as archive: nobody gets them by mail" } else { "released" });
    if parts.is_empty() {
        parts.push("nothing new".into());
    }
    format!("{name}: {}", parts.join(", "))
}

/// The source of this name.
fn named<'a>(publication: &'a Publication, name: &str) -> Result<&'a Source, TaskError> {
    let sources = &publication.config.sources;
    sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let hint = match did_you_mean(name, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None if known.is_empty() => format!("there is none yet: {} source add https://…", called_as()),
            None => format!("known here: {}", known.join(", ")),
        };
        Problem::new(name, "there is no such source").hint(hint).into()
    })
}

async fn list(publication: &Publication, json: bool) -> anyhow::Result<Ended> {
    poll::know(publication).await?;
    let (store, sources) = (&publication.store, &publication.config.sources);
    let mut found = vec![];
    for remote in store.remotes().await? {
        let key = poll::key_of(&remote.name);
        let articles = store.articles_from(&key).await?;
        let complaints: Vec<Problem> =
            store.complaints(&key).await?.into_iter().flat_map(|complaint| complaint.problems).collect();
        let source = sources.iter().find(|source| source.name == remote.name);
        let pages = store.full_text_tally(&key).await?;
        let push = store.push_of(&remote.name).await?;
        found.push((remote, source, articles, complaints, pages, push));
    }
    let is_well = found.iter().all(|(remote, source, ..)| source.is_none() || remote.trouble.is_none());
    if json {
        let rows = found.iter().map(|(remote, source, articles, complaints, pages, push)| {
            let next_at = Some(remote.next_at).filter(|_| remote.gone_at.is_none() && source.is_some());
            json!({
                "name": remote.name, "feed": shown(&remote.url), "moved_to": remote.moved_to.as_deref().map(shown), "title": remote.title,
                "configured": source.is_some(), "articles": articles, "polled_at": remote.polled_at,
                "succeeded_at": remote.succeeded_at, "next_at": next_at, "failures": remote.failures,
                "trouble": remote.trouble, "gone_at": remote.gone_at, "problems": complaints, "full_text": pages,
                "push": push.as_ref().map(|push| json!({
                    "hub": push.hub, "lease_until": push.lease_until, "pushed_at": push.pushed_at, "trouble": push.trouble,
                })),
            })
        });
        output::json(&rows.collect::<Vec<_>>())?;
        return Ok(if is_well { Ended::Well } else { Ended::WithFaults });
    }
    if found.is_empty() {
        output::say(&format!("No feed elsewhere is a source yet: {} source add https://…", called_as()));
        return Ok(Ended::Well);
    }
    let zone = publication.config.publication.time_zone;
    let on = |at: DateTime<Utc>| at.with_timezone(&zone).format("%-d %B %Y %H:%M").to_string();
    for (remote, source, articles, complaints, pages, push) in &found {
        output::say(&printable(&remote.name));
        let mut rows = vec![vec!["  Feed".to_owned(), printable(&shown(&remote.url))]];
        let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), value]);
        if let Some(moved) = &remote.moved_to {
            row("Moved to", printable(&shown(moved)));
        }
        if let Some(title) = &remote.title {
            row("Title", title.clone());
        }
        row("Articles", grouped(*articles));
        if *pages != FullTexts::default() {
            row("Full text", told_of_pages(pages));
        }
        row("Last success", remote.succeeded_at.map_or_else(|| "never".into(), on));
        match (source, remote.gone_at) {
            (None, _) => row("Next poll", "never: it is not in config.toml any more; its articles stay".into()),
            (_, Some(at)) => row("Next poll", format!("never: it is gone since {}", on(at))),
            _ => row("Next poll", on(remote.next_at)),
        }
        if let (Some(push), true) = (push, source.is_some()) {
            let hub = printable(&shown(&push.hub));
            let state = match push.lease_until {
                Some(until) if push.is_alive(publication.clock.now()) => format!("by {hub} until {}", on(until)),
                Some(_) | None => format!("not yet, or not any more, by {hub}"),
            };
            let trouble = push.trouble.as_deref().map(|trouble| format!(" ({})", printable(trouble)));
            row("Pushed", state + &trouble.unwrap_or_default());
        }
        if let (Some(trouble), true) = (&remote.trouble, source.is_some()) {
            let times = count(remote.failures, "failure", "failures in a row");
            row("Trouble", format!("{} ({times})", printable(trouble)));
        }
        output::table(&rows);
        for problem in complaints {
            output::complain(&format!("  {}", Problem { file: remote.name.clone(), ..problem.clone() }));
        }
    }
    Ok(if is_well { Ended::Well } else { Ended::WithFaults })
}

/// How it stands with the pages of entries.
fn told_of_pages(pages: &FullTexts) -> String {
    let mut parts = vec![format!("of {}", count(pages.whole, "page", "pages"))];
    if pages.due > 0 {
        parts.push(format!("{} asked for again", grouped(pages.due)));
    }
    if pages.given_up > 0 {
        parts.push(format!("{} given up", grouped(pages.given_up)));
    }
    let why = pages.why.as_deref().map(|why| format!(" ({})", printable(why)));
    parts.join(", ") + &why.unwrap_or_default()
}

/// An address without name and password.
fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| crate::task::poll::shown(&url))
}

async fn poll(publication: &Publication, name: Option<&str>, json: bool) -> anyhow::Result<Ended> {
    let sources: Vec<&Source> = match name {
        Some(name) => vec![named(publication, name)?],
        None => publication.config.sources.iter().collect(),
    };
    if sources.is_empty() && !json {
        output::say(&format!("No feed elsewhere is a source yet: {} source add https://…", called_as()));
    }
    poll::know(publication).await?;
    let reports = poll::poll_now(publication, &sources).await?;
    let is_well = reports.iter().all(|report| report.trouble.is_none() && report.problems.is_empty());
    if json {
        output::json(&reports)?;
    } else {
        for source in &sources {
            match reports.iter().find(|report| report.source == source.name) {
                Some(report) if report.trouble.is_some() => output::problems(&report.problems),
                Some(report) => {
                    output::problems(&report.problems);
                    output::say(&describe(report));
                }
                None => output::say(&format!("{}: another process is asking it just now", printable(&source.name))),
            }
        }
    }
    Ok(if is_well { Ended::Well } else { Ended::WithFaults })
}

async fn add(publication: &Publication, arguments: &AddArguments, json: bool) -> anyhow::Result<Ended> {
    let feed: Url = arguments
        .url
        .parse()
        .ok()
        .filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            Usage(format!("{:?} is no address on the web: write one that begins with https://", arguments.url))
        })?;
    let (feed, found) = poll::look(publication, &feed, arguments.private).await.map_err(TaskError::from)?;
    // As the configuration reads it.
    let name = arguments.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| Source::usual_name(&feed));
    let taken = publication.config.sources.iter().find(|source| source.name == name || source.feed == feed);
    if let Some(taken) = taken {
        let hint = if taken.feed == feed { "it is there already" } else { "choose another with --name" };
        return Err(TaskError::from(Problem::new(&name, "there is a source of this name or address").hint(hint)).into());
    }
    let newest = found.entries.iter().max_by_key(|entry| entry.published);
    let newest_title = newest.map(|newest| poll::title_of(newest)).unwrap_or_default();
    let newest_at = newest.and_then(|entry| entry.published);
    let block = block(&feed, &name, arguments);
    if json {
        output::json(&json!({
            "name": name, "feed": feed, "title": found.title, "entries": found.entries.len(),
            "newest": newest.map(|_| json!({ "title": newest_title, "published_at": newest_at })),
            "problems": found.problems, "config": block,
        }))?;
    } else {
        output::problems(&found.problems);
        let zone = publication.config.publication.time_zone;
        let mut rows = vec![
            vec!["  Title".to_owned(), found.title.clone().unwrap_or_else(|| "none".into())],
            vec!["  Entries".to_owned(), grouped(found.entries.len() as u64)],
        ];
        if newest.is_some() {
            let when = newest_at.map(|at| at.with_timezone(&zone).format(", %-d %B %Y").to_string());
            rows.push(vec!["  Newest".to_owned(), format!("{newest_title}{}", when.unwrap_or_default())]);
        }
        output::table(&rows);
        output::say(&format!("\nThis is written at the end of {FILE}:\n\n{block}"));
        output::say("What it holds now becomes archive: nobody gets it by mail. What comes from now on is sent.");
    }
    if arguments.dry_run || (!arguments.yes && !agreed("Add it?")?) {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    let path = publication.config.root.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let config = rewrite(&publication.config, &path, &text, &format!("{text}{gap}{block}"))?;
    let publication = Publication { config: Arc::new(config), ..publication.clone() };
    poll::know(&publication).await?;
    let reports = poll::poll_now(&publication, &[named(&publication, &name)?]).await?;
    if !json {
        for report in &reports {
            output::say(&describe(report));
        }
        output::say("A running serve asks it from its next start on.");
    }
    Ok(if reports.iter().any(|report| report.trouble.is_some()) { Ended::WithFaults } else { Ended::Well })
}

/// What is written of a source.
fn block(feed: &Url, name: &str, arguments: &AddArguments) -> String {
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut lines = vec!["[[source]]".to_owned(), format!("feed = {}", text(feed.as_str()))];
    if name != Source::usual_name(feed) {
        lines.push(format!("name = {}", text(name)));
    }
    lines.extend(arguments.section.as_ref().map(|section| format!("section = {}", text(section))));
    for (is_on, key) in [(arguments.pages, "pages"), (arguments.full_text, "full_text"), (arguments.private, "private")]
    {
        lines.extend(is_on.then(|| format!("{key} = true")));
    }
    lines.join("\n") + "\n"
}

/// Puts `new` in the place of `old`, if it is a configuration; else nothing changes.
fn rewrite(config: &Config, path: &Path, old: &str, new: &str) -> anyhow::Result<Config> {
    replace(path, new)?;
    Config::load(&config.root, super::environment())
        .map_err(|problems| replace(path, old).err().unwrap_or_else(|| TaskError::Problems(problems).into()))
}

/// Puts a file with this text in the place of the one that is there: it may hold passwords, so nobody else ever sees more.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_file_name(format!(".{FILE}.{}.tmp", std::process::id()));
    let written = std::fs::metadata(path)
        .and_then(|before| {
            let mut file = std::fs::File::create(&temporary)?;
            file.set_permissions(before.permissions())?;
            file.write_all(text.as_bytes())
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    written
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// How a source is removed.
struct How {
    withdraw: bool,
    yes: bool,
    dry_run: bool,
}

async fn remove(publication: &Publication, name: &str, how: How, json: bool) -> anyhow::Result<Ended> {
    let (store, config) = (&publication.store, &publication.config);
    let is_configured = config.sources.iter().any(|source| source.name == name);
    let is_known = store.remotes().await?.iter().any(|remote| remote.name == name);
    if !is_configured && !is_known {
        named(publication, name)?;
    }
    let articles = store.articles_from(&poll::key_of(name)).await?;
    let path = config.root.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let without = is_configured.then(|| without_source(&text, name)).transpose()?;
    if json {
        output::json(
            &json!({ "name": name, "configured": is_configured, "articles": articles, "withdraw": how.withdraw }),
        )?;
    } else {
        if is_configured {
            output::say(&format!("The source {} goes out of {FILE} and is not asked any more.", printable(name)));
        }
        let number = count(articles, "article", "articles");
        output::say(&if how.withdraw {
            format!("{number} from it: withdrawn from feeds, pages and digests to come.")
        } else {
            format!("{number} from it: they stay as they are (--withdraw takes them out).")
        });
        output::say("Should it be added again, what it holds then is archive.");
    }
    if how.dry_run || (!how.yes && !agreed("Remove it?")?) {
        output::complain("nothing was changed");
        return Ok(Ended::Well);
    }
    if let Some(without) = without {
        rewrite(config, &path, &text, &without)?;
    }
    poll::forget(publication, name, how.withdraw).await?;
    Ok(Ended::Well)
}

/// `config.toml` without the section of a source.
fn without_source(text: &str, name: &str) -> anyhow::Result<String> {
    let named_elsewhere =
        || Problem::new(FILE, format!("the section of the source {name:?} is not found")).hint("take it out by hand");
    let table = |text: &str| text.parse::<toml::Table>().ok();
    let sources = |text: &str| {
        let written = table(text)?.get("source").cloned();
        Some(written.and_then(|written| written.as_array().cloned()).unwrap_or_default())
    };
    let is_wanted = |source: &toml::Value| {
        let field = |key: &str| source.get(key).and_then(toml::Value::as_str);
        let usual = || Url::parse(field("feed")?.trim()).ok().map(|feed| Source::usual_name(&feed));
        field("name").map(str::to_owned).or_else(usual).as_deref() == Some(name)
    };
    let before = sources(text).unwrap_or_default();
    let at = before.iter().position(is_wanted).ok_or_else(|| TaskError::from(named_elsewhere()))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_source =
        |line: &str| line.split('#').next().is_some_and(|line| line.replace(' ', "").trim() == "[[source]]");
    let begin = lines.iter().enumerate().filter(|(_, line)| is_source(line)).map(|(number, _)| number).nth(at);
    let begin = begin.ok_or_else(|| TaskError::from(named_elsewhere()))?;
    let length = lines[begin + 1..].iter().take_while(|line| !line.trim_start().starts_with('[')).count();
    // Comments and blank lines before the next section belong to that.
    let own = lines[begin + 1..begin + 1 + length].iter().rev();
    let behind = own.take_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#')).count();
    let end = begin + 1 + length - behind;
    let without = lines[..begin].concat() + lines[end..].concat().trim_start_matches(['\n', '\r']);
    let mut expected = before;
    expected.remove(at);
    if sources(&without).as_ref() == Some(&expected) {
        Ok(without)
    } else {
        Err(TaskError::from(named_elsewhere()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_taken_out_and_the_rest_stays_as_it_was() {
        let head = "# ours\n[publication]\ntitle = \"A\"\n\n";
        let one = "[[source]]\nfeed = \"https://www.a.example/\" # the first\nauthors = [\n  \"Mara Quill\",\n]\n\n";
        let two = "[[ source ]] # \"[[source]]\"\nfeed = \"https://b.example/\"\nname = \"B\"\n";
        let rest = "\n# below\n[mail]\nfrom = \"a@a.example\"\n";
        let text = [head, one, two, rest].concat();
        assert_eq!(without_source(&text, "a.example").unwrap(), [head, two, rest].concat());
        assert_eq!(without_source(&text, "B").unwrap(), [head, one, &rest[1..]].concat());
        assert!(without_source(&text, "b.example").is_err());
        let inline = "source = [{ feed = \"https://a.example/\" }]\n";
        assert!(without_source(inline, "a.example").is_err());
    }
}
