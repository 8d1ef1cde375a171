//! The audit: what was about to be written, and what became of it.

use serde_json::{Value as Json, json};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::domain::{ConnectionName, Kind, RecordKey, System};
use crate::store::Error;
use crate::store::codec::{self, at, cause_parts, corrupt, from_json, hex, key_json, to_json, uuid};
use crate::store::types::{AuditQuery, AuditRow, Intent, Retention, Settled};

/// Records writes before they are made.
pub(super) async fn intend(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    intents: &[Intent],
) -> Result<(), Error> {
    let rows: Result<Vec<Json>, Error> = intents.iter().map(intent_json).collect();
    let sql = "INSERT INTO audit (id, connection, at, kind, record_id, creates, field, old, new, rule, cause_kind, cause)
               SELECT unhex(value ->> 0), ?1, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                      value ->> 7, value ->> 8, value ->> 9, unhex(value ->> 10)
                 FROM json_each(?2)";
    sqlx::query(sql).bind(name.as_str()).bind(to_json(&rows?)?).execute(connection).await?;
    Ok(())
}

fn intent_json(intent: &Intent) -> Result<Json, Error> {
    let (cause_kind, cause) = cause_parts(&intent.cause);
    Ok(json!([
        hex(&intent.id),
        intent.at.as_millis(),
        intent.key.kind().as_str(),
        intent.key.id().to_string(),
        intent.creates.map(Kind::as_str),
        intent.field,
        to_json(&intent.old)?,
        to_json(&intent.new)?,
        intent.rule,
        cause_kind,
        hex(cause),
    ]))
}

/// Notes what became of intents.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settled: &[&(Uuid, Settled)],
) -> Result<(), Error> {
    let mut rows = Vec::new();
    for (id, settled) in settled {
        let (written, record, stored) = match settled {
            Settled::Written { record, stored } => (1, *record, stored.as_ref()),
            Settled::NotWritten => (0, None, None),
        };
        rows.push(json!([
            hex(id),
            written,
            record.map(|key| key.kind().as_str()),
            record.map(|key| key.id().to_string()),
            stored.map(to_json).transpose()?
        ]));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE audit SET written = f.written, created_kind = f.kind, created_id = f.record_id, new = coalesce(f.stored, audit.new)
                 FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS written, value ->> 2 AS kind, value ->> 3 AS record_id,
                              value ->> 4 AS stored
                         FROM json_each(?1)) f
                WHERE audit.id = f.id";
    sqlx::query(sql).bind(to_json(&rows)?).execute(connection).await?;
    Ok(())
}

/// Those of the records that a create is made of whose end is not known.
pub(super) async fn with_open_creates(
    pool: &SqlitePool,
    name: &ConnectionName,
    keys: &[RecordKey],
) -> Result<Vec<RecordKey>, Error> {
    let wanted: Vec<Json> = keys.iter().map(key_json).collect();
    let sql = "SELECT DISTINCT a.kind, a.record_id
                 FROM json_each(?2) wanted
                 CROSS JOIN audit a ON a.connection = ?1 AND a.kind = wanted.value ->> 0 AND a.record_id = wanted.value ->> 1
                WHERE a.written IS NULL AND a.creates IS NOT NULL";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(to_json(&wanted)?).fetch_all(pool).await?;
    rows.iter().map(|row| codec::key(row.get("kind"), row.get("record_id"), ("audit", "record_id"))).collect()
}

/// Reads an intent from the columns of `audit`.
pub(super) fn intent(row: &SqliteRow) -> Result<Intent, Error> {
    let creates: Option<&str> = row.get("creates");
    let creates = creates
        .map(|kind| Kind::parse(kind).ok_or_else(|| corrupt(("audit", "creates"), "kind of record")))
        .transpose()?;
    Ok(Intent {
        id: uuid(row.get("id"), ("audit", "id"))?,
        at: at(row.get("at")),
        key: codec::key(row.get("kind"), row.get("record_id"), ("audit", "record_id"))?,
        creates,
        field: row.get("field"),
        old: from_json(row.get("old"), ("audit", "old"))?,
        new: from_json(row.get("new"), ("audit", "new"))?,
        rule: row.get("rule"),
        cause: codec::cause(row.get("cause_kind"), row.get("cause"), ("audit", "cause"))?,
    })
}

