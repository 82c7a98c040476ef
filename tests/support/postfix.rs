//! A real Postfix in a folder of its own: own configuration, queue, log and port on 127.0.0.1; it discards what it takes.
//!
//! As with PostgreSQL, a shell keeps it: it waits for the end of its standard input, which the kernel closes for us
//! whichever way we go, stops Postfix by that folder alone, and deletes it. Postfix's master has to be started by root.

#![allow(dead_code, reason = "each test file uses its own part of it; `expect` would fail in the others")]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// `$1` is the folder. What Postfix says while it starts goes to `$1/start`: its master would keep our pipe open.
const KEEPER: &str = r#"
trap : HUP INT PIPE TERM
postfix -c "$1/etc" start >"$1/start" 2>&1 && echo ready || cat "$1/start" "$1/log"
exec >&-
read -r _
postfix -c "$1/etc" stop >/dev/null 2>&1
cd / && rm -rf "$1"
"#;

/// No chroot, so that the folder needs no files of the system.
const MASTER: &str = "\
127.0.0.1:@PORT@ inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
postlog   unix-dgram n - n - 1 postlogd
";

/// Long queue ids are never used twice. A client that names many unknown readers is slowed down and sent away by
/// default: here they are there on purpose.
const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = @FOLDER@/spool
data_directory = @FOLDER@/data
maillog_file = @FOLDER@/log
maillog_file_prefixes = @FOLDER@
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
default_transport = discard:
relay_transport = discard:
alias_maps =
local_recipient_maps =
enable_long_queue_ids = yes
in_flow_delay = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_recipient_restrictions = check_recipient_access texthash:@FOLDER@/etc/refused, permit_mynetworks, reject
biff = no
smtputf8_enable = yes
";

/// A running Postfix; it ends with this, and with the process.
pub struct Postfix {
    folder: PathBuf,
    port: u16,
    keeper: Child,
    alive: Option<ChildStdin>,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.keeper.wait();
    }
}

impl Postfix {
    /// One that refuses these recipients with `550 5.1.1`; `None` (and said) where it is not installed or we are not
    /// root.
    ///
    /// # Panics
    /// When it is there and does not start; and when it cannot be and `CI` is set.
    pub fn start(refused: &[String]) -> Option<Self> {
        let is_root = fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0);
        let is_there = Command::new("postconf").arg("mail_version").stdout(Stdio::null()).status().is_ok();
        if !is_root || !is_there {
            let why = "no Postfix, or not root: its test is skipped (install the package postfix)";
            assert!(std::env::var_os("CI").is_none(), "{why}; with CI set that is a failure");
            eprintln!("{why}");
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().prefix("tidings-postfix-").tempdir_in(place()).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "spool", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let owner = Command::new("id").args(["-u", "postfix"]).output().unwrap().stdout;
        let owner: u32 = String::from_utf8_lossy(&owner).trim().parse().expect("the user postfix");
        std::os::unix::fs::chown(folder.path().join("data"), Some(owner), None).unwrap();
        let name = folder.path().display().to_string();
        let write = |file: &str, text: &str| fs::write(folder.path().join("etc").join(file), text).unwrap();
        write("main.cf", &MAIN.replace("@FOLDER@", &name));
        write("master.cf", &MASTER.replace("@PORT@", &port.to_string()));
        let rows: Vec<_> = refused.iter().map(|address| format!("{address} 550 5.1.1 no such user\n")).collect();
        write("refused", &rows.concat());

        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "tidings-test-postfix"])
            .arg(folder.path())
            .current_dir("/")
            // Out of our process group, so that Ctrl-C leaves it time to clean up after us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        // From here on the shell owns the folder.
        let folder = folder.keep();
        let alive = keeper.stdin.take();
        let mut said = String::new();
        keeper.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let postfix = Self { folder, port, keeper, alive };
        assert_eq!(said, "ready\n", "Postfix does not start");
        Some(postfix)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What waits in its queue, as it says.
    pub fn queue(&self) -> String {
        let mut command = Command::new("postqueue");
        let output = command.arg("-c").arg(self.folder.join("etc")).arg("-p").output().expect("postqueue");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// Memory, where there is such a folder: Postfix waits for the disk at each message. Root's TMPDIR may be closed to
/// Postfix's own user.
fn place() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}
