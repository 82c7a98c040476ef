//! What a publication is made of, as pure values: no I/O, no SQL, no HTTP, no clock.

pub mod address;
pub mod article;
pub mod attributes;
pub mod brakes;
pub mod consent;
pub mod cron;
pub mod delivery;
pub mod digest;
pub mod entry;
pub mod feed;
pub mod forwarded;
pub mod language;
pub mod limits;
pub mod link;
pub mod newsletter;
pub mod notice;
pub mod pace;
pub mod pass;
pub mod preference;
pub mod provider;
pub mod relay;
pub mod report;
pub mod segment;
pub mod subscription;
pub mod text;
pub mod trial;
