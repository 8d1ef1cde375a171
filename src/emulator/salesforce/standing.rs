//! What an organization's administrators keep: users, queues, stages, the assignment rule.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::journal::Journal;
use crate::emulator::salesforce::fields::{STAGES, STANDING, WRITTEN};
use crate::emulator::salesforce::records::Table;
use crate::emulator::salesforce::schema::Schema;
use crate::emulator::salesforce::{Options, PERSON_USER, State};

fn row(values: Json) -> Map<String, Json> {
    if let Json::Object(row) = values { row } else { Map::new() }
}

/// The tables of an organization nobody has worked in.
pub(super) fn tables(options: &Options, now: Timestamp, journal: &Journal) -> HashMap<&'static str, Table> {
    let table = |object: &'static str| (object, Table::new(Schema::of(object, options), journal.clone()));
    let mut tables: HashMap<&'static str, Table> = WRITTEN.into_iter().chain(STANDING).map(table).collect();
    for (email, first, last) in
        [("integration@example.com", "Integration", "User"), (options.person.0.as_str(), "Pat", "Person")]
    {
        put(&mut tables, "User", user(email, (first, last), true), now);
    }
    for (place, (name, probability, closed, won)) in STAGES.iter().enumerate() {
        let stage = json!({
            "ApiName": name, "MasterLabel": name, "IsActive": true, "IsClosed": closed, "IsWon": won,
            "DefaultProbability": probability, "SortOrder": place + 1,
        });
        put(&mut tables, "OpportunityStage", stage, now);
    }
    let organization = json!({
        "Name": "Emulated", "OrganizationType": options.edition, "InstanceName": "EM1",
        "DefaultLocaleSidKey": "en_US", "LanguageLocaleKey": "en_US", "TrialExpirationDate": options.trial_ends,
    });
    if let Some(table) = tables.get_mut("Organization") {
        table.insert_as(&options.organization, row(organization), PERSON_USER, now);
    }
    tables
}

fn put(tables: &mut HashMap<&'static str, Table>, object: &str, values: Json, now: Timestamp) -> String {
    tables.get_mut(object).map(|table| table.insert(row(values), PERSON_USER, now)).unwrap_or_default()
}

fn user(email: &str, (first, last): (&str, &str), active: bool) -> Json {
    json!({
        "Username": email, "Email": email, "FirstName": first, "LastName": last, "IsActive": active, "UserType": "Standard",
    })
}

impl State {
    pub(super) fn add_user(
        &mut self,
        email: &str,
        name: (&str, &str),
        active: bool,
        now: Timestamp,
    ) -> String {
        put(&mut self.tables, "User", user(email, name, active), now)
    }

    pub(super) fn set_user_type(&mut self, id: &str, user_type: &str) {
        if let Some(table) = self.tables.get_mut("User") {
            table.set(id, row(json!({ "UserType": user_type })));
        }
    }

    pub(super) fn deactivate_user(&mut self, id: &str, now: Timestamp) {
        let Some(table) = self.tables.get_mut("User") else { return };
        table.set(id, row(json!({ "IsActive": false })));
        table.stamp(id, PERSON_USER, now);
    }

    pub(super) fn add_queue(&mut self, name: &str, now: Timestamp) -> String {
        let developer_name = name.replace(' ', "_");
        let group = json!({ "Name": name, "DeveloperName": developer_name, "Type": "Queue" });
        let id = put(&mut self.tables, "Group", group, now);
        put(&mut self.tables, "QueueSobject", json!({ "QueueId": id, "SobjectType": "Lead" }), now);
        id
    }

    pub(super) fn assign_leads_to(&mut self, owner: &str, now: Timestamp) {
        if let Some((_, held)) = &mut self.assignment {
            owner.clone_into(held);
            return;
        }
        let rule = json!({ "Name": "Leads", "SobjectType": "Lead", "Active": true });
        self.assignment = Some((put(&mut self.tables, "AssignmentRule", rule, now), owner.to_owned()));
    }
}
