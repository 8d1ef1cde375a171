//! `hubforce serve` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

/// How long a service may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The process; it does not outlive its cell.
pub(crate) struct Service {
    process: Child,
    configuration: PathBuf,
    port: u16,
    wrapped: Vec<String>,
}

impl Service {
    /// Starts it and waits until it listens. `wrapped` is a command that gets the service's as its last arguments, or nothing.
    pub(crate) async fn start(configuration: &Path, port: u16, wrapped: Vec<String>) -> anyhow::Result<Self> {
        let process = spawn(configuration, &wrapped)?;
        let service = Self { process, configuration: configuration.to_owned(), port, wrapped };
        service.until_it_listens().await?;
        Ok(service)
    }

    /// Ends it without warning and starts it again.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = spawn(&self.configuration, &self.wrapped)?;
        self.until_it_listens().await
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    async fn until_it_listens(&self) -> anyhow::Result<()> {
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.context("the service does not listen")
    }
}

fn spawn(configuration: &Path, wrapped: &[String]) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    let mut command = match wrapped.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.arg("serve").arg("--config").arg(configuration);
    let log = std::fs::File::options().create(true).append(true).open(configuration.with_extension("log"))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().context("the service cannot be started")
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
