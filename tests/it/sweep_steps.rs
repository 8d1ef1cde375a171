//! How a sweep is done: by one instance, a page at a time, within its allowance, and without standing in anybody's way.

use hubforce::domain::Clock;
use hubforce::emulator::Fault;
use hubforce::store::types::{ConnectionState, TaskClaim};
use uuid::Uuid;

use crate::harness::{IN_LIST, Setup, TestApp, failing};
use crate::people::{ADA, linked};

/// Everything that is swept.
const EVERYTHING: &str = "create_in_salesforce = \"contact\"
    inclusion_list_id = \"77\"
    [connections.sync.companies]
    enabled = true
    [connections.sync.deals]
    enabled = true
    [connections.sync.lifecycle]
    opportunity_transitions = true";

/// So many contacts with their leads, all in agreement and swept once.
async fn people(app: &TestApp, n: usize) -> Vec<u64> {
    let create =
        |n| app.hubspot.create(&[("email", &format!("p{n}@example.com")), ("lastname", "P")]).unwrap();
    let ids = (0..n).map(create).collect();
    app.settle().await;
    app.quiet().await;
    ids
}

/// Edits them, ten at each instant.
fn edit(app: &TestApp, contacts: &[u64], city: &str) {
    for ten in contacts.chunks(10) {
        for contact in ten {
            app.hubspot.update(*contact, &[("city", city)]).unwrap();
        }
        app.clock.advance_millis(10);
    }
}

fn cities(app: &TestApp, city: &str) -> usize {
    let leads = app.salesforce.ids("Lead");
    leads.iter().filter(|lead| app.lead_field(lead, "City").as_deref() == Some(city)).count()
}

#[expect(clippy::print_stdout, reason = "a figure to read with --nocapture")]
fn say(text: &str) {
    println!("{text}");
}

fn searches(app: &TestApp) -> u64 {
    app.hubspot.control().calls_to("search")
}

#[tokio::test]
async fn an_idle_sweep_costs_at_most_ten_calls_with_everything_switched_on() {
    let app = TestApp::sweeping(EVERYTHING).await;
    app.sweep().await;
    app.forget_calls();
    app.sweep().await;
    say(&format!("an idle sweep of everything: {} calls", app.calls()));
    assert!(app.calls() <= 10, "{}", app.calls());
    app.end().await;
}

#[tokio::test]
async fn i_4_what_was_told_is_swept_without_a_read_and_without_a_write() {
    let app = TestApp::sweeping("").await;
    let contacts = people(&app, 1_000).await;
    edit(&app, &contacts, "Bonn");
    app.settle().await;
    assert_eq!(cities(&app, "Bonn"), 1_000);
    app.forget_calls();
    app.sweep().await;
    // Besides, the rules are resolved anew every quarter of an hour.
    let in_hubspot =
        ["search", "list", "batch/read/history"].map(|name| app.hubspot.control().calls_to(name));
    let in_salesforce = ["composite", "query/more"].map(|name| app.salesforce.control().calls_to(name));
    let calls = in_hubspot.iter().chain(&in_salesforce).sum::<u64>();
    say(&format!(
        "a sweep over 1,000 contacts and their leads that messages told of: {calls} calls, 3 of them in any case"
    ));
    assert_eq!((app.writes(), app.hubspot.control().calls_to("batch/read")), (0, 0));
    assert_eq!(app.salesforce.control().calls_to("composite/sobjects/read"), 0);
    assert!(calls <= 10, "{calls}");
    app.end().await;
}

