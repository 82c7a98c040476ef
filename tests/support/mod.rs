//! What several test files share. Each of them declares `#[path = "support/mod.rs"] mod support;`.

pub mod smtp_sink;