/// Rows of a connection in the order of their ids, with one more condition. The plus sign keeps the connection from being looked up in the
/// index of records, where its rows are in another order.
macro_rules! audit_rows {
    ($condition:literal) => {
        concat!(
            "SELECT id, at, kind, record_id, creates, field, old, new, rule, cause_kind, cause, written, created_kind, created_id
               FROM audit
              WHERE +connection = ?1
                AND (?2 IS NULL OR (coalesce(created_kind, kind) IN ('contact', 'company', 'deal')) = (?2 = 'hubspot'))
                AND at >= ?3 AND id > ?4 ",
            $condition,
            " ORDER BY id
              LIMIT ?5"
        )
    };
}

/// All rows, which are walked in the order of their ids.
const OF_CONNECTION: &str = audit_rows!("");

/// Rows of one record: of its own changes, and of the create that it came of; each by its index.
const OF_RECORD: &str = audit_rows!(
    "AND id IN (SELECT id FROM audit WHERE connection = ?1 AND kind = ?6 AND record_id = ?7 AND id > ?4
         UNION ALL SELECT id FROM audit WHERE connection = ?1 AND created_kind = ?6 AND created_id = ?7 AND id > ?4)"
);

/// Lists audit rows, oldest first.
pub(super) async fn audit(pool: &SqlitePool, query: &AuditQuery<'_>) -> Result<Vec<AuditRow>, Error> {
    let sql = if query.key.is_some() { OF_RECORD } else { OF_CONNECTION };
    let mut asked = sqlx::query(sql)
        .bind(query.connection.as_str())
        .bind(query.system.map(System::as_str))
        .bind(query.since.map_or(i64::MIN, crate::domain::Timestamp::as_millis))
        .bind(query.after.unwrap_or(Uuid::nil()).as_bytes().as_slice())
        .bind(query.limit);
    if let Some(key) = query.key {
        asked = asked.bind(key.kind().as_str()).bind(key.id().to_string());
    }
    let rows = asked.fetch_all(pool).await?;
    rows.iter().map(audit_row).collect()
}

fn audit_row(row: &SqliteRow) -> Result<AuditRow, Error> {
    let written: Option<i64> = row.get("written");
    let created: Option<&str> = row.get("created_kind");
    let created =
        created.map(|kind| codec::key(kind, row.get("created_id"), ("audit", "created_id"))).transpose()?;
    Ok(AuditRow { intent: intent(row)?, written: written.map(|written| written == 1), created })
}

/// Deletes audit rows that were kept long enough.
pub(super) async fn retain(connection: &mut SqliteConnection, retention: &Retention) -> Result<u64, Error> {
    // Ids are in the order of writing, so only the first rows need a look. Open ones stay: their outcome is still to be found.
    let sql = "DELETE FROM audit
                WHERE id IN (SELECT id FROM (SELECT id, at FROM audit WHERE written IS NOT NULL ORDER BY id LIMIT ?2)
                              WHERE at < ?1)";
    let done = sqlx::query(sql)
        .bind(retention.audit_before.as_millis())
        .bind(retention.rows_max)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::claims::tests::plan_of;

    #[tokio::test]
    async fn the_audit_of_one_record_walks_no_table() {
        let steps = plan_of(OF_RECORD).await;
        for step in [
            "SEARCH audit USING PRIMARY KEY (id=?)",
            "SEARCH audit USING COVERING INDEX audit_by_record (connection=? AND kind=? AND record_id=? AND id>?)",
            "SEARCH audit USING COVERING INDEX audit_by_created (connection=? AND created_kind=? AND created_id=? AND id>?)",
        ] {
            assert!(steps.iter().any(|text| text == step), "{step}: {steps:#?}");
        }
    }

    #[tokio::test]
    async fn the_audit_of_a_connection_is_read_in_its_order() {
        assert_eq!(plan_of(OF_CONNECTION).await, ["SEARCH audit USING PRIMARY KEY (id>?)"]);
    }
}
