//! `tidings import`: articles from elsewhere into the articles' folder.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::output::{self, count};
use super::{Ended, Usage, digest};
use crate::config::Config;
use crate::problem::printable;
use crate::task::import::{Desk, Entry, Fate, Material, Plan, Planned, State, Wishes, fetch};
use crate::task::{Clock, fetcher};

/// Largest file that is read, in bytes: archives of large sites have some hundred megabytes.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Arguments {
    /// A text copied from a page, a page of HTML or its address, an export of WordPress, Ghost or Substack, or a folder of
    /// Hugo, Jekyll or Zola; - is standard input
    #[arg(value_name = "FILE|FOLDER|URL")]
    file: PathBuf,
    /// Only say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// The section of everything that is brought
    #[arg(long)]
    section: Option<String>,
    /// As drafts: nothing is public until you say so
    #[arg(long)]
    draft: bool,
    /// As archive: on the pages and in the feeds, and in no mail; what comes from an archive always is
    #[arg(long)]
    archive: bool,
    /// Into this folder below the articles' own
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The address may be one of a private network
    #[arg(long)]
    private: bool,
    /// Without asking
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(config: Config, arguments: Arguments, json: bool) -> anyhow::Result<Ended> {
    if let Some(into) = &arguments.into
        && !into.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        let articles = config.name_of(&config.articles);
        return Err(Usage(format!("--into names a folder below {articles}/, such as 2024")).into());
    }
    let address = arguments.file.to_str().filter(|file| file.starts_with("https://") || file.starts_with("http://"));
    let fetched = match address {
        Some(address) => {
            let url = address.parse().map_err(|error| Usage(format!("{address:?} is not an address: {error}")))?;
            Some(fetch(&fetcher(&config), url, arguments.private).await?)
        }
        None => None,
    };
    tokio::task::spawn_blocking(move || bring(&config, &arguments, fetched, json))
        .await
        .context("the import ended early")?
}

fn bring(config: &Config, arguments: &Arguments, fetched: Option<Material>, json: bool) -> anyhow::Result<Ended> {
    let desk = Desk::new(config, &Clock::system());
    let wishes = Wishes {
        section: arguments.section.clone(),
        draft: arguments.draft,
        archive: arguments.archive,
        into: arguments.into.clone(),
    };
    let brought = match fetched {
        Some(material) => desk.read(&material),
        None if arguments.file.is_dir() => desk.read_folder(&folder_name(&arguments.file), &arguments.file, &wishes),
        None => desk.read(&read(&arguments.file)?),
    };
    let plan = desk.plan(brought, &wishes);
    if json {
        let written = if arguments.dry_run {
            0
        } else {
            may_write(&plan, arguments.yes)?;
            desk.write(&plan)?
        };
        output::json(&as_json(&plan, arguments.dry_run, written))?;
        return Ok(Ended::with(&plan.problems));
    }
    tell(&plan);
    if arguments.dry_run {
        for planned in &plan.articles {
            output::say(&said(planned, plan.articles.len() == 1));
        }
        output::complain("dry run: nothing was written");
        return Ok(Ended::with(&plan.problems));
    }
    show(&plan);
    if plan.count(State::New) == 0 {
        output::say(if plan.count(State::There) > 0 {
            "everything is there already; nothing was written"
        } else {
            "nothing was written"
        });
        return Ok(Ended::with(&plan.problems));
    }
    if !may_write(&plan, arguments.yes)? {
        output::say("nothing was written");
        return Ok(Ended::with(&plan.problems));
    }
    let written = desk.write(&plan)?;
    output::say(&format!(
        "{} written; tidings sync takes what is new, tidings serve by itself",
        count(written, "file", "files")
    ));
    Ok(Ended::with(&plan.problems))
}

fn may_write(plan: &Plan, yes: bool) -> anyhow::Result<bool> {
    let new = plan.count(State::New);
    Ok(yes || new == 0 || digest::agreed(&format!("Write {}?", count(new, "file", "files")))?)
}

/// How problems call a folder.
fn folder_name(folder: &Path) -> String {
    folder.display().to_string().trim_end_matches('/').to_owned()
}

/// What a file holds, and how problems name it.
fn read(file: &Path) -> anyhow::Result<Material> {
    let is_standard_input = file.as_os_str() == "-";
    let name = if is_standard_input { "standard input".to_owned() } else { file.display().to_string() };
    let mut bytes = vec![];
    let input: Box<dyn std::io::Read> = if is_standard_input {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?)
    };
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        anyhow::bail!("{name} is larger than {} MiB", MAX_BYTES / 1024 / 1024);
    }
    Ok(Material { name, bytes, ..Material::default() })
}

