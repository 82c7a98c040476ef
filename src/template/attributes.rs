//! `reader.attributes.city` in templates: what is known of a reader under names of the publication's choice.
//!
//! Nobody knows beforehand which names there are, so a template that is strict about its fields is not about these: what a
//! reader lacks is empty. Each path to an attribute becomes a call of a helper when the template is read. Shown outside of a
//! `{{#reader}}` block it is a place in the compiled digest, patched for each reader; looked at there, it is a fault with its
//! line, since what depends on it would be the same for everyone.

use std::collections::HashMap;
use std::sync::Arc;

use handlebars::template::{HelperTemplate, Parameter, Subexpression, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, PathSeg, RenderContext, RenderError,
    RenderErrorReason, ScopedJson,
};
use serde_json::{Map, Value as Json};

use super::rendering::{Seen, attribute_seen};
use super::words::{Speech, Words};
use crate::domain::attributes::word;

const SHOW: &str = "tidings-attribute";
const LOOK: &str = "tidings-attribute-value";
const EACH: &str = "tidings-attribute-values";
const NAME: &str = "tidings-attribute-named";

/// The names on a path that leads to attributes of the reader; empty for all of them.
fn names(path: &Path) -> Option<Vec<String>> {
    let Path::Relative((steps, _)) = path else { return None };
    let mut names = steps.iter().skip_while(|step| matches!(step, PathSeg::Ruled(_))).map(|step| match step {
        PathSeg::Named(name) => Some(name.clone()),
        _ => None,
    });
    let (first, second) = (names.next()??, names.next()??);
    if first == "reader" && second == "attributes" { names.collect() } else { None }
}

fn texts(names: Vec<String>) -> Vec<Parameter> {
    names.into_iter().map(|name| Parameter::Literal(Json::String(name))).collect()
}

/// Makes calls of the paths to attributes in an element, what stands inside of it set aside. Returns whether there is one.
pub(super) fn called(element: &mut TemplateElement) -> bool {
    match element {
        TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
            let shown = match &helper.name {
                Parameter::Path(path) if helper.params.is_empty() && helper.hash.is_empty() => names(path),
                _ => None,
            };
            let Some(shown) = shown else { return parameters(helper) };
            helper.name = Parameter::Name(SHOW.to_owned());
            helper.params = texts(shown);
            true
        }
        TemplateElement::HelperBlock(helper) => parameters(helper),
        TemplateElement::PartialExpression(partial)
        | TemplateElement::PartialBlock(partial)
        | TemplateElement::DecoratorExpression(partial)
        | TemplateElement::DecoratorBlock(partial) => {
            each(partial.params.iter_mut().chain(partial.hash.values_mut()), LOOK)
        }
        _ => false,
    }
}

fn parameters(helper: &mut HelperTemplate) -> bool {
    let name = match &helper.name {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(Path::Relative((_, raw))) => raw.clone(),
        _ => String::new(),
    };
    let way = match name.as_str() {
        "each" => EACH,
        // What these find inside may be missing from one reader and not from another.
        "with" | "lookup" => NAME,
        _ => LOOK,
    };
    each(helper.params.iter_mut().chain(helper.hash.values_mut()), way)
}

fn each<'a>(parameters: impl Iterator<Item = &'a mut Parameter>, way: &str) -> bool {
    let mut any = false;
    for parameter in parameters {
        match parameter {
            Parameter::Path(path) => {
                if let Some(names) = names(path) {
                    *parameter = Parameter::Subexpression(Subexpression::new(
                        Parameter::Name(way.to_owned()),
                        texts(names),
                        HashMap::new(),
                    ));
                    any = true;
                }
            }
            Parameter::Subexpression(inner) => any |= called(&mut inner.element),
            _ => {}
        }
    }
    any
}

