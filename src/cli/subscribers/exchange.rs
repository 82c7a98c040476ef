//! `tidings subscribers import` and `export`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::super::Ended;
use super::super::output::{self, count, grouped};
use super::super::progress::Shown;
use super::{feed_named, named};
use crate::domain::segment::Segment;
use crate::problem::Problem;
use crate::task::Publication;
use crate::task::exchange::{self, Form, Import, ImportReport, Which};

/// How people are taken in.
pub(super) struct How<'a> {
    pub(super) overwrite: bool,
    pub(super) dry_run: bool,
    pub(super) lists: &'a [String],
}

pub(super) async fn import(
    publication: &Publication,
    file: &Path,
    feed: Option<&str>,
    how: How<'_>,
    json: bool,
) -> anyhow::Result<Ended> {
    let default_feed = match feed {
        Some(feed) => named(publication, &[feed.to_owned()])?.into_iter().next(),
        None => named(publication, &[]).ok().and_then(|feeds| feeds.into_iter().next()),
    };
    let is_standard_input = file.as_os_str() == "-";
    let name = if is_standard_input { "standard input".to_owned() } else { file.display().to_string() };
    let input: Box<dyn std::io::Read + Send> = if is_standard_input {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?)
    };
    let How { overwrite, dry_run, lists } = how;
    let import = Import { file: &name, default_feed, dry_run, overwrite, lists };
    let report = {
        let shown = Shown::new("lines");
        exchange::import(publication, &import, input, &|done, total| shown.set(done, total)).await?
    };
    if json {
        output::json(&json!({
            "import": report,
            "dry_run": dry_run,
            "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?;
        return Ok(Ended::with(&report.problems));
    }
    tell(&name, &report, dry_run);
    Ok(Ended::with(&report.problems))
}

fn tell(name: &str, report: &ImportReport, dry_run: bool) {
    if let Some(tool) = report.tool.name() {
        output::complain(&format!("{name} is an export of {tool}"));
    }
    // Line by line, faults among the rest.
    let mut lines: Vec<(usize, String)> = report
        .remarks
        .iter()
        .map(|remark| (remark.line, Problem::new(name, remark.what.clone()).at(remark.line).to_string()))
        .chain(report.problems.iter().map(|problem| (problem.line.unwrap_or(0), problem.to_string())))
        .collect();
    lines.sort_by_key(|(line, _)| *line);
    for (_, line) in &lines {
        output::complain(line);
    }
    let said: u64 = report.reasons.values().sum::<u64>() + report.faulty;
    let listed = lines.len() as u64;
    if dry_run && said > listed {
        output::complain(&format!("… and {} more", count(said - listed, "line", "lines")));
    }
    let mut parts = vec![
        count(report.lines, "line", "lines"),
        count(report.subscribers, "new subscriber", "new subscribers"),
        count(report.subscriptions, "new subscription", "new subscriptions"),
    ];
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", grouped(number)));
        }
    };
    add(report.changed, "changed");
    add(report.banned, "banned");
    for (reason, number) in report.reasons.iter().filter(|(reason, _)| **reason != "banned there") {
        add(*number, reason);
    }
    if report.faulty > 0 {
        parts.push(format!("{} left out", count(report.faulty, "faulty line", "faulty lines")));
    }
    let (first, rest) = (parts.remove(0), parts.join(", "));
    output::say(&format!("{first}: {rest}{}", if dry_run { " (dry run: nothing was written)" } else { "" }));
    if !report.attributes.is_empty() {
        let attributes: Vec<String> =
            report.attributes.iter().map(|(name, number)| format!("{name} ({})", grouped(*number))).collect();
        output::say(&format!("attributes: {}", attributes.join(", ")));
    }
    if report.tool.name() == Some("Mailchimp") && dry_run {
        output::complain("a group of Mailchimp's is a column; where it holds several, between commas: --list COLUMN");
    }
    if report.tool.name() == Some("listmonk") {
        output::complain(
            "listmonk's file does not say who left a single list: export one list, with the status \"confirmed\"",
        );
    }
}

pub(super) async fn export(
    publication: &Publication,
    file: Option<PathBuf>,
    feed: Option<&str>,
    segment: Option<&Segment>,
    all: bool,
    form: Form,
) -> anyhow::Result<Ended> {
    let feed = feed_named(publication, feed)?;
    let which = Which { feed, segment: segment.cloned(), everyone: all };
    let total = match &file {
        None => {
            let output = std::io::BufWriter::new(std::io::stdout().lock());
            exchange::export(publication, &which, form, output).await?
        }
        Some(path) => {
            let opened = private_file(path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut opened = std::io::BufWriter::new(opened);
            let total = exchange::export(publication, &which, form, &mut opened).await?;
            opened.flush().with_context(|| format!("cannot write {}", path.display()))?;
            total
        }
    };
    output::complain(&count(total, "subscriber", "subscribers"));
    Ok(Ended::Well)
}

/// A new file that only its owner reads: it holds people's addresses.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
