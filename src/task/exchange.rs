//! Subscribers in and out, as CSV (RFC 4180) and JSON.
//!
//! Our own file holds a line for each person: `address,name,language,time_zone,feeds,state,created_at,confirmed_at,
//! ended_at,preferred,paused_until,suppressed,attributes`, of which only the address is needed. `feeds` holds
//! `news:daily;offers:weekly`; the state and the dates stand in the same order, or once for all. `attributes` holds a JSON object;
//! a column `attribute.city` is one of them. `consents` may stand at the end: the ledger, a list in JSON. The files of other
//! tools are known by their columns ([`layout`]).

mod export;
mod import;
mod layout;
mod rows;
mod text;

use std::borrow::Cow;

pub use export::{Form, Which, export};
pub use import::{Import, ImportReport, Remark, feeds, import};

pub use crate::store::ListedSubscriber as Listed;

/// What stands in front of each column of our own file.
const COLUMNS: [&str; 13] = [
    "address",
    "name",
    "language",
    "time_zone",
    "feeds",
    "state",
    "created_at",
    "confirmed_at",
    "ended_at",
    "preferred",
    "paused_until",
    "suppressed",
    "attributes",
];

/// Whether a spreadsheet would take a cell for a formula (OWASP, "CSV injection"), apostrophes in front set aside.
fn is_armed(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])
}

/// Where the cells begin that a spreadsheet may see in one: where a comma is for decimals, a semicolon begins a new one.
fn parts(cell: &str) -> impl Iterator<Item = &str> {
    cell.split_inclusive(';')
}

/// A cell that no spreadsheet takes for a formula.
fn defused(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len() + 1);
    for part in parts(cell) {
        if is_armed(part) {
            out.push('\'');
        }
        out.push_str(part);
    }
    out
}

/// The cell that was defused.
fn rearmed(cell: &str) -> Cow<'_, str> {
    fn plain(part: &str) -> Option<&str> {
        part.strip_prefix('\'').filter(|rest| is_armed(rest))
    }
    // Nearly no cell has an apostrophe where one could have been put.
    if !cell.contains('\'') || parts(cell).all(|part| plain(part).is_none()) {
        return cell.into();
    }
    parts(cell).map(|part| plain(part).unwrap_or(part)).collect::<String>().into()
}

/// JSON in a cell: what could begin a cell of its own, or would be taken off again, stands in a text, where each character can
/// be written by its number.
fn defused_json(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    let mut is_behind = false;
    for c in json.chars() {
        if is_behind && (c == '\'' || is_armed(c.encode_utf8(&mut [0; 4]))) {
            // All of them are below U+10000; and writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        is_behind = c == ';';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether one of the cells that a spreadsheet makes of it, by commas or by semicolons, is a formula.
    fn is_formula(cell: &str) -> bool {
        cell.split(';').any(|cell| cell.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']))
    }

    const CORPUS: [&str; 22] = [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "=HYPERLINK(\"https://a.example\")",
        "+1",
        "-2+3",
        "'=1",
        "''''=1",
        "'plain'",
        "'",
        "",
        "a;=1+1",
        "a;'=1",
        ";;-1",
        ";",
        "=1;=2;+3",
        "＝1+1",
        "＋1;－2",
        "＠x",
        "a=b",
        "a-b;c+d",
        "O'Neill; Ann",
    ];

    #[test]
    fn no_cell_is_a_formula_and_each_comes_back() {
        for cell in CORPUS {
            let written = defused(cell);
            assert!(!is_formula(&written), "{cell} is written {written}");
            assert_eq!(rearmed(&written), cell);
            let json = serde_json::json!({ "a": cell, cell: [cell, -1] }).to_string();
            let written = defused_json(&json);
            assert!(!is_formula(&written), "{json} is written {written}");
            assert_eq!(rearmed(&written), written, "nothing of it is taken off again");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), serde_json::from_str(&json).ok());
        }
    }

    proptest::proptest! {
        #[test]
        fn nor_is_any_other(cell in "[-=+@';a＝ ]{0,12}") {
            let written = defused(&cell);
            proptest::prop_assert!(!is_formula(&written), "{cell} is written {written}");
            let again = rearmed(&written);
            proptest::prop_assert_eq!(again.as_ref(), cell);
        }
    }
}
