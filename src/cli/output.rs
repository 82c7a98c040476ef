//! Words to the person: results on standard output, everything else on standard error.

use std::io::Write as _;

use serde::Serialize;

use crate::problem::Problem;

/// A line of the result. A reader that went away (`| head`) is not our fault: what is left is dropped.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line about the work.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The result as JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Every problem, then how many.
pub(super) fn problems(problems: &[Problem]) {
    for problem in problems {
        complain(&problem.to_string());
    }
    if problems.len() > 1 {
        complain(&format!("{} problems", problems.len()));
    }
}

/// A number of things in words: "1 article", "1,234 articles".
pub(super) fn count(number: impl TryInto<u64>, one: &str, several: &str) -> String {
    let number = number.try_into().unwrap_or(0);
    if number == 1 { format!("1 {one}") } else { format!("{} {several}", grouped(number)) }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Columns under one another, two blanks apart.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(count(1u64, "article", "articles"), "1 article");
        assert_eq!(count(1000usize, "article", "articles"), "1,000 articles");
    }
}
