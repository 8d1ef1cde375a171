//! The contract where stories meet: two results in one commit, two workers on one pair, one bad delivery among good ones.

use super::*;

#[rstest]
#[tokio::test]
async fn of_two_pairs_in_one_commit_that_share_a_record_the_later_one_stays(
    #[values(Sqlite, Postgres)] on: Database,
) {
    for (earlier, later) in [((1, 1), (1, 2)), ((1, 1), (2, 1))] {
        let Some(memory) = Memory::new(on).await else { return };
        let worker = Uuid::now_v7();
        memory.mark(&[contact(8), contact(9)]).await;
        let claimed = memory.claim_as(worker, 10).await;
        let put = |claimed: &Claimed, (hubspot, salesforce): (u64, u32), city: &str| {
            let base = Base::from_iter([("city".to_owned(), Agreed::new(Value::text(city)))]);
            let pair = Pair { base, ..pair(contact(hubspot), lead(salesforce)) };
            Finished { pair: Some(pair), released: any_record(), ..finished(claimed, Outcome::Done) }
        };
        let both = [put(&claimed[0], earlier, "Bonn"), put(&claimed[1], later, "Kiel")];
        memory.finish_as(worker, &both).await;
        let keys = [contact(1), contact(2), lead(1), lead(2)];
        let pairs = memory.store.pairs_of(&memory.name, &keys).await.unwrap();
        let stays = both[1].pair.as_ref().unwrap();
        let expected = keys.map(|key| stays.records().contains(&key).then(|| stays.clone()));
        assert_eq!(pairs, expected, "{earlier:?} then {later:?}");
    }
}

