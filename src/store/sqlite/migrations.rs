//! SQLite's migrations, compiled in.

use sqlx::Executor;
use sqlx::sqlite::SqlitePool;

use crate::store::Error;
use crate::store::migrations::{self, MigrationStatus};

/// Number, name and text of every migration.
pub(in crate::store) const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "deliveries", include_str!("../../../migrations/sqlite/0001_deliveries.sql")),
    (2, "pairs", include_str!("../../../migrations/sqlite/0002_pairs.sql")),
    (3, "jobs", include_str!("../../../migrations/sqlite/0003_jobs.sql")),
    (4, "audit", include_str!("../../../migrations/sqlite/0004_audit.sql")),
    (5, "resync_jobs", include_str!("../../../migrations/sqlite/0005_resync_jobs.sql")),
    (6, "tasks", include_str!("../../../migrations/sqlite/0006_tasks.sql")),
    (7, "triggers", include_str!("../../../migrations/sqlite/0007_triggers.sql")),
    (8, "erasures", include_str!("../../../migrations/sqlite/0008_erasures.sql")),
    (9, "set_aside", include_str!("../../../migrations/sqlite/0009_set_aside.sql")),
];

/// Applies what is missing.
pub(super) async fn apply(pool: &SqlitePool) -> Result<(), Error> {
    migrations::migrator(&MIGRATIONS).run(pool).await.map_err(migrations::failed)
}

/// Says which are applied.
pub(super) async fn status(pool: &SqlitePool) -> Result<Vec<MigrationStatus>, Error> {
    let mut connection = pool.acquire().await?;
    let exists = connection
        .fetch_optional("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .await?
        .is_some();
    migrations::status(&mut *connection, &MIGRATIONS, exists).await
}

/// Refuses a database that lacks something.
pub(super) async fn insist(pool: &SqlitePool) -> Result<(), Error> {
    migrations::insist(&status(pool).await?)
}
