//! Resyncs: what one record is asked for, what many are, and what a dry run says of both.

use std::collections::BTreeSet;

use crate::harness::TestApp;

/// Asks for a resync and works until it is done; returns what is known of it then.
async fn resync(app: &TestApp, body: &str) -> serde_json::Value {
    let (status, started) = app.ask("POST", "/v1/connections/acme/resync", body).await;
    assert_eq!(status, 202, "{started}");
    app.settle().await;
    let path = format!("/v1/connections/acme/resyncs/{}", started["id"].as_str().unwrap());
    app.ask("GET", &path, "").await.1
}

#[tokio::test]
async fn r_110_and_r_115_a_resync_of_one_company_overrides_the_block_and_one_of_several_does_not() {
    let app = TestApp::with("[connections.sync.companies]\nenabled = true").await;
    app.hubspot.drop_events(u32::MAX);
    let companies: Vec<u64> =
        ["A", "B", "C"].map(|name| app.hubspot.create_in("companies", &[("name", name)]).unwrap()).into();
    app.hubspot.drop_events(0);
    let several =
        format!(r#"{{"system":"hubspot","kind":"company","ids":["{}","{}"]}}"#, companies[0], companies[1]);
    let done = resync(&app, &several).await;
    assert_eq!((&done["state"], &done["done"]), (&"finished".into(), &2.into()), "{done}");
    assert!(app.salesforce.ids("Account").is_empty(), "the rules apply");
    let one = format!(r#"{{"system":"hubspot","kind":"company","ids":["{}"]}}"#, companies[2]);
    let dry = resync(&app, &one.replace('}', r#","dry_run":true}"#)).await;
    assert_eq!(dry["preview"]["creates_in_salesforce"], 1, "{dry}");
    let dry = resync(&app, &several.replace('}', r#","dry_run":true}"#)).await;
    assert_eq!(dry["preview"].get("creates_in_salesforce"), None, "{dry}");
    resync(&app, &one).await;
    assert_eq!(app.salesforce.ids("Account").len(), 1, "a person asked for exactly this one");
    app.end().await;
}

/// Records of the given system whose city a resync wrote.
async fn written_by_resyncs(app: &TestApp, system: &str) -> BTreeSet<String> {
    let (_, audit) = app.ask("GET", "/v1/connections/acme/audit?limit=500", "").await;
    let rows = audit["items"].as_array().unwrap().iter().filter(|row| {
        row["cause"].as_str().unwrap().starts_with("resync ")
            && row["system"] == system
            && row["field"].as_str().unwrap().eq_ignore_ascii_case("city")
            && row["outcome"] == "written"
    });
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn r_192_a_resync_gives_neither_side_a_newer_time_and_its_dry_run_counts_what_it_does() {
    for kind in ["contact", "Lead"] {
        let app = TestApp::start().await;
        let person = |n: u32, city: &'static str| {
            vec![
                ("email".to_owned(), format!("p{n}@example.com")),
                ("lastname".to_owned(), "P".to_owned()),
                ("city".to_owned(), city.to_owned()),
            ]
        };
        let contacts: Vec<u64> = (0..6)
            .map(|n| {
                let fields = person(n, "London");
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                app.hubspot.create(&fields).unwrap()
            })
            .collect();
        app.settle().await;
        app.lose_messages();
        let lead_of = |contact: u64| app.hubspot.property(contact, "hubforce_salesforce_lead_id").unwrap();
        // Three where HubSpot's change is the newer one, two where Salesforce's is; one did not change.
        for (n, contact) in contacts.iter().enumerate().take(5) {
            let lead = lead_of(*contact);
            app.clock.advance_millis(2_000);
            if n < 3 {
                app.salesforce.update("Lead", &lead, &[("City", "Paris")]).unwrap();
                app.clock.advance_millis(2_000);
                app.hubspot.update(*contact, &[("city", "Bonn")]).unwrap();
            } else {
                app.hubspot.update(*contact, &[("city", "Bonn")]).unwrap();
                app.clock.advance_millis(2_000);
                app.salesforce.update("Lead", &lead, &[("City", "Paris")]).unwrap();
            }
        }
        app.clock.advance_millis(60_000);
        let dry = resync(&app, &format!(r#"{{"kind":"{kind}","all":true,"dry_run":true}}"#)).await;
        assert_eq!(app.hubspot.property(contacts[4], "city").as_deref(), Some("Bonn"), "nothing was written");
        resync(&app, &format!(r#"{{"kind":"{kind}","all":true}}"#)).await;
        for (n, contact) in contacts.iter().enumerate() {
            let expected = ["Bonn", "Bonn", "Bonn", "Paris", "Paris", "London"][n];
            assert_eq!(app.hubspot.property(*contact, "city").as_deref(), Some(expected), "{kind} {n}");
            assert_eq!(app.lead_field(&lead_of(*contact), "City").as_deref(), Some(expected), "{kind} {n}");
        }
        for (system, n) in [("salesforce", 3), ("hubspot", 2)] {
            assert_eq!(dry["preview"][format!("updates_in_{system}")], n, "{kind}: {dry}");
            assert_eq!(written_by_resyncs(&app, system).await.len(), n, "{kind}: {dry}");
        }
        app.end().await;
    }
}

#[tokio::test]
async fn r_196_a_dry_run_of_first_links_counts_what_the_run_does() {
    for kind in ["contact", "Lead"] {
        let app = TestApp::start().await;
        app.lose_messages();
        for n in 0..4 {
            let email = format!("p{n}@example.com");
            let in_hubspot = [("email", email.as_str()), ("lastname", "P"), ("city", "Bonn")];
            let in_salesforce =
                [("Email", email.as_str()), ("LastName", "P"), ("Company", "C"), ("City", "Paris")];
            let (first, second) = if n < 2 { (true, false) } else { (false, true) };
            for hubspot in [first, second] {
                if hubspot {
                    app.hubspot.create(&in_hubspot).unwrap();
                } else {
                    app.salesforce.create("Lead", &in_salesforce).unwrap();
                }
                app.clock.advance_millis(2_000);
            }
        }
        app.clock.advance_millis(60_000);
        let dry = resync(&app, &format!(r#"{{"kind":"{kind}","all":true,"dry_run":true}}"#)).await;
        assert_eq!(dry["preview"]["links"], 4, "{kind}: {dry}");
        resync(&app, &format!(r#"{{"kind":"{kind}","all":true}}"#)).await;
        let cities = |system| written_by_resyncs(&app, system);
        let (of_hubspot, of_salesforce) = (cities("hubspot").await.len(), cities("salesforce").await.len());
        assert_eq!(of_hubspot + of_salesforce, 4, "{kind}: each takes one of the two cities; {dry}");
        app.end().await;
    }
}
