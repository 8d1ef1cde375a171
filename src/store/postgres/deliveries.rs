//! Deliveries and the marks they make.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::domain::{ConnectionName, System, Timestamp};
use crate::store::Error;
use crate::store::codec::cause_parts;
use crate::store::postgres::dirty::{Jobs, Marked};
use crate::store::postgres::{Transaction, resyncs};
use crate::store::types::{Cause, DELIVERIES_LOOKED_BACK, DELIVERIES_READ, Mark, Retention};

/// Makes records dirty: SQLite's statement, but for `dirty`, which may stand for several marks.
const UPSERT_JOBS: &str =
    "INSERT INTO jobs (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at,
                       category, message, cause_kind, cause, told, changed, asked_alone)
     SELECT m.connection, m.family, m.kind, m.record_id, m.dirty, m.state, m.due_at, m.dirty_since, m.occurred_at,
            m.category, m.message, $1, m.cause, m.told, m.changed, $16
       FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[],
                   $10::bigint[], $11::text[], $12::text[], $13::uuid[], $14::text[], $15::text[])
         AS m (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at, category, message, cause, told,
               changed)
     ON CONFLICT (connection, kind, record_id) DO UPDATE SET
            dirty       = jobs.dirty + excluded.dirty,
            -- A parked record that changed may fit now. One that waits for its CRM goes on waiting, unless a person asks.
            state       = CASE WHEN jobs.state = 'parked' OR excluded.cause_kind = 'resync' THEN 'due' ELSE jobs.state END,
            due_at      = CASE WHEN jobs.state = 'parked' OR excluded.cause_kind = 'resync' THEN excluded.due_at
                               ELSE least(jobs.due_at, CASE WHEN jobs.state = 'due' THEN excluded.due_at ELSE jobs.due_at END) END,
            attempts    = CASE WHEN jobs.state = 'parked' OR excluded.cause_kind = 'resync' THEN 0 ELSE jobs.attempts END,
            dirty_since = least(jobs.dirty_since, excluded.dirty_since),
            occurred_at = greatest(jobs.occurred_at, excluded.occurred_at),
            -- A resync keeps its say over events, through retries too, until its job is done or parked: it asks for
            -- more than they do.
            cause       = CASE WHEN jobs.cause_kind = 'resync' AND excluded.cause_kind <> 'resync' AND jobs.state <> 'parked'
                               THEN jobs.cause ELSE excluded.cause END,
            cause_kind  = CASE WHEN jobs.cause_kind = 'resync' AND jobs.state <> 'parked' THEN jobs.cause_kind
                               ELSE excluded.cause_kind END,
            -- One that asks for this record alone asks for more than one of many.
            asked_alone = CASE WHEN jobs.state = 'parked' THEN excluded.asked_alone ELSE jobs.asked_alone OR excluded.asked_alone END,
            told        = CASE WHEN jobs.told IS NULL THEN NULL ELSE excluded.told END,
            -- Of each property the newest change; messages come in any order.
            changed     = CASE WHEN jobs.changed IS NULL OR excluded.changed IS NULL THEN NULL ELSE (
                          SELECT jsonb_object_agg(newest.name, newest.at)::text
                            FROM (SELECT name, max(at::bigint) AS at
                                    FROM (SELECT key AS name, value AS at FROM jsonb_each_text(jobs.changed::jsonb)
                                          UNION ALL SELECT key, value FROM jsonb_each_text(excluded.changed::jsonb)) told_of
                                   GROUP BY name) newest) END";

