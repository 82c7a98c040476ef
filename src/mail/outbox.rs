//! The folder transport: each message one `.eml` file, so that a newcomer's mail never leaves the machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use mail_parser::MessageParser;

use crate::domain::address::EmailAddress;

/// More than the headers of a message that is written here have, in bytes.
const MAX_HEADERS: u64 = 32 * 1024;

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

    /// The messages to the address with this key, half written ones too. Of each file the headers are read, and of no more
    /// than one at a time.
    ///
    /// # Errors
    /// When the folder cannot be read; a file that goes away meanwhile is passed over.
    pub fn addressed_to(&self, key: &str) -> io::Result<Vec<PathBuf>> {
        let listing = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            listing => listing?,
        };
        let mut found = vec![];
        for entry in listing {
            let path = entry?.path();
            let is_message = path.extension().is_some_and(|ending| ending == "eml" || ending == "part");
            if is_message && headers(&path).is_ok_and(|headers| is_to(&headers, key)) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// The beginning of a message, which holds its headers.
fn headers(path: &Path) -> io::Result<Vec<u8>> {
    let mut headers = vec![];
    fs::File::open(path)?.take(MAX_HEADERS).read_to_end(&mut headers)?;
    Ok(headers)
}

fn is_to(headers: &[u8], key: &str) -> bool {
    let parsed = MessageParser::new().header_address("To").parse_headers(headers);
    let addresses = parsed.as_ref().and_then(|message| message.to());
    let each = addresses.into_iter().flat_map(|list| list.iter()).filter_map(|one| one.address.as_deref());
    each.filter_map(|address| EmailAddress::parse(address).ok()).any(|address| address.key() == key)
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

    #[test]
    fn messages_are_found_by_whom_they_are_to() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(folder.path().join("outbox"));
        assert!(outbox.addressed_to("ann@reader.example").unwrap().is_empty());
        for (stem, to) in [
            ("a", "Ann <ann@reader.example>"),
            ("b", "Joanne <joann@reader.example>"),
            ("c", "=?utf-8?q?Ann?=\r\n <Ann@READER.example>"),
            ("d", "\"ann@reader.example\" <ben@reader.example>"),
        ] {
            let message = format!("From: a@b.example\r\nTo: {to}\r\nSubject: x\r\n\r\nTo: ann@reader.example\r\n");
            outbox.write(stem, message.as_bytes()).unwrap();
        }
        fs::write(outbox.folder().join("notes.txt"), "To: ann@reader.example\r\n\r\n").unwrap();
        let key = EmailAddress::parse("ANN@reader.example").unwrap().key();
        let mut found = outbox.addressed_to(&key).unwrap();
        found.sort();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.eml", "c.eml"]);
    }
}
