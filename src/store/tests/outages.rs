//! A PostgreSQL server that goes away and comes back.

use crate::store::Error;
use crate::store::postgres;
use crate::store::testing::{Durability, PostgresDatabase, TestServer, pass_over};

use super::*;

/// A server of the test's own, which it may kill. Its machine stays, so that what it wrote need not be on disk.
async fn on_a_server() -> Option<(TestServer, Memory)> {
    let server = match TestServer::start(Durability::None) {
        Ok(server) => server,
        Err(reason) => {
            pass_over(&format!("{reason:#}"));
            return None;
        }
    };
    let database = PostgresDatabase::create(&server.url()).await.unwrap();
    let store = open_at(&database.url).await;
    let name = ConnectionName::parse("acme").unwrap();
    Some((server, Memory { database: TestDatabase::Postgres(database), store, name }))
}

#[tokio::test]
async fn a_check_fails_while_the_server_is_down_and_passes_when_it_is_back() {
    let Some((server, memory)) = on_a_server().await else { return };
    memory.store.check(at(1)).await.unwrap();
    server.kill().unwrap();
    let error = memory.store.check(at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    server.restart().unwrap();
    memory.store.check(at(3)).await.unwrap();
}

#[tokio::test]
async fn connections_that_died_while_they_rested_are_replaced_unseen() {
    let Some((server, memory)) = on_a_server().await else { return };
    // More than one rests.
    futures::future::join_all((1..=5).map(|n| memory.store.check(at(n)))).await;
    server.restart().unwrap();
    memory.store.check(at(6)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_1_what_is_acknowledged_survives_a_server_that_is_killed_in_the_middle() {
    const KILLS: usize = 3;
    const BETWEEN_KILLS: usize = 40;
    let Some((server, memory)) = on_a_server().await else { return };
    let (store, empty) = (Arc::clone(&memory.store), memory.delivery(&[]));
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let sender = tokio::spawn(async move {
        for n in 1.. {
            let mark = Mark::at(contact(n), at(1));
            let delivery = NewDelivery { id: Uuid::now_v7(), marks: vec![mark], ..empty.clone() };
            match store.accept([delivery].into()).await {
                Ok(()) if acknowledge.send(contact(n)).is_err() => return,
                Ok(()) => {}
                // Whoever sent it would send it again; here it must only be no other error.
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
            }
        }
    });
    let mut keys = Vec::new();
    for kill in 0..=KILLS {
        for _ in 0..BETWEEN_KILLS {
            keys.push(acknowledged.recv().await.expect("the pool connects again"));
        }
        if kill < KILLS {
            server.restart().unwrap();
        }
    }
    drop(acknowledged);
    sender.await.unwrap();
    for key in keys {
        let status = memory.store.record(&memory.name, &key).await.unwrap();
        assert!(status.is_some_and(|status| status.pending), "{key} was acknowledged and is lost");
    }
}

/// Makes the database one that only reads, as a standby is, for sessions that begin from now on.
const ONLY_READS: &str = "
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
    END $$";

/// Ends that, for sessions that begin from now on.
const WRITES_AGAIN: &str = "
    BEGIN READ WRITE;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
    END $$;
    COMMIT";

#[tokio::test]
async fn connections_to_what_became_a_standby_are_replaced_unseen() {
    let Some(mut memory) = Memory::new(Postgres).await else { return };
    upkeep::execute(&memory, ONLY_READS).await;
    memory.store.close().await;
    memory.store = open(&Options { url: memory.database.url(), migrate: false }).await.unwrap();
    // More than one rests.
    futures::future::join_all((1..=5).map(|_| memory.store.next_due(&memory.name))).await;
    upkeep::execute(&memory, WRITES_AGAIN).await;
    memory.store.check(at(1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_only_reads_is_unavailable_and_a_bad_statement_is_not() {
    let Some(mut memory) = Memory::new(Postgres).await else { return };
    let delivery = memory.delivery(&[contact(1)]);
    memory.store.accept([delivery.clone()].into()).await.unwrap();
    let again = memory.store.accept([delivery].into()).await;
    assert!(matches!(again, Err(Error::Statement(_))), "{again:?}");
    upkeep::execute(&memory, ONLY_READS).await;
    memory.store.close().await;
    memory.store = open(&Options { url: memory.database.url(), migrate: false }).await.unwrap();
    let refused = memory.store.accept([memory.delivery(&[contact(2)])].into()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk_even_where_the_database_would_not_wait_for_it() {
    let Some(mut memory) = Memory::new(Postgres).await else { return };
    let sql = "DO $$ BEGIN
                   EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
               END $$;
               CREATE TABLE seen (setting TEXT);
               CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   INSERT INTO seen VALUES (current_setting('synchronous_commit'));
                   RETURN NEW;
               END $$;
               CREATE TRIGGER see AFTER INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION see();";
    upkeep::execute(&memory, sql).await;
    memory.restart().await;
    memory.mark(&[contact(1)]).await;
    let pool = sqlx::PgPool::connect(&memory.database.url()).await.unwrap();
    let seen: String = sqlx::query_scalar("SELECT setting FROM seen").fetch_one(&pool).await.unwrap();
    pool.close().await;
    assert_eq!(seen, "on");
}

#[test]
fn the_servers_own_condition_is_told_from_a_bad_statement() {
    // Connection lost, standby, deadlock, disk full, out of memory, too many connections, locked, cancelled, shut down, starting, I/O.
    for code in
        ["08006", "25006", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P03", "58030"]
    {
        assert!(!postgres::blames_statement(code), "{code}");
    }
    // Zero byte, out of range, twice the same key, a missing value, no such table, one row touched twice.
    for code in ["22021", "22003", "23505", "23502", "42P01", "21000"] {
        assert!(postgres::blames_statement(code), "{code}");
    }
}
