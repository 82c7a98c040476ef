//! `tidings template`: what is built in, copies of it to change, and whether everything renders.

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::output::{self, count, grouped};
use super::{Ended, Usage, called_as};
use crate::config::Config;
use crate::task::fit::GMAIL_CLIPS_AT;
use crate::task::templates;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Copy templates that are built in to templates/, to change them there
    ///
    /// A file that is there already stays as it is.
    Eject {
        /// A file such as mail/digest.mjml.hbs, a template such as digest, or a folder such as words; all without a name
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Write over files that are there already
        #[arg(long)]
        force: bool,
    },
    /// Every template, and whether it is built in or the publication's own
    List,
    /// Render every template with full and with minimal data, and name what is wrong with it
    Check,
}

pub(super) async fn run(config: Config, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::Eject { names, force } => eject(&config, &names, force, json),
        Verb::List => list(&config, json),
        Verb::Check => {
            let checked = tokio::task::spawn_blocking(move || templates::check(&config));
            show(&checked.await.context("the check ended early")?, json)
        }
    }
}

fn eject(config: &Config, names: &[String], force: bool, json: bool) -> anyhow::Result<Ended> {
    if let Some(unknown) = templates::unknown(names) {
        let hint = match unknown.meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("{} template list", called_as()),
        };
        let what = format!("no template {:?} is built in; nothing was written\n  hint: {hint}", unknown.name);
        return Err(Usage(what).into());
    }
    let ejected = templates::eject(config, names, force)?;
    let ended = if ejected.kept.is_empty() { Ended::Well } else { Ended::WithFaults };
    if json {
        output::json(&ejected)?;
        return Ok(ended);
    }
    for file in &ejected.written {
        output::say(&format!("wrote {file}"));
    }
    for file in &ejected.kept {
        output::complain(&format!("{file} is there already and was left as it is\n  hint: --force writes over it"));
    }
    let unchanged = match ejected.unchanged.len() {
        0 => String::new(),
        number => format!(", {number} as they are built in already"),
    };
    output::say(&format!("{} written{unchanged}", count(ejected.written.len(), "file", "files")));
    if !ejected.written.is_empty() {
        output::say(&format!(
            "\nThey stand in front of those that are built in. Then:  {} template check",
            called_as()
        ));
    }
    Ok(ended)
}

fn list(config: &Config, json: bool) -> anyhow::Result<Ended> {
    let listed = templates::list(config);
    if json {
        output::json(&listed)?;
    } else {
        let rows = listed.into_iter().map(|listed| vec![listed.name, listed.whose.to_owned()]);
        output::table(&rows.collect::<Vec<_>>());
    }
    Ok(Ended::Well)
}

fn show(checked: &templates::CheckedTemplates, json: bool) -> anyhow::Result<Ended> {
    if json {
        output::json(&json!({ "mails": checked.mails, "problems": checked.problems, "notes": checked.notes }))?;
        return Ok(Ended::with(&checked.problems));
    }
    output::problems(&checked.problems);
    output::problems(&checked.notes);
    let kilobytes = |bytes: usize| format!("{}.{} KB", grouped((bytes / 1000) as u64), bytes % 1000 / 100);
    let rows = checked.mails.iter().map(|mail| {
        let many = mail.twenty_articles.map(|bytes| format!("with 20 articles {}", kilobytes(bytes)));
        vec![
            format!("  mail/{}", mail.name),
            format!("HTML {} full, {} minimal", kilobytes(mail.full), kilobytes(mail.minimal)),
            many.unwrap_or_default(),
        ]
    });
    output::table(&rows.collect::<Vec<_>>());
    output::say(&format!(
        "{} and {} found; Gmail clips a mail at {} KB of HTML",
        count(checked.mails.len(), "mail template", "mail templates"),
        count(checked.problems.len(), "problem", "problems"),
        GMAIL_CLIPS_AT / 1000
    ));
    Ok(Ended::with(&checked.problems))
}
