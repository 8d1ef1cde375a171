//! Databases for tests, benchmarks and drills. Nothing of the service uses it.
//!
//! It lives in the library because four kinds of program need the same server: the library's own tests, the stories in `tests/it`, the
//! benchmarks, and drills that kill processes. A PostgreSQL server is started once a process, in a temporary directory, on a socket
//! in it. `HUBFORCE_TEST_POSTGRES_URL` names a server to use instead; each test gets a database of its own in either. Where there is no
//! server, stories on PostgreSQL are passed over, and say so past the test runner's capture.
//!
//! No server outlives its process, however that ends: a guard, which is a shell that reads from a pipe, is the server's parent. When
//! the process is gone, so is the pipe; the guard then stops the server and removes the directory.

mod server;

use std::io::Write;
use std::sync::OnceLock;

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use uuid::Uuid;

use crate::store::Database;

pub use server::{Durability, TestServer};

/// Names a server whose databases tests may create and drop.
const URL_VARIABLE: &str = "HUBFORCE_TEST_POSTGRES_URL";

/// A database of a test's own; it goes when this is dropped.
pub enum TestDatabase {
    /// A file in a temporary directory.
    Sqlite(tempfile::TempDir),
    /// A database on a PostgreSQL server.
    Postgres(PostgresDatabase),
}

impl TestDatabase {
    /// A new database. `None` where there is no server for it, after saying so.
    ///
    /// # Errors
    ///
    /// A server that is there and does not do what it should.
    pub async fn new(database: Database) -> anyhow::Result<Option<Self>> {
        match database {
            Database::Sqlite => Ok(Some(Self::Sqlite(directory()?))),
            Database::Postgres => match shared() {
                Ok(url) => Ok(Some(Self::Postgres(PostgresDatabase::create(url).await?))),
                Err(reason) => {
                    pass_over(reason);
                    Ok(None)
                }
            },
        }
    }

    /// Where it is, for [`crate::store::open`].
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite://{}/test.db", directory.path().display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }
}

/// A temporary directory, in memory where the machine has a file system for that: in tests only processes end, not the machine.
///
/// Its name was never borne before. A simulation sets the thread's generator back, which would name a directory like one just
/// removed, and a connection of that one which is still closing would take the new database's log away.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let name = format!("hubforce-{}-", Uuid::now_v7());
    let mut directory = tempfile::Builder::new();
    directory.prefix(&name);
    directory.tempdir_in("/dev/shm").or_else(|_| directory.tempdir())
}

/// A database on a PostgreSQL server.
pub struct PostgresDatabase {
    /// Where it is.
    pub url: String,
    name: String,
    server: Box<PgConnectOptions>,
}

impl PostgresDatabase {
    /// Creates a database on the server that a URL names; its path is the database to ask in.
    ///
    /// # Errors
    ///
    /// Whatever the server says against it.
    pub async fn create(server_url: &str) -> anyhow::Result<Self> {
        let server: PgConnectOptions = server_url.parse()?;
        let name = format!("hubforce_test_{}", Uuid::now_v7().simple());
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        let mut connection = server.connect().await.context("the test server does not answer")?;
        connection.execute(AssertSqlSafe(sql)).await.context("no database can be created for a test")?;
        connection.close().await?;
        let url = server.clone().database(&name).to_url_lossy().to_string();
        Ok(Self { url, name, server: Box::new(server) })
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        let drop = async move {
            let mut connection: PgConnection = server.connect().await?;
            connection.execute(AssertSqlSafe(sql)).await?;
            connection.close().await
        };
        // On a thread of its own, because a test's runtime cannot be waited for here. A server that is gone has no databases.
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(drop).map_err(std::io::Error::other)
        });
        let _ = dropping.join();
    }
}

/// The server that whoever runs this named, to be used instead of a private one.
pub fn given_server() -> Option<String> {
    server::variable(URL_VARIABLE)
}

/// The process's server, or why there is none.
fn shared() -> Result<&'static str, &'static str> {
    static SHARED: OnceLock<Result<(String, Option<TestServer>), String>> = OnceLock::new();
    let start = || {
        if let Some(url) = given_server() {
            return Ok((url, None));
        }
        let server = TestServer::start(Durability::None).map_err(|error| format!("{error:#}"))?;
        Ok((server.url(), Some(server)))
    };
    SHARED.get_or_init(start).as_ref().map(|(url, _)| url.as_str()).map_err(String::as_str)
}

/// Says that a test is passed over, and why, where nobody can overlook it.
pub fn pass_over(reason: &str) {
    let current = std::thread::current();
    let test = current.name().unwrap_or("a test");
    let line = format!(
        "\nPASSED OVER, NOT TESTED: {test} needs PostgreSQL: {reason}. Install it, or set {URL_VARIABLE}.\n"
    );
    // Straight to the stream: what is printed is shown for failing tests only.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_name_comes_twice_where_the_threads_generator_is_set_back() {
        let mut urls = std::collections::BTreeSet::new();
        for database in [Database::Sqlite, Database::Sqlite, Database::Postgres, Database::Postgres] {
            fastrand::seed(1);
            let Some(database) = TestDatabase::new(database).await.unwrap() else { return };
            assert!(urls.insert(database.url()), "{} comes twice", database.url());
        }
    }
}
