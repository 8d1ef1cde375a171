//! What the portal does on its own, and what persons do in it.

use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::{Value as Json, json};

use crate::domain::{TestClock, Timestamp};
use crate::emulator::hubspot::{HubspotEmulator, Options};
use crate::emulator::{Asked, Caller, EmulatorClock, Vendor, decode_pair};

const ADA: [(&str, &str); 2] = [("email", "Ada@Example.com"), ("firstname", "Ada")];

/// A portal that tells of everything.
fn portal() -> HubspotEmulator {
    let start = Timestamp::parse("2026-05-01T09:00:00Z").unwrap();
    let clock = EmulatorClock::new(Arc::new(TestClock::at(start)));
    let emulator = HubspotEmulator::new(Options::default(), clock);
    emulator.deliver_to("http://127.0.0.1:1/", "secret");
    emulator
}

/// A call of the integration: its status and its body.
fn call(emulator: &HubspotEmulator, (method, target): (&str, &str), body: &Json) -> (u16, Json) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(decode_pair).collect();
    let (headers, body) = (HeaderMap::new(), body.to_string());
    let asked = Asked { method, path, query, headers: &headers, body: body.as_bytes() };
    let reply = emulator.answer(&asked, Caller::Integration);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn create(emulator: &HubspotEmulator, properties: &Json) -> (u16, Json) {
    call(emulator, ("POST", "/crm/v3/objects/contacts"), &json!({ "properties": properties }))
}

/// The events told since the last look.
fn told(emulator: &HubspotEmulator) -> Vec<String> {
    let bodies = emulator.take_due(emulator.now()).into_iter().map(|message| message.body);
    let events = bodies.flat_map(|body| serde_json::from_slice::<Vec<Json>>(&body).unwrap());
    events.map(|event| event["subscriptionType"].as_str().unwrap().to_owned()).collect()
}

fn members(emulator: &HubspotEmulator, list: &str) -> Vec<(u64, String)> {
    let (_, page) = call(emulator, ("GET", &format!("/crm/v3/lists/{list}/memberships")), &Json::Null);
    let member = |member: &Json| {
        let id = member["recordId"].as_str().unwrap().parse().unwrap();
        (id, member["membershipTimestamp"].as_str().unwrap().to_owned())
    };
    page["results"].as_array().unwrap().iter().map(member).collect()
}

#[test]
fn an_erased_contact_is_gone_and_only_a_person_enters_its_address_again() {
    let portal = portal();
    let id = portal.create(&ADA).unwrap();
    told(&portal);
    portal.erase(id).unwrap();
    assert_eq!(told(&portal), ["contact.privacyDeletion", "contact.deletion"]);
    portal.restore(id).unwrap_err();
    for query in ["", "?archived=true"] {
        let one = format!("/crm/v3/objects/contacts/{id}{query}");
        assert_eq!(call(&portal, ("GET", &one), &Json::Null).0, 404);
        let all = format!("/crm/v3/objects/contacts{query}");
        assert_eq!(call(&portal, ("GET", &all), &Json::Null).1["results"], json!([]));
    }
    let (status, refusal) = create(&portal, &json!({ "email": "ADA@example.com" }));
    assert_eq!((status, &refusal["category"]), (400, &json!("VALIDATION_ERROR")), "{refusal}");
    let again = portal.create(&ADA).unwrap();
    assert!(portal.delete(again));
    assert_eq!(create(&portal, &json!({ "email": "ada@example.com" })).0, 201, "it is blocked no longer");
}

#[test]
fn the_call_erases_by_id_or_address_and_blocks_an_address_that_nobody_has() {
    let portal = portal();
    let id = portal.create(&ADA).unwrap();
    let erase = |path: &str, body: Json| call(&portal, ("POST", path), &body).0;
    let by_id = json!({ "objectId": id.to_string() });
    assert_eq!(erase("/crm/objects/2026-09/contacts/gdpr-delete", by_id.clone()), 204);
    assert_eq!(erase("/crm/v3/objects/contacts/gdpr-delete", by_id), 404);
    let by_address = json!({ "objectId": "grace@example.com", "idProperty": "email" });
    assert_eq!(erase("/crm/v3/objects/contacts/gdpr-delete", by_address.clone()), 204);
    assert_eq!(create(&portal, &json!({ "email": "Grace@example.com" })).0, 400);
    let grace = portal.create(&[("email", "grace@example.com")]).unwrap();
    assert_eq!(erase("/crm/v3/objects/contacts/gdpr-delete", by_address), 204);
    assert_eq!(portal.property(grace, "email"), None);
    assert!(portal.ids().is_empty());
}

