//! What several test files share. Each of them declares `mod support;`.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses a part of it")]

pub mod engines;
pub mod postgres;
pub mod publication;
pub mod smtp_sink;
