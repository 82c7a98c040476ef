//! Writes made-up articles or subscribers, for trials by hand:
//!
//! ```text
//! cargo run --example corpus -- articles DIR 1000 --broken 5
//! cargo run --example corpus -- subscribers FILE 1000 --malformed 3
//! ```

#[path = "../benches/support/corpus.rs"]
mod corpus;

use std::{io, path::PathBuf};

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Another seed, other contents; the same seed, the same bytes.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
}

#[derive(Subcommand)]
enum What {
    /// Markdown articles of about 5 KB.
    Articles {
        folder: PathBuf,
        count: usize,
        /// Percentage of broken ones.
        #[arg(long, default_value_t = 0)]
        broken: u32,
    },
    /// A subscriber list as CSV.
    Subscribers {
        file: PathBuf,
        count: usize,
        /// Number of malformed lines besides.
        #[arg(long, default_value_t = 0)]
        malformed: usize,
    },
}

fn main() -> io::Result<()> {
    let Arguments { what, seed } = Arguments::parse();
    match what {
        What::Articles { folder, count, broken } => {
            let written = corpus::write_articles(&folder, count, seed, broken)?;
            eprintln!("{} good and {} broken articles", written.good, written.broken.len());
            for (name, kind) in written.broken {
                eprintln!("{name}: {kind:?}");
            }
        }
        What::Subscribers { file, count, malformed } => {
            let faults = corpus::write_subscribers_csv(&file, count, seed, malformed)?;
            eprintln!("{count} subscribers and {} malformed lines", faults.len());
            for (line, kind) in faults {
                eprintln!("line {line}: {kind:?}");
            }
        }
    }
    Ok(())
}