#[rstest]
#[tokio::test]
async fn pairs_of_one_commit_come_to_what_they_would_in_commits_of_their_own(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let (Some(at_once), Some(one_by_one)) = (Memory::new(on).await, Memory::new(on).await) else { return };
    let (mut chance, worker) = (fastrand::Rng::with_seed(7), Uuid::now_v7());
    for round in 0..15 {
        let mut any_pair = |place: u64| {
            let city = Agreed::new(Value::text(format!("{round} {place}")));
            let base = Base::from_iter([("city".to_owned(), city)]);
            Pair { base, ..pair(contact(chance.u64(1..=5)), lead(chance.u32(1..=5))) }
        };
        let found: Vec<Pair> = (0..4).map(&mut any_pair).collect();
        for (memory, commit_size) in [(&at_once, 4), (&one_by_one, 1)] {
            // The pairs are found while others are worked.
            memory.mark(&[contact(11), contact(12), contact(13), contact(14)]).await;
            let claimed = memory.claim_as(worker, 10).await;
            let put = |(claimed, pair): (&Claimed, &Pair)| Finished {
                pair: Some(pair.clone()),
                released: any_record(),
                ..finished(claimed, Outcome::Done)
            };
            let outcomes: Vec<Finished> = claimed.iter().zip(&found).map(put).collect();
            for commit in outcomes.chunks(commit_size) {
                memory.finish_as(worker, commit).await;
            }
        }
        let keys: Vec<RecordKey> = (1..=5).flat_map(|n| [contact(n.into()), lead(n)]).collect();
        let pairs = at_once.store.pairs_of(&at_once.name, &keys).await.unwrap();
        assert_eq!(pairs, one_by_one.store.pairs_of(&one_by_one.name, &keys).await.unwrap(), "{found:#?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_create_is_open_until_its_end_is_known(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1), contact(2)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let creates = |n: usize, creates| Intent { creates, ..intent(claimed[n].jobs[0].key, &claimed[n]) };
    let (create, update) = (creates(0, Some(Kind::Lead)), creates(1, None));
    let of_another_field = Intent { id: Uuid::now_v7(), ..create.clone() };
    memory.store.intend(&memory.name, &[create.clone(), of_another_field.clone(), update]).await.unwrap();
    let open =
        async || memory.store.with_open_creates(&memory.name, &[contact(1), contact(2), lead(1)]).await;
    assert_eq!(open().await.unwrap(), [create.key]);
    let settle = async |intent: &Intent| {
        let settled = vec![(intent.id, Settled::NotWritten)];
        memory.finish_as(worker, &[Finished { settled, ..finished(&claimed[0], Outcome::Release) }]).await;
    };
    settle(&create).await;
    assert_eq!(open().await.unwrap(), [create.key], "one of its fields is open still");
    settle(&of_another_field).await;
    assert_eq!(open().await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn the_audit_of_one_system_has_what_was_written_there(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let account = RecordKey::parse(Kind::Account, "001000000000001").unwrap();
    let company = RecordKey::parse(Kind::Company, "7").unwrap();
    let keys = [contact(1), company, lead(1), account];
    let intents = keys.map(|key| Intent { creates: None, ..intent(key, &claimed[0]) });
    let create = Intent { creates: Some(Kind::Account), ..intent(company, &claimed[0]) };
    memory.store.intend(&memory.name, &[&intents[..], std::slice::from_ref(&create)].concat()).await.unwrap();
    let settled = vec![(create.id, Settled::written(Some(account)))];
    memory.finish_as(worker, &[Finished { settled, ..finished(&claimed[0], Outcome::Done) }]).await;
    for (system, expected) in [
        (System::Hubspot, vec![intents[0].id, intents[1].id]),
        (System::Salesforce, vec![intents[2].id, intents[3].id, create.id]),
    ] {
        let query = AuditQuery {
            connection: &memory.name,
            system: Some(system),
            key: None,
            since: None,
            after: None,
            limit: 10,
        };
        let rows = memory.store.audit(&query).await.unwrap();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.intent.id).collect();
        assert_eq!(ids, expected, "{system}");
    }
}

#[rstest]
#[tokio::test]
async fn a_delivery_that_cannot_be_stored_fails_alone(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let (door, keeper) = memory.door();
    let keeper = tokio::spawn(keeper);
    let first = memory.delivery(&[contact(1)]);
    door.accept(vec![first.clone()]).await.unwrap();
    // All three are handed in before the task behind the door runs, so they share a transaction.
    let group = [memory.delivery(&[contact(2)]), first, memory.delivery(&[contact(3)])]
        .map(|one| door.accept(vec![one]));
    let outcomes = futures::future::join_all(group).await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(memory.claim_as(Uuid::now_v7(), 10).await.len(), 3);
    drop(door);
    keeper.await.unwrap();
}

pub(super) fn resync_of(memory: &Memory, total: u64) -> Resync {
    Resync {
        id: Uuid::now_v7(),
        connection: memory.name.clone(),
        all_of: None,
        keys: Vec::new(),
        dry_run: false,
        complete: false,
        cursor: None,
        total,
        done: 0,
        failed: 0,
        preview: BTreeMap::new(),
        created_at: at(1),
    }
}

#[rstest]
#[tokio::test]
async fn a_resync_keeps_its_say_while_its_record_waits_for_a_retry(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let resync = marked_by_a_resync(&memory, contact(1)).await;
    let claimed = memory.claim_as(worker, 10).await;
    let retry = Outcome::Retry {
        at: at(60),
        counts: true,
        category: Category::Unavailable,
        message: "busy".to_owned(),
    };
    memory.finish_as(worker, &[finished(&claimed[0], retry)]).await;
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 60).await;
    assert_eq!(claimed[0].jobs[0].cause, Cause::ResyncOne(resync), "a person asked, and it is not done yet");
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
    assert_eq!(counts_of(&memory, resync).await, (1, 0));
}

#[rstest]
#[tokio::test]
async fn a_resync_of_one_record_is_not_forgotten_for_what_asks_for_less(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let one = marked_by_a_resync(&memory, contact(1)).await;
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    assert_eq!(claimed[0].jobs[0].cause, Cause::ResyncOne(one), "an event asks for less");
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Release)]).await;
    let many = Resync { all_of: Some(AllOf::Kind(Kind::HubspotContact)), ..resync_of(&memory, 1) };
    memory.store.create_resync(&many).await.unwrap();
    memory
        .store
        .advance_resync(&many, None, &[Mark::of(contact(1)), Mark::of(contact(2))], at(2))
        .await
        .unwrap();
    let claimed = memory.claim_as(worker, 20).await;
    let causes: Vec<Cause> = claimed.iter().map(|claimed| claimed.jobs[0].cause).collect();
    assert_eq!(causes, [Cause::ResyncOne(many.id), Cause::Resync(many.id)], "one of many asks for less");
    let outcomes: Vec<Finished> = claimed.iter().map(|claimed| finished(claimed, parked())).collect();
    memory.finish_as(worker, &outcomes).await;
    // It was worked once: what comes now is an event like others.
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 60).await;
    assert!(matches!(claimed[0].jobs[0].cause, Cause::Delivery(_)), "{:?}", claimed[0].jobs[0].cause);
}

