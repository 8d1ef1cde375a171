//! What people do all day on both sides, at random: the material of the long stories.
//!
//! Names are given once and never changed (a company's, a deal's, a person's last name): they tell whether somebody was made twice.

use std::sync::Arc;

use fastrand::Rng;
use hubforce::emulator::hubspot::HubspotEmulator;
use hubforce::emulator::salesforce::{Options, SalesforceEmulator};

use crate::oracle::Settings;

/// Addresses are few, so that people meet.
const ADDRESSES: usize = 40;

/// What every name and value given by people begins with; what the service fills in does not.
pub(crate) const GIVEN: &str = "v";

/// What the name of a company ends with that was not made out of a lead's: several leads may work for one.
pub(crate) const ENDING: &str = "Inc";

pub(crate) const HUBSPOT: [&str; 3] = ["contacts", "companies", "deals"];
pub(crate) const SALESFORCE: [&str; 4] = ["Lead", "Contact", "Account", "Opportunity"];
const STAGES: [(&str, &str); 3] =
    [("closedwon", "Closed Won"), ("closedlost", "Closed Lost"), ("qualifiedtobuy", "Prospecting")];
const LIFECYCLE: [&str; 4] = ["lead", "marketingqualifiedlead", "opportunity", "customer"];

/// A field that leads and contacts have in the organization of [`organization`]; no conversion carries it over.
const CUSTOM: &str = "Nickname__c";

/// How a service maps it.
pub(crate) const MAPPINGS: &str = r#"mappings = [{ hubspot = "salutation", salesforce = "Nickname__c" }]"#;

/// The organization in which people work.
pub(crate) fn organization() -> Options {
    let custom = |object: &str| (object.to_owned(), CUSTOM.to_owned(), "string");
    Options { custom_fields: vec![custom("Lead"), custom("Contact")], ..Options::default() }
}

/// Everybody at work.
pub(crate) struct People {
    pub(crate) hubspot: Arc<HubspotEmulator>,
    pub(crate) salesforce: Arc<SalesforceEmulator>,
    pub(crate) rng: Rng,
    /// Whether whoever takes a Salesforce record out of the recycle bin saves it, too: no message tells of the first.
    pub(crate) save_what_they_restore: bool,
    /// Owners that are the same person on both sides.
    pub(crate) owners: Vec<(String, String)>,
    n: usize,
    said: String,
}

impl People {
    /// Two owners whom both sides know.
    pub(crate) fn new(
        hubspot: &Arc<HubspotEmulator>,
        salesforce: &Arc<SalesforceEmulator>,
        rng: Rng,
    ) -> Self {
        hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
        hubspot.add_owner(12, "bob@example.com", "Bob", "Ray");
        let mut owners = Vec::new();
        for (id, name, first, last) in [("11", "ann", "Ann", "Lee"), ("12", "bob", "Bob", "Ray")] {
            let user = salesforce.add_user(&format!("{name}@example.com"), first, last, true);
            owners.push((id.to_owned(), user));
        }
        Self {
            hubspot: Arc::clone(hubspot),
            salesforce: Arc::clone(salesforce),
            rng,
            save_what_they_restore: true,
            owners,
            n: 0,
            said: String::new(),
        }
    }

    /// How a service is set up whose stages are those that people use here, as far as that explains what it does.
    pub(crate) fn settings(&self, delete_in_hubspot: bool) -> Settings {
        let (owners, stages) = (self.owners.clone(), STAGES.to_vec());
        let mappings = vec![("salutation", CUSTOM)];
        Settings { delete_in_hubspot, delete_deals: true, owners, stages, mappings, ..Settings::default() }
    }

