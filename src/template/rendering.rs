//! One rendering under way: what it has cost so far, and the blocks of it that wait for their reader.
//!
//! A template is a program that a person wrote. What it may cost is bounded, so that one without an end stops with its
//! name and line: each body (a file, a partial, the inside of a block) counts when it is entered, with the text that
//! stands in it, and may not stand too deep in others.

use std::cell::RefCell;

use handlebars::template::{Template, TemplateElement};
use handlebars::{
    BlockContext, BlockParamHolder, Context, Handlebars, Helper, HelperDef, HelperResult, LocalVars, Output,
    RenderContext, RenderError, RenderErrorReason, Renderable,
};
use serde_json::Value as Json;

use super::attributes;

/// Most bytes that a template may come to, counting what is written and then thrown away. A digest of a thousand
/// articles has about 2 MB.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of a page: an article alone may be 5 MiB.
pub(super) const MAX_PAGE_BYTES: usize = 8 * MAX_BYTES;
/// How deep bodies may stand in one another: a template of ours comes to six. A thread's stack holds three times that.
const MAX_DEPTH: usize = 48;
/// What it costs to enter a body that holds no text.
const ENTRY_BYTES: usize = 24;

const ENTER: &str = "tidings-enter";
const LEAVE: &str = "tidings-leave";

/// A `{{#reader}}` block that is rendered for each reader.
#[derive(Debug, Clone)]
pub(super) struct Block {
    template: Template,
    path: Vec<String>,
    value: Option<Json>,
    locals: LocalVars,
}

/// What waits for its reader.
#[derive(Debug, Clone)]
pub(super) enum Aside {
    /// A block.
    Block(Box<Block>),
    /// An attribute that is shown, by the names on its path.
    Attribute(Vec<String>),
}

/// For whom a template comes to an attribute.
pub(super) enum Seen {
    /// For each reader, in the place of this mark.
    Place(String),
    /// For all readers at once.
    ByAll,
    /// For one reader.
    ByOne,
}

/// Where a rendering stands that comes to an attribute; one that is shown gets a place of its own where it waits for its
/// reader.
pub(super) fn attribute_seen(shown: Option<&[String]>) -> Seen {
    STATE.with_borrow_mut(|state| match (state.put_aside(|| Some(Aside::Attribute(shown?.to_vec()))), &state.blocks) {
        (Some(mark), _) => Seen::Place(mark),
        (None, Some(Blocks::Aside { .. })) => Seen::ByAll,
        (None, _) => Seen::ByOne,
    })
}

/// How a rendering takes its `{{#reader}}` blocks.
#[derive(Debug)]
pub(super) enum Blocks {
    /// Where they stand.
    Inline,
    /// A mark in their place; themselves put aside, to be rendered for each reader.
    Aside {
        /// What begins a mark.
        begin: String,
        /// The number of the first.
        first: usize,
    },
}

/// What ends a mark.
pub(super) const MARK_END: char = 'z';

/// The mark of this number.
pub(super) fn mark(begin: &str, number: usize) -> String {
    format!("{begin}{number}{MARK_END}")
}

#[derive(Debug, Default)]
struct State {
    spent: usize,
    depth: usize,
    blocks: Option<Blocks>,
    aside: Vec<Aside>,
}

impl State {
    /// The mark in the place of what is put aside, where that is done.
    fn put_aside(&mut self, what: impl FnOnce() -> Option<Aside>) -> Option<String> {
        let Some(Blocks::Aside { begin, first }) = &self.blocks else { return None };
        let mark = mark(begin, first + self.aside.len());
        self.aside.push(what()?);
        Some(mark)
    }
}

thread_local! {
    /// Rendering never leaves its thread, and Handlebars hands nothing of ours from one helper to the next.
    static STATE: RefCell<State> = RefCell::default();
}

/// Puts back what was under way before, whatever happens.
struct Restored(State);

impl Drop for Restored {
    fn drop(&mut self) {
        STATE.with_borrow_mut(|state| *state = std::mem::take(&mut self.0));
    }
}

fn too_large(most: usize) -> RenderError {
    let most = most / 1024 / 1024;
    RenderErrorReason::Other(format!("comes to more than {most} MiB: does it repeat itself without an end?")).into()
}

/// What is written, up to so many bytes.
struct Limited(Vec<u8>, usize);