#[rstest]
#[tokio::test]
async fn what_messages_say_of_a_change_comes_together(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let told = |changed: Changed| {
        let mark = Mark { changed, ..Mark::at(contact(1), at(1)) };
        NewDelivery { marks: vec![mark], ..memory.delivery(&[]) }
    };
    let city = |millis| Changed::property("city", at(millis));
    // Together and one after the other; the older change of the city arrives last.
    memory.store.accept([told(city(7)), told(Changed::association(at(5)))].into()).await.unwrap();
    memory.store.accept([told(Changed::property("zip", at(6)))].into()).await.unwrap();
    memory.store.accept([told(city(3)), told(Changed::association(at(4)))].into()).await.unwrap();
    let claimed = memory.claim_as(worker, 10).await;
    let properties = BTreeMap::from([("city".to_owned(), at(7)), ("zip".to_owned(), at(6))]);
    let both = Changed::Only { properties, associated: Some(at(5)) };
    assert_eq!(claimed[0].jobs[0].changed, both);
    // What comes during the work is added, and a failure forgets nothing.
    memory.store.accept([told(city(9))].into()).await.unwrap();
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
    let claimed = memory.claim_as(worker, 60).await;
    assert!(
        matches!(&claimed[0].jobs[0].changed, Changed::Only { properties, .. } if properties["city"] == at(9))
    );
    memory.store.mark(&memory.name, &[Mark::of(contact(1))], Cause::Sweep(worker), at(61)).await.unwrap();
    memory.store.accept([told(city(10))].into()).await.unwrap();
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Release)]).await;
    let claimed = memory.claim_as(worker, 70).await;
    assert_eq!(claimed[0].jobs[0].changed, Changed::Anything, "a sweep says nothing of the change");
}

async fn marked_by_a_resync(memory: &Memory, key: RecordKey) -> Uuid {
    let resync = resync_of(memory, 1);
    memory.store.create_resync(&resync).await.unwrap();
    let mark = Mark::at(key, at(1));
    memory.store.advance_resync(&resync, None, &[mark], at(1)).await.unwrap();
    resync.id
}

pub(super) async fn counts_of(memory: &Memory, resync: Uuid) -> (u64, u64) {
    let resync = memory.store.resync(resync).await.unwrap().unwrap();
    (resync.done, resync.failed)
}

#[rstest]
#[tokio::test]
async fn every_resync_of_a_record_counts_it(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let resyncs =
        [marked_by_a_resync(&memory, contact(1)).await, marked_by_a_resync(&memory, contact(1)).await];
    let claimed = memory.claim_as(worker, 10).await;
    assert_eq!(claimed[0].jobs[0].cause, Cause::ResyncOne(resyncs[1]), "the audit names the latest");
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
    for resync in resyncs {
        assert_eq!(counts_of(&memory, resync).await, (1, 0));
    }
}

#[rstest]
#[tokio::test]
async fn a_resync_counts_a_record_once_and_a_discarded_one_as_failed(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let resync = marked_by_a_resync(&memory, contact(1)).await;
    let claimed = memory.claim_as(worker, 10).await;
    memory.finish_as(worker, &[finished(&claimed[0], parked())]).await;
    assert!(memory.store.retry_job(claimed[0].jobs[0].id, at(60)).await.unwrap());
    let claimed = memory.claim_as(worker, 60).await;
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
    assert_eq!(counts_of(&memory, resync).await, (0, 1));

    let resync = marked_by_a_resync(&memory, contact(2)).await;
    let claimed = memory.claim_as(worker, 10).await;
    memory.store.release_all(worker).await.unwrap();
    assert!(memory.store.discard_job(claimed[0].jobs[0].id, at(60)).await.unwrap());
    assert_eq!(counts_of(&memory, resync).await, (0, 1));
}

