//! What rendered templates become: HTML from MJML, and folded text.

use std::fmt::Write as _;

use crate::problem::Problem;

/// MJML with each character in an attribute's value that mrml would mangle as a numeric reference: it writes values
/// as Rust writes a string for debugging, so that a combining mark becomes `\u{301}`. The title is one of them: it
/// comes back as the label of the body.
fn with_plain_attributes(mjml: &str) -> String {
    let mut out = String::with_capacity(mjml.len());
    let (mut in_tag, mut in_title, mut quote) = (false, false, None);
    let mut rest = mjml;
    while let Some(c) = rest.chars().next() {
        if !in_tag && rest.starts_with("<!--") {
            let end = rest.find("-->").map_or(rest.len(), |at| at + 3);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match (in_tag, quote, c) {
            (false, _, '<') => {
                in_tag = true;
                in_title = rest.starts_with("mj-title>");
            }
            (true, None, '>') => in_tag = false,
            (true, None, '"' | '\'') => quote = Some(c),
            (true, Some(open), _) if c == open => quote = None,
            (_, _, '"' | '\'') => {}
            (true, Some(_), _) | (false, _, _) if (in_tag || in_title) && c.escape_debug().ne([c]) => {
                let _ = write!(out, "&#{};", u32::from(c));
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// What MJML becomes: tables that every mail program shows, with the CSS where it stands.
pub(super) fn html_of(mjml: &str, file: &str) -> Result<String, Problem> {
    /// How deep elements may stand in one another, far above any mail: what reads MJML goes down step by step.
    const MAX_DEPTH: usize = 100;
    if depth(mjml) > MAX_DEPTH {
        return Err(Problem::new(file, format!("has elements more than {MAX_DEPTH} deep in one another"))
            .hint("is one of them not closed in a loop?"));
    }
    let parsed = mrml::parse(with_plain_attributes(mjml)).map_err(|error| {
        Problem::new(file, format!("is not well-formed MJML: {error}")).hint("each <mj-…> needs its closing tag")
    })?;
    // Without fonts: mrml would link to a font server for any stack that names one, and mail must not call home.
    let options =
        mrml::prelude::render::RenderOptions { fonts: std::collections::HashMap::new(), ..Default::default() };
    let html =
        parsed.element.render(&options).map_err(|error| Problem::new(file, format!("cannot be rendered: {error}")))?;
    // What mrml resets for old mail programs would come to 80 bytes in each cell, and say nothing new there.
    let html = html.replacen(
        "<style type=\"text/css\">\n#outlook",
        "<style type=\"text/css\" data-css-inline=\"ignore\">\n#outlook",
        1,
    );
    let inliner = css_inline::CSSInliner::options().keep_style_tags(true).load_remote_stylesheets(false).build();
    inliner.inline(&html).map_err(|error| Problem::new(file, format!("its CSS cannot be inlined: {error}")))
}

/// How deep elements stand in one another.
fn depth(markup: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for part in markup.split('<').skip(1) {
        match part.bytes().next() {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'!' | b'?') | None => {}
            Some(_) => {
                depth += usize::from(!part.split('>').next().is_some_and(|tag| tag.ends_with('/')));
                deepest = deepest.max(depth);
            }
        }
    }
    deepest
}

/// Text wrapped for reading: lines over 72 characters are folded at blanks (RFC 5322 §2.1.1 asks for under 78);
/// a word that is longer, such as a URL, stays whole.
pub(super) fn wrap(text: &str) -> String {
    wrap_marked(text, "\0")
}

/// The same for a text with marks that begin so: what comes into their places is taken for a short word.
pub(super) fn wrap_marked(text: &str, mark: &str) -> String {
    const WIDTH: usize = 72;
    const SHORT: usize = 8;
    let length = |word: &str| {
        let marks = word.matches(mark).count();
        (word.chars().count() + marks * SHORT).saturating_sub(marks * mark.len())
    };
    let mut out = String::with_capacity(text.len() + text.len() / 40);
    let mut blank_lines = 0;
    for line in text.lines() {
        let line = line.trim_end();
        blank_lines = if line.is_empty() { blank_lines + 1 } else { 0 };
        if blank_lines > 2 {
            continue;
        }
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        let mut width = 0;
        for word in line.split_whitespace() {
            let length = length(word);
            if width > 0 && width + 1 + length > WIDTH {
                out.push('\n');
                width = 0;
            }
            if width == 0 {
                out.push_str(&indent);
                width = indent.len();
            } else {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += length;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_an_attribute_comes_out_as_it_went_in() {
        let alt = "Cafe\u{301} \u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f} back\\slash";
        let mjml = format!(
            "<mjml><mj-head><mj-title>{alt}</mj-title></mj-head><mj-body><mj-section><mj-column>\
             <mj-image src=\"https://a.example/a.png\" alt=\"{alt} &amp; more\" /></mj-column></mj-section></mj-body></mjml>"
        );
        let html = html_of(&mjml, "templates/mail/digest.mjml.hbs").unwrap();
        assert!(html.contains(&format!("alt=\"{alt} &amp; more\"")), "{html}");
        assert!(!html.contains("u{") && !html.contains("\\\\"), "{html}");
    }

    #[test]
    fn text_is_wrapped_at_blanks_and_never_inside_a_url() {
        let url = format!("https://a.example/{}", "x".repeat(90));
        let wrapped = wrap(&format!("{} {url} end\n\n\n\n\nlast", "word ".repeat(20)));
        assert!(wrapped.lines().all(|line| line.chars().count() <= 72 || line == url), "{wrapped}");
        assert!(!wrapped.contains("\n\n\n\n"));
    }
}
