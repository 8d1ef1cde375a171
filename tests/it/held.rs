//! What waits for a person, and how that person decides.

use hubforce::store::types::JobState;

use crate::harness::TestApp;
use crate::people::ADA;

/// A contact that waits for a person, because two leads have its address.
async fn held() -> (TestApp, u64, [String; 2]) {
    let app = TestApp::with("on_ambiguous_match = \"hold\"\ncreate_in_hubspot = \"never\"").await;
    let fields = [("Company", "C"), ("Email", "ada@example.com")];
    let lead = |name: &str| {
        app.salesforce.create("Lead", &[[("LastName", name)].as_slice(), &fields].concat()).unwrap()
    };
    let leads = ["First", "Second"].map(lead);
    app.settle_after(1_000).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!(app.jobs(Some(JobState::Parked)).await.len(), 1);
    (app, contact, leads)
}

#[tokio::test]
async fn r_062_a_person_chooses_by_an_edit_in_salesforce_by_a_resync_or_by_leaving_one_only() {
    for way in ["edit", "resync", "leave one"] {
        let (app, contact, leads) = held().await;
        match way {
            "edit" => app.salesforce.update("Lead", &leads[1], &[("Title", "Countess")]).unwrap(),
            "resync" => {
                let body = format!(r#"{{"kind":"Lead","ids":["{}"]}}"#, leads[1]);
                assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
            }
            _ => {
                app.salesforce.update("Lead", &leads[0], &[("Email", "other@example.com")]).unwrap();
                let body = format!(r#"{{"kind":"contact","ids":["{contact}"]}}"#);
                assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
            }
        }
        app.settle_after(1_000).await;
        let linked = app.hubspot.property(contact, "hubforce_salesforce_lead_id");
        assert_eq!(linked.as_ref(), Some(&leads[1]), "{way}");
        // What waited was the contact's own job: where the lead was worked, it waits on until it is told.
        for job in app.jobs(Some(JobState::Parked)).await {
            assert_ne!(way, "leave one");
            assert_eq!(app.ask("POST", &format!("/v1/jobs/{}/retry", job.id.0), "").await.0, 200);
        }
        app.settle().await;
        app.end().await;
    }
}

#[tokio::test]
async fn r_192_what_is_held_waits_until_a_person_makes_both_sides_alike_or_takes_one_back() {
    for (back, expected) in [(false, "Two"), (true, "One")] {
        let mapping = "mappings = [{ hubspot = \"city\", lead = \"City\", conflict = \"hold\" }]";
        let app = TestApp::with(mapping).await;
        let contact = app.hubspot.create(&[ADA.as_slice(), &[("city", "Old")]].concat()).unwrap();
        app.settle().await;
        let lead = app.lead();
        app.clock.advance_millis(10_000);
        app.hubspot.update(contact, &[("city", "One")]).unwrap();
        app.salesforce.update("Lead", &lead, &[("City", "Two")]).unwrap();
        app.settle().await;
        let body = format!(r#"{{"kind":"contact","ids":["{contact}"]}}"#);
        assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
        app.settle_after(10_000).await;
        let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
        let conflicts = async || app.ask("GET", &path, "").await.1["conflicts"].as_array().unwrap().len();
        assert_eq!((conflicts().await, app.lead_field(&lead, "City").as_deref()), (1, Some("Two")));
        if back {
            app.salesforce.update("Lead", &lead, &[("City", "Old")]).unwrap();
        } else {
            app.hubspot.update(contact, &[("city", "Two")]).unwrap();
        }
        app.settle_after(10_000).await;
        assert_eq!(conflicts().await, 0);
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some(expected));
        assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some(expected));
        app.end().await;
    }
}
