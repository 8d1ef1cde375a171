//! A private PostgreSQL server: found, started, stopped, and gone with its process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Names the user that the server runs as where we are root, which it refuses to run as.
const USER_VARIABLE: &str = "HUBFORCE_TEST_POSTGRES_USER";

/// How long a server may take until it is ready; it recovers first where it was killed.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// Where packages put the server's programs: a directory, how the next one's name begins, and what follows.
const PLACES: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr", "pgsql-", "bin"),
];

/// The guard. `$1` is the directory, the rest is the server's command. It obeys each line, and ends what it began when there are no
/// more; what ends its process by way of the terminal does not concern it.
const GUARD: &str = r#"
    trap '' HUP INT TERM
    directory=$1; shift
    server=
    stop() { [ -n "$server" ] && kill -QUIT "$server" && wait "$server"; server=; }
    while read -r order; do
        stop
        [ "$order" = stop ] && echo stopped >&2
        [ "$order" = start ] && { "$@" & server=$!; }
    done
    stop
    rm -rf "$directory"
"#;

/// Whether what a server acknowledged is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is, as in production.
    Full,
    /// It is not: quicker, and enough for tests, which lose no power.
    None,
}

/// A private server, stopped and removed when this is dropped or the process ends.
pub struct TestServer {
    directory: PathBuf,
    guard: Child,
    orders: Option<Mutex<ChildStdin>>,
    said: Mutex<Receiver<String>>,
}

impl TestServer {
    /// Makes a server's files in a temporary directory, starts it and waits until it is ready.
    ///
    /// # Errors
    ///
    /// What is missing on this machine, or what the server said.
    pub fn start(durability: Durability) -> anyhow::Result<Self> {
        let programs = programs()?;
        let directory = tempfile::tempdir()?;
        let user = user(directory.path())?;
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid))?;
        }
        let data = directory.path().join("data");
        let mut guard = as_user(Command::new("/bin/sh"), user);
        guard.args(["-c", GUARD, "guard"]).arg(directory.path());
        guard
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(settings(directory.path(), durability));
        // A group of its own, so that Ctrl-C reaches it by the pipe only.
        guard.env("LC_ALL", "C").process_group(0).current_dir("/");
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut guard = guard.spawn().context("no shell runs")?;
        let orders = guard.stdin.take().map(Mutex::new);
        let said = Mutex::new(listen(&mut guard)?);
        // From here on the guard removes the directory.
        let server = Self { directory: directory.keep(), guard, orders, said };
        let mut initdb = as_user(Command::new(programs.join("initdb")), user);
        initdb.args(["--username=hubforce", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.arg(&data).stdin(Stdio::null()).output().context("initdb does not run")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        server.restart()?;
        Ok(server)
    }

    /// Where it is; the database is the one to create others in.
    pub fn url(&self) -> String {
        let socket: String = self.directory.display().to_string().replace('%', "%25").replace('/', "%2F");
        format!("postgres://hubforce@{socket}/postgres")
    }

    /// Kills the server as a lost machine would, without a last word to its clients.
    ///
    /// # Errors
    ///
    /// A guard that is gone.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.order("stop", "stopped")
    }

    /// Starts the server, after killing one that runs, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.order("start", "database system is ready to accept connections")
    }

    fn order(&self, order: &str, until: &str) -> anyhow::Result<()> {
        let (Some(orders), Ok(said)) = (&self.orders, self.said.lock()) else { bail!("the guard is gone") };
        let Ok(mut orders) = orders.lock() else { bail!("the guard is gone") };
        writeln!(orders, "{order}").context("the guard is gone")?;
        let mut last = String::new();
        while let Ok(line) = said.recv_timeout(START_PATIENCE) {
            if line.contains(until) {
                return Ok(());
            }
            last = line;
        }
        bail!("the server is not ready; its last words: {last}")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Without its pipe the guard ends everything; that is waited for, so that a directory is gone with its test.
        self.orders.take();
        let _ = self.guard.wait();
    }
}

fn settings(directory: &Path, durability: Durability) -> Vec<String> {
    let mut settings = vec![
        format!("unix_socket_directories={}", directory.display()),
        "listen_addresses=".to_owned(),
        "max_connections=400".to_owned(),
        // Refused statements are what tests are about; what the guard waits for is above them.
        "log_min_messages=log".to_owned(),
    ];
    if durability == Durability::None {
        settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
}

/// Reads what the server says, all the time, because it stands still when nobody does.
fn listen(guard: &mut Child) -> anyhow::Result<Receiver<String>> {
    let output = guard.stderr.take().context("the guard has no voice")?;
    let (say, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Who does not listen any more has no server any more.
            let _ = say.send(line);
        }
    });
    Ok(said)
}

/// An environment variable; `None` where it is not set or empty.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file to say it in")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The directory of the server's programs: on the path, or the newest where packages put them.
fn programs() -> anyhow::Result<PathBuf> {
    let complete =
        |place: &PathBuf| ["initdb", "postgres"].iter().all(|program| place.join(program).is_file());
    let path = variable("PATH").unwrap_or_default();
    let mut packaged = Vec::new();
    for (parent, beginning, rest) in PLACES {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        packaged.extend(named.map(|entry| entry.path().join(rest)));
    }
    packaged.sort_by_key(|place| std::cmp::Reverse(version(place)));
    let found = std::env::split_paths(&path).chain(packaged).find(complete);
    found.context("its programs (initdb, postgres) are neither on the PATH nor where packages put them")
}

/// The version in a package's path: the last number in it.
fn version(place: &Path) -> u32 {
    let text = place.display().to_string();
    let numbers = text.split(|character: char| !character.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).next_back().unwrap_or(0)
}

/// Whom the server is to run as, where we are root; whose directory this is says whether we are.
fn user(ours: &Path) -> anyhow::Result<Option<(u32, u32)>> {
    if std::fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users: Vec<(&str, u32, u32)> = known.lines().filter_map(entry).collect();
    let named = |name: &str| users.iter().find(|(known, ..)| *known == name);
    let (_, uid, gid) = match variable(USER_VARIABLE) {
        Some(name) => *named(&name).with_context(|| format!("{USER_VARIABLE} names no user: {name}"))?,
        // People's accounts begin at 1000; `nobody` and the like are above them.
        None => *named("postgres")
            .or_else(|| users.iter().find(|(_, uid, _)| (1_000..60_000).contains(uid)))
            .with_context(|| {
                format!("it does not run as root, and no other user is there; {USER_VARIABLE} names one")
            })?,
    };
    Ok(Some((uid, gid)))
}

/// Name, user id and group id of a line of `/etc/passwd`.
fn entry(line: &str) -> Option<(&str, u32, u32)> {
    let mut parts = line.split(':');
    let (name, _password) = (parts.next()?, parts.next()?);
    Some((name, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
