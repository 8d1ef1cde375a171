//! The cells: what breaks, and how it is mended.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hubforce::emulator::free_port;
use hubforce::store::testing::{Durability, PostgresDatabase, TestServer, pass_over};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::load::Load;
pub(crate) use crate::load::Result as Outcome;
use crate::service::Service;
use crate::town::Town;

/// How often a process is killed where that is the story.
const KILLS: u32 = 8;

/// How long a database cannot be had where that is the story.
const OUTAGE: Duration = Duration::from_secs(4);

/// Longer than a statement waits for another writer.
const LOCKED: Duration = Duration::from_secs(8);

/// The whole file system of the cell whose disk fills up.
const DISK: &str = "24m";

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    PostgresRestarted,
    PostgresBackendsKilled,
    PostgresPoolExhausted,
    PostgresProcessKilled,
    PostgresProcessKilledRepeatedly,
    SqliteProcessKilled,
    SqliteProcessKilledRepeatedly,
    SqliteDiskFull,
    SqliteLocked,
}

impl Outcome {
    /// Whether nothing was lost or doubled, and something was acknowledged at all.
    pub(crate) fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.doubled == 0
            && self.answers_after_ms.is_some()
            && self.caught_up_after_ms.is_some()
    }
}

impl Cell {
    pub(crate) const ALL: [Self; 9] = [
        Self::PostgresRestarted,
        Self::PostgresBackendsKilled,
        Self::PostgresPoolExhausted,
        Self::PostgresProcessKilled,
        Self::PostgresProcessKilledRepeatedly,
        Self::SqliteProcessKilled,
        Self::SqliteProcessKilledRepeatedly,
        Self::SqliteDiskFull,
        Self::SqliteLocked,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PostgresRestarted => "postgres-restarted",
            Self::PostgresBackendsKilled => "postgres-backends-killed",
            Self::PostgresPoolExhausted => "postgres-pool-exhausted",
            Self::PostgresProcessKilled => "postgres-process-killed",
            Self::PostgresProcessKilledRepeatedly => "postgres-process-killed-repeatedly",
            Self::SqliteProcessKilled => "sqlite-process-killed",
            Self::SqliteProcessKilledRepeatedly => "sqlite-process-killed-repeatedly",
            Self::SqliteDiskFull => "sqlite-disk-full",
            Self::SqliteLocked => "sqlite-locked",
        }
    }

    pub(crate) const fn story(self) -> &'static str {
        match self {
            Self::PostgresRestarted => "the server is killed, is away for a while and recovers",
            Self::PostgresBackendsKilled => "the server ends all our connections, again and again",
            Self::PostgresPoolExhausted => "our connections are ended and others take every place",
            Self::PostgresProcessKilled | Self::SqliteProcessKilled => "kill -9 under load, and a restart",
            Self::PostgresProcessKilledRepeatedly | Self::SqliteProcessKilledRepeatedly => {
                "kill -9 under load, again and again"
            }
            Self::SqliteDiskFull => "the file system is full for a while",
            Self::SqliteLocked => {
                "a reader keeps an old view all the time, and another writer locks the database"
            }
        }
    }

    const fn is_postgres(self) -> bool {
        matches!(
            self,
            Self::PostgresRestarted
                | Self::PostgresBackendsKilled
                | Self::PostgresPoolExhausted
                | Self::PostgresProcessKilled
                | Self::PostgresProcessKilledRepeatedly
        )
    }

    /// Plays it; `None` where it is passed over.
    pub(crate) async fn play(self, seconds: u64) -> anyhow::Result<Option<Outcome>> {
        let stage =
            Stage { town: Arc::new(Town::new().await?), third: Duration::from_secs(seconds.div_ceil(3)) };
        if self.is_postgres() {
            return match TestServer::start(Durability::Full) {
                Ok(server) => self.on_postgres(&stage, &server).await.map(Some),
                Err(error) => {
                    pass_over(&format!("{}: {error:#}", self.name()));
                    Ok(None)
                }
            };
        }
        if self == Self::SqliteDiskFull {
            return disk_full(&stage).await;
        }
        let file = stage.town.path("chaos.db");
        let url = format!("sqlite://{}", file.display());
        let outcome = stage.play(&url, Vec::new(), async |service| match self {
            Self::SqliteLocked => locked(&file).await,
            Self::SqliteProcessKilledRepeatedly => kill(service, KILLS).await,
            _ => kill(service, 1).await,
        });
        outcome.await.map(Some)
    }

    async fn on_postgres(self, stage: &Stage, server: &TestServer) -> anyhow::Result<Outcome> {
        let database = PostgresDatabase::create(&server.url()).await?;
        // The service is nobody special there, so that what is refused to others is refused to it.
        let mut above = PgConnection::connect(&database.url).await?;
        sqlx::query("CREATE ROLE chaos LOGIN").execute(&mut above).await?;
        let sql =
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO chaos', current_database()); END $$";
        sqlx::query(sql).execute(&mut above).await?;
        let url = database.url.replacen("hubforce@", "chaos@", 1);
        let breaks = async |service: &mut Service| match self {
            Self::PostgresRestarted => {
                server.kill()?;
                tokio::time::sleep(OUTAGE).await;
                server.restart()
            }
            Self::PostgresBackendsKilled => {
                for _ in 0..KILLS {
                    end_connections(&mut above).await?;
                    tokio::time::sleep(OUTAGE / KILLS).await;
                }
                Ok(())
            }
            Self::PostgresPoolExhausted => {
                sqlx::query("ALTER ROLE chaos CONNECTION LIMIT 0").execute(&mut above).await?;
                end_connections(&mut above).await?;
                tokio::time::sleep(OUTAGE).await;
                sqlx::query("ALTER ROLE chaos CONNECTION LIMIT -1").execute(&mut above).await?;
                Ok(())
            }
            Self::PostgresProcessKilledRepeatedly => kill(service, KILLS).await,
            _ => kill(service, 1).await,
        };
        stage.play(&url, Vec::new(), breaks).await
    }
}

