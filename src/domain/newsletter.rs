//! newsletter
