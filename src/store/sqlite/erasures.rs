//! Erasing what is held of contacts that were erased for privacy.

use serde_json::Value as Json;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use crate::store::Error;
use crate::store::codec::{self, key_json, to_json};
use crate::store::erasure::{self, KEY, MESSAGE, ROWS_MAX, STOPPED, Step};

/// Notes that a contact was erased.
pub(super) const INSERT_ERASURE: &str = "INSERT INTO erasures (connection, kind, record_id, told_at, step) VALUES (?1, ?2, ?3, ?4, 'pair') ON CONFLICT DO NOTHING";

/// An erasure on its way.
struct Erasure {
    key: RecordKey,
    counterpart: Option<RecordKey>,
    step: Step,
    cursor: Vec<u8>,
}

const OPEN: &str = "SELECT kind, record_id, counterpart_kind, counterpart_id, step, cursor FROM erasures
                     WHERE connection = ?1 ORDER BY kind, record_id LIMIT 1";

/// Whether there is anything to erase.
pub(super) async fn any(pool: &SqlitePool, name: &ConnectionName) -> Result<bool, Error> {
    Ok(sqlx::query(OPEN).bind(name.as_str()).fetch_optional(pool).await?.is_some())
}

/// Goes one step on. Returns whether it did.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    now: Timestamp,
) -> Result<bool, Error> {
    let row = sqlx::query(OPEN).bind(name.as_str()).fetch_optional(&mut *connection).await?;
    let Some(mut erasure) = row.as_ref().map(read).transpose()? else { return Ok(false) };
    let step = erasure.step;
    let next = match step {
        Step::Pair | Step::Again => {
            if !erase_pair(connection, name, &mut erasure, now).await? {
                return Ok(false);
            }
            (step == Step::Pair).then_some(Step::Deliveries)
        }
        Step::Deliveries if erase_deliveries(connection, name, &mut erasure).await? => Some(Step::Audit),
        Step::Audit if erase_audit(connection, name, &erasure).await? => Some(Step::Again),
        Step::Deliveries | Step::Audit => Some(step),
    };
    record(connection, name, &erasure, next).await?;
    Ok(true)
}

fn read(row: &SqliteRow) -> Result<Erasure, Error> {
    let counterpart: Option<&str> = row.get("counterpart_kind");
    let counterpart = counterpart
        .map(|kind| codec::key(kind, row.get("counterpart_id"), ("erasures", "counterpart_id")))
        .transpose()?;
    Ok(Erasure {
        key: codec::key(row.get("kind"), row.get("record_id"), ("erasures", "record_id"))?,
        counterpart,
        step: Step::parse(row.get("step"))?,
        cursor: row.get::<Option<Vec<u8>>, _>("cursor").unwrap_or_default(),
    })
}

async fn record(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    erasure: &Erasure,
    next: Option<Step>,
) -> Result<(), Error> {
    let sql = match next {
        Some(_) => {
            "UPDATE erasures SET step = ?4, cursor = ?5, counterpart_kind = ?6, counterpart_id = ?7
              WHERE connection = ?1 AND kind = ?2 AND record_id = ?3"
        }
        None => "DELETE FROM erasures WHERE connection = ?1 AND kind = ?2 AND record_id = ?3",
    };
    let mut query = sqlx::query(sql)
        .bind(name.as_str())
        .bind(erasure.key.kind().as_str())
        .bind(erasure.key.id().to_string());
    if let Some(next) = next {
        query = query
            .bind(next.as_str())
            .bind(erasure.cursor.as_slice())
            .bind(erasure.counterpart.map(|key| key.kind().as_str()))
            .bind(erasure.counterpart.map(|key| key.id().to_string()));
    }
    query.execute(connection).await?;
    Ok(())
}

/// The records whose rows hold the values.
fn records(erasure: &Erasure) -> Result<String, Error> {
    let keys: Vec<Json> = [Some(erasure.key), erasure.counterpart].iter().flatten().map(key_json).collect();
    to_json(&keys)
}

