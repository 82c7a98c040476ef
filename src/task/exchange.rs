//! Subscribers in and out, as CSV (RFC 4180) and JSON.
//!
//! Our own file holds a line for each person: `address,name,language,time_zone,feeds,state,created_at,confirmed_at,
//! ended_at,suppressed`, of which only the address is needed. `feeds` holds `news:daily;offers:weekly`; the state and
//! the dates stand in the same order, or once for all. The files of other tools are known by their columns ([`layout`]).

mod export;
mod import;
mod layout;
mod rows;
mod text;

pub use export::{Form, export};
pub use import::{Import, ImportReport, Remark, feeds, import};

pub use crate::store::ListedSubscriber as Listed;

/// What stands in front of each column of our own file.
const COLUMNS: [&str; 11] = [
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
    "suppressed",
];

/// Whether a spreadsheet would take a cell for a formula (OWASP, "CSV injection"), apostrophes in front set aside.
fn is_armed(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A cell that no spreadsheet takes for a formula.
fn defused(cell: &str) -> String {
    if is_armed(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// The cell that was defused.
fn rearmed(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_armed(rest)).unwrap_or(cell)
}