/// Where a cell is played.
struct Stage {
    town: Arc<Town>,
    third: Duration,
}

impl Stage {
    /// A third of the time all is well, then something breaks, then all is well again.
    async fn play(
        &self,
        database: &str,
        wrapped: Vec<String>,
        breaks: impl AsyncFnOnce(&mut Service) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let port = free_port()?;
        let configuration = self.town.configure(port, database)?;
        let mut service = Service::start(&configuration, port, wrapped).await?;
        let load = Load::begin(&self.town);
        tokio::time::sleep(self.third).await;
        ensure!(load.seen.acknowledged() > 0, "nothing is acknowledged to begin with");
        breaks(&mut service).await?;
        let ((), caught_up_after_ms) = tokio::join!(tokio::time::sleep(self.third), load.catch_up());
        Ok(load.end(caught_up_after_ms).await)
    }
}

async fn kill(service: &mut Service, times: u32) -> anyhow::Result<()> {
    for n in 0..times {
        service.kill_and_restart().await?;
        // Not in step with anything.
        tokio::time::sleep(Duration::from_millis(u64::from(137 * (n % 5)))).await;
    }
    Ok(())
}

async fn end_connections(above: &mut PgConnection) -> anyhow::Result<()> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chaos'";
    sqlx::query(sql).execute(above).await?;
    Ok(())
}

/// A reader that keeps its view through it all, and a writer that lets nobody else write for a while.
async fn locked(file: &Path) -> anyhow::Result<()> {
    let url = format!("sqlite://{}", file.display());
    let mut reader = SqliteConnection::connect(&url).await?;
    for sql in ["BEGIN", "SELECT count(*) FROM jobs"] {
        sqlx::query(sql).execute(&mut reader).await?;
    }
    let mut writer = SqliteConnection::connect(&url).await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await?;
    tokio::time::sleep(LOCKED).await;
    sqlx::query("ROLLBACK").execute(&mut writer).await?;
    // The reader goes on for a while after the writer.
    tokio::spawn(async move {
        tokio::time::sleep(OUTAGE).await;
        drop(reader);
    });
    Ok(())
}

/// A file system of the service's own, which fills up and is emptied again.
async fn disk_full(stage: &Stage) -> anyhow::Result<Option<Outcome>> {
    let disk = stage.town.path("disk");
    std::fs::create_dir(&disk)?;
    let mounts = format!("mount -t tmpfs -o size={DISK} tmpfs \"$0\" && exec \"$@\"");
    let place = disk.display().to_string();
    let wrapped: Vec<String> = ["unshare", "-rm", "sh", "-c", &mounts, &place].map(str::to_owned).into();
    let can = Command::new(&wrapped[0]).args(&wrapped[1..]).arg("true").stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        pass_over("sqlite-disk-full: this machine lets nobody mount a file system of their own");
        return Ok(None);
    }
    let url = format!("sqlite://{}/chaos.db", disk.display());
    let outcome = stage.play(&url, wrapped, async |service| {
        // Seen through the process, because the file system is its own.
        let filler = Path::new("/proc").join(service.id().to_string()).join("root");
        let filler = filler.join(disk.strip_prefix("/")?).join("filler");
        let mut file = std::fs::File::create(&filler).context("the file system cannot be reached")?;
        while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
        tokio::time::sleep(OUTAGE).await;
        drop(file);
        std::fs::remove_file(&filler)?;
        Ok(())
    });
    outcome.await.map(Some)
}
