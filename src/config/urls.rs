//! Where everything stands on the web. One place decides, so that feeds, pages and mail agree.

use url::Url;

use crate::domain::feed::FeedName;
use crate::domain::shelf::Kind;

/// Builds absolute URLs below one base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    base: String,
}

impl Urls {
    /// URLs below `base`; a trailing slash makes no difference.
    pub fn new(base: &Url) -> Self {
        Self::parse(base.as_str())
    }

    /// The same, from text that is known to be a URL.
    pub(super) fn parse(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// The base, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The home page.
    pub fn home(&self) -> String {
        format!("{}/", self.base)
    }

    /// Anything by its path, which begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The same without the host: what a page's own forms and styles are reached by, whatever name its server goes by.
    pub fn local(&self, path: &str) -> String {
        let behind_scheme = self.base.find("://").map_or(0, |at| at + 3);
        let host_end = self.base[behind_scheme..].find('/').map_or(self.base.len(), |at| behind_scheme + at);
        format!("{}{path}", &self.base[host_end..])
    }

    /// An article's page.
    pub fn article(&self, slug: &str) -> String {
        format!("{}/articles/{slug}/", self.base)
    }

    /// A feed's page.
    pub fn feed(&self, feed: &FeedName) -> String {
        format!("{}/feeds/{feed}/", self.base)
    }

    /// One of a feed's documents, by file name.
    pub fn feed_file(&self, feed: &FeedName, file: &str) -> String {
        format!("{}/feeds/{feed}/{file}", self.base)
    }

    /// The folder of a feed's documents, without a trailing slash.
    pub fn feed_folder(&self, feed: &FeedName) -> String {
        format!("{}/feeds/{feed}", self.base)
    }

    /// The folder of the documents of one of a feed's volumes, without a trailing slash.
    pub fn volume(&self, feed: &FeedName, number: i64) -> String {
        format!("{}/feeds/{feed}/archive/{number}", self.base)
    }

    /// One of the documents of a reader's own feed, by its token and file name.
    pub fn own_feed(&self, token: &str, file: &str) -> String {
        format!("{}/feeds/of/{token}/{file}", self.base)
    }

    /// The list of all sections, tags or authors.
    pub fn shelf_list(&self, kind: Kind) -> String {
        format!("{}/{}/", self.base, kind.folder())
    }

    /// The page of a section, tag or author, or one of its documents by file name.
    pub fn on_shelf(&self, kind: Kind, slug: &str, file: &str) -> String {
        format!("{}/{}/{slug}/{file}", self.base, kind.folder())
    }

    /// The list of a newsletter's past digests.
    pub fn archive(&self, newsletter: &FeedName) -> String {
        format!("{}/digests/{newsletter}/", self.base)
    }

    /// A page or a document of a newsletter's archive: a digest's page, a year's list, a feed document.
    pub fn in_archive(&self, newsletter: &FeedName, name: &str) -> String {
        // Documents have an ending, and no slash.
        let slash = if name.contains('.') { "" } else { "/" };
        format!("{}/digests/{newsletter}/{name}{slash}", self.base)
    }

    /// Text with the URLs of `other` turned into those of this: how a page written for the publication's URL is
    /// shown where something stands in for it. Borrowed where the two are the same.
    pub fn in_place_of<'a>(&self, other: &Urls, text: &'a str) -> std::borrow::Cow<'a, str> {
        let find = |text: &str| memchr::memmem::find(text.as_bytes(), other.base.as_bytes());
        if self.base == other.base || find(text).is_none() {
            return text.into();
        }
        // Only the whole origin counts: "https://a.example" must not match in "https://a.example.org".
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = find(rest) {
            let (before, found) = rest.split_at(at);
            let after = &found[other.base.len()..];
            out.push_str(before);
            let ends = !after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | ':' | '@'));
            out.push_str(if ends { &self.base } else { &other.base });
            rest = after;
        }
        out.push_str(rest);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_what_stands_before_it() {
        assert_eq!(Urls::parse("https://a.example").local("/style.css"), "/style.css");
        assert_eq!(Urls::parse("https://a.example/news/").local("/style.css"), "/news/style.css");
    }

    #[test]
    fn a_stand_in_takes_over_whole_origins_only() {
        let (local, real) = (Urls::parse("http://127.0.0.1:8080"), Urls::parse("https://a.example/"));
        assert_eq!(
            local.in_place_of(&real, "<a href=\"https://a.example/x\"> https://a.example.org https://a.example"),
            "<a href=\"http://127.0.0.1:8080/x\"> https://a.example.org http://127.0.0.1:8080"
        );
    }
}
