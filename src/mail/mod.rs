//! Messages out: a letter to bytes, bytes to a relay or to a folder.
//!
//! | Module | What it does |
//! |---|---|
//! | [`message`] | a [`message::Letter`] to the bytes of a message |
//! | [`outbox`] | a message to an `.eml` file |
//!
//! This room knows no readers, digests or stores; policy over what a relay answers is [`crate::domain::delivery`].

mod header;
pub mod message;
pub mod outbox;
