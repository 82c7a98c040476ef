//! The folder transport: each message one `.eml` file, so that a newcomer's mail never leaves the machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A folder that messages are written to.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// An outbox in `folder`, which the first message creates.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes `message` to `FILE_STEM.eml`, whole or not at all; the same stem overwrites, so a retry never doubles.
    ///
    /// Only owner and group can read it (mode 0640): it holds a reader's address and links. Characters that do not
    /// belong in a file name become `-`; the caller's stems (delivery ids) have none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, file_stem: &str, message: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let stem: String = file_stem
            .chars()
            .take(120)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@' | '+' | '=') { c } else { '-' })
            .collect();
        if stem.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message file needs a name"));
        }
        let path = self.folder.join(format!("{stem}.eml"));
        let temporary = self.folder.join(format!(".{stem}.part"));
        let written = write_new(&temporary, message).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // What is half written is of no use to anybody; the first error is the one to tell.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(path)
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_stem_overwrites_and_nothing_half_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(folder.path().join("outbox"));
        outbox.write("a/../b", b"one").unwrap();
        let path = outbox.write("a/../b", b"two").unwrap();
        assert_eq!(path.file_name().unwrap(), "a----b.eml");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(outbox.folder()).unwrap().count(), 1);
        assert!(outbox.write("", b"x").is_err());
    }
}