#[test]
fn an_erased_survivor_takes_along_what_was_merged_into_it() {
    let portal = portal();
    let (ada, grace) = (portal.create(&ADA).unwrap(), portal.create(&[("email", "g@example.com")]).unwrap());
    let survivor = portal.merge(ada, grace).unwrap();
    portal.erase(survivor).unwrap();
    for id in [ada, grace, survivor] {
        let one = format!("/crm/v3/objects/contacts/{id}");
        assert_eq!(call(&portal, ("GET", &one), &Json::Null).0, 404);
    }
    assert_eq!(create(&portal, &json!({ "email": "g@example.com" })).0, 400, "all its addresses are blocked");
}

#[test]
fn a_company_is_the_primary_one_unless_a_person_says_otherwise() {
    let portal = portal();
    let contact = portal.create(&ADA).unwrap();
    let [first, second] =
        ["One", "Two"].map(|name| portal.create_in("companies", &[("name", name)]).unwrap());
    portal.associate_secondary(("contacts", contact), ("companies", first)).unwrap();
    assert_eq!(portal.associated(("contacts", contact), "companies"), [first]);
    assert_eq!(portal.property(contact, "associatedcompanyid"), None);
    let body = json!({ "inputs": [{ "from": { "id": contact }, "to": { "id": second } }] });
    let path = "/crm/v4/associations/contacts/companies/batch/associate/default";
    assert_eq!(call(&portal, ("POST", path), &body).0, 201);
    assert_eq!(
        portal.property(contact, "associatedcompanyid"),
        Some(second.to_string()),
        "the first by the API is"
    );
    portal.associate_secondary(("contacts", contact), ("companies", second)).unwrap();
    assert_eq!(portal.property(contact, "associatedcompanyid"), None, "a person takes the label away");
    portal.associate(("contacts", contact), ("companies", second)).unwrap();
    assert!(portal.delete(contact));
    portal.restore(contact).unwrap();
    assert_eq!(portal.property(contact, "associatedcompanyid"), None, "associations go with a record");
}

#[test]
fn an_active_list_follows_its_contacts_at_once_or_later() {
    let portal = portal();
    let clock = portal.control().clock();
    let ada = portal.create(&ADA).unwrap();
    portal.set_active_list("7", &[("jobtitle", "Countess"), ("hs_lead_status", "NEW")]);
    portal.set_active_list("8", &[]);
    assert_eq!((members(&portal, "7"), members(&portal, "8").len()), (Vec::new(), 1));
    portal.update(ada, &[("jobtitle", "Countess"), ("hs_lead_status", "NEW")]).unwrap();
    let joined = portal.now().to_string();
    assert_eq!(members(&portal, "7"), [(ada, joined)]);
    portal.update(ada, &[("hs_lead_status", "OPEN")]).unwrap();
    assert_eq!(members(&portal, "7"), []);
    portal.lag_lists(60_000);
    portal.update(ada, &[("hs_lead_status", "NEW")]).unwrap();
    clock.advance_millis(59_000);
    assert_eq!(members(&portal, "7"), []);
    let due = portal.now().plus_millis(1_000).to_string();
    clock.advance_millis(30_000);
    portal.update(ada, &[("hs_lead_status", "OPEN")]).unwrap();
    assert_eq!(members(&portal, "7"), [(ada, due)], "it joined when it was due, though nobody looked");
    clock.advance_millis(60_000);
    assert_eq!(members(&portal, "7"), []);
    portal.lag_lists(0);
    portal.delete(ada);
    assert_eq!(members(&portal, "8"), []);
}

