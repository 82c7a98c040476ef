//! `feeds/*.toml`: one definition per feed, and its way to [`Feed`].

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::newsletter::WrittenNewsletter;
use super::podcast::WrittenPodcast;
use super::written::{line_at, toml_problem};
use super::{Config, Publication};
use crate::domain::feed::{Feed, FeedName, Select};
use crate::domain::language::is_tag;
use crate::domain::text::one_line;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Option<Spanned<String>>,
    #[serde(default)]
    description: String,
    language: Option<Spanned<String>>,
    image: Option<Spanned<String>>,
    #[serde(default)]
    select: Select,
    limit: Option<Spanned<usize>>,
    #[serde(default)]
    content: Content,
    newsletter: Option<WrittenNewsletter>,
    podcast: Option<Spanned<WrittenPodcast>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    #[default]
    Full,
    Summary,
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

/// Reads one definition, wherever it lies.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_one(config: &Config, path: &Path) -> Result<Feed, Vec<Problem>> {
    read(path, &config.name_of(path), &config.publication)
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
pub(super) fn image_url(publication: &Url, written: &str) -> Option<String> {
    let is_below = !written.starts_with("//") && Url::parse(written).is_err();
    let url = if is_below {
        let base = Url::parse(&format!("{}/", publication.as_str().trim_end_matches('/'))).ok()?;
        base.join(&format!("./{}", written.trim_start_matches('/')))
    } else {
        publication.join(written)
    };
    url.ok().map(String::from)
}

pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn complain<T>(&mut self, at: Option<&Spanned<T>>, what: impl Into<String>, hint: &str) {
        let mut problem = Problem::new(self.file, what).hint(hint);
        problem.line = at.map(|at| line_at(self.text, at.span().start));
        self.problems.push(problem);
    }

    fn image(&mut self, written: &Spanned<String>, publication: &Url) -> Option<String> {
        let url = image_url(publication, written.get_ref().trim());
        let url = url.filter(|url| url.starts_with("https:") || url.starts_with("http:"));
        if url.is_none() {
            let what = format!("image is not where a picture is: {:?}", written.get_ref());
            self.complain(
                Some(written),
                what,
                "write /images/news.png for static/images/news.png, or an https:// address",
            );
        }
        url
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
        let image = written.image.and_then(|image| self.image(&image, &publication.url));
        if let Some(language) = written.language.as_ref().filter(|language| !is_tag(language.get_ref())) {
            let what = format!("language is not a language: {:?}", language.get_ref());
            self.complain(Some(language), what, "write en or pt-BR");
        }
        let podcast = written.podcast.map(|podcast| self.podcast(podcast, image.is_some(), &publication.url));
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Feed {
            name,
            description: one_line(&written.description),
            title,
            language: written.language.map_or_else(|| publication.language.clone(), Spanned::into_inner),
            image,
            podcast,
            select: written.select,
            limit: written.limit.map_or(Feed::LIMIT, Spanned::into_inner),
            full: matches!(written.content, Content::Full),
            newsletter,
        })
    }
}

/// The definition `feeds/news.toml` with this text, or what is wrong with it.
#[cfg(test)]
pub(super) fn defined(text: &str) -> Result<Feed, Vec<String>> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("news.toml");
    std::fs::write(&path, text).expect("a definition");
    let publication = Publication {
        title: "A".into(),
        description: None,
        url: Url::parse("https://a.example").expect("a URL"),
        language: "en".into(),
        time_zone: chrono_tz::UTC,
        address: None,
    };
    read(&path, "feeds/news.toml", &publication).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::defined as feed;
    use super::*;

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
    fn what_no_reader_could_use_is_named() {
        for (line, fault) in [
            ("language = \"zz!! <\"", "language is not a language: \"zz!! <\"\n  hint: write en or pt-BR"),
            (
                "image = \"javascript:x\"",
                "image is not where a picture is: \"javascript:x\"\n  hint: write \
              /images/news.png for static/images/news.png, or an https:// address",
            ),
            ("select = { any = [] }", "any: an empty list takes nothing"),
        ] {
            let faults = feed(&format!("title = \"N\"\n{line}")).unwrap_err();
            assert_eq!(faults, [format!("feeds/news.toml:2: {fault}")]);
        }
        assert_eq!(feed("title = \"N\"\nlanguage = \"pt-BR\"").unwrap().language, "pt-BR");
    }

    #[test]
    fn an_unknown_key_of_a_selection_is_named() {
        let faults = feed("title = \"N\"\nselect = { sektion = \"news\" }").unwrap_err();
        assert_eq!(faults, ["feeds/news.toml:2: unknown key `sektion`\n  hint: did you mean `section`?"]);
    }
}
