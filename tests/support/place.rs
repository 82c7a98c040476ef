//! A publication in a temporary folder, and the built program run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use tidings::config::Config;
use tidings::task::{Clock, Publication};

/// A publication with one feed and a newsletter, and nothing in it yet.
pub const CONFIG: &str = "[publication]\ntitle = \"The Test\"\nurl = \"https://test.example\"\ntime_zone = \"UTC\"\n";
/// Its feed: every article.
pub const NEWS: &str = "title = \"Latest news\"\n\n[newsletter]\nsubject = \"{{publication.title}}: {{articles.0.title}}\"\ncadences.daily = { at = \"07:00\" }\n";

/// A folder that goes when the test ends.
pub struct Place {
    folder: tempfile::TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The run, if it ended with this code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Place {
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// One feed, a newsletter, no article.
    pub fn new() -> Self {
        let place = Self::empty();
        place.write("config.toml", CONFIG);
        place.write("feeds/news.toml", NEWS);
        std::fs::create_dir(place.path().join("articles")).unwrap();
        place
    }

    /// The sample publication that stands at the root of this repository.
    pub fn sample() -> Self {
        let place = Self::empty();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(root.join("config.toml"), place.path().join("config.toml")).unwrap();
        for folder in ["articles", "feeds", "static"] {
            copy(&root.join(folder), &place.path().join(folder));
        }
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes `articles/NAME.md` with a title, a date and a body.
    pub fn article(&self, name: &str, title: &str, date: &str, body: &str) {
        let text = format!("+++\ntitle = {}\ndate = {date}\n+++\n{body}\n", toml::Value::String(title.into()));
        self.write(&format!("articles/{name}.md"), text);
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }

    /// Runs the program on this publication, to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The program, ready to run: nothing to read, and nothing of this process's environment that could steer it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Every file below `folder` with its bytes and the time of its last change.
    pub fn files(&self, folder: &str) -> Files {
        let root = self.path().join(folder);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    let modified = path.metadata().unwrap().modified().unwrap();
                    files.insert(name, (std::fs::read(&path).unwrap(), modified));
                }
            }
        }
        files
    }

    pub fn config(&self) -> Config {
        Config::load(self.path(), []).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// The publication, opened in this process.
    pub async fn open(&self, clock: Clock) -> Publication {
        Publication::open(self.config(), clock).await.expect("the publication opens")
    }
}

/// Every file with its bytes and the time of its last change.
pub type Files = BTreeMap<String, (Vec<u8>, std::time::SystemTime)>;

/// The names of the files that are new, gone, or not what they were.
pub fn differences(before: &Files, after: &Files) -> Vec<String> {
    let names = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// A clock that stands still.
pub fn clock_at(at: &str) -> Clock {
    let at: DateTime<Utc> = at.parse().unwrap();
    Clock::from_fn(move || at)
}

fn copy(from: &Path, to: &PathBuf) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
