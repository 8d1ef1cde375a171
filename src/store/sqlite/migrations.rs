//! The schema's history, compiled in.

use std::borrow::Cow;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;
use sqlx::{Executor, SqlSafeStr};

use crate::store::Error;

/// Number, name and text of every migration.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "deliveries", include_str!("../../../migrations/sqlite/0001_deliveries.sql")),
    (2, "pairs", include_str!("../../../migrations/sqlite/0002_pairs.sql")),
    (3, "jobs", include_str!("../../../migrations/sqlite/0003_jobs.sql")),
    (4, "audit", include_str!("../../../migrations/sqlite/0004_audit.sql")),
    (5, "resync_jobs", include_str!("../../../migrations/sqlite/0005_resync_jobs.sql")),
    (6, "tasks", include_str!("../../../migrations/sqlite/0006_tasks.sql")),
];

/// Where a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator { migrations: MIGRATIONS.map(migration).to_vec().into(), ..Migrator::DEFAULT }
}

/// Applies what is missing.
pub(super) async fn apply(pool: &SqlitePool) -> Result<(), Error> {
    migrator().run(pool).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(source) => Error::Unavailable(Box::new(source)),
        other => Error::Migrations {
            text: format!("{other}; use the version that wrote the database, or a newer one"),
        },
    })
}

/// Says which are applied.
pub(super) async fn status(pool: &SqlitePool) -> Result<Vec<MigrationStatus>, Error> {
    let mut connection = pool.acquire().await?;
    let exists = connection
        .fetch_optional("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .await?
        .is_some();
    let applied = if exists {
        let listed = connection.list_applied_migrations(&Migrator::DEFAULT.table_name).await;
        listed.map_err(|error| Error::Migrations { text: error.to_string() })?
    } else {
        Vec::new()
    };
    let known = MIGRATIONS.map(|(version, name, _)| MigrationStatus {
        version,
        name: name.to_owned(),
        applied: applied.iter().any(|migration| migration.version == version),
    });
    let unknown = applied
        .iter()
        .filter(|migration| MIGRATIONS.iter().all(|(version, _, _)| *version != migration.version));
    if let Some(newer) = unknown.map(|migration| migration.version).max() {
        let text = format!(
            "the database has migration {newer}, which this version does not know; use a newer version"
        );
        return Err(Error::Migrations { text });
    }
    Ok(known.to_vec())
}

/// Where the migrations of a database stand that does not exist yet.
pub(super) fn none_applied() -> Vec<MigrationStatus> {
    MIGRATIONS
        .map(|(version, name, _)| MigrationStatus { version, name: name.to_owned(), applied: false })
        .to_vec()
}

/// Refuses a database that lacks something.
pub(super) async fn insist(pool: &SqlitePool) -> Result<(), Error> {
    let missing: Vec<String> =
        status(pool).await?.into_iter().filter(|status| !status.applied).map(|status| status.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text =
        format!("missing: {}; run `hubforce migrate`, or set database.migrate = true", missing.join(", "));
    Err(Error::Migrations { text })
}