/// What an attribute says where it is shown: lists as one says them, truth as a word, nothing for what has fields of its own.
pub(super) fn shown(value: &Json, speech: &Speech<'_>) -> String {
    match value {
        Json::Bool(truth) => speech.word(if *truth { "yes" } else { "no" }, &[]),
        Json::Array(list) => {
            let words: Vec<String> =
                list.iter().map(|value| shown(value, speech)).filter(|word| !word.is_empty()).collect();
            speech.names(&words).unwrap_or_default()
        }
        value => word(value).unwrap_or_default(),
    }
}

/// What stands at the end of a path, by names and places in lists; null where it is not there.
pub(super) fn at<'a>(all: &'a Map<String, Json>, names: &[impl AsRef<str>]) -> &'a Json {
    let Some((first, rest)) = names.split_first() else { return &Json::Null };
    let step = |value: &'a Json, name: &str| match value {
        Json::Object(fields) => fields.get(name),
        Json::Array(list) => name.parse::<usize>().ok().and_then(|place| list.get(place)),
        _ => None,
    };
    let first = all.get(first.as_ref());
    first.and_then(|first| rest.iter().try_fold(first, |value, name| step(value, name.as_ref()))).unwrap_or(&Json::Null)
}

/// One of the ways in which a template comes to an attribute.
struct Attribute {
    way: &'static str,
}

fn names_of(helper: &Helper<'_>) -> Vec<String> {
    helper.params().iter().filter_map(|name| name.value().as_str().map(str::to_owned)).collect()
}

fn path_of(names: &[String]) -> String {
    ["reader", "attributes"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>().join(".")
}

fn all_of<'c>(context: &'c Context, names: &[String]) -> Result<&'c Map<String, Json>, RenderError> {
    let all = context.data().get("reader").and_then(|reader| reader.get("attributes")).and_then(Json::as_object);
    all.ok_or_else(|| RenderError::strict_error(Some(&path_of(names))))
}

fn fault(what: String) -> RenderError {
    RenderErrorReason::Other(what).into()
}

impl HelperDef for Attribute {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let names = names_of(helper);
        let all = all_of(context, &names)?;
        let path = path_of(&names);
        if self.way == NAME {
            return Err(fault(format!(
                "{path} is shown and looked at by its whole name, and not with `with` or `lookup`"
            )));
        }
        if matches!(attribute_seen(None), Seen::ByAll) {
            return Err(fault(format!(
                "{path} differs from reader to reader: what looks at it stands inside {{{{#reader}}}}…{{{{/reader}}}}"
            )));
        }
        let value = match (self.way, names.as_slice()) {
            (EACH, []) => Json::Object(all.clone()),
            (_, []) => return Err(fault("reader.attributes needs a name: reader.attributes.city".to_owned())),
            (EACH, names) => match at(all, names) {
                Json::Null => Json::Array(vec![]),
                many @ (Json::Array(_) | Json::Object(_)) => many.clone(),
                one => Json::Array(vec![one.clone()]),
            },
            (_, names) => at(all, names).clone(),
        };
        Ok(ScopedJson::Derived(value))
    }
}

/// An attribute that is shown.
struct Show {
    words: Arc<Words>,
}

impl HelperDef for Show {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let names = names_of(helper);
        let all = all_of(context, &names)?;
        if names.is_empty() {
            return Err(fault("reader.attributes needs a name: reader.attributes.city".to_owned()));
        }
        match attribute_seen(Some(&names)) {
            Seen::Place(mark) => out.write(&mark)?,
            // Escaped however many braces there are: it is text, and somebody else's.
            Seen::ByAll | Seen::ByOne => {
                let speech = self.words.of(super::helpers::language(context.data()));
                out.write(&registry.get_escape_fn()(&shown(at(all, &names), &speech)))?;
            }
        }
        Ok(())
    }
}

/// Registers what paths to attributes become.
pub(super) fn register(registry: &mut Handlebars<'_>, words: &Arc<Words>) {
    registry.register_helper(SHOW, Box::new(Show { words: Arc::clone(words) }));
    for way in [LOOK, EACH, NAME] {
        registry.register_helper(way, Box::new(Attribute { way }));
    }
}
