//! The audit: what was about to be written, and what became of it.

use serde_json::{Value as Json, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::domain::{ConnectionName, Kind, RecordKey, System};
use crate::store::Error;
use crate::store::codec::{self, at, cause_parts, corrupt, from_json, hex, key_json, to_json};
use crate::store::postgres::{Transaction, rows};
use crate::store::types::{AuditQuery, AuditRow, Intent, Retention, Settled};

/// Records writes before they are made.
pub(super) async fn intend(
    connection: &mut Transaction,
    name: &ConnectionName,
    intents: &[Intent],
) -> Result<(), Error> {
    let intended: Result<Vec<Json>, Error> = intents.iter().map(intent_json).collect();
    let sql = "INSERT INTO audit (id, connection, at, kind, record_id, creates, field, old, new, rule, cause_kind, cause)
               SELECT (value ->> 0)::uuid, $1, (value ->> 1)::bigint, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                      value ->> 6, value ->> 7, value ->> 8, value ->> 9, (value ->> 10)::uuid
                 FROM jsonb_array_elements($2::jsonb)";
    connection.query(sql).bind(name.as_str()).bind(rows(&intended?)?).execute(&mut **connection).await?;
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
pub(super) async fn settle(connection: &mut Transaction, settled: &[&(Uuid, Settled)]) -> Result<(), Error> {
    let mut settlements = Vec::new();
    for (id, settled) in settled {
        let (written, record, stored) = match settled {
            Settled::Written { record, stored } => (true, *record, stored.as_ref()),
            Settled::NotWritten => (false, None, None),
        };
        settlements.push(json!([
            hex(id),
            written,
            record.map(|key| key.kind().as_str()),
            record.map(|key| key.id().to_string()),
            stored.map(to_json).transpose()?
        ]));
    }
    if settlements.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE audit SET written = f.written, created_kind = f.kind, created_id = f.record_id, new = coalesce(f.stored, audit.new)
                 FROM (SELECT (value ->> 0)::uuid AS id, (value ->> 1)::boolean AS written, value ->> 2 AS kind,
                              value ->> 3 AS record_id, value ->> 4 AS stored
                         FROM jsonb_array_elements($1::jsonb)) f
                WHERE audit.id = f.id";
    connection.query(sql).bind(rows(&settlements)?).execute(&mut **connection).await?;
    Ok(())
}

/// Those of the records that a create is made of whose end is not known.
pub(super) async fn with_open_creates(
    connection: &mut Transaction,
    name: &ConnectionName,
    keys: &[RecordKey],
) -> Result<Vec<RecordKey>, Error> {
    let wanted: Vec<Json> = keys.iter().map(key_json).collect();
    let sql = "SELECT DISTINCT a.kind, a.record_id
                 FROM jsonb_array_elements($2::jsonb) wanted (value)
                 JOIN audit a ON a.connection = $1 AND a.kind = wanted.value ->> 0 AND a.record_id = wanted.value ->> 1
                WHERE a.written IS NULL AND a.creates IS NOT NULL";
    let rows =
        connection.query(sql).bind(name.as_str()).bind(rows(&wanted)?).fetch_all(&mut **connection).await?;
    rows.iter().map(|row| codec::key(row.get("kind"), row.get("record_id"), ("audit", "record_id"))).collect()
}

/// Reads an intent from the columns of `audit`.
pub(super) fn intent(row: &PgRow) -> Result<Intent, Error> {
    let creates: Option<&str> = row.get("creates");
    let creates = creates
        .map(|kind| Kind::parse(kind).ok_or_else(|| corrupt(("audit", "creates"), "kind of record")))
        .transpose()?;
    let cause: Uuid = row.get("cause");
    Ok(Intent {
        id: row.get("id"),
        at: at(row.get("at")),
        key: codec::key(row.get("kind"), row.get("record_id"), ("audit", "record_id"))?,
        creates,
        field: row.get("field"),
        old: from_json(row.get("old"), ("audit", "old"))?,
        new: from_json(row.get("new"), ("audit", "new"))?,
        rule: row.get("rule"),
        cause: codec::cause(row.get("cause_kind"), cause.as_bytes(), ("audit", "cause"))?,
    })
}

/// Rows of a connection in the order of their ids, with one more condition.
macro_rules! audit_rows {
    ($condition:literal) => {
        concat!(
            "SELECT id, at, kind, record_id, creates, field, old, new, rule, cause_kind, cause, written, created_kind, created_id
               FROM audit
              WHERE connection = $1
                AND ($2 IS NULL OR (coalesce(created_kind, kind) IN ('contact', 'company', 'deal')) = ($2 = 'hubspot'))
                AND at >= $3 AND id > $4 ",
            $condition,
            " ORDER BY id
              LIMIT $5"
        )
    };
}

/// All rows, which are walked in the order of their ids.
const OF_CONNECTION: &str = audit_rows!("");

/// Rows of one record: of its own changes, and of the create that it came of; each by its index.
const OF_RECORD: &str = audit_rows!(
    "AND id = ANY (ARRAY (SELECT id FROM audit WHERE connection = $1 AND kind = $6 AND record_id = $7 AND id > $4
         UNION ALL SELECT id FROM audit WHERE connection = $1 AND created_kind = $6 AND created_id = $7 AND id > $4))"
);