impl Output for Limited {
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        if self.0.len() + text.len() > self.1 {
            return Err(std::io::Error::other(too_large(self.1).reason().to_string()));
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Limited {
    fn text(self) -> String {
        String::from_utf8(self.0).unwrap_or_default()
    }
}

/// Renders a registered template to at most so many bytes; with what is put aside of it.
pub(super) fn render(
    registry: &Handlebars<'_>,
    name: &str,
    context: &Context,
    blocks: Blocks,
    most: usize,
) -> Result<(String, Vec<Aside>), RenderError> {
    let Some(template) = registry.get_template(name) else {
        return Err(RenderErrorReason::TemplateNotFound(name.to_owned()).into());
    };
    let before =
        STATE.with_borrow_mut(|state| std::mem::replace(state, State { blocks: Some(blocks), ..State::default() }));
    let restored = Restored(before);
    let mut out = Limited(vec![], most);
    let mut rc = RenderContext::new(template.name.as_ref());
    template.render(registry, context, &mut rc, &mut out)?;
    let aside = STATE.with_borrow_mut(|state| std::mem::take(&mut state.aside));
    drop(restored);
    Ok((out.text(), aside))
}

impl Block {
    /// The block for the reader that stands in `context`.
    pub(super) fn render(&self, registry: &Handlebars<'_>, context: &Context) -> Result<String, RenderError> {
        let inline = State { blocks: Some(Blocks::Inline), ..State::default() };
        let restored = Restored(STATE.with_borrow_mut(|state| std::mem::replace(state, inline)));
        let mut out = Limited(vec![], MAX_BYTES);
        let mut rc = RenderContext::new(self.template.name.as_ref());
        rc.push_block(self.scope(context));
        self.template.render(registry, context, &mut rc, &mut out)?;
        drop(restored);
        Ok(out.text())
    }

    fn of(template: &Template, rc: &RenderContext<'_, '_>) -> Self {
        let around = rc.block();
        let mut template = template.clone();
        template.name = template.name.or_else(|| rc.get_current_template_name().cloned());
        Self {
            template,
            path: around.map(|block| block.base_path().clone()).unwrap_or_default(),
            value: around.and_then(|block| block.base_value().cloned()),
            locals: around.map(|block| block.local_variables().clone()).unwrap_or_default(),
        }
    }

    /// What the inside of the block sees: `this` as it is around it, and the reader by the name `reader`.
    fn scope<'rc>(&self, context: &Context) -> BlockContext<'rc> {
        let mut scope = BlockContext::new();
        scope.base_path_mut().clone_from(&self.path);
        if let Some(value) = &self.value {
            scope.set_base_value(value.clone());
        }
        scope.local_variables_mut().clone_from(&self.locals);
        let reader = context.data().get("reader").cloned().unwrap_or_default();
        scope.set_block_param("reader", BlockParamHolder::value(reader));
        scope
    }
}

/// `{{#reader}}…{{/reader}}`
struct Reader;

impl HelperDef for Reader {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Some(template) = helper.template() else {
            return Err(RenderErrorReason::Other(
                "reader is a block here: {{#reader}}…{{/reader}}, or a field of it: {{reader.greeting}}".to_owned(),
            )
            .into());
        };
        if context.data().get("reader").is_none() {
            let what = "{{#reader}} is for digests: this mail goes to one person, with no data of a reader";
            return Err(RenderErrorReason::Other(what.to_owned()).into());
        }
        let block = Block::of(template, rc);
        let mark = STATE.with_borrow_mut(|state| state.put_aside(|| Some(Aside::Block(Box::new(block.clone())))));
        if let Some(mark) = mark {
            out.write(&mark)?;
            return Ok(());
        }
        let around = rc.replace_blocks([block.scope(context)].into());
        let rendered = template.render(registry, context, rc, out);
        rc.replace_blocks(around);
        rendered
    }
}

/// Counts a body that is entered.
struct Enter;

impl HelperDef for Enter {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        let bytes = helper.param(0).and_then(|bytes| bytes.value().as_u64()).unwrap_or_default();
        STATE.with_borrow_mut(|state| {
            state.spent = state.spent.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
            state.depth += 1;
            if state.depth > MAX_DEPTH {
                let what = format!("stands in itself more than {MAX_DEPTH} deep: does a partial include itself?");
                return Err(RenderErrorReason::Other(what).into());
            }
            if state.spent > MAX_BYTES { Err(too_large(MAX_BYTES)) } else { Ok(()) }
        })
    }
}

/// Counts a body that is left.
struct Leave;

impl HelperDef for Leave {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        STATE.with_borrow_mut(|state| state.depth = state.depth.saturating_sub(1));
        Ok(())
    }
}

/// Registers what guards need.
pub(super) fn register(registry: &mut Handlebars<'_>) {
    registry.register_helper(ENTER, Box::new(Enter));
    registry.register_helper(LEAVE, Box::new(Leave));
    registry.register_helper("reader", Box::new(Reader));
}

/// A template each body of which counts when it is entered and left, and in which paths to attributes of the reader are calls;
/// `names_attributes` becomes true where there is one.
pub(super) fn guarded(mut template: Template, names_attributes: &mut bool) -> Template {
    let text = |element: &TemplateElement| match element {
        TemplateElement::RawString(text) => text.len(),
        _ => 0,
    };
    let bytes = ENTRY_BYTES + template.elements.iter().map(text).sum::<usize>();
    for element in &mut template.elements {
        *names_attributes |= attributes::called(element);
        let mut guarded = |template| guarded(template, names_attributes);
        match element {
            TemplateElement::HelperBlock(helper) => {
                helper.template = helper.template.take().map(&mut guarded);
                helper.inverse = helper.inverse.take().map(&mut guarded);
            }
            TemplateElement::PartialBlock(decorator) | TemplateElement::DecoratorBlock(decorator) => {
                decorator.template = decorator.template.take().map(&mut guarded);
            }
            _ => {}
        }
    }
    // Each element has its line and column.
    let (first, last) = (template.mapping.first().cloned(), template.mapping.last().cloned());
    let (Some(enter), Some(leave)) = (call(&format!("{{{{{ENTER} {bytes}}}}}")), call(&format!("{{{{{LEAVE}}}}}")))
    else {
        return template;
    };
    template.elements.insert(0, enter);
    template.elements.push(leave);
    if let (Some(first), Some(last)) = (first, last) {
        template.mapping.insert(0, first);
        template.mapping.push(last);
    }
    template
}

/// A call of one of our helpers, as a template has it.
fn call(text: &str) -> Option<TemplateElement> {
    Template::compile(text).ok()?.elements.pop()
}
