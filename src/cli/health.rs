//! `hubforce health`: asks a running service whether it lives. In an empty image there is nothing else that could.

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::{ConfigArgument, DONE, FAILED, say};

/// What `health` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.load()?;
    let address = config.server.listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    let mut stream =
        TcpStream::connect(&address).await.with_context(|| format!("nothing listens on {address}"))?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.lines().next().unwrap_or_default();
    say(status);
    Ok(if status.contains(" 200 ") { DONE } else { FAILED })
}
