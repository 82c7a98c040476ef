//! The export of Ghost: JSON with a table for each kind of thing.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::markup::{self, Place};
use super::{Brought, Fate, Form, Piece, instant, said};
use crate::problem::Problem;
use crate::source::{Context, MAX_BYTES, date};

/// What stands for the site's address in every link.
const SITE: &str = "__GHOST_URL__";

pub(super) fn read(name: &str, text: &str, context: &Context<'_>) -> Brought {
    let mut brought = Brought::default();
    let root: Value = match serde_json::from_str(text) {
        Ok(root) => root,
        Err(error) => {
            brought
                .problems
                .push(Problem::new(name, format!("not JSON: {error}")).at(error.line()).hint("export it anew"));
            return brought;
        }
    };
    let Some(data) = root.pointer("/db/0/data").or_else(|| root.get("data")) else {
        brought.problems.push(
            Problem::new(name, "no posts in it: db, data and posts are missing")
                .hint("in Ghost: Settings, Import/Export, Export content"),
        );
        return brought;
    };
    let mut export = Export { name, context, data, brought, has_own_links: false };
    export.run();
    export.brought
}

struct Export<'a> {
    name: &'a str,
    context: &'a Context<'a>,
    data: &'a Value,
    brought: Brought,
    has_own_links: bool,
}

