//! The group commit: each caller gets its own answer.

use super::*;

#[rstest]
#[tokio::test]
async fn the_door_answers_each_caller_after_its_own_commit(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let (door, keeper) = memory.door();
    let keeper = tokio::spawn(keeper);
    let accept = |n: u64| door.accept(vec![memory.delivery(&[contact(n)])]);
    for outcome in futures::future::join_all((1..=50).map(accept)).await {
        outcome.unwrap();
    }
    assert_eq!(memory.claim_as(Uuid::now_v7(), 10).await.len(), 50);
    drop(door);
    keeper.await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_store_that_cannot_write_says_so_to_all_who_wait(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let (door, keeper) = memory.door();
    let keeper = tokio::spawn(keeper);
    memory.store.close().await;
    let outcome = door.accept(vec![memory.delivery(&[contact(1)])]).await;
    assert!(matches!(outcome, Err(crate::store::door::DoorError::Unavailable(_))));
    drop(door);
    keeper.await.unwrap();
}
