//! The text of an entry whose feed has a summary alone: when it is looked for on its page, and what is taken from there.

use super::super::{import, prose};
use super::{Document, RemoteEntry, Words, entry};

/// So many words are no summary.
const WHOLE: u32 = 300;

/// Whether an entry is a summary: it has no content of its own, or one that breaks off.
pub fn is_summary(entry: &RemoteEntry) -> bool {
    let breaks_off = |words: &Words| {
        let text = entry::plain(words);
        let end = text.trim_end_matches([']', ')', ' ', '»', '→']);
        end.ends_with('…') || end.ends_with("...")
    };
    match (&entry.content, &entry.summary) {
        (Some(content), _) => breaks_off(content),
        (None, Some(summary)) => words_in(summary.written()) < WHOLE || breaks_off(summary),
        (None, None) => true,
    }
}

/// The main content of an entry's page, safe and with absolute links; none where that is no more than its feed has.
pub fn full_text(page: &Document<'_>, entry: &RemoteEntry) -> Option<String> {
    let html = import::body_of_page(page.bytes, page.content_type, page.url)?;
    let in_feed = entry.content.as_ref().or(entry.summary.as_ref()).map_or(0, |words| words_in(words.written()));
    (words_in(&html) > in_feed).then_some(html)
}

/// The entry with the text of its page.
#[must_use]
pub fn with_full_text(mut entry: RemoteEntry, html: String) -> RemoteEntry {
    // What breaks off is a summary.
    let content = entry.content.replace(Words::Html(html));
    entry.summary = entry.summary.or(content);
    entry
}

fn words_in(html: &str) -> u32 {
    prose::of_html(html).words
}
