//! Deliveries and the marks they make.

use std::collections::HashSet;

use serde_json::{Value as Json, json};
use sqlx::{Row, SqliteConnection};

use crate::domain::{ConnectionName, Timestamp};
use crate::store::Error;
use crate::store::codec::{cause_parts, hex, to_json};
use crate::store::sqlite::resyncs;
use crate::store::types::{Cause, DeliveryOutcome, Mark, NewDelivery, Retention};

/// Stores a group of deliveries and marks their records.
pub(super) async fn accept(
    connection: &mut SqliteConnection,
    deliveries: &[NewDelivery],
) -> Result<(), Error> {
    insert(connection, deliveries).await?;
    let repeated = repeated_notifications(connection, deliveries).await?;
    let mut rows = Vec::new();
    for delivery in deliveries {
        let Some(name) = &delivery.connection else { continue };
        let fresh = |mark: &&Mark| !is_repeated(&repeated, name, mark);
        for mark in delivery.marks.iter().filter(fresh) {
            rows.push(mark_json(name, mark, &Cause::Delivery(delivery.id), delivery.received_at)?);
        }
        for part in &delivery.unreadable {
            rows.push(json!({
                "connection": name.as_str(), "family": "", "kind": "part",
                "record_id": format!("{}#{}", delivery.id, part.position),
                "state": "parked", "now": delivery.received_at.as_millis(), "occurred_at": delivery.received_at.as_millis(),
                "category": "unreadable", "message": part.reason,
                "cause_kind": "delivery", "cause": hex(&delivery.id), "told": Json::Null,
            }));
        }
    }
    upsert_jobs(connection, rows).await
}

/// Marks records without a delivery.
pub(super) async fn mark(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    marks: &[Mark],
    cause: Cause,
    now: Timestamp,
) -> Result<(), Error> {
    let rows: Result<Vec<Json>, Error> =
        marks.iter().map(|mark| mark_json(name, mark, &cause, now)).collect();
    upsert_jobs(connection, rows?).await?;
    match cause {
        Cause::Resync(id) => resyncs::wait_for(connection, name, id, marks).await,
        Cause::Delivery(_) => Ok(()),
    }
}

/// One statement for the group: the bodies travel as one blob that SQLite cuts up, so that none is escaped.
async fn insert(connection: &mut SqliteConnection, deliveries: &[NewDelivery]) -> Result<(), Error> {
    let mut bodies = Vec::with_capacity(deliveries.iter().map(|delivery| delivery.body.len()).sum());
    let mut rows = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        rows.push(json!([
            hex(&delivery.id),
            delivery.connection.as_ref().map(ConnectionName::as_str),
            delivery.source.as_str(),
            delivery.received_at.as_millis(),
            outcome_text(delivery.outcome),
            delivery.n_events,
            delivery.n_echoes,
            bodies.len() + 1,
            delivery.body.len(),
        ]));
        bodies.extend_from_slice(&delivery.body);
    }
    let sql = "INSERT INTO deliveries (id, connection, source, received_at, outcome, n_events, n_echoes, body)
               SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                      substr(?2, value ->> 7, value ->> 8)
                 FROM json_each(?1)";
    sqlx::query(sql).bind(to_json(&rows)?).bind(bodies).execute(connection).await?;
    Ok(())
}

const fn outcome_text(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Accepted => "accepted",
        DeliveryOutcome::Unknown => "unknown",
        DeliveryOutcome::Refused => "refused",
    }
}

/// The notifications of the group that were seen before. A repetition within the group counts as seen, too: the mark that stays
/// covers it.
async fn repeated_notifications(
    connection: &mut SqliteConnection,
    deliveries: &[NewDelivery],
) -> Result<HashSet<(String, String)>, Error> {
    let mut rows = Vec::new();
    for delivery in deliveries {
        for notification in delivery.marks.iter().filter_map(|mark| mark.notification.as_deref()) {
            rows.push((
                delivery.connection.as_ref().map(ConnectionName::as_str),
                notification,
                delivery.received_at,
            ));
        }
    }
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "INSERT INTO notifications (connection, notification, seen_at)
               SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE value ->> 0 IS NOT NULL
               ON CONFLICT DO NOTHING
               RETURNING connection, notification";
    let fresh = sqlx::query(sql).bind(to_json(&rows)?).fetch_all(connection).await?;
    let fresh: HashSet<(String, String)> = fresh.iter().map(|row| (row.get(0), row.get(1))).collect();
    let all = rows
        .into_iter()
        .filter_map(|(name, notification, _)| Some((name?.to_owned(), notification.to_owned())));
    Ok(all.filter(|pair| !fresh.contains(pair)).collect())
}

fn is_repeated(repeated: &HashSet<(String, String)>, name: &ConnectionName, mark: &Mark) -> bool {
    let Some(notification) = mark.notification.as_deref().filter(|_| !repeated.is_empty()) else {
        return false;
    };
    repeated.contains(&(name.as_str().to_owned(), notification.to_owned()))
}

fn mark_json(name: &ConnectionName, mark: &Mark, cause: &Cause, now: Timestamp) -> Result<Json, Error> {
    let (cause_kind, cause) = cause_parts(cause);
    let told = mark.told_by_us.as_ref().map(to_json).transpose()?;
    Ok(json!({
        "connection": name.as_str(), "family": mark.key.kind().family().as_str(), "kind": mark.key.kind().as_str(),
        "record_id": mark.key.id().to_string(), "state": "due", "now": now.as_millis(),
        "occurred_at": mark.occurred_at.as_millis(), "category": Json::Null, "message": Json::Null,
        "cause_kind": cause_kind, "cause": hex(cause), "told": told,
    }))
}

async fn upsert_jobs(connection: &mut SqliteConnection, rows: Vec<Json>) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO jobs (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at,
                                 category, message, cause_kind, cause, told)
               SELECT value ->> 'connection', value ->> 'family', value ->> 'kind', value ->> 'record_id', 1,
                      value ->> 'state', value ->> 'now', min(value ->> 'occurred_at', value ->> 'now'),
                      value ->> 'occurred_at', value ->> 'category', value ->> 'message', value ->> 'cause_kind',
                      unhex(value ->> 'cause'), value ->> 'told'
                 FROM json_each(?1)
                WHERE true
               ON CONFLICT (connection, kind, record_id) DO UPDATE SET
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
                      cause_kind  = CASE WHEN cause_kind = 'resync' AND state <> 'parked' THEN cause_kind ELSE excluded.cause_kind END,
                      told        = CASE WHEN told IS NULL THEN NULL ELSE excluded.told END";
    sqlx::query(sql).bind(to_json(&rows)?).execute(connection).await?;
    Ok(())
}

/// Deletes deliveries and notification ids that were kept long enough.
pub(super) async fn retain(connection: &mut SqliteConnection, retention: &Retention) -> Result<u64, Error> {
    // Ids are in the order of arrival, so only the first rows need a look: a search for old ones would walk every body kept,
    // while the door waits for the writer.
    let deliveries = "DELETE FROM deliveries
                       WHERE id IN (SELECT id FROM (SELECT id, received_at FROM deliveries ORDER BY id LIMIT ?2)
                                     WHERE received_at < ?1)";
    let notifications = "DELETE FROM notifications
                          WHERE (connection, notification) IN
                                (SELECT connection, notification FROM notifications WHERE seen_at < ?1 LIMIT ?2)";
    let mut gone = 0;
    for (sql, before) in
        [(deliveries, retention.deliveries_before), (notifications, retention.notifications_before)]
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
