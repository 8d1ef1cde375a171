//! What the organization does on its own.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

use crate::domain::{TestClock, Timestamp};
use crate::emulator::salesforce::{Options, SalesforceEmulator};
use crate::emulator::{Asked, Caller, EmulatorClock, Vendor, decode_pair};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn organization(options: Options) -> SalesforceEmulator {
    let start = Timestamp::parse("2026-05-01T09:00:00Z").unwrap();
    let emulator = SalesforceEmulator::new(options, EmulatorClock::new(Arc::new(TestClock::at(start))));
    emulator.deliver_to("http://127.0.0.1:1/");
    emulator
}

fn persons() -> SalesforceEmulator {
    organization(Options { person_accounts: true, ..Options::default() })
}

/// A call of the integration: its status and its body.
fn call(
    emulator: &SalesforceEmulator,
    (method, target): (&str, &str),
    headers: &[(&'static str, &str)],
    body: &Json,
) -> (u16, Json) {
    let form = b"grant_type=client_credentials&client_id=integration-client&client_secret=integration-secret";
    let ask = |method: &str, target: &str, headers: &HeaderMap, body: &[u8]| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(decode_pair).collect();
        let reply = emulator.answer(&Asked { method, path, query, headers, body }, Caller::Integration);
        (reply.status, serde_json::from_slice::<Json>(&reply.body).unwrap_or_default())
    };
    let (_, token) = ask("POST", "/services/oauth2/token", &HeaderMap::new(), form);
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let mut sent = HeaderMap::new();
    for (name, value) in headers.iter().copied().chain([("authorization", bearer.as_str())]) {
        sent.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    ask(method, &format!("/services/data/v62.0/{target}"), &sent, body.to_string().as_bytes())
}

fn query(emulator: &SalesforceEmulator, text: &str) -> (u16, Json) {
    call(emulator, ("GET", &format!("query?q={}", text.replace(' ', "+"))), &[], &Json::Null)
}

#[test]
fn leads_of_the_api_are_assigned_unless_the_header_says_no() {
    let crm = organization(Options::default());
    let queue = crm.add_queue("Inbound");
    crm.assign_leads_to(&queue);
    let lead = json!({ "LastName": "Doe", "Company": "Acme" });
    let made = |headers: &[(&'static str, &str)]| {
        let (status, body) = call(&crm, ("POST", "sobjects/Lead"), headers, &lead);
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (made(&[]), made(&[("sforce-auto-assign", "FALSE")]));
    assert_eq!(crm.field("Lead", &first, "OwnerId"), Some(queue));
    assert_eq!(crm.field("Lead", &second, "OwnerId").as_deref(), Some(crm.integration_user()));
    assert_eq!(call(&crm, ("POST", "sobjects/Lead"), &[("sforce-auto-assign", "maybe")], &lead).0, 400);
}

#[test]
fn owners_and_parents_are_checked() -> Outcome {
    let crm = organization(Options::default());
    let (queue, gone) = (crm.add_queue("Inbound"), crm.add_user("gone@example.com", "Gone", "By", true));
    crm.deactivate_user(&gone);
    let account = crm.create("Account", &[("Name", "Acme"), ("AnnualRevenue", "1200")])?;
    assert!(crm.delete("Account", &account));
    let code = |object: &str, field: &str, value: &str| {
        let body = json!({ "LastName": "Doe", field: value });
        let (status, body) = call(&crm, ("POST", &format!("sobjects/{object}")), &[], &body);
        assert_eq!(status, 400);
        body[0]["errorCode"].as_str().unwrap().to_owned()
    };
    assert_eq!(code("Contact", "OwnerId", &queue), "MALFORMED_ID");
    assert_eq!(code("Contact", "OwnerId", &gone), "INACTIVE_OWNER_OR_USER");
    assert_eq!(code("Contact", "AccountId", "001000000000999AAA"), "INVALID_CROSS_REFERENCE_KEY");
    assert_eq!(code("Contact", "AccountId", &account), "ENTITY_IS_DELETED");
    let lead = crm.create("Lead", &[("LastName", "Doe"), ("Company", "Acme"), ("OwnerId", &queue)])?;
    assert!(crm.update("Lead", &lead, &[("OwnerId", "")]).is_err());
    Ok(())
}

#[test]
fn a_conversion_makes_account_contact_opportunity_and_role() -> Outcome {
    let crm = organization(Options::default());
    let queue = crm.add_queue("Inbound");
    let fields = [("LastName", "Doe"), ("Company", "Acme"), ("OwnerId", queue.as_str()), ("City", "Ulm")];
    let lead = crm.create("Lead", &fields)?;
    let made = crm.convert_into(&lead, None, Some("Acme deal"))?;
    assert_eq!(crm.field("Account", &made.account, "Name").as_deref(), Some("Acme"));
    assert_eq!(crm.field("Account", &made.account, "BillingCity").as_deref(), Some("Ulm"));
    assert_eq!(crm.field("Contact", &made.contact, "AccountId"), Some(made.account.clone()));
    assert_eq!(crm.field("Lead", &lead, "ConvertedOpportunityId"), made.opportunity);
    let opportunity = made.opportunity.unwrap();
    assert_eq!(crm.field("Opportunity", &opportunity, "CloseDate").as_deref(), Some("2026-06-30"));
    let text = format!(
        "SELECT ContactId, IsPrimary FROM OpportunityContactRole WHERE OpportunityId IN ('{opportunity}')"
    );
    let (_, roles) = query(&crm, &text);
    assert_eq!(
        (&roles["records"][0]["ContactId"], &roles["records"][0]["IsPrimary"]),
        (&json!(made.contact), &json!(true))
    );
    assert!(crm.convert(&lead).is_err());

    let other =
        crm.create("Lead", &[("LastName", "Roe"), ("Company", "Else"), ("Website", "acme.example")])?;
    let reused = crm.convert_into(&other, Some(&made.account), None)?;
    assert_eq!(reused.account, made.account);
    assert_eq!(crm.field("Account", &made.account, "Name").as_deref(), Some("Acme"));
    assert_eq!(crm.field("Account", &made.account, "Website").as_deref(), Some("acme.example"));
    Ok(())
}

#[test]
fn a_stage_says_whether_an_opportunity_is_won() -> Outcome {
    let crm = organization(Options::default());
    let fields =
        [("Name", "Deal"), ("StageName", "Prospecting"), ("CloseDate", "2026-06-01"), ("Amount", "1200")];
    let deal = crm.create("Opportunity", &fields)?;
    assert_eq!(crm.field("Opportunity", &deal, "Probability").as_deref(), Some("10"));
    crm.update("Opportunity", &deal, &[("StageName", "Closed Won")])?;
    let held =
        ["IsClosed", "IsWon", "Probability", "Amount"].map(|name| crm.field("Opportunity", &deal, name));
    assert_eq!(held.map(Option::unwrap), ["true", "true", "100", "1200"]);
    assert!(crm.update("Opportunity", &deal, &[("IsWon", "false")]).is_err());
    assert!(crm.update("Opportunity", &deal, &[("CloseDate", "")]).is_err());
    Ok(())
}

#[test]
fn a_person_account_is_two_rows_in_step_and_one_message() -> Outcome {
    let crm = persons();
    let account = crm.create(
        "Account",
        &[("FirstName", "Ann"), ("LastName", "Lee"), ("PersonEmail", "ann@example.com")],
    )?;
    let contact = crm.field("Account", &account, "PersonContactId").unwrap();
    assert_eq!(crm.field("Account", &account, "Name").as_deref(), Some("Ann Lee"));
    assert_eq!(crm.field("Contact", &contact, "Email").as_deref(), Some("ann@example.com"));
    assert_eq!(crm.pending(), 1);
    crm.update("Account", &account, &[("PersonHasOptedOutOfEmail", "true"), ("PersonMailingCity", "Ulm")])?;
    assert_eq!(crm.field("Contact", &contact, "HasOptedOutOfEmail").as_deref(), Some("true"));
    assert_eq!(crm.field("Contact", &contact, "MailingCity").as_deref(), Some("Ulm"));
    let (status, body) =
        call(&crm, ("PATCH", &format!("sobjects/Contact/{contact}")), &[], &json!({ "Title": "x" }));
    assert_eq!((status, body[0]["errorCode"].as_str()), (400, Some("INSUFFICIENT_ACCESS_OR_READONLY")));
    assert!(crm.update("Account", &account, &[("Name", "Other")]).is_err());
    assert!(crm.delete("Account", &account));
    assert!(crm.ids("Contact").is_empty());
    let lead = crm.create("Lead", &[("LastName", "Bee"), ("Email", "bee@example.com")])?;
    let made = crm.convert_into(&lead, None, None)?;
    assert_eq!(crm.field("Account", &made.account, "PersonContactId"), Some(made.contact));
    Ok(())
}

#[test]
fn a_deletion_takes_along_what_hangs_on_it_and_brings_it_back() -> Outcome {
    let crm = organization(Options::default());
    let account = crm.create("Account", &[("Name", "Acme")])?;
    let contact = crm.create("Contact", &[("LastName", "Doe"), ("AccountId", &account)])?;
    let fields = [
        ("Name", "Deal"),
        ("StageName", "Prospecting"),
        ("CloseDate", "2026-06-01"),
        ("AccountId", &account),
    ];
    let deal = crm.create("Opportunity", &fields)?;
    let role = crm.add_contact_role(&deal, &contact)?;
    assert!(crm.delete("Account", &account));
    for object in ["Account", "Contact", "Opportunity", "OpportunityContactRole"] {
        assert!(crm.ids(object).is_empty(), "{object}");
    }
    crm.undelete("Account", &account)?;
    assert_eq!(crm.field("Contact", &contact, "AccountId"), Some(account));
    assert_eq!((crm.ids("Opportunity"), crm.ids("OpportunityContactRole")), (vec![deal], vec![role.clone()]));
    assert!(crm.remove_contact_role(&role));
    Ok(())
}

#[test]
fn a_merged_account_leaves_its_contacts_to_its_master() -> Outcome {
    let crm = organization(Options::default());
    let master = crm.create("Account", &[("Name", "Acme")])?;
    let loser = crm.create("Account", &[("Name", "Acme Inc")])?;
    let contact = crm.create("Contact", &[("LastName", "Doe"), ("AccountId", &loser)])?;
    let told = crm.pending();
    crm.merge("Account", &master, &loser)?;
    assert_eq!(crm.pending(), told + 1);
    assert_eq!(crm.field("Contact", &contact, "AccountId"), Some(master.clone()));
    assert_eq!(crm.ids("Account"), vec![master.clone()]);
    let (_, found) =
        query(&crm, &format!("SELECT Id, AccountId FROM Contact WHERE AccountId IN ('{master}')"));
    assert_eq!(found["totalSize"], 1);
    assert!(crm.merge("Account", &master, &loser).is_err());
    Ok(())
}

#[test]
fn what_is_hidden_is_not_there_for_the_integration() -> Outcome {
    let crm = organization(Options::default());
    crm.hide_field("Contact", "Fax");
    crm.hide_object("Opportunity");
    let (_, described) = call(&crm, ("GET", "sobjects/Contact/describe"), &[], &Json::Null);
    let field = |name: &str| {
        described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned()
    };
    assert!(field("Fax").is_none());
    assert_eq!(field("AccountId").unwrap()["referenceTo"], json!(["Account"]));
    assert_eq!(query(&crm, "SELECT Fax FROM Contact").1[0]["errorCode"], "INVALID_FIELD");
    assert_eq!(call(&crm, ("GET", "sobjects/Opportunity/describe"), &[], &Json::Null).0, 404);
    let contact = json!({ "LastName": "Doe", "Fax": "1" });
    assert_eq!(call(&crm, ("POST", "sobjects/Contact"), &[], &contact).1[0]["errorCode"], "INVALID_FIELD");
    crm.create("Contact", &[("LastName", "Doe"), ("Fax", "1")])?;
    Ok(())
}

#[test]
fn users_queues_and_stages_can_be_read_and_not_written() {
    let crm = organization(Options::default());
    crm.add_queue("Inbound");
    let (_, users) = query(&crm, "SELECT Id, Email, FirstName, LastName, Name, IsActive, UserType FROM User");
    assert_eq!(users["records"][0]["Name"], "Integration User");
    assert_eq!(users["records"][1]["Email"], "person@example.com");
    assert_eq!(query(&crm, "SELECT Id, Name FROM Group WHERE Type = 'Queue'").1["totalSize"], 1);
    assert_eq!(query(&crm, "SELECT ApiName FROM OpportunityStage WHERE IsWon = true").1["totalSize"], 1);
    assert_eq!(query(&crm, "SELECT OrganizationType FROM Organization").1["totalSize"], 1);
    let (status, body) = call(&crm, ("POST", "sobjects/User"), &[], &json!({}));
    assert_eq!((status, body[0]["errorCode"].as_str()), (400, Some("INVALID_TYPE_FOR_OPERATION")));
}

#[test]
fn an_edition_without_the_api_refuses_calls() {
    let crm = organization(Options { edition: "Team Edition".to_owned(), ..Options::default() });
    let (status, body) = query(&crm, "SELECT Id FROM User");
    assert_eq!((status, body[0]["errorCode"].as_str()), (403, Some("API_DISABLED_FOR_ORG")));
}

#[test]
fn a_duplicate_is_refused_unless_the_header_allows_it() -> Outcome {
    let crm = organization(Options::default());
    crm.refuse_duplicates("Contact", "Email");
    let first = crm.create("Contact", &[("LastName", "Doe"), ("Email", "doe@example.com")])?;
    let again = json!({ "LastName": "Doe", "Email": "DOE@example.com" });
    let (status, body) = call(&crm, ("POST", "sobjects/Contact"), &[], &again);
    let found = &body[0]["duplicateResut"]["matchResults"][0]["matchRecords"][0]["record"]["Id"];
    assert_eq!((status, found), (400, &json!(first)));
    let allowed = [("sforce-duplicate-rule-header", "allowSave=true")];
    assert_eq!(call(&crm, ("POST", "sobjects/Contact"), &allowed, &again).0, 201);
    Ok(())
}

#[test]
fn a_write_on_condition_fails_where_the_record_was_changed() -> Outcome {
    let crm = organization(Options::default());
    let contact = crm.create("Contact", &[("LastName", "Doe")])?;
    let path = format!("sobjects/Contact/{contact}");
    let write = |since: &str| {
        call(&crm, ("PATCH", &path), &[("if-unmodified-since", since)], &json!({ "Title": "x" })).0
    };
    assert_eq!(write("Fri, 01 May 2026 08:59:59 GMT"), 412);
    assert_eq!(write("Fri, 01 May 2026 09:00:00 GMT"), 204);
    assert_eq!(write("yesterday"), 400);
    Ok(())
}
