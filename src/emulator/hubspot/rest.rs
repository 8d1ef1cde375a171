//! The REST calls, in both path styles.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::emulator::hubspot::records::{Act, Contact, Refused, Writer, not_found};
use crate::emulator::hubspot::{HubspotEmulator, State};
use crate::emulator::{Asked, Caller, Reply};

/// Answers a call.
pub(super) fn answer(emulator: &HubspotEmulator, asked: &Asked<'_>, caller: Caller) -> Reply {
    if caller == Caller::Unknown {
        let message = "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview";
        return error("(unauthenticated)", 401, "INVALID_AUTHENTICATION", message);
    }
    let writer = if caller == Caller::Person { Writer::Person } else { Writer::App(emulator.options.app_id) };
    let segments = asked.segments();
    let Some((family, rest)) = family_of(&segments) else { return unknown(asked) };
    let mut call = Call { emulator, asked, writer };
    match (asked.method, family, rest) {
        ("GET", "account-info", ["details"]) => call.details(),
        ("GET", "properties", [kind]) if is_contact(kind) => {
            Reply::json("properties", 200, &emulator.state().properties.shown())
        }
        ("GET", "properties", [kind, name]) if is_contact(kind) => call.property(name),
        ("GET", "lists", [list]) => match emulator.state().lists.shown(list) {
            Some(shown) => Reply::json("lists", 200, &shown),
            None => refused("lists", &not_found()),
        },
        ("POST", "lists", ["records", "memberships", "batch", "read"]) => {
            match emulator.state().lists.memberships(asked.body) {
                Ok(told) => Reply::json("lists/memberships", 200, &told),
                Err(problem) => error("lists/memberships", 400, "VALIDATION_ERROR", &problem),
            }
        }
        (method, "objects", [kind, rest @ ..]) if is_contact(kind) => match (method, rest) {
            ("GET", []) => call.list(),
            ("POST", []) => call.create(),
            ("GET", [id]) => call.read(id),
            ("PATCH", [id]) => call.update(id),
            ("DELETE", [id]) => call.archive(id),
            ("POST", ["merge"]) => call.merge(),
            ("POST", ["batch", "read"]) => call.batch_read(),
            ("POST", ["batch", "create"]) => call.batch_write("batch/create"),
            ("POST", ["batch", "update"]) => call.batch_write("batch/update"),
            ("POST", ["batch", "archive"]) => call.batch_archive(),
            _ => unknown(asked),
        },
        _ => unknown(asked),
    }
}

/// The API family of a path in either style, and what follows.
fn family_of<'a>(segments: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    match segments {
        ["crm", "v3", family, rest @ ..] | ["crm", family, "2026-03" | "2026-09", rest @ ..] => {
            Some((family, rest))
        }
        ["account-info", "v3" | "2026-03" | "2026-09", rest @ ..] => Some(("account-info", rest)),
        _ => None,
    }
}

fn is_contact(kind: &str) -> bool {
    matches!(kind, "contacts" | "contact" | "0-1")
}

fn unknown(asked: &Asked<'_>) -> Reply {
    error(
        "(unknown)",
        404,
        "OBJECT_NOT_FOUND",
        &format!("the emulator knows no {} {}", asked.method, asked.path),
    )
}

pub(super) fn error(endpoint: &'static str, status: u16, category: &str, message: &str) -> Reply {
    Reply::json(
        endpoint,
        status,
        &json!({ "status": "error", "message": message, "correlationId": CORRELATION, "category": category }),
    )
}

const CORRELATION: &str = "019ce0f9-4f0b-7879-a277-7ee20ad9b92b";

pub(super) fn refused(endpoint: &'static str, refused: &Refused) -> Reply {
    let body = json!({
        "status": "error", "message": refused.message, "correlationId": CORRELATION, "category": refused.category,
        "errors": refused.errors,
    });
    Reply::json(endpoint, refused.status, &body)
}

pub(super) struct Call<'a> {
    pub(super) emulator: &'a HubspotEmulator,
    pub(super) asked: &'a Asked<'a>,
    pub(super) writer: Writer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WriteInput {
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) properties: BTreeMap<String, Json>,
    #[serde(default)]
    pub(super) object_write_trace_id: Option<String>,
    #[serde(default)]
    pub(super) associations: Vec<Json>,
}

/// Values may come as numbers or flags; they are kept as text.
pub(super) fn texts(properties: BTreeMap<String, Json>) -> BTreeMap<String, String> {
    let text = |value: Json| match value {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    };
    properties.into_iter().map(|(name, value)| (name, text(value))).collect()
}

