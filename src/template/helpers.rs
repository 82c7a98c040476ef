//! What templates can call: words, plurals, dates, times and numbers in the language of the mail or page.
//!
//! That language is `language` in the data, that of the `page`, or else `publication.language`. Like a field, a word that is not there is a
//! fault with file and line.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender as _, Output, RenderContext, RenderError,
    RenderErrorReason,
};
use serde_json::Value as Json;

use super::words::{CATEGORIES, DateStyle, Speech, Value, Words};
use crate::domain::text::shorten;
use crate::problem::did_you_mean;

/// The names of the helpers, for documents and hints.
pub const NAMES: [&str; 8] = ["t", "plural", "date", "time", "number", "truncate", "start", "end"];

type Answer = Result<String, String>;
type Say = fn(&Speech<'_>, &Helper<'_>, &Context, &RenderContext<'_, '_>) -> Answer;

/// A helper that answers with text.
struct Helps {
    words: Arc<Words>,
    say: Say,
}

impl HelperDef for Helps {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        // A field that does not exist is a fault here as everywhere.
        for param in helper.params().iter().chain(helper.hash().values()) {
            if param.is_value_missing() {
                return Err(RenderError::strict_error(param.relative_path()));
            }
        }
        let speech = self.words.of(language(context.data()));
        let text = (self.say)(&speech, helper, context, rc)
            .map_err(|fault| RenderErrorReason::Other(format!("{{{{{}}}}}: {fault}", helper.name())))?;
        let text = if rc.is_disable_escape() { text } else { registry.get_escape_fn()(&text) };
        out.write(&text)?;
        Ok(())
    }
}

/// The language that a mail or a page with this data is in.
pub(super) fn language(data: &Json) -> &str {
    let places = ["/language", "/page/language", "/publication/language"];
    places.into_iter().find_map(|place| data.pointer(place)?.as_str()).unwrap_or(super::words::FIRST)
}

/// Registers every helper.
pub(super) fn register(registry: &mut Handlebars<'_>, words: &Arc<Words>) {
    let says: [Say; NAMES.len()] = [say, plural, date, time, number, truncate, start, end];
    for (name, say) in NAMES.into_iter().zip(says) {
        registry.register_helper(name, Box::new(Helps { words: Arc::clone(words), say }));
    }
}

fn first<'h>(helper: &'h Helper<'_>, wanted: &str) -> Result<&'h Json, String> {
    helper.param(0).map(handlebars::PathAndJson::value).ok_or_else(|| format!("needs {wanted}"))
}

/// `{{t "read_on"}}`, `{{t "new_articles" count=digest.count newsletter=newsletter.title}}`
fn say(speech: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    let key = first(helper, "the key of a word: t \"read_on\"")?.as_str().ok_or("the key of a word is a text")?;
    let texts: Vec<(&str, String, Option<i64>)> =
        helper.hash().iter().map(|(name, value)| (*name, value.value().render(), value.value().as_i64())).collect();
    let values: Vec<(&str, Value<'_>)> =
        texts.iter().map(|(name, text, number)| (*name, number.map_or(Value::Text(text), Value::Number))).collect();
    speech.say(key, &values)
}

/// `{{plural count one="# article" other="# articles"}}`
fn plural(speech: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    let count = whole(first(helper, "a number")?)?;
    for name in helper.hash().keys() {
        if !CATEGORIES.contains(name) {
            return Err(format!("there is no plural category {name}: there are {}", CATEGORIES.join(", ")));
        }
    }
    let form = helper.hash_get(speech.category(count)).or_else(|| helper.hash_get("other"));
    let form = form.ok_or("needs at least other=\"# …\"")?.value().render();
    Ok(form.replace('#', &speech.number(count)))
}

fn whole(value: &Json) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("{} is not a whole number", value.render()))
}

fn instant(value: &Json) -> Result<DateTime<FixedOffset>, String> {
    let text = value.as_str().unwrap_or_default();
    DateTime::parse_from_rfc3339(text)
        .map_err(|_| format!("{:?} is not an instant: give it a field such as date_iso", value.render()))
}

/// `{{date}}` of an article, `{{date digest.date_iso style="weekday"}}`
fn date(speech: &Speech<'_>, helper: &Helper<'_>, context: &Context, rc: &RenderContext<'_, '_>) -> Answer {
    let at = match helper.param(0) {
        Some(at) => instant(at.value())?,
        // Without an instant, the date of what it stands in.
        None => instant(rc.evaluate(context, "date_iso").map_err(|error| error.to_string())?.as_json())?,
    };
    let style = match helper.hash_get("style").map(|style| style.value().render()) {
        None => DateStyle::Long,
        Some(name) => {
            let known = DateStyle::ALL.map(|(name, _)| name);
            let style = DateStyle::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, style)| style);
            style.ok_or_else(|| match did_you_mean(&name, known) {
                Some(meant) => format!("there is no style {name}: did you mean {meant}?"),
                None => format!("there is no style {name}: there are {}", known.join(", ")),
            })?
        }
    };
    Ok(speech.date(at, style))
}

/// `{{time date_iso}}`
fn time(speech: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    Ok(speech.time(instant(first(helper, "an instant, such as date_iso")?)?))
}

/// `{{number digest.count}}`
fn number(speech: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    Ok(speech.number(whole(first(helper, "a number")?)?))
}

/// `{{truncate summary 140}}`
fn truncate(_: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    let text = first(helper, "a text and a number of characters")?.render();
    let most =
        helper.param(1).and_then(|most| most.value().as_u64()).ok_or("needs a number of characters behind the text")?;
    Ok(shorten(&text, usize::try_from(most).unwrap_or(usize::MAX)))
}

/// `{{start dir}}`: the side on which a line begins.
fn start(_: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    Ok(if is_rtl(helper)? { "right" } else { "left" }.to_owned())
}

/// `{{end dir}}`: the side on which it ends.
fn end(_: &Speech<'_>, helper: &Helper<'_>, _: &Context, _: &RenderContext<'_, '_>) -> Answer {
    Ok(if is_rtl(helper)? { "left" } else { "right" }.to_owned())
}

fn is_rtl(helper: &Helper<'_>) -> Result<bool, String> {
    Ok(first(helper, "a direction: dir")? == "rtl")
}
