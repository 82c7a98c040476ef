//! What several test files share. Each of them declares `mod support;`.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

pub mod accounting;
pub mod bomb;
pub mod elsewhere;
pub mod engines;
pub mod http;
pub mod place;
pub mod postfix;
pub mod postgres;
pub mod publication;
pub mod reports;
pub mod site;
pub mod smtp_sink;
pub mod store;
