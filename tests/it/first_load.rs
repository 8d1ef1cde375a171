//! Turning every kind on for a portal and an organization that already hold a thousand records of each.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::harness::TestApp;

/// Records of each kind on each side.
const N: usize = 1_000;

/// How many people are on both sides.
const SHARED: usize = 400;

const SETTINGS: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true\n[connections.sync.deals]\nenabled = true";

fn records(of: impl Fn(usize) -> Json) -> Json {
    (0..N).map(of).collect()
}

/// Half of Salesforce's people are leads, half contacts; the shared ones are the first of each.
fn seed(app: &TestApp) {
    let address = |n: usize| format!("p{n}@example.com");
    let hubspot = json!({ "hubspot": {
        "contacts": records(|n| json!({ "email": address(n), "lastname": format!("L{n}") })),
        "companies": records(|n| json!({ "name": format!("Company {n}") })),
        "deals": records(|n| json!({ "dealname": format!("Deal {n}"), "dealstage": "closedwon", "closedate": "2026-12-31" })),
    } });
    app.hubspot.seed(&hubspot).unwrap();
    let accounts =
        json!({ "salesforce": { "Account": records(|n| json!({ "Name": format!("Account {n}") })) } });
    app.salesforce.seed(&accounts).unwrap();
    let accounts = app.salesforce.ids("Account");
    // Of every two people one is a lead and one a contact of the account of their number.
    let person = |n: usize| if n < SHARED { address(n) } else { format!("s{n}@example.com") };
    let leads: Json = (0..N / 2)
        .map(|n| json!({ "LastName": format!("S{n}"), "Company": "C", "Email": person(2 * n) }))
        .collect();
    let contacts: Json = (0..N / 2)
        .map(|n| json!({ "LastName": format!("S{n}"), "Email": person(2 * n + 1), "AccountId": accounts[n] }))
        .collect();
    let opportunities = records(
        |n| json!({ "Name": format!("Opportunity {n}"), "StageName": "Closed Lost", "CloseDate": "2026-12-31" }),
    );
    for (object, rows) in [("Lead", leads), ("Contact", contacts), ("Opportunity", opportunities)] {
        app.salesforce.seed(&json!({ "salesforce": { object: rows } })).unwrap();
    }
    // The shared contacts have a company in HubSpot: that is the account they have in Salesforce.
    let (people, companies) = (app.hubspot.ids(), app.hubspot.ids_in("companies"));
    for n in (1..SHARED).step_by(2) {
        app.hubspot.drop_events(100);
        app.hubspot.associate(("contacts", people[n]), ("companies", companies[n])).unwrap();
    }
    app.hubspot.drop_events(0);
}

async fn resync(app: &TestApp, kind: &str) -> u64 {
    app.forget_calls();
    let body = format!(r#"{{"kind":"{kind}","all":true}}"#);
    let (status, answer) = app.ask("POST", "/v1/connections/acme/resync", &body).await;
    assert_eq!(status, 202, "{answer}");
    app.settle().await;
    app.calls()
}

#[tokio::test]
async fn a_thousand_records_of_each_kind_meet_and_are_made_as_they_should() {
    let app = TestApp::with(SETTINGS).await;
    seed(&app);
    let mut told = String::new();
    let mut total = 0;
    for kind in ["contact", "Lead", "Contact", "Account", "company", "deal", "Opportunity"] {
        let calls = resync(&app, kind).await;
        total += calls;
        write!(told, "{kind} {calls}, ").unwrap();
    }
    #[expect(clippy::print_stdout, reason = "the figure is what the test is asked for")]
    {
        println!("calls for {N} records of each kind: {told}all {total}");
    }
    let shared_companies = SHARED / 2;
    let people = 2 * N - SHARED;
    assert_eq!(app.hubspot.ids().len(), people, "contacts");
    assert_eq!(app.salesforce.ids("Lead").len(), N / 2, "nobody becomes a second lead");
    assert_eq!(app.salesforce.ids("Contact").len(), people - N / 2, "those without a match become contacts");
    assert_eq!(app.hubspot.ids_in("companies").len(), 2 * N - shared_companies, "companies");
    assert_eq!(
        app.salesforce.ids("Account").len(),
        N,
        "R-110: companies without contacts become no accounts"
    );
    assert_eq!(app.hubspot.ids_in("deals").len(), 2 * N, "R-140: deals are never matched");
    assert_eq!(app.salesforce.ids("Opportunity").len(), 2 * N);
    let linked = |object: &str, property: &str| {
        let ids = app.hubspot.ids_in(object).into_iter();
        ids.filter(|id| app.hubspot.property_in(object, *id, property).is_some()).count()
    };
    assert_eq!(linked("contacts", "hubforce_salesforce_lead_id"), N / 2);
    assert_eq!(linked("contacts", "hubforce_salesforce_contact_id"), people - N / 2);
    assert_eq!(linked("companies", "hubforce_salesforce_account_id"), N);
    assert_eq!(linked("deals", "hubforce_salesforce_opportunity_id"), 2 * N);
    // Three waves of calls for two hundred batches of ten kinds of step; far from one a record.
    assert!(total < 700, "{told}");
    app.forget_calls();
    app.settle().await;
    assert_eq!(app.writes(), 0);
    app.end().await;
}
