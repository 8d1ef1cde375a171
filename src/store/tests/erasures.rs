//! Contacts that were erased for privacy: what is held of them goes, and what is not theirs stays.

use super::*;

/// Every stored body, oldest first.
async fn bodies(memory: &Memory, on: Database) -> Vec<String> {
    let sql = "SELECT body FROM deliveries ORDER BY id";
    let bodies: Vec<Vec<u8>> = match on {
        Sqlite => {
            let pool = sqlx::SqlitePool::connect(&memory.database.url()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        }
        Postgres => {
            let pool = sqlx::PgPool::connect(&memory.database.url()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
        }
    };
    bodies.into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

fn told(memory: &Memory, id: u64, city: &str) -> NewDelivery {
    let body = format!(r#"[{{"objectId":{id},"propertyName":"city","propertyValue":"{city}"}}]"#);
    NewDelivery { body: body.into(), marks: vec![Mark::of(contact(id))], ..memory.delivery(&[]) }
}

/// A pair of this contact and lead, with a written field on each side.
async fn paired(memory: &Memory, worker: Uuid, n: u32) {
    let claimed = memory.claim_as(worker, 10).await;
    let claimed = claimed.iter().find(|claimed| claimed.jobs[0].key == contact(n.into())).unwrap();
    let of_lead = Intent { key: lead(n), creates: None, ..intent(lead(n), claimed) };
    let made = intent(contact(n.into()), claimed);
    memory.store.intend(&memory.name, &[of_lead.clone(), made.clone()]).await.unwrap();
    let base = Base::from_iter([("email".to_owned(), Agreed::new(Value::text(format!("P{n}@example.com"))))]);
    let linked = Finished {
        pair: Some(Pair { base, ..pair(contact(n.into()), lead(n)) }),
        settled: vec![(of_lead.id, Settled::written(None)), (made.id, Settled::written(Some(lead(n))))],
        ..finished(claimed, parked())
    };
    memory.finish_as(worker, &[linked]).await;
    memory.store.release_all(worker).await.unwrap();
}

/// Who of the two addresses was erased.
async fn erased(memory: &Memory) -> Vec<bool> {
    let addresses = ["p1@example.com".to_owned(), " p2@EXAMPLE.com".to_owned()];
    memory.store.erased(&memory.name, &addresses).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn an_erased_contact_leaves_no_value_behind(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    // More than one step can look at; the bodies of others stay as they are.
    let many: Vec<NewDelivery> = (0..230).map(|n| told(&memory, 1 + n % 2, "Bonn")).collect();
    memory.store.accept(many.into()).await.unwrap();
    let unreadable = NewDelivery { body: "contact 1 [".into(), ..memory.delivery(&[]) };
    let of_salesforce =
        NewDelivery { body: "<Id>1</Id>".into(), source: System::Salesforce, ..memory.delivery(&[]) };
    memory.store.accept([unreadable, of_salesforce].into()).await.unwrap();
    paired(&memory, worker, 1).await;
    paired(&memory, worker, 2).await;
    assert_eq!(erased(&memory).await, [false, false]);
    let before = bodies(&memory, on).await;

    let erasing = NewDelivery { erased: vec![contact(1)], ..memory.delivery(&[contact(1)]) };
    memory.store.accept([erasing].into()).await.unwrap();
    let claimed = memory.claim_as(worker, 60).await;
    assert!(!memory.store.advance_erasures(&memory.name, at(61)).await.unwrap(), "somebody works on it");
    memory.store.release_all(worker).await.unwrap();
    let mut steps = 0;
    while memory.store.advance_erasures(&memory.name, at(70)).await.unwrap() {
        steps += 1;
        assert!(steps < 20, "it does not end");
    }
    assert!(steps >= 5, "{steps}: more deliveries than one step looks at");

    for (before, after) in before.iter().zip(bodies(&memory, on).await) {
        if before.contains(r#""objectId":1,"#) {
            assert!(!after.contains("Bonn") && after.contains("propertyName"), "{after}");
        } else if before.starts_with("contact 1") {
            assert_eq!(after, "[]");
        } else {
            assert_eq!(*before, after);
        }
    }
    let query =
        AuditQuery { connection: &memory.name, system: None, key: None, since: None, after: None, limit: 9 };
    let audit = memory.store.audit(&query).await.unwrap();
    assert_eq!(audit.len(), 4, "rows stay");
    for row in audit {
        let is_theirs = [contact(1), lead(1)].contains(&row.intent.key);
        assert_eq!(row.intent.new.is_blank(), is_theirs, "{row:?}");
    }
    let pairs = memory.store.pairs_of(&memory.name, &[contact(1), lead(2)]).await.unwrap();
    let [Some(first), Some(second)] = pairs.as_slice() else { panic!("{pairs:?}") };
    assert!(first.base.is_empty() && first.stopped.as_ref().unwrap().contains("privacy"), "{first:?}");
    assert!(!second.base.is_empty() && second.stopped.is_none(), "{second:?}");
    let record = memory.store.record(&memory.name, &contact(1)).await.unwrap().unwrap();
    assert_eq!(record.last_error.unwrap().1, "erased for privacy");
    assert_eq!(erased(&memory).await, [true, false]);
    assert_eq!(claimed.len(), 1);
}