/// Lists audit rows, oldest first.
pub(super) async fn audit(
    connection: &mut Transaction,
    query: &AuditQuery<'_>,
) -> Result<Vec<AuditRow>, Error> {
    let sql = if query.key.is_some() { OF_RECORD } else { OF_CONNECTION };
    let mut asked = connection
        .query(sql)
        .bind(query.connection.as_str())
        .bind(query.system.map(System::as_str))
        .bind(query.since.map_or(i64::MIN, crate::domain::Timestamp::as_millis))
        .bind(query.after.unwrap_or(Uuid::nil()))
        .bind(i64::from(query.limit));
    if let Some(key) = query.key {
        asked = asked.bind(key.kind().as_str()).bind(key.id().to_string());
    }
    let rows = asked.fetch_all(&mut **connection).await?;
    rows.iter().map(audit_row).collect()
}

fn audit_row(row: &PgRow) -> Result<AuditRow, Error> {
    let created: Option<&str> = row.get("created_kind");
    let created =
        created.map(|kind| codec::key(kind, row.get("created_id"), ("audit", "created_id"))).transpose()?;
    Ok(AuditRow { intent: intent(row)?, written: row.get("written"), created })
}

/// Deletes audit rows that were kept long enough.
pub(super) async fn retain(connection: &mut Transaction, retention: &Retention) -> Result<u64, Error> {
    // Ids are in the order of writing, so only the first rows need a look. Open ones stay: their outcome is still to be found.
    // What another instance deletes at the same time is left to it.
    let sql = "DELETE FROM audit
                WHERE id = ANY (ARRAY (SELECT id FROM (SELECT id, at FROM audit WHERE written IS NOT NULL ORDER BY id LIMIT $2
                                                          FOR UPDATE SKIP LOCKED) oldest
                                        WHERE at < $1))";
    let done = connection
        .query(sql)
        .bind(retention.audit_before.as_millis())
        .bind(i64::from(retention.rows_max))
        .execute(&mut **connection)
        .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::plans::Plans;

    /// Nine rows for each contact, one of them of the create that a lead came of.
    const ROWS: &str = "
        INSERT INTO audit (id, connection, at, kind, record_id, creates, field, old, new, rule, cause_kind, cause, written,
                           created_kind, created_id)
        SELECT gen_random_uuid(), 'acme', n, 'contact', n / 9, CASE n % 9 WHEN 0 THEN 'Lead' END, 'City', '', '', '', 'sweep',
               gen_random_uuid(), true, CASE n % 9 WHEN 0 THEN 'Lead' END, CASE n % 9 WHEN 0 THEN n END
          FROM generate_series(1, 20000) n";

    #[tokio::test]
    async fn the_audit_of_one_record_walks_no_table() {
        let Some(mut plans) = Plans::of(ROWS).await else { return };
        let types = "text, text, bigint, uuid, bigint, text, text";
        for (kind, id) in [("contact", "1000"), ("Lead", "9000"), ("contact", "no such")] {
            let values = format!("'acme', 'salesforce', 0, '{}', 50, '{kind}', '{id}'", Uuid::nil());
            assert_eq!(plans.walks((OF_RECORD, types, &*values)).await, None, "{kind} {id}");
        }
    }

    #[tokio::test]
    async fn the_audit_of_a_connection_is_read_in_its_order() {
        let Some(mut plans) = Plans::of(ROWS).await else { return };
        let values = format!("'acme', NULL, 0, '{}', 50", Uuid::nil());
        let asked = (OF_CONNECTION, "text, text, bigint, uuid, bigint", &*values);
        assert_eq!(plans.walks(asked).await, None);
    }
}