/// What became of the lines, and everything wrong.
fn tell(plan: &Plan) {
    for entry in plan.account.iter().filter(|entry| entry.fate != Fate::Kept || entry.unsure) {
        output::complain(&line(entry));
    }
    output::problems(&plan.problems);
    let number = |wanted: &dyn Fn(&Entry) -> bool| plan.account.iter().filter(|entry| wanted(entry)).count();
    let dropped = number(&|entry| entry.fate == Fate::Dropped);
    let unsure = number(&|entry| entry.unsure);
    if dropped + unsure > 0 {
        output::complain(&format!("{dropped} left out, {unsure} to look at"));
    }
}

fn line(entry: &Entry) -> String {
    let lines = match (entry.line, entry.through) {
        (0, _) => String::new(),
        (line, through) if through > line => format!(":{line}-{through}"),
        (line, _) => format!(":{line}"),
    };
    let mark = match (entry.fate, entry.unsure) {
        (_, true) => "look at this, ",
        (Fate::Dropped, _) => "left out, ",
        _ => "",
    };
    let text = printable(&entry.text);
    format!("{}{lines}: {mark}{}: {text:?}", printable(&entry.file), printable(&entry.what))
}

/// The file as it would be, or where there are many its name.
fn said(planned: &Planned, is_alone: bool) -> String {
    if is_alone {
        return planned.text.trim_end().to_owned();
    }
    let state = match planned.state {
        State::New => "",
        State::There => " (there already)",
        State::Refused => " (not written)",
    };
    let date = planned.piece.date.as_deref().and_then(|date| date.get(..10)).unwrap_or("no date");
    format!("{}{state}  {date}  {}", planned.file, printable(&planned.piece.title))
}

/// What was found, for a person to say yes to.
fn show(plan: &Plan) {
    /// Articles that are listed one by one.
    const SHOWN: usize = 10;
    if let [planned] = plan.articles.as_slice() {
        return output::table(&details(planned));
    }
    if plan.articles.is_empty() {
        return;
    }
    for planned in plan.articles.iter().take(SHOWN) {
        output::say(&said(planned, false));
    }
    if plan.articles.len() > SHOWN {
        let more = count(plan.articles.len() - SHOWN, "article", "articles");
        output::say(&format!("… and {more} more; --dry-run lists them"));
    }
    let drafts = plan.articles.iter().filter(|planned| planned.piece.draft).count();
    let archive = plan.articles.iter().filter(|planned| planned.piece.archive).count();
    output::say(&format!(
        "{}: {} ({} new, {} there already, {} not written), of which {} and {archive} in no mail",
        plan.kind.name(),
        count(plan.articles.len(), "article", "articles"),
        plan.count(State::New),
        plan.count(State::There),
        plan.count(State::Refused),
        count(drafts, "draft", "drafts"),
    ));
}

fn details(planned: &Planned) -> Vec<Vec<String>> {
    let piece = &planned.piece;
    let body = piece.body.lines();
    let headings = body.clone().filter(|line| line.starts_with("##") || line.starts_with("<h")).count();
    let words = body.flat_map(|line| line.split(' ')).filter(|word| word.contains(char::is_alphanumeric)).count();
    let list = |all: &[String]| Some(all.join(", ")).filter(|all| !all.is_empty());
    let mut rows = vec![];
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            rows.push(vec![format!("  {name}"), printable(&value)]);
        }
    };
    row("Title", Some(piece.title.clone()));
    row("Label", piece.label.clone());
    row("Place", piece.place.clone());
    row("Date", piece.date.clone());
    row("Edited", piece.updated.clone());
    row("By", list(&piece.authors));
    row("Section", piece.section.clone());
    row("Language", piece.language.clone());
    row("Tags", list(&piece.tags));
    row("Summary", piece.summary.clone());
    row("Text", Some(format!("{}, {}", count(words, "word", "words"), count(headings, "heading", "headings"))));
    row("Also read", list(&piece.related));
    row("Questions", Some(piece.faq.len()).filter(|faq| *faq > 0).map(|faq| faq.to_string()));
    row("Draft", piece.draft.then(|| "yes: not public".to_owned()));
    row("Archive", piece.archive.then(|| "yes: in no mail".to_owned()));
    let state = match planned.state {
        State::New => "",
        State::There => " (there already)",
        State::Refused => " (not written)",
    };
    row("File", Some(format!("{}{state}", planned.file)));
    rows
}

fn as_json(plan: &Plan, dry_run: bool, written: usize) -> serde_json::Value {
    let articles: Vec<_> = plan
        .articles
        .iter()
        .map(|planned| {
            json!({
                "file": planned.file, "title": planned.piece.title, "date": planned.piece.date,
                "state": planned.state, "text": planned.text,
            })
        })
        .collect();
    json!({
        "kind": plan.kind, "dry_run": dry_run, "written": written, "articles": articles, "lines": plan.account,
        "problems": plan.problems,
    })
}
