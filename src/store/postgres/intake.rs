//! Where deliveries are stored: in three statements, however many there are.
//!
//! SQLite stores them on a thread of its own, row by row. Here a row of its own would be a message to the server and back, so
//! columns travel as arrays.

use std::collections::{BTreeMap, HashSet};

use sqlx::Row;

use crate::domain::ConnectionName;
use crate::plan::Changed;
use crate::store::Error;
use crate::store::codec::outcome_text;
use crate::store::postgres::deliveries::upsert_jobs;
use crate::store::postgres::dirty::{Jobs, Marked};
use crate::store::postgres::{Transaction, erasures};
use crate::store::types::{Mark, NewDelivery, Unreadable};

/// A notification: its connection and the sender's own id of it.
type Notification = (String, String);

/// Stores a group of deliveries and marks their records, all or nothing.
pub(super) async fn store(connection: &mut Transaction, deliveries: &[NewDelivery]) -> Result<(), Error> {
    insert(connection, deliveries).await?;
    let mut fresh = fresh_notifications(connection, deliveries).await?;
    let mut jobs = Jobs::default();
    for delivery in deliveries {
        let Some(name) = &delivery.connection else { continue };
        for mark in &delivery.marks {
            // One that is told twice within the group is fresh once.
            if notification(delivery, mark).is_none_or(|notification| fresh.remove(&notification)) {
                let record_id = mark.key.id().to_string();
                jobs.add((name.as_str(), mark.key.kind().as_str(), record_id), marked(delivery, mark));
            }
        }
        for part in &delivery.unreadable {
            let record_id = format!("{}#{}", delivery.id, part.position);
            jobs.add((name.as_str(), "part", record_id), parked(delivery, part));
        }
    }
    upsert_jobs(connection, &jobs, "delivery", false).await?;
    for delivery in deliveries.iter().filter(|delivery| !delivery.erased.is_empty()) {
        let Some(name) = &delivery.connection else { continue };
        erasures::note(connection, name, &delivery.erased, delivery.received_at).await?;
    }
    Ok(())
}

async fn insert(connection: &mut Transaction, deliveries: &[NewDelivery]) -> Result<(), Error> {
    let sql = "INSERT INTO deliveries (id, connection, source, received_at, outcome, n_events, n_echoes, body)
               SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                                    $8::bytea[])";
    let all = || deliveries.iter();
    connection
        .query(sql)
        .bind(all().map(|delivery| delivery.id).collect::<Vec<_>>())
        .bind(
            all()
                .map(|delivery| delivery.connection.as_ref().map(ConnectionName::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(all().map(|delivery| delivery.source.as_str()).collect::<Vec<_>>())
        .bind(all().map(|delivery| delivery.received_at.as_millis()).collect::<Vec<_>>())
        .bind(all().map(|delivery| outcome_text(delivery.outcome)).collect::<Vec<_>>())
        .bind(all().map(|delivery| i64::from(delivery.n_events)).collect::<Vec<_>>())
        .bind(all().map(|delivery| i64::from(delivery.n_echoes)).collect::<Vec<_>>())
        .bind(all().map(|delivery| &*delivery.body).collect::<Vec<_>>())
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// The notifications that were not seen before this group. A repeated one marks nothing.
async fn fresh_notifications(
    connection: &mut Transaction,
    deliveries: &[NewDelivery],
) -> Result<HashSet<Notification>, Error> {
    let mut told = BTreeMap::new();
    for delivery in deliveries {
        for notification in delivery.marks.iter().filter_map(|mark| notification(delivery, mark)) {
            told.entry(notification).or_insert(delivery.received_at.as_millis());
        }
    }
    if told.is_empty() {
        return Ok(HashSet::new());
    }
    // Sorted, so that two instances that are told the same wait for each other and never in a ring.
    let sql = "INSERT INTO notifications (connection, notification, seen_at)
               SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
               ON CONFLICT DO NOTHING
               RETURNING connection, notification";
    let rows = connection
        .query(sql)
        .bind(told.keys().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
        .bind(told.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .bind(told.values().copied().collect::<Vec<i64>>())
        .fetch_all(&mut **connection)
        .await?;
    Ok(rows.iter().map(|row| (row.get("connection"), row.get("notification"))).collect())
}

/// What tells a repeated notification. One whose id holds U+0000, which cannot be stored here, is never taken for a repeated one: that
/// costs a look, and loses nothing.
fn notification(delivery: &NewDelivery, mark: &Mark) -> Option<Notification> {
    let id = mark.notification.as_ref().filter(|id| !id.contains('\0'))?;
    Some((delivery.connection.as_ref()?.to_string(), id.clone()))
}

fn marked<'a>(delivery: &NewDelivery, mark: &'a Mark) -> Marked<'a> {
    let now = delivery.received_at.as_millis();
    let occurred_at = mark.occurred_at.as_millis();
    Marked {
        family: mark.key.kind().family().as_str(),
        n_marks: 1,
        state: "due",
        due_at: now,
        dirty_since: occurred_at.min(now),
        occurred_at,
        error: None,
        cause: delivery.id,
        told: mark.told.as_ref(),
        changed: mark.changed.clone(),
    }
}

/// Keeps an unreadable part as a parked job, for a person to see.
fn parked<'a>(delivery: &NewDelivery, part: &'a Unreadable) -> Marked<'a> {
    let now = delivery.received_at.as_millis();
    Marked {
        family: "",
        n_marks: 1,
        state: "parked",
        due_at: now,
        dirty_since: now,
        occurred_at: now,
        error: Some(("unreadable", &part.reason)),
        cause: delivery.id,
        told: None,
        changed: Changed::Anything,
    }
}
