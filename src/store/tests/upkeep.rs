//! Opening, figures and retention.

use super::*;

#[tokio::test]
async fn connections_allowances_figures_and_retention() {
    let memory = Memory::new().await;
    let name = &memory.name;
    assert_eq!(memory.store.connection_state(name).await.unwrap(), ConnectionState::Running);
    let state = ConnectionState::Unauthorized("token expired".to_owned());
    memory.store.set_connection_state(name, &state, at(1)).await.unwrap();
    assert_eq!(memory.store.connection_state(name).await.unwrap(), state);
    assert_eq!(memory.store.count_calls(name, "2026-11-24", 3).await.unwrap(), 3);
    assert_eq!(memory.store.count_calls(name, "2026-11-24", 2).await.unwrap(), 5);
    memory.mark(&[contact(1)]).await;
    let figures = memory.store.queue_figures(name, at(9)).await.unwrap();
    assert_eq!((figures.jobs["due"], figures.jobs["parked"], figures.oldest_due), (1, 0, Some(at(1))));
    memory.store.check(at(7)).await.unwrap();
    let all = Retention {
        deliveries_before: at(9),
        audit_before: at(9),
        notifications_before: at(9),
        rows_max: 10,
    };
    assert_eq!(memory.store.retain(&all).await.unwrap(), 1);
    assert_eq!(memory.store.retain(&all).await.unwrap(), 0);
}

#[tokio::test]
async fn only_a_file_can_be_opened_and_a_newer_schema_is_refused() {
    for url in ["postgres://u:secret@h/d", "sqlite::memory:", "nonsense"] {
        let error = open(&Options { url: url.to_owned(), migrate: true }).await.err().unwrap();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let memory = Memory::new().await;
    let url = format!("sqlite://{}/test.db", memory.directory.path().display());
    assert!(crate::store::migrations(&url).await.unwrap().iter().all(|status| status.applied));
    memory.store.close().await;
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 5").execute(&pool).await.unwrap();
    pool.close().await;
    for migrate in [true, false] {
        let error = open(&Options { url: url.clone(), migrate }).await.err().unwrap();
        assert!(error.to_string().contains("migrations"), "{error}");
    }
}
