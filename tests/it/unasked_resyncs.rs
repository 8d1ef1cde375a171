//! A resync of many records applies the rules; a resync of one overrides what stands in its way.

use rstest::rstest;

use crate::companies::{CONTACTS, LEADS};
use crate::deals::{DEAL, DEALS};
use crate::harness::TestApp;
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, held, only, record, resync};

/// Resyncs these records: by their ids, or all of their kind.
async fn resync_many(app: &TestApp, way: &str, kind: &str, ids: &[String]) {
    match way {
        "ids" => {
            let ids = serde_json::to_string(ids).unwrap();
            resync(app, &format!(r#"{{"kind":"{kind}","ids":{ids}}}"#)).await;
        }
        "list" if kind == "contact" => {
            app.hubspot.set_active_list("78", &[("lifecyclestage", "lead")]);
            resync(app, r#"{"list_id":"78"}"#).await;
        }
        _ => resync(app, &format!(r#"{{"kind":"{kind}","all":true}}"#)).await,
    }
}

async fn resync_one(app: &TestApp, kind: &str, id: &str) {
    resync(app, &format!(r#"{{"kind":"{kind}","ids":["{id}"]}}"#)).await;
}

#[rstest]
#[case::without_contacts(CONTACTS, false, "R-110")]
#[case::with_leads_only(LEADS, true, "R-111")]
#[case::out_of_the_list(
    "inclusion_list_id = \"77\"\n[connections.sync.companies]\nenabled = true\n",
    true,
    "R-11"
)]
#[tokio::test]
async fn r_110_to_r_116_only_a_resync_of_one_company_overrides_the_blocks(
    #[case] settings: &str,
    #[case] with_contact: bool,
    #[case] rule: &str,
    #[values("ids", "all")] way: &str,
) {
    let settings = if rule == "R-11" {
        format!("{}\n{settings}", r#"create_in_salesforce = "contact""#)
    } else {
        settings.to_owned()
    };
    let app = TestApp::with(&settings).await;
    let company = |name| app.hubspot.create_in("companies", &[("name", name)]).unwrap();
    let companies = [company("Engines"), company("Looms")];
    if with_contact {
        let ada = app.hubspot.create(&ADA).unwrap();
        app.hubspot.associate(("contacts", ada), ("companies", companies[0])).unwrap();
    }
    app.settle().await;
    let ids = companies.map(|company| company.to_string());
    resync_many(&app, way, "company", &ids).await;
    assert!(app.salesforce.ids("Account").is_empty(), "the blocks hold");
    let shown = record(&app, &format!("hubspot/company/{}", companies[0])).await;
    assert_eq!(shown["state"], "unlinked", "{shown}");
    resync_one(&app, "company", &ids[0]).await;
    let account = only(&app.salesforce.ids("Account"));
    assert_eq!(held(&app, "Account", &account, "Name").as_deref(), Some("Engines"), "a person asked for it");
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_049_no_resync_of_many_makes_a_deleted_lead_or_contact_anew(
    #[values("ids", "all", "list")] way: &str,
) {
    let app = TestApp::start().await;
    let (ada, lead) = linked(&app).await;
    let bob = app.hubspot.create(&[("email", "bob@example.com"), ("lastname", "Bob")]).unwrap();
    app.settle().await;
    let bobs = app.hubspot.property(bob, "hubforce_salesforce_lead_id").unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.delete("Lead", &lead);
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    app.hubspot.delete(bob);
    app.settle().await;
    resync_many(&app, way, "contact", &[ada.to_string(), bob.to_string()]).await;
    resync_many(&app, way, "Lead", &[lead.clone(), bobs.clone()]).await;
    assert_eq!(app.salesforce.ids("Lead"), std::slice::from_ref(&bobs), "no lead is made anew");
    assert_eq!(app.hubspot.ids(), [ada], "no contact is made anew");
    assert_eq!(record(&app, &contact_place(ada)).await["state"], "stopped");
    resync_one(&app, "contact", &ada.to_string()).await;
    assert_eq!(app.salesforce.ids("Lead").len(), 2, "a person asked for it");
    resync_one(&app, "Lead", &bobs).await;
    assert_eq!(app.hubspot.ids().len(), 2, "a person asked for it");
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_053_no_resync_of_many_makes_a_deleted_deal_or_opportunity_anew(#[values("ids", "all")] way: &str) {
    let app = TestApp::with(&format!("{DEALS}\ndelete_in_hubspot = false")).await;
    let deals =
        [app.hubspot.create_in("deals", &DEAL).unwrap(), app.hubspot.create_in("deals", &DEAL).unwrap()];
    app.settle().await;
    let there = deals
        .map(|deal| app.hubspot.property_in("deals", deal, "hubforce_salesforce_opportunity_id").unwrap());
    app.clock.advance_millis(1_000);
    app.salesforce.delete("Opportunity", &there[0]);
    app.hubspot.update_in("deals", deals[0], &[("amount", "1")]).unwrap();
    app.hubspot.delete_in("deals", deals[1]);
    app.settle().await;
    resync_many(&app, way, "deal", &deals.map(|deal| deal.to_string())).await;
    resync_many(&app, way, "Opportunity", &there).await;
    assert_eq!(app.salesforce.ids("Opportunity"), std::slice::from_ref(&there[1]));
    assert_eq!(app.hubspot.ids_in("deals"), [deals[0]]);
    resync_one(&app, "deal", &deals[0].to_string()).await;
    assert_eq!(app.salesforce.ids("Opportunity").len(), 2, "a person asked for it");
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_049_no_resync_of_many_makes_a_deleted_account_or_company_anew(#[values("ids", "all")] way: &str) {
    let app = TestApp::with(CONTACTS).await;
    let account = |name| app.salesforce.create("Account", &[("Name", name)]).unwrap();
    let accounts = [account("Engines"), account("Looms")];
    app.settle().await;
    let companies = accounts.clone().map(|account| {
        let own = |id: &u64| {
            let linked = app.hubspot.property_in("companies", *id, "hubforce_salesforce_account_id");
            linked.as_ref() == Some(&account)
        };
        app.hubspot.ids_in("companies").into_iter().find(own).unwrap()
    });
    // Somebody works at Engines, so that no block stands in the way.
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", companies[0])).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    let contact = only(&app.salesforce.ids("Contact"));
    app.salesforce.update("Contact", &contact, &[("AccountId", "")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.delete("Account", &accounts[0]);
    app.hubspot.update_in("companies", companies[0], &[("phone", "1")]).unwrap();
    app.hubspot.delete_in("companies", companies[1]);
    app.settle().await;
    resync_many(&app, way, "company", &companies.map(|company| company.to_string())).await;
    resync_many(&app, way, "Account", &accounts).await;
    assert_eq!(app.salesforce.ids("Account"), std::slice::from_ref(&accounts[1]));
    assert_eq!(app.hubspot.ids_in("companies"), [companies[0]]);
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_068_no_resync_of_many_links_to_the_survivor_of_a_merge(#[values("ids", "all", "list")] way: &str) {
    let app = TestApp::with("follow_merges = false").await;
    let (ada, lead) = linked(&app).await;
    let bob = app.hubspot.create(&[("email", "bob@example.com"), ("lastname", "Bob")]).unwrap();
    app.settle().await;
    let survivor = app.salesforce.create("Lead", &[("LastName", "King"), ("Company", "Engines")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    resync_many(&app, way, "contact", &[ada.to_string(), bob.to_string()]).await;
    assert_eq!(app.lead_field(&survivor, "Hubforce_HubSpot_Id__c"), None);
    assert_eq!(app.lead_field(&survivor, "City"), None);
    let shown = record(&app, &contact_place(ada)).await;
    assert_eq!(shown["state"], "stopped", "{shown}");
    resync_one(&app, "contact", &ada.to_string()).await;
    assert_eq!(app.lead_field(&survivor, "Hubforce_HubSpot_Id__c"), Some(ada.to_string()));
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_196_a_resync_of_many_fills_a_mapping_that_is_newer_than_the_pair(
    #[values("ids", "all")] way: &str,
) {
    let without = "default_mappings = false";
    let app = TestApp::with(without).await;
    let (ada, lead) = linked(&app).await;
    let bob = [("email", "bob@example.com"), ("lastname", "Bob"), ("jobtitle", "Baron")];
    let bob = app.hubspot.create(&bob).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle().await;
    let bobs = app.hubspot.property(bob, "hubforce_salesforce_lead_id").unwrap();
    let values = || (app.hubspot.property(ada, "jobtitle"), app.lead_field(&bobs, "Title"));
    assert_eq!(values(), (None, None));
    // The service starts again with one mapping more.
    let mapping = r#"mappings = [{ hubspot = "jobtitle", salesforce = "Title" }]"#;
    let again = app.another_with(&format!("{without}\n{mapping}")).await;
    resync_with(&app, way, &[ada.to_string(), bob.to_string()]).await;
    again.worker.drain().await.unwrap();
    assert_eq!(values(), (Some("Countess".to_owned()), Some("Baron".to_owned())));
    drop(again);
    app.end().await;
}

/// Asks for a resync that another instance carries out.
async fn resync_with(app: &TestApp, way: &str, ids: &[String]) {
    let ids = serde_json::to_string(ids).unwrap();
    let named = if way == "ids" { format!(r#""ids":{ids}"#) } else { r#""all":true"#.to_owned() };
    let body = format!(r#"{{"kind":"contact",{named}}}"#);
    assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
}
