//! The emulator as a vendor, with what stands below `/_control/`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::control::read;
use crate::emulator::outbox::WebhookControl;
use crate::emulator::salesforce::{
    DuplicateRule, SalesforceEmulator, Target, composite, fields, outbound, rest, standing,
};
use crate::emulator::{Answer, Asked, Caller, Control, Outgoing, Part, Reply, Vendor};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    object: String,
    master: String,
    loser: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    lead: String,
    account: Option<String>,
    opportunity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// A validation rule: writes in which `field` contains `text` are refused.
    validation: Option<Validation>,
    /// A duplicate rule: a second record of the object with one value in the field is refused.
    duplicates: Option<Duplicates>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Validation {
    field: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Duplicates {
    object: String,
    field: String,
    #[serde(default)]
    blocks: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hide {
    object: String,
    field: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    email: String,
    first_name: String,
    last_name: String,
    active: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    opportunity: String,
    contact: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineItems {
    opportunity: String,
    sum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    object: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identified {
    id: String,
}

fn done<T: DeserializeOwned>(body: &[u8], deed: impl FnOnce(T)) -> Result<Json, String> {
    read(body).map(|asked| {
        deed(asked);
        json!({})
    })
}

impl SalesforceEmulator {
    /// What an administrator sets up.
    fn set_up(&self, name: &str, body: &[u8]) -> Option<Result<Json, String>> {
        Some(match name {
            "webhooks" => done(body, |control: WebhookControl<Target>| self.state().outbound.set(control)),
            "rules" => done(body, |Rules { validation, duplicates }| {
                let mut state = self.state();
                state.validation = validation.map(|rule| (rule.field, rule.text));
                state.duplicates = duplicates.map(|Duplicates { object, field, blocks }| DuplicateRule {
                    object,
                    field,
                    blocks,
                });
            }),
            "user" => read(body).map(|user: User| {
                let active = user.active.unwrap_or(true);
                json!({ "id": self.add_user(&user.email, &user.first_name, &user.last_name, active) })
            }),
            "deactivate" => done(body, |Identified { id }| self.deactivate_user(&id)),
            "queue" => read(body).map(|Named { name }| json!({ "id": self.add_queue(&name) })),
            "assign_leads" => done(body, |Identified { id }| self.assign_leads_to(&id)),
            "hide" => done(body, |Hide { object, field }| match field {
                Some(field) => self.hide_field(&object, &field),
                None => self.hide_object(&object),
            }),
            _ => return None,
        })
    }

    /// What a person does to records.
    fn work(&self, name: &str, body: &[u8]) -> Option<Result<Json, String>> {
        Some(match name {
            "merge" => read(body).and_then(|Merge { object, master, loser }| {
                self.merge(&object, &master, &loser)?;
                Ok(json!({}))
            }),
            "convert" => read(body).and_then(|Convert { lead, account, opportunity }| {
                let made = self.convert_into(&lead, account.as_deref(), opportunity.as_deref())?;
                Ok(json!({ "contact": made.contact, "account": made.account, "opportunity": made.opportunity }))
            }),
            "contact_role" => read(body).and_then(|Role { opportunity, contact }| {
                Ok(json!({ "id": self.add_contact_role(&opportunity, &contact)? }))
            }),
            "line_items" => read(body).and_then(|LineItems { opportunity, sum }| {
                self.add_line_items(&opportunity, &sum)?;
                Ok(json!({}))
            }),
            "delete" => read(body).and_then(|Row { object, id }| {
                let gone = self.delete(&object, &id);
                if gone { Ok(json!({})) } else { Err(format!("there is no {object} {id} to delete")) }
            }),
            "undelete" => read(body).and_then(|Row { object, id }| {
                self.undelete(&object, &id)?;
                Ok(json!({}))
            }),
            _ => return None,
        })
    }

    fn shown(&self) -> Json {
        let state = self.state();
        state.tables.iter().map(|(object, table)| ((*object).to_owned(), table.shown())).collect()
    }

    fn reset(&self) {
        let mut state = self.state();
        let fresh = standing::tables(&self.options, self.now(), &state.journal);
        state.journal.clear();
        for (object, table) in fresh {
            if fields::STANDING.contains(&object) {
                state.tables.insert(object, table);
            } else if let Some(held) = state.tables.get_mut(object) {
                // Ids are never given twice.
                held.clear();
            }
        }
        state.outbound.outbox.clear();
        state.validation = None;
        state.duplicates = None;
        state.assignment = None;
        state.flow = None;
        state.hidden = super::write::Hidden::default();
    }
}

impl Vendor for SalesforceEmulator {
    fn caller(&self, asked: &Asked<'_>) -> Caller {
        let session = asked.bearer().and_then(|token| self.state().sessions.get(token).copied());
        session.map_or(Caller::Unknown, |(caller, _)| caller)
    }

    fn parts(&self, asked: &Asked<'_>) -> Vec<Part> {
        composite::parts(asked)
    }

    fn answer(&self, asked: &Asked<'_>, caller: Caller) -> Reply {
        rest::answer(self, asked, caller)
    }

    fn control(&self, name: &str, body: &[u8]) -> Option<Result<Json, String>> {
        match name {
            "state" => Some(Ok(self.shown())),
            "journal" => Some(Ok(self.state().journal.shown())),
            "reset" => {
                self.reset();
                Some(Ok(json!({})))
            }
            _ => self.set_up(name, body).or_else(|| self.work(name, body)),
        }
    }

    fn take_due(&self, now: Timestamp) -> Vec<Outgoing> {
        let state = &mut *self.state();
        state.outbound.take_due(&state.tables, &state.hidden, &self.options, now)
    }

    fn settle(&self, id: u64, answer: &Answer, now: Timestamp) {
        let told = matches!(answer, Answer::Status(200, body) if outbound::acknowledges(body));
        self.state().outbound.outbox.settle(id, told, now);
    }

    fn pending(&self) -> usize {
        self.state().outbound.outbox.pending()
    }

    fn desk(&self) -> &Control {
        &self.desk
    }
}
