//! Erasing what is held of contacts that were erased for privacy.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use crate::store::Error;
use crate::store::codec;
use crate::store::erasure::{self, KEY, MESSAGE, ROWS_MAX, STOPPED, Step};
use crate::store::postgres::Transaction;

/// Notes which contacts were erased.
pub(super) async fn note(
    connection: &mut Transaction,
    name: &ConnectionName,
    keys: &[RecordKey],
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "INSERT INTO erasures (connection, kind, record_id, told_at, step)
               SELECT $1, kind, record_id, $4, 'pair' FROM unnest($2::text[], $3::text[]) AS told (kind, record_id)
                ORDER BY kind, record_id
               ON CONFLICT DO NOTHING";
    let (kinds, ids) = columns(keys.iter());
    let query = connection.query(sql).bind(name.as_str()).bind(kinds).bind(ids).bind(now.as_millis());
    query.execute(&mut **connection).await?;
    Ok(())
}

/// Keys, column by column.
fn columns<'k>(keys: impl Iterator<Item = &'k RecordKey>) -> (Vec<&'static str>, Vec<String>) {
    keys.map(|key| (key.kind().as_str(), key.id().to_string())).unzip()
}

/// An erasure on its way.
struct Erasure {
    key: RecordKey,
    counterpart: Option<RecordKey>,
    step: Step,
    cursor: Uuid,
}

/// One that another instance takes a step in is left to it.
const OPEN: &str = "SELECT kind, record_id, counterpart_kind, counterpart_id, step, cursor FROM erasures
                     WHERE connection = $1 ORDER BY kind, record_id LIMIT 1 FOR UPDATE SKIP LOCKED";

