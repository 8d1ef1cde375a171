//! The service under test: the real binary in a process of its own.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the emulated HubSpot signs with.
pub(crate) const SECRET: &str = "bench-client-secret";

/// The path that the emulated Salesforce calls.
pub(crate) const PATH_TOKEN: &str = "bench-path-token";

/// An operator's token.
pub(crate) const TOKEN: &str = "bench-token";

/// How long a process may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with its owner.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A new database file in a directory.
pub(crate) fn sqlite(directory: &Path) -> String {
    format!("sqlite://{}/bench.db", directory.display())
}

/// Starts a command and waits until its port answers.
pub(crate) fn start(mut command: Command, port: u16) -> Process {
    let process = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("the program starts");
    let process = Process(process);
    let since = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(since.elapsed() < START_PATIENCE, "the process does not listen on {port}");
        std::thread::yield_now();
    }
    process
}

/// `hubforce serve` on a database, between two CRMs; its configuration is written to the directory.
pub(crate) fn serve(
    directory: &Path,
    port: u16,
    database: &str,
    crms: &[String; 2],
    more: &[&str],
) -> Process {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:{port}"
        public_url = "http://127.0.0.1:{port}"
        [database]
        url = "{database}"
        [admin]
        tokens = [{{ name = "bench", token = "{TOKEN}", role = "viewer" }}]
        [[connections]]
        name = "bench"
        [connections.hubspot]
        portal_id = 1234567
        app_id = 998877
        client_secrets = ["{SECRET}"]
        api_url = "{}"
        requests_per_10s = 1000000
        requests_per_day = 1000000
        auth = {{ type = "access_token", access_token = "pat-integration" }}
        [connections.salesforce]
        org_id = "00D000000000001"
        login_url = "{}"
        path_tokens = ["{PATH_TOKEN}"]
        auth = {{ type = "client_credentials", client_id = "integration-client", client_secret = "integration-secret" }}
        # What is measured is the work that messages bring.
        [connections.sweep]
        interval_seconds = 0
        "#,
        crms[0], crms[1],
    );
    let path = directory.join("hubforce.toml");
    std::fs::write(&path, text).expect("the configuration can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubforce"));
    command.args(["serve", "--config"]).arg(path).args(more).env("RUST_LOG", "warn");
    start(command, port)
}

impl Process {
    /// Resident memory now and at its highest, in MiB; `None` where the system does not tell.
    pub(crate) fn resident_mib(&self) -> Option<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        Some((kib("VmRSS:")? / 1_024.0, kib("VmHWM:")? / 1_024.0))
    }
}
