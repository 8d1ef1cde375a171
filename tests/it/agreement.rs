//! What must hold when everything is quiet, whatever happened before.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hubforce::emulator::hubspot::HubspotEmulator;
use hubforce::emulator::salesforce::SalesforceEmulator;
use serde_json::Value as Json;
use tower::ServiceExt;

use crate::harness::TOKEN;
use crate::people_at_work::{ENDING, GIVEN, HUBSPOT, SALESFORCE};

/// What is compared: the HubSpot object, its property that names the twin, the twin's object, and pairs of fields.
type Compared = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);
const COMPARED: [Compared; 4] = [
    (
        "contacts",
        "hubforce_salesforce_lead_id",
        "Lead",
        &[("email", "Email"), ("firstname", "FirstName"), ("city", "City"), ("phone", "Phone")],
    ),
    (
        "contacts",
        "hubforce_salesforce_contact_id",
        "Contact",
        &[("email", "Email"), ("firstname", "FirstName"), ("city", "MailingCity"), ("phone", "Phone")],
    ),
    (
        "companies",
        "hubforce_salesforce_account_id",
        "Account",
        &[("name", "Name"), ("city", "BillingCity"), ("phone", "Phone")],
    ),
    (
        "deals",
        "hubforce_salesforce_opportunity_id",
        "Opportunity",
        &[("dealname", "Name"), ("description", "Description"), ("amount", "Amount")],
    ),
];

/// What tells a record from every other: the name that was given once; a person's also by the address, as a contact that goes over to
/// another lead takes names along.
const NAMES: [(&str, &[&str]); 7] = [
    ("contacts", &["lastname", "email"]),
    ("companies", &["name"]),
    ("deals", &["dealname"]),
    ("Lead", &["LastName", "Email"]),
    ("Contact", &["LastName", "Email"]),
    ("Account", &["Name"]),
    ("Opportunity", &["Name"]),
];

/// Both sides, and the service to ask.
pub(crate) struct Quiet<'a> {
    pub(crate) hubspot: &'a HubspotEmulator,
    pub(crate) salesforce: &'a SalesforceEmulator,
    pub(crate) router: &'a Router,
    /// Whether the service sweeps: then it knows of every record that is gone.
    pub(crate) sweeps: bool,
}

