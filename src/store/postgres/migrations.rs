//! PostgreSQL's migrations, compiled in.

use sqlx::postgres::PgPool;
use sqlx::{Executor, Postgres, Row, Transaction};

use crate::store::Error;
use crate::store::migrations::{self, MigrationStatus};

/// Number, name and text of every migration.
pub(in crate::store) const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "deliveries", include_str!("../../../migrations/postgres/0001_deliveries.sql")),
    (2, "pairs", include_str!("../../../migrations/postgres/0002_pairs.sql")),
    (3, "jobs", include_str!("../../../migrations/postgres/0003_jobs.sql")),
    (4, "audit", include_str!("../../../migrations/postgres/0004_audit.sql")),
    (5, "resync_jobs", include_str!("../../../migrations/postgres/0005_resync_jobs.sql")),
    (6, "tasks", include_str!("../../../migrations/postgres/0006_tasks.sql")),
    (7, "triggers", include_str!("../../../migrations/postgres/0007_triggers.sql")),
    (8, "erasures", include_str!("../../../migrations/postgres/0008_erasures.sql")),
    (9, "set_aside", include_str!("../../../migrations/postgres/0009_set_aside.sql")),
];

/// Makes instances that start together migrate one after the other; it ends with the transaction. (The migrator's own lock belongs
/// to the session, which a pooler would give away.) The number means nothing.
const LOCK: &str = "SELECT pg_advisory_xact_lock(4843121706)";

/// Applies what is missing, all of it or nothing.
pub(super) async fn apply(pool: &PgPool, named: bool) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    transaction.execute(LOCK).await?;
    // The migrator creates its table if need be; that it is there would be told and logged at each start.
    transaction.execute("SET LOCAL client_min_messages = 'warning'").await?;
    migrations::migrator(&MIGRATIONS).run(&mut *transaction).await.map_err(migrations::failed)?;
    end(transaction, named).await
}

/// Says which are applied.
pub(super) async fn status(pool: &PgPool, named: bool) -> Result<Vec<MigrationStatus>, Error> {
    let mut transaction = pool.begin().await?;
    let sql = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    let exists: bool = transaction.fetch_one(sql).await?.get(0);
    let status = migrations::status(&mut *transaction, &MIGRATIONS, exists).await?;
    end(transaction, named).await?;
    Ok(status)
}

/// Refuses a database that lacks something.
pub(super) async fn insist(pool: &PgPool, named: bool) -> Result<(), Error> {
    migrations::insist(&status(pool, named).await?)
}

/// The migrator names its statements in any case; where a session is shared they must not stay in it.
async fn end(mut transaction: Transaction<'static, Postgres>, named: bool) -> Result<(), Error> {
    if !named {
        transaction.execute("DEALLOCATE ALL").await?;
    }
    Ok(transaction.commit().await?)
}