/// Makes records dirty, all for one kind of cause; `alone` where a resync asks for one record.
pub(super) async fn upsert_jobs(
    connection: &mut Transaction,
    jobs: &Jobs<'_>,
    cause_kind: &'static str,
    alone: bool,
) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let columns = jobs.columns()?;
    connection
        .query(UPSERT_JOBS)
        .bind(cause_kind)
        .bind(columns.connection)
        .bind(columns.family)
        .bind(columns.kind)
        .bind(columns.record_id)
        .bind(columns.dirty)
        .bind(columns.state)
        .bind(columns.due_at)
        .bind(columns.dirty_since)
        .bind(columns.occurred_at)
        .bind(columns.category)
        .bind(columns.message)
        .bind(columns.cause)
        .bind(columns.told)
        .bind(columns.changed)
        .bind(alone)
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// Marks records without a delivery.
pub(super) async fn mark(
    connection: &mut Transaction,
    name: &ConnectionName,
    marks: &[Mark],
    cause: Cause,
    now: Timestamp,
) -> Result<(), Error> {
    let (cause_kind, cause_id) = cause_parts(&cause);
    let now = now.as_millis();
    let mut jobs = Jobs::default();
    for mark in marks {
        let occurred_at = mark.occurred_at.as_millis();
        let marked = Marked {
            family: mark.key.kind().family().as_str(),
            n_marks: 1,
            state: "due",
            due_at: now,
            dirty_since: if occurred_at == 0 { now } else { occurred_at.min(now) },
            occurred_at,
            error: None,
            cause: *cause_id,
            told: mark.told.as_ref(),
            changed: mark.changed.clone(),
        };
        jobs.add((name.as_str(), mark.key.kind().as_str(), mark.key.id().to_string()), marked);
    }
    upsert_jobs(connection, &jobs, cause_kind, cause.asked().overrides()).await?;
    match cause {
        Cause::Resync(id) | Cause::ResyncOne(id) => resyncs::wait_for(connection, name, id, marks).await,
        Cause::Delivery(_) | Cause::Follow(_) | Cause::Sweep(_) => Ok(()),
    }
}

/// Forgets notifications, those seen first before others; what another instance deletes at the same time is left to it.
const FORGET_NOTIFICATIONS: &str = "
    DELETE FROM notifications
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM notifications WHERE seen_at < $1 ORDER BY seen_at LIMIT $2
                                 FOR UPDATE SKIP LOCKED))";

/// Deletes deliveries and notification ids that were kept long enough.
pub(super) async fn retain(connection: &mut Transaction, retention: &Retention) -> Result<u64, Error> {
    // Ids are in the order of arrival, so only the first rows need a look: a search for old ones would walk every body kept.
    // What another instance deletes at the same time is left to it.
    let deliveries = "DELETE FROM deliveries
                       WHERE id = ANY (ARRAY (SELECT id FROM (SELECT id, received_at FROM deliveries ORDER BY id LIMIT $2
                                                                 FOR UPDATE SKIP LOCKED) oldest
                                               WHERE received_at < $1))";
    let mut gone = 0;
    for (sql, before) in
        [(deliveries, retention.deliveries_before), (FORGET_NOTIFICATIONS, retention.notifications_before)]
    {
        let done = connection
            .query(sql)
            .bind(before.as_millis())
            .bind(i64::from(retention.rows_max))
            .execute(&mut **connection)
            .await?;
        gone += done.rows_affected();
    }
    Ok(gone)
}

/// The bodies of the newest deliveries of one CRM, oldest first.
pub(super) async fn newest(
    connection: &mut Transaction,
    name: &ConnectionName,
    source: System,
) -> Result<Vec<bytes::Bytes>, Error> {
    let sql = "SELECT body FROM (SELECT id, connection, source, body FROM deliveries ORDER BY id DESC LIMIT $3) newest
                WHERE connection = $1 AND source = $2
                ORDER BY id DESC
                LIMIT $4";
    let rows = connection
        .query(sql)
        .bind(name.as_str())
        .bind(source.as_str())
        .bind(i64::from(DELIVERIES_LOOKED_BACK))
        .bind(i64::from(DELIVERIES_READ))
        .fetch_all(&mut **connection)
        .await?;
    let body = |row: &PgRow| bytes::Bytes::from(row.get::<Vec<u8>, _>("body"));
    Ok(rows.iter().rev().map(body).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::plans::Plans;

    /// Notifications, one a millisecond.
    const NOTIFICATIONS: &str =
        "INSERT INTO notifications SELECT 'acme', '04l' || n, n FROM generate_series(1, 20000) n";

    #[tokio::test]
    async fn what_forgets_notifications_walks_no_table() {
        let Some(mut plans) = Plans::of(NOTIFICATIONS).await else { return };
        for old in ["9", "19000"] {
            let asked = (FORGET_NOTIFICATIONS, "bigint, bigint", &*format!("{old}, 100"));
            assert_eq!(plans.walks(asked).await, None, "{old} are old");
        }
    }
}