#[test]
fn the_definition_of_an_active_list_has_its_filters_where_they_are_asked_for() {
    let portal = portal();
    portal.set_active_list("7", &[("jobtitle", "Countess"), ("hs_lead_status", "NEW")]);
    let (_, plain) = call(&portal, ("GET", "/crm/v3/lists/7"), &Json::Null);
    assert_eq!(
        (&plain["list"]["processingType"], plain["list"].get("filterBranch")),
        (&json!("DYNAMIC"), None)
    );
    let (_, told) = call(&portal, ("GET", "/crm/v3/lists/7?includeFilters=true"), &Json::Null);
    let branch = &told["list"]["filterBranch"];
    assert_eq!((&branch["filterBranchType"], &branch["filters"]), (&json!("OR"), &json!([])));
    let within = &branch["filterBranches"][0];
    assert_eq!(within["filterBranchType"], "AND");
    let filters = within["filters"].as_array().unwrap();
    assert!(filters.iter().all(|filter| filter["filterType"] == "PROPERTY"));
    let operations: Vec<(&Json, &Json, &Json)> = filters
        .iter()
        .map(|filter| (&filter["property"], &filter["operation"]["operator"], &filter["operation"]["values"]))
        .collect();
    let (status, title) = (json!(["NEW"]), json!(["Countess"]));
    let [named_status, named_title] = ["hs_lead_status", "jobtitle"].map(Json::from);
    let [any_of, equal] = ["IS_ANY_OF", "IS_EQUAL_TO"].map(Json::from);
    assert_eq!(operations, [(&named_status, &any_of, &status), (&named_title, &equal, &title)]);
}

#[test]
fn unique_values_other_than_addresses_are_compared_as_they_are_written() {
    let portal = portal();
    let own = "hubforce_salesforce_lead_id";
    let ada = portal.create(&[ADA[0], (own, "00QaA")]).unwrap();
    let found = |property: &str, value: &str| {
        let path = format!("/crm/v3/objects/contacts/{value}?idProperty={property}");
        call(&portal, ("GET", &path), &Json::Null).1["id"].as_str().map(str::to_owned)
    };
    assert_eq!((found(own, "00QaA"), found(own, "00qaa")), (Some(ada.to_string()), None));
    assert_eq!(found("email", "ADA@example.com"), Some(ada.to_string()));
    portal.create(&[("email", "g@example.com"), (own, "00Qaa")]).unwrap();
}

#[test]
fn every_property_that_changes_has_a_history_and_all_reads_tell_it() {
    let portal = portal();
    let ada = portal.create(&ADA).unwrap();
    let company = portal.create_in("companies", &[("name", "Engines")]).unwrap();
    portal.associate(("contacts", ada), ("companies", company)).unwrap();
    portal.unsubscribe("ada@example.com");
    let change = json!({ "properties": { "firstname": "A." } });
    let path = format!("/crm/v3/objects/contacts/{ada}");
    assert_eq!(call(&portal, ("PATCH", &path), &change).0, 200);
    let names = "propertiesWithHistory=firstname,hs_email_optout&propertiesWithHistory=associatedcompanyid";
    let (_, one) = call(&portal, ("GET", &format!("{path}?{names}")), &Json::Null);
    let history = &one["propertiesWithHistory"];
    let first: Vec<(&str, &str)> = history["firstname"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["value"].as_str().unwrap(), version["sourceType"].as_str().unwrap()))
        .collect();
    assert_eq!(first, [("A.", "INTEGRATION"), ("Ada", "CRM_UI")]);
    assert_eq!(history["hs_email_optout"][0]["value"], "true");
    assert_eq!(history["associatedcompanyid"][0]["value"], company.to_string());
    let (_, all) = call(&portal, ("GET", &format!("/crm/v3/objects/contacts?{names}")), &Json::Null);
    assert_eq!(&all["results"][0]["propertiesWithHistory"], history);
    let too_many = format!("/crm/v3/objects/contacts?limit=51&{names}");
    assert_eq!(call(&portal, ("GET", &too_many), &Json::Null).0, 400);
}
