//! `tidings init`: a new publication that works at once.

use std::path::Path;

use anyhow::Context as _;

use super::{Ended, Usage, called_as, output};

const FILES: [(&str, &str); 4] = [
    ("config.toml", include_str!("starter/config.toml")),
    ("feeds/news.toml", include_str!("starter/feeds/news.toml")),
    ("articles/hello.md", include_str!("starter/articles/hello.md")),
    (".gitignore", include_str!("starter/gitignore")),
];

pub(super) fn init(directory: &Path) -> anyhow::Result<Ended> {
    if directory.join("config.toml").exists() {
        return Err(Usage(format!("{} is a publication already; nothing was changed", directory.display())).into());
    }
    for (name, text) in FILES {
        let path = directory.join(name);
        if path.exists() {
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap_or(directory))
            .with_context(|| format!("cannot make a folder for {}", path.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output::say(&format!("A publication stands in {}.", directory.display()));
    output::say(&format!("\n  Begin:  {} -C {} serve", called_as(), directory.display()));
    output::say("  Then change config.toml, and write into articles/.");
    Ok(Ended::Well)
}