#[tokio::test]
async fn i_4_so_is_what_was_told_of_records_that_hang_together() {
    let app = TestApp::sweeping(&EVERYTHING.replace("77", "")).await;
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    let account = app.salesforce.ids("Account")[0].clone();
    let deal = [
        ("Name", "Engine"),
        ("StageName", "Closed Won"),
        ("CloseDate", "2026-12-31"),
        ("AccountId", &account),
    ];
    let opportunity = app.salesforce.create("Opportunity", &deal).unwrap();
    app.settle().await;
    app.quiet().await;
    app.clock.advance_millis(200_000);
    let deal = app.hubspot.ids_in("deals")[0];
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    app.hubspot.update_in("companies", company, &[("city", "Bonn")]).unwrap();
    app.hubspot.update_in("deals", deal, &[("amount", "7")]).unwrap();
    app.salesforce.update("Account", &account, &[("Phone", "7")]).unwrap();
    app.salesforce.update("Opportunity", &opportunity, &[("Name", "Engine 9")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Opportunity", &opportunity, "Amount").as_deref(), Some("7"));
    app.forget_calls();
    app.sweep().await;
    assert_eq!((app.writes(), app.hubspot.control().calls_to("batch/read")), (0, 0));
    assert_eq!(app.salesforce.control().calls_to("composite/sobjects/read"), 0);
    assert_eq!(app.hubspot.control().calls_to("associations/read"), 1, "the deal's company");
    app.end().await;
}

#[tokio::test]
async fn a_record_without_a_twin_is_read_once_for_each_change() {
    let app = TestApp::sweeping("").await;
    app.lose_messages();
    app.clock.advance_millis(270_000);
    app.hubspot.create(&[("lastname", "Without an address")]).unwrap();
    app.clock.advance_millis(30_000);
    app.settle().await;
    let reads = || app.hubspot.control().calls_to("batch/read");
    assert_eq!((searches(&app), reads()), (1, 1));
    app.sweep().await;
    assert_eq!((searches(&app), reads()), (2, 1), "the second sweep saw it again, and knew it");
    app.end().await;
}

#[tokio::test]
async fn what_the_index_shows_late_is_found_by_the_next_sweep() {
    let app = TestApp::sweeping("").await;
    let contact = people(&app, 1).await[0];
    app.lose_messages();
    app.hubspot.lag_search(60_000);
    app.clock.advance_millis(270_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.clock.advance_millis(30_000);
    app.settle().await;
    assert_eq!((searches(&app), cities(&app, "Bonn")), (1, 0), "the index does not have it yet");
    app.sweep().await;
    assert_eq!(cities(&app, "Bonn"), 1);
    app.end().await;
}

#[tokio::test]
async fn what_a_slow_transaction_stamped_before_is_found_by_the_next_sweep() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(15 * 60_000);
    app.sweep().await;
    app.lose_messages();
    app.salesforce.update_slowly("Lead", &lead, &[("Phone", "7")], 9 * 60_000).unwrap();
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    app.end().await;
}

#[tokio::test]
async fn a_sweep_that_breaks_off_between_two_pages_goes_on_where_it_was_in_another_instance() {
    let app = TestApp::sweeping("").await;
    let contacts = people(&app, 450).await;
    app.lose_messages();
    edit(&app, &contacts, "Bonn");
    app.hubspot.control().add_fault(Fault { skip: 1, ..failing("/search", 500, 1) });
    app.clock.advance_millis(300_000);
    app.worker.drain().await.unwrap();
    let first_page = cities(&app, "Bonn");
    assert!((190..200).contains(&first_page), "{first_page}");
    let another = app.another().await;
    app.clock.advance_millis(5_000);
    another.worker.drain().await.unwrap();
    assert_eq!(cities(&app, "Bonn"), 450);
    assert_eq!(searches(&app), 3, "three pages were answered, each once");
    another.store.close().await;
    drop(another);
    app.end().await;
}

#[tokio::test]
async fn a_sweep_whose_instance_died_is_taken_over_when_its_lease_ends() {
    let app = TestApp::sweeping("").await;
    let contacts = people(&app, 1).await;
    app.lose_messages();
    edit(&app, &contacts, "Bonn");
    app.clock.advance_millis(300_000);
    let now = app.clock.now();
    let (worker, lease_until) = (Uuid::now_v7(), now.plus_millis(120_000));
    for task in ["sweep.hubspot", "sweep.salesforce"] {
        let claim = TaskClaim { connection: &app.name, task, worker, now, lease_until, first: None };
        assert!(app.store.claim_task(&claim).await.unwrap().is_some());
    }
    app.clock.advance_millis(60_000);
    app.settle().await;
    assert_eq!((searches(&app), cities(&app, "Bonn")), (0, 0), "somebody is at it");
    app.clock.advance_millis(60_000);
    app.settle().await;
    assert_eq!((searches(&app), cities(&app, "Bonn")), (1, 1));
    app.end().await;
}

#[tokio::test]
async fn of_two_instances_one_sweeps() {
    let app = TestApp::sweeping("").await;
    let another = app.another().await;
    another.worker.drain().await.unwrap();
    let contacts = people(&app, 1).await;
    app.lose_messages();
    edit(&app, &contacts, "Bonn");
    app.clock.advance_millis(300_000);
    let (one, other) = futures::join!(app.worker.drain(), another.worker.drain());
    one.and(other).unwrap();
    app.worker.drain().await.unwrap();
    assert_eq!((searches(&app), cities(&app, "Bonn")), (1, 1));
    assert_eq!(app.salesforce.control().calls_to("composite"), 1);
    another.store.close().await;
    drop(another);
    app.end().await;
}

#[tokio::test]
async fn a_sweep_that_fails_stands_in_nobodys_way() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.quiet().await;
    app.hubspot.control().add_fault(failing("/search", 500, 12));
    app.clock.advance_millis(300_000);
    app.settle().await;
    // What messages tell goes on.
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    // So does the sweep of the other side, and of what else there is on this one.
    app.lose_messages();
    app.salesforce.update("Lead", &lead, &[("Phone", "7")]).unwrap();
    for _ in 0..6 {
        app.settle_after(60_000).await;
    }
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    assert_eq!(
        app.hubspot.control().calls_to("list"),
        2,
        "it is left to the next sweep, which asks for the rest, too"
    );
    // In the end it answers.
    app.hubspot.update(contact, &[("city", "Rome")]).unwrap();
    for _ in 0..12 {
        app.settle_after(60_000).await;
    }
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Rome"));
    app.end().await;
}

#[tokio::test]
async fn an_allowance_that_is_used_up_is_waited_for() {
    let app = TestApp::sweeping("").await;
    let contacts = people(&app, 1).await;
    app.lose_messages();
    edit(&app, &contacts, "Bonn");
    let used_up = r#"{"errorType": "RATE_LIMIT", "policyName": "SECONDLY", "message": "You have reached your secondly limit."}"#;
    app.hubspot.control().add_fault(Fault { body: Some(used_up.to_owned()), ..failing("/search", 429, 1) });
    app.clock.advance_millis(300_000);
    app.settle().await;
    assert_eq!(cities(&app, "Bonn"), 0);
    app.clock.advance_millis(1_000);
    app.settle().await;
    assert_eq!(cities(&app, "Bonn"), 1, "a second later");
    app.end().await;
}

#[tokio::test]
async fn what_is_not_granted_is_left_out_and_where_nothing_is_the_connection_rests() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.control().add_fault(failing("/search", 403, 1));
    app.sweep().await;
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "work goes on");
    app.hubspot.control().add_fault(failing("/crm/", 401, 1_000));
    app.hubspot.control().add_fault(failing("/account-info/", 401, 1_000));
    app.clock.advance_millis(300_000);
    app.worker.drain().await.unwrap();
    let state = app.store.connection_state(&app.name).await.unwrap();
    assert!(matches!(state, ConnectionState::Unauthorized(_)), "{state:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_full_recycling_bin_is_walked_through_in_several_sweeps() {
    let app = TestApp::sweeping("").await;
    let ids: Vec<u64> =
        (0..650).map(|n| app.hubspot.create(&[("lastname", &n.to_string())]).unwrap()).collect();
    app.settle().await;
    let (contact, _) = linked(&app).await;
    app.sweep().await;
    app.lose_messages();
    ids.into_iter().chain([contact]).for_each(|id| assert!(app.hubspot.delete(id)));
    app.forget_calls();
    app.sweep().await;
    assert_eq!(app.hubspot.control().calls_to("list"), 5, "a sweep has its limit");
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "linked");
    app.sweep().await;
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "stopped");
    app.end().await;
}

