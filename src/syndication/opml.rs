//! OPML 2.0 (opml.org/spec2.opml): the publication's feeds as a list that a feed reader takes in one go.

use chrono::{DateTime, Utc};

use super::{line, prolog, rss, some_line};
use crate::domain::entry::OutlineFeed;
use crate::domain::text::escape_html;

/// Feeds that belong together, under one title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Title.
    pub title: String,
    /// The feeds.
    pub feeds: Vec<OutlineFeed>,
}

/// The feeds as a subscription list in UTF-8; `date` is when the list changed last.
pub fn bytes(title: &str, date: Option<DateTime<Utc>>, feeds: &[OutlineFeed]) -> Vec<u8> {
    grouped(title, date, feeds, &[])
}

/// The same with groups of feeds behind those that stand alone.
pub fn grouped(title: &str, date: Option<DateTime<Utc>>, feeds: &[OutlineFeed], groups: &[Group]) -> Vec<u8> {
    let mut document = prolog(None);
    document.push_str("<opml version=\"2.0\">\n<head>\n");
    document.extend(["<title>", &escape_html(&line(title)), "</title>\n"]);
    if let Some(date) = date {
        document.extend(["<dateModified>", &rss::date(date), "</dateModified>\n"]);
    }
    document.push_str("</head>\n<body>\n");
    for feed in feeds {
        document.push_str(&outline(feed));
    }
    for group in groups {
        document.extend(["<outline text=\"", &escape_html(&line(&group.title)), "\">\n"]);
        document.extend(group.feeds.iter().map(outline));
        document.push_str("</outline>\n");
    }
    document.push_str("</body>\n</opml>\n");
    document.into_bytes()
}

/// One feed. `text` must be there and `type` is `rss` whatever the format ("Subscription lists"); what else is
/// empty is left out.
fn outline(feed: &OutlineFeed) -> String {
    let categories: Vec<_> = feed.categories.iter().filter_map(|word| category(word)).collect();
    let mut outline = format!("<outline type=\"rss\" text=\"{}\"", escape_html(&line(&feed.title)));
    for (name, value) in [
        ("title", &feed.title),
        ("description", &feed.description),
        ("xmlUrl", &feed.xml_url),
        ("htmlUrl", &feed.html_url),
        ("language", &feed.language),
        ("category", &categories.join(",")),
        ("created", &feed.created.map(rss::date).unwrap_or_default()),
    ] {
        if let Some(value) = some_line(value) {
            outline.extend([" ", name, "=\"", &escape_html(&value), "\""]);
        }
    }
    outline.push_str("/>\n");
    outline
}

/// A word of a `category` list, in which commas separate words and slashes levels.
fn category(word: &str) -> Option<String> {
    some_line(word).map(|word| word.replace([',', '/'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_keeps_to_its_place_in_the_list() {
        let feed = OutlineFeed {
            title: "News".into(),
            description: String::new(),
            xml_url: "https://a.example/rss.xml?a=1&b=2".into(),
            html_url: "https://a.example/".into(),
            language: "en".into(),
            categories: vec!["sea, and ships".into(), "a/b".into(), " ".into()],
            created: None,
        };
        assert_eq!(
            outline(&feed),
            "<outline type=\"rss\" text=\"News\" title=\"News\" xmlUrl=\"https://a.example/rss.xml?a=1&amp;b=2\" \
             htmlUrl=\"https://a.example/\" language=\"en\" category=\"sea  and ships,a b\"/>\n"
        );
    }
}