impl Quiet<'_> {
    /// I3: both sides agree on every mapped field, or something visible says why not.
    pub(crate) async fn i_3_both_sides_agree_or_say_why_not(&self) {
        for (object, property, twin_object, fields) in COMPARED {
            let mut twins: BTreeMap<String, u64> = BTreeMap::new();
            for id in self.hubspot.ids_in(object) {
                let Some(twin) = self.hubspot.property_in(object, id, property) else { continue };
                let before = twins.insert(twin.clone(), id);
                assert_eq!(before, None, "I3: two {object} are linked to {twin}");
                let is_there = self.salesforce.ids(twin_object).contains(&twin);
                if self.sweeps && !is_there {
                    let record = self.ask(&path_of(object, id)).await;
                    assert_ne!(record["state"], "linked", "I3: {object} {id}, whose {twin} is gone");
                }
                for (name, field) in fields {
                    let here = self.hubspot.property_in(object, id, name);
                    let there = self.salesforce.field(twin_object, &twin, field);
                    if here != there && is_there {
                        self.explained((object, id, name), (here, there)).await;
                    }
                }
            }
        }
    }

    /// I5: no record was made twice. Records that we made bear each key once, and each name once.
    pub(crate) async fn i_5_nothing_was_made_twice(&self) {
        for object in SALESFORCE {
            let mut keys: BTreeMap<String, String> = BTreeMap::new();
            for id in self.salesforce.ids(object) {
                let Some(key) = self.salesforce.field(object, &id, "Hubforce_HubSpot_Id__c") else {
                    continue;
                };
                let before = keys.insert(key.clone(), id);
                assert_eq!(before, None, "I5: two {object}s were made of {key}");
            }
        }
        for (object, fields) in NAMES {
            let mut names: BTreeMap<String, String> = BTreeMap::new();
            let is_company = matches!(object, "companies" | "Account");
            let given = |(_, name): &(String, String)| {
                name.starts_with(GIVEN) && (name.ends_with(ENDING) || !is_company)
            };
            for (id, name) in self.made_by_us(object, fields).into_iter().filter(given) {
                let Some(before) = names.insert(name.clone(), id.clone()) else { continue };
                let first_names =
                    [self.first_name_of(object, &before).await, self.first_name_of(object, &id).await];
                let took_over = first_names.iter().all(Option::is_some) && first_names[0] != first_names[1];
                let of_two = object == "companies" && self.belong_to_two_accounts(&before, &id);
                assert!(
                    took_over || of_two,
                    "I5: {name} was made twice among {object}, as {before} and as {id}"
                );
            }
        }
    }

    /// Whether two companies belong to an account each: a lead bears its company's name, and its conversion makes an account of that name.
    fn belong_to_two_accounts(&self, one: &str, other: &str) -> bool {
        let account_of = |company: &str| {
            let id = company.parse().ok()?;
            self.hubspot.property_in("companies", id, "hubforce_salesforce_account_id")
        };
        let accounts = [account_of(one), account_of(other)];
        let live = self.salesforce.ids("Account");
        accounts[0] != accounts[1]
            && accounts.iter().all(|account| account.as_ref().is_some_and(|id| live.contains(id)))
    }

    /// The name that the service gave a person when it created them in Salesforce, if the audit has it.
    async fn first_name_of(&self, object: &str, id: &str) -> Option<String> {
        let path = format!("/v1/connections/acme/audit?kind={object}&id={id}&limit=500");
        let page = self.ask(&path).await;
        let given = page["items"].as_array()?.iter().find(|row| row["field"] == "LastName")?;
        given["new"].as_str().map(str::to_owned)
    }

    /// The records that the service created and that are there, with their names.
    fn made_by_us(&self, object: &str, fields: &[&str]) -> Vec<(String, String)> {
        let joined = |held: &dyn Fn(&str) -> Option<String>| {
            fields.iter().map(|field| held(field).unwrap_or_default()).collect::<Vec<_>>().join(" ")
        };
        if HUBSPOT.contains(&object) {
            let ids = self.hubspot.ids_in(object).into_iter();
            // What came of a merge was made by whoever merged.
            let ours = |id: &u64| {
                let held = |name: &str| self.hubspot.property_in(object, *id, name);
                held("hs_object_source").as_deref() == Some("INTEGRATION")
                    && held("hs_merged_object_ids").is_none()
            };
            let name =
                |id: u64| (id.to_string(), joined(&|field| self.hubspot.property_in(object, id, field)));
            return ids.filter(ours).map(name).collect();
        }
        let ids = self.salesforce.ids(object).into_iter();
        let user = self.salesforce.integration_user();
        let ours = |id: &String| {
            let made = self.salesforce.field(object, id, "CreatedById").as_deref() == Some(user);
            made && self.salesforce.field(object, id, "IsConverted").as_deref() != Some("true")
        };
        let name = |id: String| {
            let name = joined(&|field| self.salesforce.field(object, &id, field));
            (id, name)
        };
        ids.filter(ours).map(name).collect()
    }

    /// Both sides differ: something visible must say why.
    async fn explained(&self, at: (&str, u64, &str), held: (Option<String>, Option<String>)) {
        let (object, id, name) = at;
        let path = path_of(object, id);
        let record = self.ask(&path).await;
        let state = record["state"].as_str().unwrap_or_default();
        if ["conflict", "failed", "stopped", "ambiguous"].contains(&state) || !record["last_error"].is_null()
        {
            return;
        }
        let explained = self.ask(&format!("{path}/explain")).await;
        let is_it = |field: &&Json| field["hubspot"] == name && field["decision"] == "set_aside";
        if explained["fields"].as_array().is_some_and(|fields| fields.iter().any(|field| is_it(&field))) {
            return;
        }
        panic!("I3: {object} {id} {name}: {held:?}, but {record}; {explained:#}");
    }

    async fn ask(&self, path: &str) -> Json {
        let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}"));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap_or_default()
    }
}

fn path_of(object: &str, id: u64) -> String {
    let kind = match object {
        "contacts" => "contact",
        "companies" => "company",
        _ => "deal",
    };
    format!("/v1/connections/acme/records/hubspot/{kind}/{id}")
}
