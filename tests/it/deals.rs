//! Deals and opportunities as stories.

use hubforce::emulator::salesforce::Options;

use crate::harness::{TestApp, unanswered};
use crate::people::ADA;
use crate::unasked::record;

/// Deals and companies on; contacts become contacts.
pub(crate) const ALL: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true\n[connections.sync.deals]\nenabled = true";

/// Deals alone.
pub(crate) const DEALS: &str = "[connections.sync.deals]\nenabled = true";

pub(crate) const DEAL: [(&str, &str); 4] = [
    ("dealname", "Engine 1"),
    ("dealstage", "closedwon"),
    ("amount", "1200.50"),
    ("closedate", "2026-12-31"),
];

pub(crate) const OPPORTUNITY: [(&str, &str); 4] =
    [("Name", "Engine 2"), ("StageName", "Closed Won"), ("Amount", "7"), ("CloseDate", "2026-12-24")];

fn field(app: &TestApp, opportunity: &str, name: &str) -> Option<String> {
    app.salesforce.field("Opportunity", opportunity, name)
}

fn property(app: &TestApp, deal: u64, name: &str) -> Option<String> {
    app.hubspot.property_in("deals", deal, name)
}

fn only<T: Clone + std::fmt::Debug>(ids: &[T]) -> T {
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].clone()
}

fn opportunity(app: &TestApp) -> String {
    only(&app.salesforce.ids("Opportunity"))
}

fn deal(app: &TestApp) -> u64 {
    only(&app.hubspot.ids_in("deals"))
}

