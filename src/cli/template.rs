//! `tidings template`: what is built in, copies of it to change, and whether everything renders.

use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::output::{self, count, grouped};
use super::{Ended, Usage, called_as};
use crate::config::Config;
use crate::problem::did_you_mean;
use crate::task::check;
use crate::task::fit::GMAIL_CLIPS_AT;
use crate::template::{self, BuiltInFile};

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
            let checked = tokio::task::spawn_blocking(move || check::templates(&config));
            show(&checked.await.context("the check ended early")?, json)
        }
    }
}

/// Whether a file is meant by a name: its path, the folder that it is in, or what its name begins with.
fn is_meant(file: &str, name: &str) -> bool {
    let name = name.trim_start_matches("./").trim_start_matches("templates/").trim_end_matches('/');
    let stem = file.rsplit('/').next().and_then(|last| last.split('.').next());
    file == name || file.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')) || stem == Some(name)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<BuiltInFile>> {
    let all = template::built_in();
    for name in names {
        if !all.iter().any(|file| is_meant(&file.name, name)) {
            let stems = all.iter().flat_map(|file| {
                [Some(file.name.as_str()), file.name.rsplit('/').next().and_then(|last| last.split('.').next())]
            });
            let hint = match did_you_mean(name, stems.flatten()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("{} template list", called_as()),
            };
            return Err(Usage(format!("no template {name:?} is built in; nothing was written\n  hint: {hint}")).into());
        }
    }
    let is_chosen = |file: &BuiltInFile| names.is_empty() || names.iter().any(|name| is_meant(&file.name, name));
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn eject(config: &Config, names: &[String], force: bool, json: bool) -> anyhow::Result<Ended> {
    let folder = config.name_of(&config.templates);
    let (mut written, mut kept, mut alike) = (vec![], vec![], vec![]);
    for file in chosen(names)? {
        let path = config.templates.join(&file.name);
        let shown = format!("{folder}/{}", file.name);
        match std::fs::read(&path) {
            Ok(there) if there == *file.bytes => alike.push(shown),
            Ok(_) if !force => kept.push(shown),
            _ => {
                write(&path, &file.bytes)?;
                written.push(shown);
            }
        }
    }
    let ended = if kept.is_empty() { Ended::Well } else { Ended::WithFaults };
    if json {
        output::json(&json!({ "written": written, "kept": kept, "unchanged": alike }))?;
        return Ok(ended);
    }
    for file in &written {
        output::say(&format!("wrote {file}"));
    }
    for file in &kept {
        output::complain(&format!("{file} is there already and was left as it is\n  hint: --force writes over it"));
    }
    let alike =
        if alike.is_empty() { String::new() } else { format!(", {} as they are built in already", alike.len()) };
    output::say(&format!("{} written{alike}", count(written.len(), "file", "files")));
    if !written.is_empty() {
        output::say(&format!(
            "\nThey stand in front of those that are built in. Then:  {} template check",
            called_as()
        ));
    }
    Ok(ended)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make a folder for {}", path.display()))?;
    // Nobody reads half a template, whatever happens.
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

fn list(config: &Config, json: bool) -> anyhow::Result<Ended> {
    let built_in = template::built_in();
    let own = template::own_files(&config.templates);
    let mut rows: Vec<(String, &str)> = built_in
        .iter()
        .map(|file| match std::fs::read(config.templates.join(&file.name)) {
            Ok(there) if there == *file.bytes => (file.name.clone(), "own, as built in"),
            Ok(_) => (file.name.clone(), "own, in front of the built-in"),
            Err(_) => (file.name.clone(), "built in"),
        })
        .collect();
    let is_known = |name: &str| built_in.iter().any(|file| file.name == name);
    rows.extend(own.into_iter().filter(|name| !is_known(name)).map(|name| (name, "own")));
    rows.sort();
    if json {
        let rows: Vec<_> = rows.iter().map(|(name, whose)| json!({ "name": name, "whose": whose })).collect();
        output::json(&rows)?;
    } else {
        output::table(&rows.into_iter().map(|(name, whose)| vec![name, whose.to_owned()]).collect::<Vec<_>>());
    }
    Ok(Ended::Well)
}

fn show(checked: &check::CheckedTemplates, json: bool) -> anyhow::Result<Ended> {
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
