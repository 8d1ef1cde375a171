//! Deliveries and the marks they make.

use serde_json::{Value as Json, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use crate::domain::{ConnectionName, System, Timestamp};
use crate::store::Error;
use crate::store::codec::{cause_parts, changed_json, hex, to_json};
use crate::store::sqlite::resyncs;
use crate::store::types::{Cause, DELIVERIES_LOOKED_BACK, DELIVERIES_READ, Mark, Retention};

/// Inserts one delivery.
pub(super) const INSERT_DELIVERY: &str =
    "INSERT INTO deliveries (id, connection, source, received_at, outcome, n_events, n_echoes, body)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Inserts a notification, or nothing where it was seen before.
pub(super) const INSERT_NOTIFICATION: &str = "INSERT INTO notifications (connection, notification, seen_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// A statement that makes records dirty, from whatever its rows come.
macro_rules! upsert_jobs {
    ($rows:literal) => {
        concat!(
            "INSERT INTO jobs (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at,
                               category, message, cause_kind, cause, told, changed, asked_alone) ",
            $rows,
            " ON CONFLICT (connection, kind, record_id) DO UPDATE SET
                     dirty       = dirty + 1,
                     -- A parked record that changed may fit now. One that waits for its CRM goes on waiting, unless a person asks.
                     state       = CASE WHEN state = 'parked' OR excluded.cause_kind = 'resync' THEN 'due' ELSE state END,
                     due_at      = CASE WHEN state = 'parked' OR excluded.cause_kind = 'resync' THEN excluded.due_at
                                        ELSE min(due_at, CASE WHEN state = 'due' THEN excluded.due_at ELSE due_at END) END,
                     attempts    = CASE WHEN state = 'parked' OR excluded.cause_kind = 'resync' THEN 0 ELSE attempts END,
                     dirty_since = min(dirty_since, excluded.dirty_since),
                     occurred_at = max(occurred_at, excluded.occurred_at),
                     -- A resync keeps its say over events, through retries too, until its job is done or parked: it asks for
                     -- more than they do.
                     cause       = CASE WHEN cause_kind = 'resync' AND excluded.cause_kind <> 'resync' AND state <> 'parked'
                                        THEN cause ELSE excluded.cause END,
                     cause_kind  = CASE WHEN cause_kind = 'resync' AND state <> 'parked' THEN cause_kind
                                        ELSE excluded.cause_kind END,
                     -- One that asks for this record alone asks for more than one of many.
                     asked_alone = CASE WHEN state = 'parked' THEN excluded.asked_alone ELSE max(asked_alone, excluded.asked_alone) END,
                     told        = CASE WHEN told IS NULL THEN NULL ELSE excluded.told END,
                     -- Of each property the newest change; messages come in any order.
                     changed     = CASE WHEN changed IS NULL OR excluded.changed IS NULL THEN NULL ELSE (
                                   SELECT json_group_object(name, at)
                                     FROM (SELECT name, max(at) AS at
                                             FROM (SELECT key AS name, value AS at FROM json_each(jobs.changed)
                                                   UNION ALL SELECT key, value FROM json_each(excluded.changed))
                                            GROUP BY name)) END"
        )
    };
}

/// Makes one record dirty.
pub(super) const UPSERT_JOB: &str =
    upsert_jobs!("VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, min(?7, ?6), ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0)");

/// Makes the records of a JSON array dirty.
const MARK_JOBS: &str = upsert_jobs!(
    "SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 1, 'due', value ->> 4, CASE value ->> 5 WHEN 0 THEN value ->> 4 ELSE min(value ->> 5, value ->> 4) END,
            value ->> 5, NULL, NULL, value ->> 6, unhex(value ->> 7), value ->> 8, value ->> 9, value ->> 10
       FROM json_each(?1)
      WHERE true"
);

/// Marks records without a delivery.
pub(super) async fn mark(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    marks: &[Mark],
    cause: Cause,
    now: Timestamp,
) -> Result<(), Error> {
    let (cause_kind, cause_id) = cause_parts(&cause);
    let row = |mark: &Mark| {
        let told = mark.told.as_ref().map(to_json).transpose()?;
        Ok(json!([
            name.as_str(),
            mark.key.kind().family().as_str(),
            mark.key.kind().as_str(),
            mark.key.id().to_string(),
            now.as_millis(),
            mark.occurred_at.as_millis(),
            cause_kind,
            hex(cause_id),
            told,
            changed_json(&mark.changed)?,
            i64::from(cause.asked().overrides()),
        ]))
    };
    let rows: Vec<Json> = marks.iter().map(row).collect::<Result<_, Error>>()?;
    sqlx::query(MARK_JOBS).bind(to_json(&rows)?).execute(&mut *connection).await?;
    match cause {
        Cause::Resync(id) | Cause::ResyncOne(id) => resyncs::wait_for(connection, name, id, marks).await,
        Cause::Delivery(_) | Cause::Follow(_) | Cause::Sweep(_) => Ok(()),
    }
}

/// Forgets notifications, those seen first before others.
const FORGET_NOTIFICATIONS: &str = "
    DELETE FROM notifications
     WHERE (connection, notification) IN
           (SELECT connection, notification FROM notifications WHERE seen_at < ?1 ORDER BY seen_at LIMIT ?2)";

/// Deletes deliveries and notification ids that were kept long enough.
pub(super) async fn retain(connection: &mut SqliteConnection, retention: &Retention) -> Result<u64, Error> {
    // Ids are in the order of arrival, so only the first rows need a look: a search for old ones would walk every body kept,
    // while the door waits for the writer.
    let deliveries = "DELETE FROM deliveries
                       WHERE id IN (SELECT id FROM (SELECT id, received_at FROM deliveries ORDER BY id LIMIT ?2)
                                     WHERE received_at < ?1)";
    let mut gone = 0;
    for (sql, before) in
        [(deliveries, retention.deliveries_before), (FORGET_NOTIFICATIONS, retention.notifications_before)]
    {
        let done = sqlx::query(sql)
            .bind(before.as_millis())
            .bind(retention.rows_max)
            .execute(&mut *connection)
            .await?;
        gone += done.rows_affected();
    }
    Ok(gone)
}

/// The bodies of the newest deliveries of one CRM, oldest first.
pub(super) async fn newest(
    pool: &SqlitePool,
    name: &ConnectionName,
    source: System,
) -> Result<Vec<bytes::Bytes>, Error> {
    let sql = "SELECT body FROM (SELECT id, connection, source, body FROM deliveries ORDER BY id DESC LIMIT ?3) newest
                WHERE connection = ?1 AND source = ?2
                ORDER BY id DESC
                LIMIT ?4";
    let rows = sqlx::query(sql)
        .bind(name.as_str())
        .bind(source.as_str())
        .bind(i64::from(DELIVERIES_LOOKED_BACK))
        .bind(i64::from(DELIVERIES_READ))
        .fetch_all(pool)
        .await?;
    let body = |row: &SqliteRow| bytes::Bytes::from(row.get::<Vec<u8>, _>("body"));
    Ok(rows.iter().rev().map(body).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::claims::tests::plan_of;

    #[tokio::test]
    async fn what_forgets_notifications_walks_no_table() {
        let steps = plan_of(FORGET_NOTIFICATIONS).await;
        assert!(steps.len() >= 2, "{steps:?}");
        let walks = |text: &&String| text.starts_with("SCAN") || text.contains("TEMP B-TREE");
        assert_eq!(steps.iter().find(walks), None);
    }
}
