//! Tidings takes a site's articles to RSS, Atom and JSON feeds and to e-mail digests.
//!
//! The rooms, and what each may use (`tests/layering.rs` holds them to it):
//!
//! | Room | What it is | Uses |
//! |---|---|---|
//! | [`problem`] | a complaint to a person: file, line, remedy | nothing |
//! | [`domain`] | articles, feeds, newsletters, digests, subscriptions, deliveries as pure values | `problem` |
//! | [`config`] | what was written in `config.toml` and `feeds/`, and what is meant | `domain` |
//! | [`source`] | articles in, from their folder and from elsewhere | `domain` |
//! | [`syndication`] | a feed to bytes | `domain` |
//! | [`template`] | pages and digests from Handlebars and MJML | `domain` |
//! | [`mail`] | messages out, reports in | `domain` |
//! | [`fetch`] | whatever is fetched or posted over HTTP, within limits | `domain` |
//! | [`store`] | all SQL, both engines | `domain` |
//! | [`task`] | the use cases; the one place that joins the others | all above |
//! | [`web`] | HTTP | `task`, `domain`, `config` |
//! | [`cli`] | one function per verb | `task`, `web`, `domain`, `config` |

pub mod cli;
pub mod config;
pub mod domain;
pub mod fetch;
pub mod mail;
pub mod problem;
pub mod source;
pub mod store;
pub mod syndication;
pub mod task;
pub mod template;
pub mod web;