/// What is there under a key, as text; numbers too, for ids are both.
fn text(row: &Value, key: &str) -> String {
    match row.get(key) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

impl<'a> Export<'a> {
    fn rows(&self, table: &str) -> &'a [Value] {
        self.data.get(table).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// For each post the names of what a table joins to it, in their order.
    fn joined(&self, table: &str, other: &str, key: &str) -> HashMap<String, Vec<String>> {
        let names: HashMap<String, String> =
            self.rows(other).iter().map(|row| (text(row, "id"), text(row, "name"))).collect();
        let mut rows: Vec<&Value> = self.rows(table).iter().collect();
        rows.sort_by_key(|row| row.get("sort_order").and_then(Value::as_i64).unwrap_or(0));
        let mut joined: HashMap<String, Vec<String>> = HashMap::new();
        for row in rows {
            if let Some(name) = names.get(&text(row, key)).filter(|name| !name.is_empty()) {
                joined.entry(text(row, "post_id")).or_default().push(name.clone());
            }
        }
        joined
    }

    fn run(&mut self) {
        let tags = self.joined("posts_tags", "tags", "tag_id");
        let authors = self.joined("posts_authors", "users", "author_id");
        let alone: HashMap<String, String> =
            self.rows("users").iter().map(|row| (text(row, "id"), text(row, "name"))).collect();
        let alts: HashMap<String, String> =
            self.rows("posts_meta").iter().map(|row| (text(row, "post_id"), text(row, "feature_image_alt"))).collect();
        let slugs: HashSet<String> = self.rows("posts").iter().map(|row| text(row, "slug")).collect();
        for row in self.rows("posts") {
            let id = text(row, "id");
            let mut authors = authors.get(&id).cloned().unwrap_or_default();
            if authors.is_empty() {
                authors.extend(alone.get(&text(row, "author_id")).cloned());
            }
            // What begins with # is for the theme.
            let tags = tags.get(&id).into_iter().flatten().filter(|tag| !tag.starts_with('#')).cloned().collect();
            let alt = alts.get(&id).filter(|alt| !alt.is_empty()).cloned();
            self.post(row, authors, tags, alt, &slugs);
        }
        if self.has_own_links {
            let what = "pictures under /content/ are linked as they are: copy Ghost's folder content/ into static/";
            self.brought.account.push(said(self.name.to_owned(), 0, SITE, Fate::Read, what));
        }
        if self.rows("posts").is_empty() {
            self.brought.problems.push(
                Problem::new(self.name, "no posts in it").hint("in Ghost: Settings, Import/Export, Export content"),
            );
        }
    }

    fn post(
        &mut self,
        row: &Value,
        authors: Vec<String>,
        tags: Vec<String>,
        alt: Option<String>,
        slugs: &HashSet<String>,
    ) {
        let (title, slug) = (text(row, "title"), text(row, "slug"));
        let origin = format!("{}, post {slug:?}", self.name);
        let is_page = text(row, "type") == "page"
            || matches!(row.get("page"), Some(Value::Bool(true)))
            || text(row, "page") == "1";
        if is_page {
            let what = "a page, not a post: bring it as a file if you want it";
            self.brought.account.push(said(self.name.to_owned(), 0, &title, Fate::Dropped, what));
            return;
        }
        if title.is_empty() {
            self.brought
                .problems
                .push(Problem::new(origin, "a post without a title").hint("give it one there, and export it anew"));
            return;
        }
        let html = text(row, "html");
        if html.len() as u64 > MAX_BYTES {
            let what = format!("a post of more than {} MiB", MAX_BYTES / 1024 / 1024);
            self.brought
                .problems
                .push(Problem::new(origin, what).hint("take what it embeds out of it, and export it anew"));
            return;
        }
        if html.is_empty()
            && (row.get("lexical").is_some_and(Value::is_string) || row.get("mobiledoc").is_some_and(Value::is_string))
        {
            let what = "its text is there in the editor's own form only";
            self.brought.problems.push(Problem::new(origin, what).hint("open it in Ghost, save it, and export anew"));
            return;
        }
        let status = text(row, "status");
        let visibility = text(row, "visibility");
        let mut draft = status == "draft";
        let mut doubt = |is: bool, what: &str| {
            if is {
                draft = true;
                self.brought.account.push(said(self.name.to_owned(), 0, &title, Fate::Read, what));
            }
        };
        doubt(status == "sent", "it went by mail only there: a draft here");
        doubt(!matches!(visibility.as_str(), "" | "public"), "it was for members only there: a draft here");
        let at = ["published_at", "created_at"].iter().find_map(|key| Self::instant(row, key));
        let site = self.context.base;
        let page = site.join(&format!("./{slug}/")).unwrap_or_else(|_| site.clone());
        let html = self.own(&html, slugs);
        let place = Place { page: &page, name: &origin, line: None };
        let body = markup::cleaned(&html, &place, &mut self.brought.problems);
        let image = Some(self.own(&text(row, "feature_image"), slugs)).filter(|image| !image.is_empty());
        self.brought.pieces.push(Piece {
            origin,
            title,
            slug: Some(slug).filter(|slug| !slug.is_empty()),
            date: Some(instant(at.unwrap_or(self.context.now))),
            is_dated_now: at.is_none(),
            authors,
            tags,
            summary: Some(text(row, "custom_excerpt")).filter(|summary| !summary.is_empty()),
            image,
            image_alt: alt,
            featured: matches!(row.get("featured"), Some(Value::Bool(true))) || text(row, "featured") == "1",
            draft,
            archive: !draft && at.is_none_or(|at| at <= self.context.now),
            form: Form::Html,
            body,
            ..Piece::default()
        });
    }

    /// A text whose links within the site lead to where their articles are here.
    fn own(&mut self, html: &str, slugs: &HashSet<String>) -> String {
        let mut out = String::with_capacity(html.len());
        let mut parts = html.split(SITE);
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.has_own_links |= part.starts_with("/content/");
            let slug = part.strip_prefix('/').and_then(|path| path.split(['/', '"', '?', '#', '\'']).next());
            // Below the publication, wherever on its host that is.
            out.push_str(self.context.base.as_str().trim_end_matches('/'));
            if slug.is_some_and(|slug| slugs.contains(slug)) {
                out.push_str("/articles");
            }
            out.push_str(part);
        }
        out
    }

    fn instant(row: &Value, key: &str) -> Option<DateTime<Utc>> {
        match row.get(key)? {
            Value::Number(number) => DateTime::from_timestamp_millis(number.as_i64()?),
            Value::String(written) => date::parse(written, chrono_tz::UTC),
            _ => None,
        }
    }
}
