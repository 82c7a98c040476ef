//! `feeds/*.toml`: one definition per feed, and its way to [`Feed`].

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{NaiveTime, Weekday};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::written::{line_at, toml_problem};
use super::{Config, Publication};
use crate::domain::address::Mailbox;
use crate::domain::feed::{Feed, FeedName, Select};
use crate::domain::newsletter::{Cadence, Newsletter, Rhythm};
use crate::domain::text::one_line;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Option<Spanned<String>>,
    #[serde(default)]
    description: String,
    language: Option<String>,
    image: Option<String>,
    #[serde(default)]
    select: Select,
    limit: Option<Spanned<usize>>,
    #[serde(default)]
    content: Content,
    newsletter: Option<WrittenNewsletter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    #[default]
    Full,
    Summary,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNewsletter {
    subject: Option<Spanned<String>>,
    #[serde(default)]
    cadences: Cadences,
    default: Option<Spanned<String>>,
    #[serde(default = "one")]
    min_articles: usize,
    template: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
}

fn one() -> usize {
    1
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cadences {
    instant: Option<Nothing>,
    daily: Option<Daily>,
    weekly: Option<Weekly>,
    monthly: Option<Monthly>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Daily {
    at: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weekly {
    on: Spanned<String>,
    at: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Monthly {
    day: Spanned<u32>,
    at: Spanned<String>,
}

/// Reads every definition in the feeds' folder, by name. A definition with a fault is left out and named.
pub fn load(config: &Config) -> (Vec<Feed>, Vec<Problem>) {
    let (mut feeds, mut problems) = (vec![], vec![]);
    let folder = config.name_of(&config.feeds);
    let listing = match std::fs::read_dir(&config.feeds) {
        Ok(listing) => listing,
        Err(error) => {
            let problem = Problem::new(folder, format!("cannot be read: {error}"));
            return (
                feeds,
                vec![problem.hint("make the folder and put one definition per feed into it, such as feeds/news.toml")],
            );
        }
    };
    let mut paths: Vec<_> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let file = config.name_of(path);
        match read(path, &file, &config.publication) {
            Ok(feed) => feeds.push(feed),
            Err(faults) => problems.extend(faults),
        }
    }
    if feeds.is_empty() && problems.is_empty() {
        problems.push(
            Problem::new(folder, "holds no feed definition")
                .hint("write one, such as feeds/news.toml with title = \"Latest news\""),
        );
    }
    (feeds, problems)
}

fn read(path: &Path, file: &str, publication: &Publication) -> Result<Feed, Vec<Problem>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| vec![Problem::new(file, format!("cannot be read: {error}"))])?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = FeedName::parse(&stem).ok_or_else(|| {
        vec![
            Problem::new(file, format!("{stem:?} cannot be a feed's name"))
                .hint("name the file with lower-case letters, digits and hyphens, such as news.toml"),
        ]
    })?;
    let written: Written = toml::from_str(&text).map_err(|error| vec![toml_problem(file, &text, &error)])?;
    Reader { file, text: &text, problems: vec![] }.feed(name, written, publication)
}

/// A picture's URL; what has none of its own stands below the publication's, as `static/` does.
fn image_url(publication: &Url, written: &str) -> Option<String> {
    let is_below = !written.starts_with("//") && Url::parse(written).is_err();
    let url = if is_below {
        let base = Url::parse(&format!("{}/", publication.as_str().trim_end_matches('/'))).ok()?;
        base.join(&format!("./{}", written.trim_start_matches('/')))
    } else {
        publication.join(written)
    };
    url.ok().map(String::from)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn complain<T>(&mut self, at: Option<&Spanned<T>>, what: impl Into<String>, hint: &str) {
        let mut problem = Problem::new(self.file, what).hint(hint);
        problem.line = at.map(|at| line_at(self.text, at.span().start));
        self.problems.push(problem);
    }

    fn feed(mut self, name: FeedName, written: Written, publication: &Publication) -> Result<Feed, Vec<Problem>> {
        let title = written.title.as_ref().map(|title| one_line(title.get_ref())).unwrap_or_default();
        if title.is_empty() {
            self.complain(written.title.as_ref(), "a feed needs a title", "write title = \"Latest news\"");
        }
        if let Some(limit) = written.limit.as_ref().filter(|limit| *limit.get_ref() == 0) {
            self.complain(
                Some(limit),
                "limit is 0: the feed would always be empty",
                "write a number from 1 on, or leave it out for 50",
            );
        }
        let newsletter = written.newsletter.and_then(|newsletter| self.newsletter(newsletter));
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Feed {
            name,
            description: one_line(&written.description),
            title,
            language: written.language.unwrap_or_else(|| publication.language.clone()),
            image: written.image.and_then(|image| image_url(&publication.url, image.trim())),
            select: written.select,
            limit: written.limit.map_or(Feed::LIMIT, Spanned::into_inner),
            full: matches!(written.content, Content::Full),
            newsletter,
        })
    }

    fn time(&mut self, at: &Spanned<String>) -> Option<NaiveTime> {
        let time = NaiveTime::parse_from_str(at.get_ref(), "%H:%M").ok();
        if time.is_none() {
            self.complain(
                Some(at),
                format!("not a time of day: {:?}", at.get_ref()),
                "write hours and minutes, such as 07:00",
            );
        }
        time
    }

    fn cadences(&mut self, written: Cadences) -> BTreeMap<Cadence, Rhythm> {
        let mut cadences = BTreeMap::new();
        if written.instant.is_some() {
            cadences.insert(Cadence::Instant, Rhythm::Instant);
        }
        if let Some(at) = written.daily.and_then(|daily| self.time(&daily.at)) {
            cadences.insert(Cadence::Daily, Rhythm::Daily(at));
        }
        if let Some(weekly) = written.weekly {
            let day = weekly.on.get_ref().parse::<Weekday>().ok();
            if day.is_none() {
                self.complain(
                    Some(&weekly.on),
                    format!("not a day of the week: {:?}", weekly.on.get_ref()),
                    "write monday to sunday",
                );
            }
            if let (Some(day), Some(at)) = (day, self.time(&weekly.at)) {
                cadences.insert(Cadence::Weekly, Rhythm::Weekly(day, at));
            }
        }
        if let Some(monthly) = written.monthly {
            let day = *monthly.day.get_ref();
            if !(1..=31).contains(&day) {
                self.complain(
                    Some(&monthly.day),
                    format!("no month has a day {day}"),
                    "write 1 to 31; a shorter month uses its last day",
                );
            }
            if let Some(at) = self.time(&monthly.at) {
                cadences.insert(Cadence::Monthly, Rhythm::Monthly(day, at));
            }
        }
        cadences
    }

    fn newsletter(&mut self, written: WrittenNewsletter) -> Option<Newsletter> {
        let faults = self.problems.len();
        let cadences = self.cadences(written.cadences);
        if cadences.is_empty() && self.problems.len() == faults {
            self.complain::<()>(
                None,
                "the newsletter offers no cadence",
                "write cadences.daily = { at = \"07:00\" } below [newsletter]",
            );
        }
        let default = match &written.default {
            None => cadences.keys().next().copied(),
            Some(word) => {
                let offered = Cadence::parse(word.get_ref()).filter(|cadence| cadences.contains_key(cadence));
                if offered.is_none() {
                    let words: Vec<_> = cadences.keys().map(ToString::to_string).collect();
                    self.complain(
                        Some(word),
                        format!("the default {:?} is not on offer", word.get_ref()),
                        &format!("write one of {}", words.join(", ")),
                    );
                }
                offered
            }
        };
        let template = written.template.as_ref().map_or("digest", |template| template.get_ref().as_str()).to_owned();
        if FeedName::parse(&template).is_none() {
            self.complain(
                written.template.as_ref(),
                format!("{template:?} cannot be a template's name"),
                "write the first part of its file's name, such as digest",
            );
        }
        let from = written.from.and_then(|from| match Mailbox::parse(from.get_ref()) {
            Ok(mailbox) => Some(mailbox),
            Err(fault) => {
                self.complain(
                    Some(&from),
                    format!("from is not an address: {fault}"),
                    "write \"Name <name@example.org>\"",
                );
                None
            }
        });
        Some(Newsletter {
            subject: written
                .subject
                .map_or_else(|| "{{publication.title}}: {{articles.0.title}}".to_owned(), Spanned::into_inner),
            cadences,
            default: default?,
            min_articles: written.min_articles.max(1),
            template,
            from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Result<Feed, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("news.toml");
        std::fs::write(&path, text).unwrap();
        let publication = Publication {
            title: "A".into(),
            description: None,
            url: "https://a.example".parse().unwrap(),
            language: "en".into(),
            time_zone: chrono_tz::UTC,
            address: None,
        };
        read(&path, "feeds/news.toml", &publication)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_title_is_enough_for_a_feed() {
        let feed = feed("title = \"News\"").unwrap();
        assert_eq!((feed.name.as_str(), feed.limit, feed.full, feed.newsletter.is_none()), ("news", 50, true, true));
    }

    #[test]
    fn a_picture_stands_below_the_publication_or_has_a_url_of_its_own() {
        let publication = Url::parse("https://a.example/news").unwrap();
        for (written, meant) in [
            ("/images/a.png", "https://a.example/news/images/a.png"),
            ("images/a.png", "https://a.example/news/images/a.png"),
            ("//cdn.example/a.png", "https://cdn.example/a.png"),
            ("https://cdn.example/a.png", "https://cdn.example/a.png"),
        ] {
            assert_eq!(image_url(&publication, written).as_deref(), Some(meant));
        }
    }

    #[test]
    fn a_newsletter_has_its_cadences_and_a_default() {
        let feed = feed("title = \"N\"\n[newsletter]\ncadences.daily = { at = \"07:00\" }\ncadences.weekly = { on = \"monday\", at = \"18:30\" }\ndefault = \"weekly\"").unwrap();
        let newsletter = feed.newsletter.unwrap();
        assert_eq!(newsletter.default, Cadence::Weekly);
        assert_eq!(
            newsletter.cadences[&Cadence::Weekly],
            Rhythm::Weekly(Weekday::Mon, NaiveTime::from_hms_opt(18, 30, 0).unwrap())
        );
    }

    #[test]
    fn faults_name_the_line_and_the_remedy() {
        let faults = feed("title = \"N\"\nlimit = 0\n[newsletter]\ncadences.daily = { at = \"7 o'clock\" }\ncadences.weekly = { on = \"mnday\", at = \"07:00\" }\ndefault = \"monthly\"").unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.split(':').nth(1).unwrap_or_default().to_owned()).collect();
        assert_eq!(lines, ["2", "4", "5", "6"], "{faults:#?}");
    }

    #[test]
    fn an_unknown_key_of_a_selection_is_named() {
        let faults = feed("title = \"N\"\nselect = { sektion = \"news\" }").unwrap_err();
        assert_eq!(faults, ["feeds/news.toml:2: unknown key `sektion`\n  hint: did you mean `section`?"]);
    }
}
