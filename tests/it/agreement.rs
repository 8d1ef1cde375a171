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
use crate::oracle::mappings::{LINKS, normal};
use crate::oracle::{Settings, write_journal};
use crate::people_at_work::{ENDING, GIVEN, HUBSPOT, SALESFORCE};

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
    /// What is mapped with what.
    pub(crate) settings: &'a Settings,
    /// Whether the service sweeps: then it knows of every record that is gone.
    pub(crate) sweeps: bool,
}

impl Quiet<'_> {
    /// I3: both sides agree on every mapped field, or the record says why not.
    pub(crate) async fn i_3_both_sides_agree_or_say_why_not(&self) {
        for (object, property, counterpart) in LINKS {
            let mut linked: BTreeMap<String, u64> = BTreeMap::new();
            for id in self.hubspot.ids_in(object) {
                let Some(other) = self.hubspot.property_in(object, id, property) else { continue };
                let before = linked.insert(other.clone(), id);
                assert_eq!(before, None, "I3: two {object} are linked to {other}");
                let is_there = self.salesforce.ids(counterpart).contains(&other);
                if self.sweeps && !is_there {
                    let record = self.ask(&path_of(object, id)).await;
                    if record["state"] == "linked" {
                        self.fail(&format!("I3: {object} {id} is linked, and its {other} is gone"));
                    }
                }
                if is_there {
                    self.is_alike_or_explained((object, id), (counterpart, &other)).await;
                }
            }
        }
    }

    /// Compares every mapped field of two linked records. What differs must be listed on the HubSpot record, with its reason.
    async fn is_alike_or_explained(&self, (object, id): (&str, u64), (counterpart, other): (&str, &str)) {
        let differing: Vec<(&str, [String; 2])> = self
            .settings
            .mapped(object, counterpart)
            .into_iter()
            .map(|(property, field)| {
                let there = self.salesforce.field(counterpart, other, field).unwrap_or_default();
                (property, [self.held(object, id, property), there])
            })
            .filter(|(property, [here, there])| !self.is_same(property, here, there))
            .collect();
        if differing.is_empty() {
            return;
        }
        let path = path_of(object, id);
        let record = self.ask(&path).await;
        for (property, held) in differing {
            // Of an association that goes or moves with a company that is deleted or merged, no message tells: only a sweep finds it. A
            // deal's company is no property of it, so that a sweep finds none before the deal itself changes.
            let is_told = is_listed(&record, property)
                || self.is_given_by_default((property, &held))
                || (!self.sweeps || object == "deals") && property == "associatedcompanyid";
            let explained = if is_told { Json::Null } else { self.ask(&format!("{path}/explain")).await };
            if !is_told && !is_kept((property, &explained)) {
                self.fail(&format!("I3: {object} {id} {property}: {held:?}, but {record}; {explained:#}"));
            }
        }
    }

    /// What Salesforce requires and HubSpot does not have: a lead's company, and an owner, who is our own user. It stays in Salesforce
    ///
    fn is_given_by_default(&self, (property, [here, there]): (&str, &[String; 2])) -> bool {
        let is_filled_in = match property {
            "company" => true,
            "hubspot_owner_id" => there == self.salesforce.integration_user(),
            _ => false,
        };
        is_filled_in && here.is_empty()
    }

    /// Fails with both journals written for whoever looks into it.
    fn fail(&self, text: &str) -> ! {
        write_journal([&self.hubspot.journal(), &self.salesforce.journal()]);
        panic!("{text}");
    }

    fn held(&self, object: &str, id: u64, property: &str) -> String {
        if property != "associatedcompanyid" {
            return self.hubspot.property_in(object, id, property).unwrap_or_default();
        }
        // A company whose account is gone stands for none.
        let is_there = |account: &String| self.salesforce.ids("Account").contains(account);
        let company = match object {
            // The primary one, which may not be there although others are.
            "contacts" => self.hubspot.property_in(object, id, property).and_then(|id| id.parse().ok()),
            _ => self.hubspot.associated((object, id), "companies").first().copied(),
        };
        let account = company
            .and_then(|id| self.hubspot.property_in("companies", id, "hubforce_salesforce_account_id"));
        account.filter(is_there).unwrap_or_default()
    }

    fn is_same(&self, property: &str, here: &str, there: &str) -> bool {
        match property {
            "hubspot_owner_id" => self.settings.is_same_owner(here, there),
            "dealstage" => self.settings.is_same_stage(here, there),
            _ => normal(property, here) == normal(property, there),
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

    async fn ask(&self, path: &str) -> Json {
        let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}"));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap_or_default()
    }
}

/// Whether a record says why a property is not the same on the other side.
fn is_listed(record: &Json, property: &str) -> bool {
    let lists = |list: &str, name: &str| {
        record[list].as_array().is_some_and(|all| all.iter().any(|one| one[name] == property))
    };
    lists("set_aside", "hubspot")
        || lists("conflicts", "property")
        || lists("association_differences", "property")
        || !record["last_error"].is_null()
}

/// Whether an association is kept apart by a rule, which only an explanation tells: that another record which it depends on was merged or
/// deleted, no message tells of the record itself.
fn is_kept((property, explained): (&str, &Json)) -> bool {
    let is_it = |field: &Json| field["hubspot"] == property && field["decision"] == "keep";
    property == "associatedcompanyid"
        && explained["fields"].as_array().is_some_and(|fields| fields.iter().any(is_it))
}

fn path_of(object: &str, id: u64) -> String {
    let kind = match object {
        "contacts" => "contact",
        "companies" => "company",
        _ => "deal",
    };
    format!("/v1/connections/acme/records/hubspot/{kind}/{id}")
}