#[rstest]
#[tokio::test]
async fn a_record_waits_while_somebody_works_on_the_twin_it_just_got(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    memory.mark(&[lead(1)]).await;
    let in_hand = memory.claim_as(one, 10).await;
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(other, 10).await;
    let linked = Finished { pair: Some(pair(contact(1), lead(1))), ..finished(&claimed[0], Outcome::Done) };
    memory.finish_as(other, &[linked]).await;
    memory.mark(&[contact(1)]).await;
    assert!(memory.claim_as(other, 20).await.is_empty(), "its twin is in other hands");
    assert_eq!(memory.store.next_due(&memory.name).await.unwrap(), Some(at(10 + LEASE)));
    memory.finish_as(one, &[finished(&in_hand[0], Outcome::Done)]).await;
    assert_eq!(memory.claim_as(other, 20).await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn what_a_lease_on_the_pair_holds_back_is_due_when_the_lease_ends(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let linked = Finished { pair: Some(pair(contact(1), lead(1))), ..finished(&claimed[0], Outcome::Done) };
    memory.finish_as(worker, &[linked]).await;
    memory.mark(&[contact(1)]).await;
    assert_eq!(memory.claim_as(worker, 20).await.len(), 1);
    memory.mark(&[lead(1)]).await;
    // Were it due at once, whoever asks would ask again and again until the lease ends.
    assert_eq!(memory.store.next_due(&memory.name).await.unwrap(), Some(at(20 + LEASE)));
}

#[tokio::test]
async fn asking_for_migrations_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.db");
    let listed = crate::store::migrations(&format!("sqlite://{}", path.display())).await.unwrap();
    assert!(!listed.is_empty() && listed.iter().all(|status| !status.applied));
    assert!(!path.exists());
}

#[rstest]
#[tokio::test]
async fn retention_takes_the_oldest_first_and_no_more_than_asked(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    for n in 1..=3 {
        memory.mark(&[contact(n)]).await;
    }
    let young = NewDelivery { received_at: at(100), ..memory.delivery(&[contact(4)]) };
    memory.store.accept([young].into()).await.unwrap();
    let retention = Retention {
        deliveries_before: at(50),
        audit_before: at(50),
        notifications_before: at(50),
        rows_max: 2,
    };
    for gone in [2, 1, 0] {
        assert_eq!(memory.store.retain(&retention).await.unwrap(), gone);
    }
}

#[rstest]
#[tokio::test]
async fn a_resync_counts_what_became_of_its_records(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let mut resync = Resync {
        id: Uuid::now_v7(),
        connection: memory.name.clone(),
        all_of: None,
        keys: vec![contact(1), contact(2)],
        dry_run: false,
        complete: false,
        cursor: None,
        total: 2,
        done: 0,
        failed: 0,
        preview: BTreeMap::new(),
        created_at: at(1),
    };
    memory.store.create_resync(&resync).await.unwrap();
    assert_eq!(memory.store.open_resyncs(&memory.name).await.unwrap(), [resync.clone()]);
    resync.complete = true;
    let marks: Vec<Mark> =
        std::mem::take(&mut resync.keys).into_iter().map(|key| Mark::at(key, at(2))).collect();
    memory.store.advance_resync(&resync, None, &marks, at(2)).await.unwrap();
    // An event of the same record in between does not take the resync's say.
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    assert!(claimed.iter().all(|claimed| claimed.jobs[0].cause == Cause::Resync(resync.id)));
    let outcomes = [finished(&claimed[0], Outcome::Done), finished(&claimed[1], parked())];
    memory.finish_as(worker, &outcomes).await;
    let after = memory.store.resync(resync.id).await.unwrap().unwrap();
    assert_eq!((after.done, after.failed, after.complete), (1, 1, true));
    assert!(memory.store.open_resyncs(&memory.name).await.unwrap().is_empty());
}
