//! What agreement costs in calls (I4, I6), and that writes stop.

use crate::harness::TestApp;

async fn people(app: &TestApp, n: usize) -> Vec<u64> {
    let create =
        |n| app.hubspot.create(&[("email", &format!("p{n}@example.com")), ("lastname", "P")]).unwrap();
    let ids = (0..n).map(create).collect();
    app.settle().await;
    app.forget_calls();
    ids
}

#[tokio::test]
async fn i_4_one_edit_costs_two_reads_and_one_write_and_its_echo_nothing() {
    let app = TestApp::start().await;
    let contact = people(&app, 1).await[0];
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!((app.calls(), app.writes()), (3, 1));
    app.forget_calls();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &app.lead(), &[("City", "Rome")]).unwrap();
    app.deliver().await;
    app.worker.drain().await.unwrap();
    assert_eq!((app.calls(), app.writes()), (3, 1));
    assert_eq!(app.deliver().await, 1, "our own write comes back");
    app.worker.drain().await.unwrap();
    assert_eq!((app.calls(), app.writes()), (3, 1), "and costs no call, because its event names us");
    app.end().await;
}

#[tokio::test]
async fn i_6_a_thousand_edits_cost_at_most_sixty_calls_either_way() {
    let app = TestApp::start().await;
    let contacts = people(&app, 1_000).await;
    for contact in &contacts {
        app.hubspot.update(*contact, &[("city", "Bonn")]).unwrap();
    }
    app.settle().await;
    let from_hubspot = app.calls();
    assert!(from_hubspot <= 60, "{from_hubspot}");
    app.forget_calls();
    app.clock.advance_millis(1_000);
    let leads = app.salesforce.ids("Lead");
    assert_eq!(leads.len(), 1_000);
    assert!(leads.iter().all(|lead| app.lead_field(lead, "City").as_deref() == Some("Bonn")));
    for lead in &leads {
        app.salesforce.update("Lead", lead, &[("City", "Rome")]).unwrap();
    }
    app.settle().await;
    let from_salesforce = app.calls();
    assert!(from_salesforce <= 60, "{from_salesforce}");
    assert!(contacts.iter().all(|contact| app.hubspot.property(*contact, "city").as_deref() == Some("Rome")));
    app.end().await;
}

#[tokio::test]
async fn i_2_a_delivery_twice_is_a_delivery_once() {
    use hubforce::domain::Clock;
    use hubforce::emulator::Vendor;
    let app = TestApp::start().await;
    app.hubspot.create(&[("email", "twice@example.com"), ("lastname", "P")]).unwrap();
    let outgoing = app.hubspot.take_due(app.clock.now());
    for _ in 0..3 {
        app.carry(&outgoing[0]).await;
    }
    app.settle().await;
    app.carry(&outgoing[0]).await;
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    assert_eq!(app.salesforce.control().calls_to("composite/sobjects/upsert"), 1);
    app.stop().await;
}

#[tokio::test]
async fn r_063_a_shared_address_costs_at_most_ten_times_what_distinct_ones_do() {
    const LEADS: usize = 250;
    let mut costs = Vec::new();
    for shared in [false, true] {
        let app = TestApp::start().await;
        let mut leads = Vec::new();
        for n in 0..LEADS {
            let address = if shared { "none@none.com".to_owned() } else { format!("p{n}@example.com") };
            app.clock.advance_millis(1_000);
            let fields = [("LastName", "P"), ("Company", "C"), ("Email", &address)];
            leads.push(app.salesforce.create("Lead", &fields).unwrap());
        }
        app.settle().await;
        costs.push(app.calls());
        let is_linked = |lead: &&String| app.lead_field(lead, "Hubforce_HubSpot_Id__c").is_some();
        let linked: Vec<&String> = leads.iter().filter(is_linked).collect();
        assert_eq!(linked.len(), app.hubspot.ids().len());
        assert_eq!(linked.len(), if shared { 1 } else { LEADS });
        assert_eq!(linked.last(), Some(&&leads[LEADS - 1]), "the latest is the twin");
        app.end().await;
    }
    assert!(costs[1] <= 10 * costs[0], "{costs:?}");
}