#[tokio::test]
async fn r_027_who_joins_a_long_list_stands_on_its_last_page() {
    let app = TestApp::sweeping(r#"inclusion_list_id = "77""#).await;
    app.lose_messages();
    for n in 0..600 {
        app.hubspot.create(&[("lastname", &n.to_string()), IN_LIST]).unwrap();
    }
    app.sweep().await;
    let ada = app.hubspot.create(&ADA).unwrap();
    // The portal evaluates the list long after the change was swept.
    app.hubspot.lag_lists(700_000);
    app.hubspot.update(ada, &[IN_LIST]).unwrap();
    app.quiet().await;
    app.sweep().await;
    assert_eq!(app.hubspot.control().calls_to("lists/join-order"), 1, "the others were seen");
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.end().await;
}

#[tokio::test]
async fn r_008_what_another_portal_creates_without_a_word_is_picked_up() {
    let organization = hubforce::emulator::salesforce::Options {
        more_external_id_fields: vec!["Hubforce_Second_Id__c".to_owned()],
        ..Default::default()
    };
    let first = TestApp::in_organization("", organization).await;
    let second = first
        .beside(&Setup { external_id_field: Some("Hubforce_Second_Id__c"), sweeps: true, ..Setup::default() })
        .await;
    second.worker.drain().await.unwrap();
    first.hubspot.create(&ADA).unwrap();
    first.settle().await;
    assert!(second.hubspot.ids().is_empty());
    second.clock.advance_millis(300_000);
    second.worker.drain().await.unwrap();
    assert_eq!(second.hubspot.ids().len(), 1, "it was made by a user who sends no messages");
    second.end().await;
    first.end().await;
}

#[tokio::test]
async fn a_running_worker_sweeps_by_itself() {
    let app = TestApp::sweeping("").await;
    let contacts = people(&app, 1).await;
    app.lose_messages();
    edit(&app, &contacts, "Bonn");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(std::sync::Arc::clone(&app.worker).run(stop.clone()));
    app.clock.advance_millis(300_000);
    let found = async {
        while cities(&app, "Bonn") == 0 {
            app.worker.wake();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), found).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    app.settle().await;
    app.end().await;
}