/// Goes one step on. Returns whether it did.
pub(super) async fn advance(
    connection: &mut Transaction,
    name: &ConnectionName,
    now: Timestamp,
) -> Result<bool, Error> {
    let row = connection.query(OPEN).bind(name.as_str()).fetch_optional(&mut **connection).await?;
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

fn read(row: &PgRow) -> Result<Erasure, Error> {
    let counterpart: Option<&str> = row.get("counterpart_kind");
    let counterpart = counterpart
        .map(|kind| codec::key(kind, row.get("counterpart_id"), ("erasures", "counterpart_id")))
        .transpose()?;
    Ok(Erasure {
        key: codec::key(row.get("kind"), row.get("record_id"), ("erasures", "record_id"))?,
        counterpart,
        step: Step::parse(row.get("step"))?,
        cursor: row.get::<Option<Uuid>, _>("cursor").unwrap_or_default(),
    })
}

async fn record(
    connection: &mut Transaction,
    name: &ConnectionName,
    erasure: &Erasure,
    next: Option<Step>,
) -> Result<(), Error> {
    let sql = match next {
        Some(_) => {
            "UPDATE erasures SET step = $4, cursor = $5, counterpart_kind = $6, counterpart_id = $7
              WHERE connection = $1 AND kind = $2 AND record_id = $3"
        }
        None => "DELETE FROM erasures WHERE connection = $1 AND kind = $2 AND record_id = $3",
    };
    let mut query = connection
        .query(sql)
        .bind(name.as_str())
        .bind(erasure.key.kind().as_str())
        .bind(erasure.key.id().to_string());
    if let Some(next) = next {
        query = query
            .bind(next.as_str())
            .bind(erasure.cursor)
            .bind(erasure.counterpart.map(|key| key.kind().as_str()))
            .bind(erasure.counterpart.map(|key| key.id().to_string()));
    }
    query.execute(&mut **connection).await?;
    Ok(())
}

/// The records whose rows hold the values, column by column.
fn records(erasure: &Erasure) -> (Vec<&'static str>, Vec<String>) {
    columns([Some(&erasure.key), erasure.counterpart.as_ref()].into_iter().flatten())
}

/// Empties the base of the pair, stops it, keeps the hash of the address, and erases the messages of both records. Waits while somebody
/// works on either record: returns whether it was done.
async fn erase_pair(
    connection: &mut Transaction,
    name: &ConnectionName,
    erasure: &mut Erasure,
    now: Timestamp,
) -> Result<bool, Error> {
    let pair = "SELECT id, salesforce_kind, salesforce_id, base
                  FROM pairs
                 WHERE id = (SELECT pair_id FROM links WHERE connection = $1 AND kind = $2 AND record_id = $3)";
    let pair = connection
        .query(pair)
        .bind(name.as_str())
        .bind(erasure.key.kind().as_str())
        .bind(erasure.key.id().to_string())
        .fetch_optional(&mut **connection)
        .await?;
    if let Some(pair) = &pair {
        let (kind, id) = (pair.get("salesforce_kind"), pair.get("salesforce_id"));
        erasure.counterpart = Some(codec::key(kind, id, ("pairs", "salesforce_id"))?);
    }
    let (kinds, ids) = records(erasure);
    // Locked in the order in which everybody locks jobs, so that nobody takes them up before this commits.
    let jobs = "SELECT lease_until FROM jobs
                 WHERE id = ANY (ARRAY (SELECT (SELECT id FROM jobs WHERE connection = $1 AND kind = w.kind AND record_id = w.record_id)
                                          FROM unnest($2::text[], $3::text[]) AS w (kind, record_id)))
                 ORDER BY connection, kind, record_id
                   FOR UPDATE";
    let jobs = connection.query(jobs).bind(name.as_str()).bind(&kinds).bind(&ids);
    let jobs = jobs.fetch_all(&mut **connection).await?;
    if jobs.iter().any(|row| row.get::<i64, _>("lease_until") > now.as_millis()) {
        return Ok(false);
    }
    if let Some(pair) = pair {
        if let Some(address) = erasure::address_in(pair.get("base"))? {
            let hash = erasure::hash(&make_key(connection).await?, name, &address)?;
            let keep = "INSERT INTO erased_addresses (connection, hash, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let keep = connection.query(keep).bind(name.as_str()).bind(hash).bind(now.as_millis());
            keep.execute(&mut **connection).await?;
        }
        let empty = "UPDATE pairs SET base = '{}', set_aside = 0, stopped = $2 WHERE id = $1";
        let empty = connection.query(empty).bind(pair.get::<i64, _>("id")).bind(STOPPED);
        empty.execute(&mut **connection).await?;
    }
    for sql in [
        "UPDATE jobs SET told = NULL, message = CASE WHEN message IS NULL THEN NULL ELSE $4 END
          WHERE (connection, kind, record_id) IN (SELECT $1, w.kind, w.record_id FROM unnest($2::text[], $3::text[]) AS w (kind, record_id))",
        "UPDATE records SET message = CASE WHEN message IS NULL THEN NULL ELSE $4 END
          WHERE (connection, kind, record_id) IN (SELECT $1, w.kind, w.record_id FROM unnest($2::text[], $3::text[]) AS w (kind, record_id))",
    ] {
        let query = connection.query(sql).bind(name.as_str()).bind(&kinds).bind(&ids).bind(MESSAGE);
        query.execute(&mut **connection).await?;
    }
    Ok(true)
}

/// The key that addresses are hashed with, made at random the first time.
async fn make_key(connection: &mut Transaction) -> Result<Vec<u8>, Error> {
    let make = "INSERT INTO secret_keys (name, value)
                VALUES ($1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) ON CONFLICT DO NOTHING";
    connection.query(make).bind(KEY).execute(&mut **connection).await?;
    let key = connection.query("SELECT value FROM secret_keys WHERE name = $1").bind(KEY);
    Ok(key.fetch_one(&mut **connection).await?.get("value"))
}

/// Looks at the next deliveries, whoever they are of, as they are read in their order. Returns whether those were the last.
async fn erase_deliveries(
    connection: &mut Transaction,
    name: &ConnectionName,
    erasure: &mut Erasure,
) -> Result<bool, Error> {
    let next = "SELECT id, CASE WHEN connection = $3 AND source = 'hubspot' AND position($4::bytea IN body) > 0 THEN body END AS body
                  FROM deliveries WHERE id > $1 ORDER BY id LIMIT $2";
    let id = erasure.key.id().to_string();
    let rows = connection
        .query(next)
        .bind(erasure.cursor)
        .bind(i64::from(ROWS_MAX))
        .bind(name.as_str())
        .bind(id.as_bytes())
        .fetch_all(&mut **connection)
        .await?;
    for row in &rows {
        let body = row.get::<Option<&[u8]>, _>("body").and_then(|body| erasure::scrubbed(body, &id));
        if let Some(body) = body {
            let put = "UPDATE deliveries SET body = $2 WHERE id = $1";
            let put = connection.query(put).bind(row.get::<Uuid, _>("id")).bind(body);
            put.execute(&mut **connection).await?;
        }
    }
    let Some(last) = rows.last() else { return Ok(true) };
    erasure.cursor = last.get("id");
    Ok(rows.len() < ROWS_MAX as usize)
}

/// Erases the values of the next audit rows. Returns whether none is left.
async fn erase_audit(
    connection: &mut Transaction,
    name: &ConnectionName,
    erasure: &Erasure,
) -> Result<bool, Error> {
    let sql = "UPDATE audit SET old = $4, new = $4
                WHERE id = ANY (ARRAY (
                      SELECT a.id FROM unnest($2::text[], $3::text[]) AS w (kind, record_id)
                        JOIN audit a ON a.connection = $1 AND a.kind = w.kind AND a.record_id = w.record_id
                       WHERE a.old <> $4 OR a.new <> $4
                      UNION ALL
                      SELECT a.id FROM unnest($2::text[], $3::text[]) AS w (kind, record_id)
                        JOIN audit a ON a.connection = $1 AND a.created_kind = w.kind AND a.created_id = w.record_id
                       WHERE a.created_id IS NOT NULL AND (a.old <> $4 OR a.new <> $4)
                      LIMIT $5))";
    let (kinds, ids) = records(erasure);
    let done = connection
        .query(sql)
        .bind(name.as_str())
        .bind(kinds)
        .bind(ids)
        .bind(erasure::nothing()?)
        .bind(i64::from(ROWS_MAX))
        .execute(&mut **connection)
        .await?;
    Ok(done.rows_affected() == 0)
}

/// Which of the addresses are those of erased contacts.
pub(super) async fn erased(
    connection: &mut Transaction,
    name: &ConnectionName,
    addresses: &[String],
) -> Result<Vec<bool>, Error> {
    let key = connection.query("SELECT value FROM secret_keys WHERE name = $1").bind(KEY);
    let Some(key) = key.fetch_optional(&mut **connection).await? else {
        return Ok(vec![false; addresses.len()]);
    };
    let key: Vec<u8> = key.get("value");
    let hashes = addresses.iter().map(|address| erasure::hash(&key, name, address));
    let hashes: Vec<Vec<u8>> = hashes.collect::<Result<_, Error>>()?;
    let sql = "SELECT hash FROM erased_addresses WHERE connection = $1 AND hash = ANY ($2)";
    let rows = connection.query(sql).bind(name.as_str()).bind(&hashes).fetch_all(&mut **connection).await?;
    let known: Vec<Vec<u8>> = rows.iter().map(|row| row.get("hash")).collect();
    Ok(hashes.iter().map(|hash| known.contains(hash)).collect())
}
