//! A throw-away PostgreSQL cluster for one test process: started at the first call, gone when the process is.
//!
//! A process that panics, calls `exit` or is killed runs no destructors of statics, so the cluster does not hang on
//! ours: a shell of its own makes it, waits for the end of its standard input (which the kernel closes for us
//! whichever way we go), stops the server and deletes the folder. That shell runs as the server's user throughout,
//! because PostgreSQL refuses to run as root.

use std::{
    env, fs,
    io::Read,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        Once, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, Executor, PgConnection};

/// Where the programs are, for a machine that keeps them elsewhere.
const BIN_VARIABLE: &str = "TIDINGS_TEST_POSTGRES_BIN";

/// The programs that must stand in one folder; a lone `postgres` on the PATH is of no use without its `initdb`.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// `$1` is the folder of the cluster, `$2` that of the programs.
///
/// A closed pipe or Ctrl-C must not end the shell before it has cleaned up, hence the traps (to a no-op, not to
/// "ignore", which the server would inherit). Durability is off: the data is worth nothing after the test.
const KEEPER: &str = r#"
trap : HUP INT PIPE TERM
umask 077
cat >"$1/settings" <<END
listen_addresses = ''
unix_socket_directories = '$1'
max_connections = 200
shared_buffers = 64MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
wal_level = minimal
max_wal_size = 256MB
max_wal_senders = 0
timezone = 'UTC'
END
{
    "$2/initdb" -D "$1/data" -U tidings --auth=trust --encoding=UTF8 --no-locale --no-sync &&
    cat "$1/settings" >>"$1/data/postgresql.conf" &&
    "$2/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 start
} >"$1/start" 2>&1 && echo ready || cat "$1/start" "$1/log"
exec >&-
read -r _
"$2/pg_ctl" -D "$1/data" -m immediate -w -t 60 stop >/dev/null 2>&1
cd / && rm -rf "$1"
"#;

/// A running cluster. It lives for as long as `_alive` is open, which is until the process ends.
struct Cluster {
    folder: PathBuf,
    databases: AtomicU32,
    _alive: ChildStdin,
}

/// The URL of a new, empty database, or `None` (said once) where PostgreSQL is not installed.
///
/// # Panics
///
/// When the server is there and does not start; and when it is not there and `CI` is set, for there a test that
/// did not run must not look like one that passed.
pub fn fresh_database() -> Option<String> {
    static CLUSTER: OnceLock<Option<Result<Cluster, String>>> = OnceLock::new();
    static SAID: Once = Once::new();

    match CLUSTER.get_or_init(|| programs().map(|bin| Cluster::start(&bin))) {
        Some(Ok(cluster)) => Some(cluster.create_database()),
        Some(Err(why)) => panic!("the PostgreSQL cluster for the tests did not start:\n{why}"),
        None => {
            let why = "PostgreSQL server not found: its tests are skipped (install the package postgresql)";
            assert!(env::var_os("CI").is_none(), "{why}; with CI set that is a failure");
            SAID.call_once(|| eprintln!("{why}"));
            None
        }
    }
}

impl Cluster {
    fn start(bin: &Path) -> Result<Self, String> {
        let us = tempfile::tempfile().and_then(|file| file.metadata()).map_err(|e| format!("who we are: {e}"))?.uid();
        let mut keeper = Command::new("sh");
        let folder = tempfile::Builder::new()
            .prefix("tidings-pg-")
            .tempdir_in(place(us))
            .map_err(|e| format!("no temporary folder: {e}"))?;
        if us == 0 {
            let (uid, gid) = unprivileged_user()?;
            chown(folder.path(), Some(uid), Some(gid)).map_err(|e| format!("chown to {uid}: {e}"))?;
            keeper.uid(uid).gid(gid);
        }
        keeper
            .args(["-c", KEEPER, "tidings-test-postgres"])
            .args([folder.path(), bin])
            .current_dir("/")
            // Out of our process group, so that Ctrl-C leaves it time to clean up after us.
            .process_group(0)
            .env_remove("PGDATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = keeper.spawn().map_err(|e| format!("sh: {e}"))?;
        // From here on the shell owns the folder.
        let folder = folder.keep();
        let alive = child.stdin.take().ok_or("the shell has no standard input")?;
        let mut said = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut said).map_err(|e| format!("what the shell said: {e}"))?;
        }
        if said == "ready\n" {
            return Ok(Self { folder, databases: AtomicU32::new(0), _alive: alive });
        }
        drop(alive);
        let _ = child.wait();
        Err(said)
    }

    /// About 40 ms in memory, the server copying the 7 MB of its template in some 300 files.
    fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let server = self.url("postgres");
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        // A thread of its own, since the caller may be within a runtime, which must not be entered twice.
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                connection.execute(sqlx::AssertSqlSafe(create)).await?;
                connection.close().await
            })
        });
        made.join().expect("the thread ends").expect("the test database is created");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://tidings@localhost/{database}?host={}", self.folder.display())
    }
}

/// The folder of the server's programs: as the environment says, on the PATH, or Debian's, newest first.
fn programs() -> Option<PathBuf> {
    let complete = |bin: &PathBuf| PROGRAMS.iter().all(|program| bin.join(program).is_file());
    if let Some(given) = env::var_os(BIN_VARIABLE).map(PathBuf::from) {
        assert!(complete(&given), "{BIN_VARIABLE}={} lacks one of {PROGRAMS:?}", given.display());
        return Some(given);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(bin) = env::split_paths(&path).find(complete) {
        return Some(bin);
    }
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path()).collect();
    installed.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    installed.into_iter().map(|folder| folder.join("bin")).find(complete)
}

/// Where the cluster goes: memory, if there is plenty. On a disk shared with a compiler a database took up to 400 ms.
fn place(us: u32) -> PathBuf {
    const PLENTY_KIB: u64 = 2 * 1024 * 1024;
    let memory = "/dev/shm";
    let free = Command::new("df").args(["-Pk", memory]).stderr(Stdio::null()).output().ok().and_then(|df| {
        // POSIX: a heading, then device, size, used, available, …
        String::from_utf8(df.stdout).ok()?.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    if free >= Some(PLENTY_KIB) {
        PathBuf::from(memory)
    } else if us == 0 {
        // Root's TMPDIR may be closed to the server's user.
        PathBuf::from("/tmp")
    } else {
        env::temp_dir()
    }
}

/// Numbers of the user and the group that the server runs as when we are root.
fn unprivileged_user() -> Result<(u32, u32), String> {
    let users = fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|wanted| {
            let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .ok_or_else(|| "PostgreSQL does not run as root, and there is no user postgres or nobody".to_owned())
}