    /// An operator asks for a resync of one record, or of all of a kind: the record, if it is one, and the request's body.
    pub(crate) fn resync(&mut self) -> (Option<String>, String) {
        let place = self.rng.usize(..7);
        let all = self.rng.u32(..4) == 0;
        let (system, kind, id) = match place.checked_sub(3) {
            None => {
                let id = self.one_of(HUBSPOT[place]).map(|id| id.to_string());
                ("hubspot", ["contact", "company", "deal"][place], id)
            }
            Some(place) => ("salesforce", SALESFORCE[place], self.row_of(SALESFORCE[place])),
        };
        match id.filter(|_| !all) {
            Some(id) => {
                let body = format!(r#"{{"system":"{system}","kind":"{kind}","ids":["{id}"]}}"#);
                (Some(id), body)
            }
            None => (None, format!(r#"{{"kind":"{kind}","all":true}}"#)),
        }
    }

    /// Somebody does something; returns what, for whoever reads a trace.
    pub(crate) fn act(&mut self) -> String {
        self.n += 1;
        if self.rng.bool() {
            self.in_hubspot();
        } else {
            self.in_salesforce();
        }
        std::mem::take(&mut self.said)
    }

    fn address(&mut self) -> String {
        format!("p{}@example.com", self.rng.usize(..ADDRESSES))
    }

    fn value(&self) -> String {
        format!("{GIVEN}{}", self.n)
    }

    fn one_of(&mut self, object: &str) -> Option<u64> {
        let ids = self.hubspot.ids_in(object);
        (!ids.is_empty()).then(|| ids[self.rng.usize(..ids.len())])
    }

    fn row_of(&mut self, object: &str) -> Option<String> {
        let ids = self.salesforce.ids(object);
        (!ids.is_empty()).then(|| ids[self.rng.usize(..ids.len())].clone())
    }

    /// A person does something in HubSpot; what the portal refuses does not happen.
    fn in_hubspot(&mut self) {
        let (object, value, address) = (HUBSPOT[self.rng.usize(..3)], self.value(), self.address());
        let (stage, lifecycle) = (STAGES[self.rng.usize(..3)].0, LIFECYCLE[self.rng.usize(..4)]);
        let Some(id) = self.one_of(object) else { return self.create_in_hubspot(object) };
        let other = self.one_of(object).unwrap_or(id);
        let (contact, company) = (self.one_of("contacts"), self.one_of("companies"));
        let field = match object {
            "deals" => "description",
            "companies" => ["city", "phone"][self.rng.usize(..2)],
            _ => ["city", "phone", "salutation"][self.rng.usize(..3)],
        };
        let deed = self.rng.u32(..100);
        self.said = format!("{value}: hubspot {object} {id}, {other}: deed {deed}, {field}, {address}");
        let app = &self.hubspot;
        let _ = match deed {
            0..=14 => {
                self.create_in_hubspot(object);
                Ok(())
            }
            15..=54 => app.update_in(object, id, &[(field, &value)]),
            55..=59 if object == "contacts" => app.update(id, &[("email", &address)]),
            55..=62 if object == "deals" => app.update_in(object, id, &[("dealstage", stage)]),
            60..=64 => app.update_in(
                object,
                id,
                &[("hubspot_owner_id", if self.n.is_multiple_of(2) { "11" } else { "12" })],
            ),
            65..=69 if object != "deals" => app.update_in(object, id, &[("lifecyclestage", lifecycle)]),
            70..=79 => match (contact, company) {
                (Some(contact), Some(company)) if deed >= 77 => {
                    app.associate_secondary(("contacts", contact), ("companies", company))
                }
                (Some(contact), Some(company)) => {
                    app.associate(("contacts", contact), ("companies", company))
                }
                _ => Ok(()),
            },
            80..=82 => match (self.rng.bool(), company) {
                (true, Some(company)) if object == "deals" => {
                    app.associate((object, id), ("companies", company))
                }
                (false, Some(company)) if object == "contacts" => {
                    app.dissociate((object, id), ("companies", company))
                }
                _ => Ok(()),
            },
            83..=86 if object != "deals" && id != other => app.merge_in(object, id, other).map(|_| ()),
            87 if object == "contacts" && self.n.is_multiple_of(2) => app.erase(id),
            87..=89 => {
                app.delete_in(object, id);
                if self.rng.bool() { app.restore_in(object, id) } else { Ok(()) }
            }
            90 => {
                app.unsubscribe(&address);
                Ok(())
            }
            _ => app.update_in(object, id, &[(field, "")]),
        };
    }

    fn create_in_hubspot(&mut self, object: &str) {
        let (value, address) = (self.value(), self.address());
        self.said = format!("{value}: a new one of hubspot {object}, {address}");
        let _ = match object {
            "contacts" => {
                self.hubspot.create(&[("email", &address), ("firstname", &value), ("lastname", &value)])
            }
            "companies" => self.hubspot.create_in(object, &[("name", &format!("{value} {ENDING}"))]),
            _ => {
                let deal = [
                    ("dealname", value.as_str()),
                    ("dealstage", "qualifiedtobuy"),
                    ("closedate", "2026-12-31"),
                ];
                self.hubspot.create_in(object, &deal)
            }
        };
    }

    /// A person does something in Salesforce, likewise.
    fn in_salesforce(&mut self) {
        let (object, value, address) = (SALESFORCE[self.rng.usize(..4)], self.value(), self.address());
        let stage = STAGES[self.rng.usize(..3)].1;
        let Some(id) = self.row_of(object) else { return self.create_in_salesforce(object) };
        let other = self.row_of(object).unwrap_or_else(|| id.clone());
        let (contact, account) = (self.row_of("Contact"), self.row_of("Account"));
        let users = self.salesforce.ids("User");
        let user = users[users.len() - 1 - self.rng.usize(..2)].clone();
        let field = match object {
            "Opportunity" => "Description",
            "Account" => "Phone",
            "Lead" => ["City", "Phone", CUSTOM][self.rng.usize(..3)],
            _ => ["MailingCity", "Phone", CUSTOM][self.rng.usize(..3)],
        };
        let deed = self.rng.u32(..100);
        self.said = format!("{value}: {object} {id}, {other}: deed {deed}, {field}, {address}");
        let app = &self.salesforce;
        let is_person = matches!(object, "Lead" | "Contact");
        let _ = match deed {
            0..=14 => {
                self.create_in_salesforce(object);
                Ok(())
            }
            15..=54 => app.update(object, &id, &[(field, &value)]),
            55..=59 if is_person => app.update(object, &id, &[("Email", &address)]),
            55..=62 if object == "Opportunity" => app.update(object, &id, &[("StageName", stage)]),
            60..=64 => app.update(object, &id, &[("OwnerId", &user)]),
            65..=71 => match (contact, account) {
                (Some(contact), Some(account)) => app.update("Contact", &contact, &[("AccountId", &account)]),
                _ => Ok(()),
            },
            72..=77 if object == "Opportunity" => match (self.rng.bool(), contact, account) {
                (true, Some(contact), _) => app.add_contact_role(&id, &contact).map(|_| ()),
                (false, _, Some(account)) => app.update(object, &id, &[("AccountId", &account)]),
                _ => Ok(()),
            },
            72..=77 if object == "Lead" => {
                // Every other lead becomes a contact of an account that is there already.
                let account = account.filter(|_| self.n.is_multiple_of(2));
                app.convert_into(&id, account.as_deref(), None).map(|_| ())
            }
            78..=81 if object != "Opportunity" && id != other => app.merge(object, &id, &other),
            82..=84 if object != "Account" => {
                app.delete(object, &id);
                let restored = self.rng.bool() && app.undelete(object, &id).is_ok();
                if restored && self.save_what_they_restore {
                    app.update(object, &id, &[(field, &value)])
                } else {
                    Ok(())
                }
            }
            85 if is_person => app.update(object, &id, &[("HasOptedOutOfEmail", "true")]),
            _ => app.update(object, &id, &[(field, "")]),
        };
    }

    fn create_in_salesforce(&mut self, object: &str) {
        let (value, address) = (self.value(), self.address());
        self.said = format!("{value}: a new {object}, {address}");
        let company = format!("{value} {ENDING}");
        let fields: Vec<(&str, &str)> = match object {
            "Lead" => {
                vec![("LastName", &value), ("FirstName", &value), ("Company", &value), ("Email", &address)]
            }
            "Contact" => vec![("LastName", &value), ("FirstName", &value), ("Email", &address)],
            "Account" => vec![("Name", &company)],
            _ => vec![("Name", &value), ("StageName", "Prospecting"), ("CloseDate", "2026-12-31")],
        };
        let _ = self.salesforce.create(object, &fields);
    }
}