impl Call<'_> {
    pub(super) fn read_body<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &'static str,
    ) -> Result<T, Reply> {
        serde_json::from_slice(self.asked.body).map_err(|problem| {
            error(endpoint, 400, "VALIDATION_ERROR", &format!("Invalid input JSON: {problem}"))
        })
    }

    /// `properties=a,b` and `properties=a&properties=b` both occur.
    fn asked_properties(&self) -> Vec<String> {
        let of = self.asked.query.iter().filter(|(name, _)| name == "properties");
        let mut names: Vec<String> = of.flat_map(|(_, value)| value.split(',').map(str::to_owned)).collect();
        if names.is_empty() {
            names = ["email", "firstname", "lastname"].map(str::to_owned).to_vec();
        }
        names
    }

    fn details(&self) -> Reply {
        let body = json!({
            "portalId": self.emulator.options.portal_id, "accountType": "STANDARD", "timeZone": "Europe/Berlin",
            "companyCurrency": "EUR", "additionalCurrencies": [], "utcOffset": "+01:00", "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app-eu1.hubspot.com", "dataHostingLocation": "eu1",
        });
        Reply::json("account-info", 200, &body)
    }

    fn property(&self, name: &str) -> Reply {
        match self.emulator.state().properties.get(name) {
            Some(property) => Reply::json("properties/name", 200, &property.shown(name)),
            None => error("properties/name", 404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn list(&self) -> Reply {
        let limit = self.asked.query_value("limit").map_or(Ok(10), str::parse).unwrap_or(0);
        let after = self.asked.query_value("after").map_or(Ok(0), str::parse::<u64>);
        let (1..=100, Ok(after)) = (limit, after) else {
            return error("list", 400, "VALIDATION_ERROR", "limit must be from 1 to 100");
        };
        let (names, state) = (self.asked_properties(), self.emulator.state());
        let page = state.contacts.page(after, limit);
        let results: Vec<Json> = page.iter().map(|contact| shown(contact, &names, &state)).collect();
        let mut body = json!({ "results": results });
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            body["paging"] = json!({ "next": { "after": last.id.to_string() } });
        }
        Reply::json("list", 200, &body)
    }

    fn find(&self, state: &State, id: &str) -> Option<u64> {
        match self.asked.query_value("idProperty") {
            Some(property) => state.contacts.find(property, id).map(|contact| contact.id),
            None => id.parse().ok(),
        }
    }

    fn read(&self, id: &str) -> Reply {
        let state = self.emulator.state();
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        let archived = self.asked.query_value("archived") == Some("true");
        let found = self
            .find(&state, &id)
            .and_then(|id| if archived { state.contacts.archived(id) } else { state.contacts.get(id) });
        match found {
            Some(contact) => Reply::json("read", 200, &shown(contact, &self.asked_properties(), &state)),
            None => refused("read", &not_found()),
        }
    }

    fn create(&mut self) -> Reply {
        let input: WriteInput = match self.read_body("create") {
            Ok(input) => input,
            Err(reply) => return reply,
        };
        self.write_one("create", None, &texts(input.properties), 201)
    }

    fn update(&mut self, id: &str) -> Reply {
        let input: WriteInput = match self.read_body("update") {
            Ok(input) => input,
            Err(reply) => return reply,
        };
        let id =
            self.find(&self.emulator.state(), &percent_encoding::percent_decode_str(id).decode_utf8_lossy());
        match id {
            Some(id) => self.write_one("update", Some(id), &texts(input.properties), 200),
            None => refused("update", &not_found()),
        }
    }

    fn write_one(
        &mut self,
        endpoint: &'static str,
        id: Option<u64>,
        values: &BTreeMap<String, String>,
        status: u16,
    ) -> Reply {
        let now = self.emulator.now();
        let state = &mut *self.emulator.state();
        match state.contacts.write(id, values, &state.properties, Act { writer: &self.writer, now }) {
            Err(problem) => refused(endpoint, &problem),
            Ok(change) => {
                state.webhooks.changed(&change, Act { writer: &self.writer, now });
                let contact = state.contacts.get(change.id);
                contact.map_or_else(
                    || refused(endpoint, &not_found()),
                    |contact| Reply::json(endpoint, status, &contact.shown(&[], true)),
                )
            }
        }
    }

    pub(super) fn archive(&mut self, id: &str) -> Reply {
        let now = self.emulator.now();
        let state = &mut *self.emulator.state();
        if let Ok(id) = id.parse()
            && state.contacts.archive(id, now)
        {
            state.webhooks.deleted(id, Act { writer: &self.writer, now });
        }
        Reply::empty("archive", 204)
    }

    fn merge(&mut self) -> Reply {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Merge {
            primary_object_id: String,
            object_id_to_merge: String,
        }
        let merge: Merge = match self.read_body("merge") {
            Ok(merge) => merge,
            Err(reply) => return reply,
        };
        let act = Act { writer: &self.writer, now: self.emulator.now() };
        let state = &mut *self.emulator.state();
        let (Ok(primary), Ok(other)) = (merge.primary_object_id.parse(), merge.object_id_to_merge.parse())
        else {
            return refused("merge", &not_found());
        };
        match state.contacts.merge((primary, other), &state.properties, act) {
            Err(problem) => refused("merge", &problem),
            Ok(survivor) => {
                state.webhooks.merged((primary, other), survivor, act);
                let shown = state.contacts.get(survivor).map(|contact| contact.shown(&[], true));
                Reply::json("merge", 200, &shown.unwrap_or_default())
            }
        }
    }
}

/// A contact with the properties asked for; one that the portal does not define is left out.
pub(super) fn shown(contact: &Contact, names: &[String], state: &State) -> Json {
    let known: Vec<String> =
        names.iter().filter(|name| state.properties.get(name).is_some()).cloned().collect();
    contact.shown(&known, false)
}
