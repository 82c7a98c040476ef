//! An article as it stands in a feed, and the feed document around it: what `syndication` turns into bytes.

use chrono::{DateTime, Utc};

use super::article::{Image, Question};
use super::media::Enclosure;
use super::podcast::Podcast;
use super::text::escape_html;

/// A link with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Absolute URL.
    pub url: String,
    /// Text.
    pub title: String,
}

/// An article as it stands in a feed. Text is plain unless the name says HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Permanent identity: a `tag:` URI, never the URL.
    pub id: String,
    /// Absolute URL of the article's page.
    pub url: String,
    /// Title; never empty.
    pub title: String,
    /// Label such as "Breaking news".
    pub label: Option<String>,
    /// One paragraph.
    pub summary: String,
    /// The whole content as it should be read in a feed reader; `None` in a feed of summaries.
    pub html: Option<String>,
    /// Date that the article bears.
    pub published: DateTime<Utc>,
    /// Last real edit; never before `published`.
    pub updated: DateTime<Utc>,
    /// Names.
    pub authors: Vec<String>,
    /// Section and tags.
    pub categories: Vec<String>,
    /// Picture.
    pub image: Option<Image>,
    /// What it brings along, with what is known of the file.
    pub enclosure: Option<Enclosure>,
    /// Language tag where it differs from the feed's.
    pub language: Option<String>,
}

/// One feed, ready to be written in any format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedDocument {
    /// Permanent identity of the feed: a `tag:` URI.
    pub id: String,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// Language tag (BCP 47).
    pub language: String,
    /// Absolute URL of the feed's page (`rel=alternate`).
    pub page_url: String,
    /// Absolute URLs of the three documents (`rel=self` of each).
    pub rss_url: String,
    /// See `rss_url`.
    pub atom_url: String,
    /// See `rss_url`.
    pub json_url: String,
    /// Absolute URL of the stylesheet that makes the XML readable in a browser.
    pub stylesheet_url: Option<String>,
    /// Name of the publication: the author where an entry names none.
    pub publication: String,
    /// Absolute URL of the publication.
    pub publication_url: String,
    /// Picture of the feed.
    pub image: Option<Image>,
    /// What podcast apps are told, its identity filled in.
    pub podcast: Option<Podcast>,
    /// `WebSub` hubs.
    pub hubs: Vec<String>,
    /// Newest real change of any entry; the Unix epoch is never written: `None` for a feed without entries.
    pub updated: Option<DateTime<Utc>>,
    /// Newest first.
    pub entries: Vec<Entry>,
    /// What there was before it, and what went out of it.
    pub history: History,
}

/// Where a document stands among those that its feed is made of (RFC 5005 §4), and what is not in it any more.
///
/// Places are the folders of documents in all formats, without a trailing slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Of a volume: where the live document is, the one that readers subscribe to.
    pub current: Option<String>,
    /// The volume before this document.
    pub previous: Option<String>,
    /// The volume behind this one.
    pub next: Option<String>,
    /// What went out of the feed while it stood here.
    pub deleted: Vec<Deleted>,
}

impl History {
    /// When a document changed last whose entries did at `entries`: what went is a change, too.
    pub fn updated(&self, entries: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        entries.max(self.deleted.iter().map(|deleted| deleted.at).max())
    }
}

/// An entry that is not in a feed any more (RFC 6721).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The id that it had.
    pub id: String,
    /// When it went.
    pub at: DateTime<Utc>,
}

/// A feed may be kept without asking at least so long, in seconds: shorter than most poll, longer than a burst of requests.
pub const LEAST_KEPT_S: u32 = 300;
/// And at most so long: what is new today is not seen tomorrow.
pub const MOST_KEPT_S: u32 = 3600;
/// A copy may be as old as this part of the time between two entries: whoever waited a day waits an hour more.
const KEPT_PART: i64 = 24;
/// Gaps that are looked at: the feed as it goes now.
const GAPS: usize = 10;

impl FeedDocument {
    /// How long a copy may be kept without asking, in seconds: the slower the feed, the longer.
    pub fn kept_for_s(&self) -> u32 {
        let mut published: Vec<i64> = self.entries.iter().map(|entry| entry.published.timestamp()).collect();
        published.sort_unstable_by(|one, other| other.cmp(one));
        let mut gaps: Vec<i64> = published.windows(2).take(GAPS).map(|pair| pair[0] - pair[1]).collect();
        gaps.sort_unstable();
        let part = gaps.get(gaps.len() / 2).map_or(0, |median| median / KEPT_PART);
        u32::try_from(part).unwrap_or(MOST_KEPT_S).clamp(LEAST_KEPT_S, MOST_KEPT_S)
    }
}

/// Where a feed stands on the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineFeed {
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// URL of the feed document.
    pub xml_url: String,
    /// URL of its page.
    pub html_url: String,
    /// Language tag.
    pub language: String,
    /// Words to sort it by.
    pub categories: Vec<String>,
    /// Since when it is there, where that is known.
    pub created: Option<DateTime<Utc>>,
}

/// What stands above the parts of an entry's content, in its language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headings {
    /// Above its questions and answers.
    pub questions: String,
    /// Before what to read next.
    pub also_read: String,
}

/// The whole content of an entry: dateline and body, then its questions and answers, then what to read next.
pub fn content_html(
    place: Option<&str>,
    body: &str,
    faq: &[Question],
    related: &[Link],
    headings: &Headings,
) -> String {
    let mut html = String::with_capacity(body.len() + 256);
    if let Some(place) = place {
        html.extend(["<p><strong>", &escape_html(place), "</strong></p>\n"]);
    }
    html.push_str(body);
    if !faq.is_empty() {
        html.extend(["<h2>", &escape_html(&headings.questions), "</h2>\n<dl>\n"]);
        for question in faq {
            html.extend([
                "<dt><strong>",
                &escape_html(&question.question),
                "</strong></dt>
",
            ]);
            html.extend([
                "<dd>",
                &question.answer_html,
                "</dd>
",
            ]);
        }
        html.push_str("</dl>\n");
    }
    if !related.is_empty() {
        html.extend(["<p>", &escape_html(&headings.also_read), "</p>\n<ul>\n"]);
        for link in related {
            let (url, title) = (escape_html(&link.url), escape_html(&link.title));
            html.extend([
                "<li><a href=\"",
                &url,
                "\">",
                &title,
                "</a></li>
",
            ]);
        }
        html.push_str("</ul>\n");
    }
    html
}