#[tokio::test]
async fn r_141_and_r_152_a_new_deal_becomes_an_opportunity() {
    let app = TestApp::with(DEALS).await;
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    let opportunity = opportunity(&app);
    for (name, value) in [
        ("Name", "Engine 1"),
        ("StageName", "Closed Won"),
        ("Amount", "1200.5"),
        ("CloseDate", "2026-12-31"),
        ("Hubforce_HubSpot_Id__c", &deal.to_string()),
    ] {
        assert_eq!(field(&app, &opportunity, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(property(&app, deal, "hubforce_salesforce_opportunity_id"), Some(opportunity));
    app.end().await;
}

#[tokio::test]
async fn r_142_and_r_153_a_new_opportunity_becomes_a_deal_with_or_without_contacts() {
    let app = TestApp::with(DEALS).await;
    let opportunity = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.settle().await;
    let deal = deal(&app);
    for (name, value) in [
        ("dealname", "Engine 2"),
        ("dealstage", "closedwon"),
        ("pipeline", "default"),
        ("amount", "7"),
        ("hubforce_salesforce_opportunity_id", &opportunity),
    ] {
        assert_eq!(property(&app, deal, name).as_deref(), Some(value), "{name}");
    }
    // The portal lives in Berlin: its 24th begins an hour before that of UTC.
    assert_eq!(property(&app, deal, "closedate").as_deref(), Some("2026-12-23T23:00:00Z"));
    assert_eq!(field(&app, &opportunity, "Hubforce_HubSpot_Id__c"), Some(deal.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_140_and_r_143_deals_are_never_matched_and_created_once() {
    let app = TestApp::with(DEALS).await;
    app.salesforce.drop_notifications(1);
    app.salesforce
        .create(
            "Opportunity",
            &[("Name", "Engine 1"), ("StageName", "Closed Won"), ("CloseDate", "2026-12-31")],
        )
        .unwrap();
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Opportunity").len(), 2, "R-140: an equal one is another one");
    let opportunity = app.salesforce.ids("Opportunity")[1].clone();
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("deals", deal, &[("amount", "1300")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce
        .update("Opportunity", &opportunity, &[("Name", "Engine One"), ("CloseDate", "2027-01-01")])
        .unwrap();
    app.settle().await;
    assert_eq!(field(&app, &opportunity, "Amount").as_deref(), Some("1300"));
    assert_eq!(property(&app, deal, "dealname").as_deref(), Some("Engine One"));
    assert_eq!((app.salesforce.ids("Opportunity").len(), app.hubspot.ids_in("deals").len()), (2, 1), "R-143");
    app.forget_calls();
    app.settle().await;
    assert_eq!(app.calls(), 0, "the echo is silent");
    app.end().await;
}

#[tokio::test]
async fn r_144_and_r_148_switched_off_nothing_comes_and_an_edit_brings_an_older_one() {
    let app = TestApp::start().await;
    let id = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.settle().await;
    assert!(app.hubspot.ids_in("deals").is_empty(), "R-144");
    app.forget_calls();
    app.salesforce.update("Opportunity", &id, &[("Amount", "9")]).unwrap();
    app.settle().await;
    assert_eq!(app.calls(), 0, "nobody looks");
    app.end().await;
    let app = TestApp::with(DEALS).await;
    app.salesforce.drop_notifications(1);
    app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.settle().await;
    assert!(app.hubspot.ids_in("deals").is_empty());
    app.salesforce.update("Opportunity", &id, &[("Amount", "8")]).unwrap();
    app.settle().await;
    assert_eq!(property(&app, deal(&app), "amount").as_deref(), Some("8"), "R-148");
    app.end().await;
}

#[tokio::test]
async fn r_145_stages_go_through_the_map_and_stay_in_the_deals_pipeline() {
    let stages = r#"stages = [
        { pipeline = "default", stage = "qualifiedtobuy", salesforce = "Qualification" },
        { pipeline = "9", stage = "91", salesforce = "Qualification" },
        { pipeline = "9", stage = "92", salesforce = "Prospecting" },
    ]"#;
    let app = TestApp::with(&format!("{DEALS}\n{stages}")).await;
    app.hubspot.add_pipeline(
        "9",
        "Renewals",
        &[("91", "Talks", false), ("92", "Start", false), ("93", "Odd", false)],
    );
    let renewal = [("dealname", "R"), ("pipeline", "9"), ("dealstage", "92"), ("closedate", "2026-12-31")];
    let deal = app.hubspot.create_in("deals", &renewal).unwrap();
    app.settle().await;
    let opportunity = opportunity(&app);
    assert_eq!(field(&app, &opportunity, "StageName").as_deref(), Some("Prospecting"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Opportunity", &opportunity, &[("StageName", "Qualification")]).unwrap();
    app.settle().await;
    assert_eq!(property(&app, deal, "dealstage").as_deref(), Some("91"), "its own pipeline goes first");
    // A stage of one pipeline only moves the deal there.
    app.clock.advance_millis(1_000);
    app.salesforce.update("Opportunity", &opportunity, &[("StageName", "Closed Lost")]).unwrap();
    app.settle().await;
    let place = (property(&app, deal, "pipeline"), property(&app, deal, "dealstage"));
    assert_eq!(place, (Some("default".to_owned()), Some("closedlost".to_owned())));
    // One that nobody mapped stays where it is, and the rest of the record travels.
    app.clock.advance_millis(1_000);
    app.salesforce
        .update("Opportunity", &opportunity, &[("StageName", "Needs Analysis"), ("Amount", "5")])
        .unwrap();
    app.settle().await;
    assert_eq!(property(&app, deal, "dealstage").as_deref(), Some("closedlost"), "R-210");
    assert_eq!(property(&app, deal, "amount").as_deref(), Some("5"));
    app.end().await;
}

#[tokio::test]
async fn r_147_a_deal_takes_part_while_its_pipeline_does() {
    let app = TestApp::with(&format!("{DEALS}\npipelines = [\"default\"]")).await;
    app.hubspot.add_pipeline("9", "Renewals", &[("91", "Closed Won", true)]);
    let deal = app
        .hubspot
        .create_in(
            "deals",
            &[("dealname", "R"), ("pipeline", "9"), ("dealstage", "91"), ("closedate", "2026-12-31")],
        )
        .unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Opportunity").is_empty());
    app.hubspot.update_in("deals", deal, &[("pipeline", "default"), ("dealstage", "closedwon")]).unwrap();
    app.settle().await;
    let opportunity = opportunity(&app);
    app.clock.advance_millis(1_000);
    app.hubspot
        .update_in("deals", deal, &[("pipeline", "9"), ("dealstage", "91"), ("dealname", "S")])
        .unwrap();
    app.settle().await;
    assert_eq!(field(&app, &opportunity, "Name").as_deref(), Some("R"), "it stopped");
    app.hubspot.update_in("deals", deal, &[("pipeline", "default"), ("dealstage", "closedwon")]).unwrap();
    app.settle().await;
    assert_eq!(field(&app, &opportunity, "Name").as_deref(), Some("S"), "and starts again");
    app.end().await;
}

#[tokio::test]
async fn r_149_and_r_150_the_deal_has_its_opportunitys_company_where_companies_sync() {
    for companies in [true, false] {
        let app = TestApp::with(if companies { ALL } else { DEALS }).await;
        let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
        let fields = [&OPPORTUNITY[..], &[("AccountId", account.as_str())]].concat();
        let opportunity = app.salesforce.create("Opportunity", &fields).unwrap();
        app.settle().await;
        let deal = deal(&app);
        assert_eq!(app.hubspot.associated(("deals", deal), "companies").len(), usize::from(companies));
        assert_eq!(field(&app, &opportunity, "AccountId"), Some(account));
        app.end().await;
    }
}

#[tokio::test]
async fn r_149_a_deals_company_gives_the_opportunity_its_account() {
    let app = TestApp::with(ALL).await;
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.hubspot.associate(("deals", deal), ("companies", company)).unwrap();
    app.settle().await;
    let account = only(&app.salesforce.ids("Account"));
    assert_eq!(field(&app, &opportunity(&app), "AccountId"), Some(account));
    app.end().await;
}

#[tokio::test]
async fn r_151_company_sync_never_takes_an_account_from_an_opportunity() {
    let app = TestApp::with(ALL).await;
    // The account is older than company sync; the deal has no company yet.
    app.salesforce.drop_notifications(1);
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    let fields = [&OPPORTUNITY[..], &[("AccountId", account.as_str())]].concat();
    let opportunity = app.salesforce.create("Opportunity", &fields).unwrap();
    app.settle().await;
    let deal = deal(&app);
    let company = app.hubspot.associated(("deals", deal), "companies")[0];
    app.clock.advance_millis(1_000);
    app.hubspot.dissociate(("deals", deal), ("companies", company)).unwrap();
    app.settle().await;
    assert_eq!(field(&app, &opportunity, "AccountId"), Some(account), "nothing is taken from an opportunity");
    assert!(
        app.hubspot.associated(("deals", deal), "companies").is_empty(),
        "what a person takes away stays away"
    );
    app.end().await;
}

#[tokio::test]
async fn r_154_contacts_with_a_role_are_the_deals_contacts() {
    let app = TestApp::with(ALL).await;
    let grace =
        app.salesforce.create("Contact", &[("LastName", "Hopper"), ("Email", "grace@example.com")]).unwrap();
    let opportunity = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    let role = app.salesforce.add_contact_role(&opportunity, &grace).unwrap();
    app.settle().await;
    let (deal, contact) = (deal(&app), only(&app.hubspot.ids()));
    let contacts = || app.hubspot.associated(("deals", deal), "contacts");
    assert_eq!(contacts(), [contact], "from the start");
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("deals", deal), ("contacts", ada)).unwrap();
    app.salesforce.remove_contact_role(&role);
    app.salesforce.update("Opportunity", &opportunity, &[("Amount", "8")]).unwrap();
    app.settle().await;
    assert_eq!(contacts(), [contact, ada], "a role that goes takes nobody from the deal");
    app.hubspot.dissociate(("deals", deal), ("contacts", contact)).unwrap();
    app.settle().await;
    app.salesforce.add_contact_role(&opportunity, &grace).unwrap();
    app.salesforce.update("Opportunity", &opportunity, &[("Amount", "9")]).unwrap();
    app.settle().await;
    assert_eq!(contacts(), [contact, ada], "a new role brings its contact");
    app.end().await;
}

#[tokio::test]
async fn r_155_only_the_number_of_an_amount_travels() {
    let app = TestApp::with(DEALS).await;
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    app.forget_calls();
    app.hubspot.update_in("deals", deal, &[("amount", "1200.500")]).unwrap();
    app.settle().await;
    assert_eq!(app.writes(), 0, "another spelling of the same number is no change");
    app.end().await;
}

#[tokio::test]
async fn r_156_a_deal_without_a_close_date_waits_or_gets_the_default_one() {
    let without: Vec<(&str, &str)> = DEAL.into_iter().filter(|(name, _)| *name != "closedate").collect();
    let app = TestApp::with(DEALS).await;
    let deal = app.hubspot.create_in("deals", &without).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Opportunity").is_empty());
    let (_, jobs) = app.ask("GET", "/v1/connections/acme/jobs?state=parked", "").await;
    assert!(jobs.to_string().contains("CloseDate"), "{jobs}");
    app.hubspot.update_in("deals", deal, &[("closedate", "2026-12-31")]).unwrap();
    app.settle().await;
    assert_eq!(field(&app, &opportunity(&app), "CloseDate").as_deref(), Some("2026-12-31"));
    app.end().await;
    let app = TestApp::with(&format!("{DEALS}\nclose_date_default_days = 30")).await;
    let deal = app.hubspot.create_in("deals", &without).unwrap();
    app.settle().await;
    let opportunity = opportunity(&app);
    // The clock stands at 2026-09-21.
    assert_eq!(field(&app, &opportunity, "CloseDate").as_deref(), Some("2026-10-21"));
    assert_eq!(property(&app, deal, "closedate"), None, "a filled date never comes back");
    app.end().await;
}

#[tokio::test]
async fn r_052_and_r_053_a_deleted_opportunity_deletes_its_deal_and_never_the_other_way_round() {
    for (setting, left) in [(DEALS.to_owned(), 0), (format!("{DEALS}\ndelete_in_hubspot = false"), 1)] {
        let app = TestApp::with(&setting).await;
        let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
        app.settle().await;
        app.salesforce.delete("Opportunity", &opportunity(&app));
        app.hubspot.update_in("deals", deal, &[("amount", "1")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.ids_in("deals").len(), left, "{setting}");
        app.end().await;
    }
    let app = TestApp::with(DEALS).await;
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    let opportunity = opportunity(&app);
    app.hubspot.delete_in("deals", deal);
    app.salesforce.update("Opportunity", &opportunity, &[("Amount", "2")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Opportunity"), [opportunity], "R-053");
    assert!(app.hubspot.ids_in("deals").is_empty(), "and none is made anew");
    app.end().await;
}

#[tokio::test]
async fn r_182_and_r_183_a_new_opportunity_has_the_owner_who_matches_or_is_ours() {
    let app = TestApp::with(DEALS).await;
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    let ann = app.salesforce.add_user("ann@example.com", "Ann", "Lee", true);
    app.hubspot.create_in("deals", &[&DEAL[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
    app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    let mut owners: Vec<Option<String>> =
        app.salesforce.ids("Opportunity").iter().map(|id| field(&app, id, "OwnerId")).collect();
    owners.sort();
    let mut expected = vec![Some(app.salesforce.integration_user().to_owned()), Some(ann)];
    expected.sort();
    assert_eq!(owners, expected);
    app.end().await;
}

#[tokio::test]
async fn i_5_a_company_and_a_deal_whose_creation_was_not_answered_are_found_by_the_ids_they_hold() {
    let app = TestApp::with(ALL).await;
    for object in ["companies", "deals"] {
        app.hubspot.control().add_fault(unanswered("POST", &format!("/{object}/batch/create")));
    }
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    let opportunity = [&OPPORTUNITY[..], &[("AccountId", account.as_str())]].concat();
    let opportunity = app.salesforce.create("Opportunity", &opportunity).unwrap();
    app.settle().await;
    app.settle_after(60_000).await;
    let (company, deal) = (only(&app.hubspot.ids_in("companies")), deal(&app));
    assert_eq!(property(&app, deal, "hubforce_salesforce_opportunity_id"), Some(opportunity));
    let id = app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
    assert_eq!(id, Some(account));
    for path in [format!("company/{company}"), format!("deal/{deal}")] {
        let (_, record) = app.ask("GET", &format!("/v1/connections/acme/records/hubspot/{path}"), "").await;
        assert_eq!(record["state"], "linked", "{record}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_154_and_r_163_whoever_begins_to_sync_later_joins_the_deals_of_their_opportunities() {
    let settings = format!("{ALL}\n[connections.sync.lifecycle]\nopportunity_transitions = true");
    let app = TestApp::with(&settings).await;
    let contact = app.salesforce.create("Contact", &[("LastName", "Hopper")]).unwrap();
    let opportunity = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.salesforce.add_contact_role(&opportunity, &contact).unwrap();
    app.settle().await;
    let deal = deal(&app);
    assert_eq!(app.hubspot.associated(("deals", deal), "contacts"), Vec::<u64>::new());
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("Email", "grace@example.com")]).unwrap();
    app.settle().await;
    let grace = only(&app.hubspot.ids());
    assert_eq!(app.hubspot.associated(("deals", deal), "contacts"), [grace]);
    assert_eq!(app.hubspot.property(grace, "lifecyclestage").as_deref(), Some("customer"), "it is won");
    app.end().await;
}

#[tokio::test]
async fn r_147_an_opportunity_of_another_pipeline_takes_no_part() {
    let app = TestApp::with(&format!("{DEALS}\npipelines = [\"renewals\"]")).await;
    app.hubspot.add_pipeline("renewals", "Renewals", &[("91", "Needs Analysis", false)]);
    let of_sales = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    let renewal = [("Name", "R"), ("StageName", "Needs Analysis"), ("CloseDate", "2026-12-24")];
    app.salesforce.create("Opportunity", &renewal).unwrap();
    app.settle().await;
    assert_eq!(property(&app, deal(&app), "dealname").as_deref(), Some("R"), "no other deal is made");
    assert_eq!(record(&app, &format!("salesforce/Opportunity/{of_sales}")).await["state"], "excluded");
    assert_eq!(app.jobs(None).await, []);
    app.end().await;
}

#[tokio::test]
async fn r_145_an_opportunity_comes_to_the_pipeline_of_its_record_type() {
    let record_type = "012000000000001AAA";
    let custom_fields = vec![("Opportunity".to_owned(), "RecordTypeId".to_owned(), "reference")];
    let organization = Options { custom_fields, ..Options::default() };
    let app = TestApp::in_organization(DEALS, organization).await;
    app.hubspot.add_pipeline("7", &format!("Salesforce - {record_type}"), &[("71", "Closed Won", true)]);
    let of_type = [&OPPORTUNITY[..], &[("RecordTypeId", record_type)]].concat();
    app.salesforce.create("Opportunity", &of_type).unwrap();
    app.settle().await;
    let own = deal(&app);
    assert_eq!(property(&app, own, "pipeline").as_deref(), Some("7"));
    assert_eq!(property(&app, own, "dealstage").as_deref(), Some("71"));
    app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.settle().await;
    let other = app.hubspot.ids_in("deals").into_iter().find(|deal| *deal != own).unwrap();
    assert_eq!(property(&app, other, "pipeline").as_deref(), Some("default"));
    app.end().await;
}

#[tokio::test]
async fn r_145_stages_without_a_counterpart_are_said_before_an_opportunity_waits_for_one() {
    let app = TestApp::with(DEALS).await;
    let findings = app.worker.inspect(&app.name).await.unwrap();
    let about: Vec<_> = findings.iter().filter(|finding| finding.subject == "deals.stages").collect();
    assert_eq!(about.len(), 1, "{findings:?}");
    assert!(about[0].text.contains("Prospecting") && !about[0].text.contains("Closed Won"), "{about:?}");
    assert!(!about[0].stops);
    app.end().await;
}