/// Empties the base of the pair, stops it, keeps the hash of the address, and erases the messages of both records. Waits while somebody
/// works on either record: returns whether it was done.
async fn erase_pair(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    erasure: &mut Erasure,
    now: Timestamp,
) -> Result<bool, Error> {
    let pair = "SELECT p.id, p.salesforce_kind, p.salesforce_id, p.base
                  FROM links l CROSS JOIN pairs p ON p.id = l.pair_id
                 WHERE l.connection = ?1 AND l.kind = ?2 AND l.record_id = ?3";
    let pair = sqlx::query(pair)
        .bind(name.as_str())
        .bind(erasure.key.kind().as_str())
        .bind(erasure.key.id().to_string())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(pair) = &pair {
        let (kind, id) = (pair.get("salesforce_kind"), pair.get("salesforce_id"));
        erasure.counterpart = Some(codec::key(kind, id, ("pairs", "salesforce_id"))?);
    }
    let records = records(erasure)?;
    let leased = "SELECT 1 FROM jobs
                   WHERE (connection, kind, record_id) IN (SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2))
                     AND lease_until > ?3
                   LIMIT 1";
    let leased = sqlx::query(leased).bind(name.as_str()).bind(&records).bind(now.as_millis());
    if leased.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(false);
    }
    if let Some(pair) = pair {
        if let Some(address) = erasure::address_in(pair.get("base"))? {
            let hash = erasure::hash(&make_key(connection).await?, name, &address)?;
            let keep = "INSERT INTO erased_addresses (connection, hash, erased_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            sqlx::query(keep)
                .bind(name.as_str())
                .bind(hash)
                .bind(now.as_millis())
                .execute(&mut *connection)
                .await?;
        }
        let empty = "UPDATE pairs SET base = '{}', set_aside = 0, stopped = ?2 WHERE id = ?1";
        sqlx::query(empty).bind(pair.get::<i64, _>("id")).bind(STOPPED).execute(&mut *connection).await?;
    }
    for sql in [
        "UPDATE jobs SET told = NULL, message = CASE WHEN message IS NULL THEN NULL ELSE ?3 END
          WHERE (connection, kind, record_id) IN (SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2))",
        "UPDATE records SET message = CASE WHEN message IS NULL THEN NULL ELSE ?3 END
          WHERE (connection, kind, record_id) IN (SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2))",
    ] {
        sqlx::query(sql).bind(name.as_str()).bind(&records).bind(MESSAGE).execute(&mut *connection).await?;
    }
    Ok(true)
}

/// The key that addresses are hashed with, made at random the first time.
async fn make_key(connection: &mut SqliteConnection) -> Result<Vec<u8>, Error> {
    let make = "INSERT INTO secret_keys (name, value) VALUES (?1, randomblob(32)) ON CONFLICT DO NOTHING";
    sqlx::query(make).bind(KEY).execute(&mut *connection).await?;
    let key = "SELECT value FROM secret_keys WHERE name = ?1";
    Ok(sqlx::query_scalar(key).bind(KEY).fetch_one(connection).await?)
}

/// Looks at the next deliveries, whoever they are of, as they are read in their order. Returns whether those were the last.
async fn erase_deliveries(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    erasure: &mut Erasure,
) -> Result<bool, Error> {
    let next = "SELECT id, CASE WHEN connection = ?3 AND source = 'hubspot' AND instr(body, CAST(?4 AS BLOB)) > 0 THEN body END AS body
                  FROM deliveries WHERE id > ?1 ORDER BY id LIMIT ?2";
    let id = erasure.key.id().to_string();
    let rows = sqlx::query(next)
        .bind(erasure.cursor.as_slice())
        .bind(ROWS_MAX)
        .bind(name.as_str())
        .bind(&id)
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        let body = row.get::<Option<&[u8]>, _>("body").and_then(|body| erasure::scrubbed(body, &id));
        if let Some(body) = body {
            let put = "UPDATE deliveries SET body = ?2 WHERE id = ?1";
            sqlx::query(put).bind(row.get::<&[u8], _>("id")).bind(body).execute(&mut *connection).await?;
        }
    }
    let Some(last) = rows.last() else { return Ok(true) };
    erasure.cursor = last.get("id");
    Ok(rows.len() < ROWS_MAX as usize)
}

/// Erases the values of the next audit rows. Returns whether none is left.
async fn erase_audit(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    erasure: &Erasure,
) -> Result<bool, Error> {
    let sql = "UPDATE audit SET old = ?3, new = ?3
                WHERE id IN (
                      SELECT a.id FROM json_each(?2) wanted
                        CROSS JOIN audit a ON a.connection = ?1 AND a.kind = wanted.value ->> 0 AND a.record_id = wanted.value ->> 1
                       WHERE a.old <> ?3 OR a.new <> ?3
                      UNION ALL
                      SELECT a.id FROM json_each(?2) wanted
                        CROSS JOIN audit a ON a.connection = ?1 AND a.created_kind = wanted.value ->> 0
                             AND a.created_id = wanted.value ->> 1
                       WHERE a.created_id IS NOT NULL AND (a.old <> ?3 OR a.new <> ?3)
                      LIMIT ?4)";
    let done = sqlx::query(sql)
        .bind(name.as_str())
        .bind(records(erasure)?)
        .bind(erasure::nothing()?)
        .bind(ROWS_MAX)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 0)
}

/// Which of the addresses are those of erased contacts.
pub(super) async fn erased(
    pool: &SqlitePool,
    name: &ConnectionName,
    addresses: &[String],
) -> Result<Vec<bool>, Error> {
    let key = "SELECT value FROM secret_keys WHERE name = ?1";
    let key: Option<Vec<u8>> = sqlx::query_scalar(key).bind(KEY).fetch_optional(pool).await?;
    let Some(key) = key else { return Ok(vec![false; addresses.len()]) };
    let mut answers = Vec::with_capacity(addresses.len());
    for address in addresses {
        let sql = "SELECT 1 FROM erased_addresses WHERE connection = ?1 AND hash = ?2";
        let hash = erasure::hash(&key, name, address)?;
        answers.push(sqlx::query(sql).bind(name.as_str()).bind(hash).fetch_optional(pool).await?.is_some());
    }
    Ok(answers)
}
