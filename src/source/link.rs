//! Link and image destinations, made absolute (WHATWG URL) and held to four schemes.
//!
//! The one rule for both ways a body is rendered; it knows nothing of Markdown or HTML.

use url::Url;

use crate::domain::article::Slug;

/// An address without the name and password that it may hold: those are nobody else's.
pub fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail on addresses that cannot have either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Where one article's links start from.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// The publication, its path closed with `/`.
    base: Url,
    /// The article's own page.
    own: Url,
    /// Whether it was written for another site, whose links are plain ones.
    is_from_elsewhere: bool,
}

/// What a destination is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Something to go to.
    Link,
    /// Something to load and show: a picture.
    Picture,
}

impl Links {
    /// The links of the article `slug` in the publication at `base`.
    pub(super) fn new(base: &Url, slug: &Slug) -> Self {
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let own = article(&base, slug);
        Self { base, own, is_from_elsewhere: false }
    }

    /// The links of what was written for another site, where it stood at `base`.
    pub(super) fn elsewhere(base: &Url) -> Self {
        Self { base: base.clone(), own: base.clone(), is_from_elsewhere: true }
    }

    /// The article's own URL.
    pub(super) fn own(&self) -> &str {
        self.own.as_str()
    }

    /// The absolute URL that `written` means in this article; `None` where its scheme is not one of ours.
    pub(super) fn resolve(&self, written: &str, purpose: Use) -> Option<Url> {
        let written = written.trim();
        let url = match Url::parse(written) {
            Ok(url) => url,
            Err(url::ParseError::RelativeUrlWithoutBase) => self.relative(written)?,
            Err(_) => return None,
        };
        let allowed = match url.scheme() {
            "http" | "https" => url.has_host(),
            "mailto" | "tel" => purpose == Use::Link,
            _ => false,
        };
        allowed.then_some(url)
    }

    fn relative(&self, written: &str) -> Option<Url> {
        if self.is_from_elsewhere {
            return self.own.join(written).ok();
        }
        // `//host/x`: the publication may be read over either protocol, the mail over neither.
        let slashes = written.bytes().take(2).filter(|b| matches!(b, b'/' | b'\\')).count();
        if slashes == 2 {
            return Url::parse(&format!("https://{}", &written[2..])).ok();
        }
        let in_content = written.strip_prefix("@/"); // Zola: from the content folder
        let path_end = written.find(['?', '#']).unwrap_or(written.len());
        if in_content.is_some() || is_markdown(&written[..path_end]) {
            let (path, rest) = written.split_at(path_end);
            let mut url = article(&self.base, &slug_of_path(&decode(path))?);
            let (query, fragment) = rest.split_once('#').map_or((rest, None), |(query, id)| (query, Some(id)));
            url.set_query(query.strip_prefix('?'));
            url.set_fragment(fragment);
            return Some(url);
        }
        // `/x` begins at the publication's root, wherever on its host that is.
        match written.strip_prefix(['/', '\\']) {
            Some(below) => self.base.join(&format!("./{below}")).ok(),
            None => self.own.join(written).ok(),
        }
    }
}

fn article(base: &Url, slug: &Slug) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}articles/{slug}/", base.path()));
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn is_markdown(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ending.eq_ignore_ascii_case("md") || ending.eq_ignore_ascii_case("markdown")
}

/// The slug that a file gets by its path when its front matter gives none: the name without its ending and
/// without the date before it (Jekyll); of `x/index.md`, the directory's name.
pub(super) fn slug_of_path(path: &str) -> Option<Slug> {
    let mut parts = path.rsplit('/');
    let mut stem = parts.next().unwrap_or_default();
    if let Some((name, ending)) = stem.rsplit_once('.')
        && super::folder::is_article_ending(ending)
    {
        stem = name;
    }
    if matches!(stem, "index" | "_index" | "")
        && let Some(directory) = parts.next()
        && !matches!(directory, "" | "." | ".." | "@")
    {
        stem = directory;
    }
    Slug::from_text(dated_stem(stem).map_or(stem, |(_, name)| name))
}

/// A Jekyll file name taken apart: `2026-03-02-spring` → the date and `spring`.
pub(super) fn dated_stem(stem: &str) -> Option<(&str, &str)> {
    let (date, name) = stem.split_at_checked(10)?;
    let name = name.strip_prefix('-')?;
    (super::date::calendar_date(date).is_some() && !name.is_empty()).then_some((date, name))
}

/// Percent-encoded text as it was meant (RFC 3986 §2.1); unchanged where that is not UTF-8.
fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = hex.filter(|_| first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links::new(&Url::parse("https://lantern.example/blog").unwrap(), &Slug::from_text("spring").unwrap())
    }

    fn link(written: &str) -> Option<String> {
        links().resolve(written, Use::Link).map(String::from)
    }

    #[test]
    fn every_relative_link_becomes_absolute() {
        for (written, meant) in [
            ("/tides", "https://lantern.example/blog/tides"),
            ("/images/a:b.png?x#y", "https://lantern.example/blog/images/a:b.png?x#y"),
            ("/", "https://lantern.example/blog/"),
            ("other.md", "https://lantern.example/blog/articles/other/"),
            ("./other.md#tide", "https://lantern.example/blog/articles/other/#tide"),
            ("@/news/2026-03-02-the-keeper.md?x=1", "https://lantern.example/blog/articles/the-keeper/?x=1"),
            ("../lamp/index.md", "https://lantern.example/blog/articles/lamp/"),
            ("A%20Storm.markdown", "https://lantern.example/blog/articles/a-storm/"),
            ("plan.pdf", "https://lantern.example/blog/articles/spring/plan.pdf"),
            ("../plan.pdf", "https://lantern.example/blog/articles/plan.pdf"),
            ("//cdn.example/x.png", "https://cdn.example/x.png"),
            ("\\\\cdn.example/x.png", "https://cdn.example/x.png"),
            ("#tide", "https://lantern.example/blog/articles/spring/#tide"),
            ("?page=2", "https://lantern.example/blog/articles/spring/?page=2"),
            ("", "https://lantern.example/blog/articles/spring/"),
            ("https://café.example/ü", "https://xn--caf-dma.example/%C3%BC"),
            ("mailto:news@lantern.example", "mailto:news@lantern.example"),
            ("tel:+351210000000", "tel:+351210000000"),
        ] {
            assert_eq!(link(written).as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn other_schemes_are_refused_in_any_disguise() {
        for written in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " \u{1}javascript:alert(1)",
            "java\nscript:alert(1)",
            "java\tscript:alert(1)",
            "vbscript:x",
            "data:text/html,x",
            "file:///etc/passwd",
            "ftp://x",
            "blob:https://x",
            "view-source:https://x",
            "http://",
            "https://[bad",
        ] {
            assert_eq!(link(written), None, "{written:?}");
        }
        assert_eq!(links().resolve("mailto:a@b.example", Use::Picture), None);
    }
}
