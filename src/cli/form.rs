//! `tidings form`: the sign-up form as HTML, for any other site.

use serde_json::json;

use super::output;
use super::{Ended, Usage};
use crate::domain::feed::FeedName;
use crate::problem::did_you_mean;
use crate::task::pages::{Snippet, snippet};
use crate::task::{Publication, TaskError};

/// What it is for.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Feeds that it offers; all that come by mail where none is named
    feeds: Vec<String>,
    /// Language of its words, such as de
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
    /// Leave out the script: readers press one button more
    #[arg(long)]
    no_script: bool,
}

pub(super) fn run(publication: &Publication, arguments: &Arguments, json: bool) -> anyhow::Result<Ended> {
    let mut feeds = vec![];
    for name in &arguments.feeds {
        let known = || publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).map(|feed| feed.name.as_str());
        let feed = FeedName::parse(name).filter(|name| known().any(|known| known == name.as_str()));
        let Some(feed) = feed else {
            let near = did_you_mean(name, known()).map(|near| format!("\n  hint: did you mean {near}?"));
            return Err(Usage(format!("no feed {name:?} comes by mail{}", near.unwrap_or_default())).into());
        };
        feeds.push(feed);
    }
    if let Some(language) = &arguments.language
        && !publication.templates.languages().any(|known| known == language)
    {
        let known: Vec<&str> = publication.templates.languages().collect();
        return Err(Usage(format!("there are no words in {language:?}\n  hint: there are {}", known.join(", "))).into());
    }
    let wanted = Snippet { feeds: &feeds, language: arguments.language.as_deref(), script: !arguments.no_script };
    let html = snippet(publication, wanted).map_err(TaskError::from)?;
    if json {
        output::json(&json!({ "html": html }))?;
    } else {
        output::say(html.trim_end());
    }
    Ok(Ended::Well)
}
