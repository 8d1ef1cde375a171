//! The REST calls, in both path styles.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::emulator::hubspot::HubspotEmulator;
use crate::emulator::hubspot::associations::{Asks, Named, Place, Type, asks_for_primary};
use crate::emulator::hubspot::batches::{INPUTS_MAX, INPUTS_WITH_HISTORY_MAX};
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::portal::State;
use crate::emulator::hubspot::records::{Record, Refused, Table, not_found};
use crate::emulator::hubspot::writer::{Act, Writer};
use crate::emulator::{Asked, Caller, Reply, UNKNOWN};

/// The most members of a list in one page.
const MEMBERS_MAX: u64 = 250;

/// Answers a call.
pub(super) fn answer(emulator: &HubspotEmulator, asked: &Asked<'_>, caller: Caller) -> Reply {
    if caller == Caller::Unknown {
        let message = "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview";
        return error("(unauthenticated)", 401, "INVALID_AUTHENTICATION", message);
    }
    let writer = if caller == Caller::Person { Writer::Person } else { Writer::App(emulator.options.app_id) };
    let segments = asked.segments();
    let Some((family, rest)) = family_of(&segments) else { return unknown(asked) };
    let object = rest.first().and_then(|kind| Object::parse(kind)).unwrap_or(Object::Contact);
    let mut call = Call { emulator, asked, writer, object };
    match (asked.method, family, rest) {
        ("GET", "account-info", ["details"]) => call.details(),
        ("GET", "properties", [kind]) if Object::parse(kind).is_some() => {
            Reply::json("properties", 200, &emulator.state().table(call.object).set.shown())
        }
        ("GET", "properties", [kind, name]) if Object::parse(kind).is_some() => call.property(name),
        ("GET", "owners", []) => call.owners(),
        ("GET", "owners", [id]) => call.owner(id),
        ("GET", "pipelines", [kind]) if Object::parse(kind) == Some(Object::Deal) => call.pipelines(),
        ("GET" | "POST", "communication-preferences", ["statuses", address, "unsubscribe-all"]) => {
            call.unsubscribe_all(asked.method, address)
        }
        ("POST", "associations", [from, to, rest @ ..]) => {
            let between = Object::parse(from).zip(Object::parse(to));
            between.and_then(|between| call.associations(between, rest)).unwrap_or_else(|| unknown(asked))
        }
        ("GET", "lists", [list]) => call.list_definition(list),
        ("GET", "lists", [list, "memberships"]) => call.members(list),
        ("GET", "lists", [list, "memberships", "join-order"]) => call.join_order(list),
        ("POST", "lists", ["records", "memberships", "batch", "read"]) => {
            match emulator.state().lists_at(emulator.now()).memberships(asked.body) {
                Ok(told) => Reply::json("lists/memberships", 200, &told),
                Err(problem) => error("lists/memberships", 400, "VALIDATION_ERROR", &problem),
            }
        }
        (method, "objects", [kind, rest @ ..]) if Object::parse(kind).is_some() => match (method, rest) {
            ("GET", []) => call.list(),
            ("POST", []) => call.create(),
            ("GET", [id]) => call.read(id),
            ("PATCH", [id]) => call.update(id),
            ("DELETE", [id]) => call.archive(id),
            ("POST", ["merge"]) => call.merge(),
            ("POST", ["gdpr-delete"]) if call.object == Object::Contact => call.erase(),
            ("POST", ["search"]) => call.search(),
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
        ["crm", "v4", "associations", rest @ ..] => Some(("associations", rest)),
        ["account-info", "v3" | "2026-03" | "2026-09", rest @ ..] => Some(("account-info", rest)),
        ["communication-preferences", "v4" | "2026-03" | "2026-09", rest @ ..] => {
            Some(("communication-preferences", rest))
        }
        _ => None,
    }
}

fn unknown(asked: &Asked<'_>) -> Reply {
    error(UNKNOWN, 404, "OBJECT_NOT_FOUND", &format!("the emulator knows no {} {}", asked.method, asked.path))
}

pub(super) fn error(endpoint: &'static str, status: u16, category: &str, message: &str) -> Reply {
    Reply::json(
        endpoint,
        status,
        &json!({ "status": "error", "message": message, "correlationId": CORRELATION, "category": category }),
    )
}

pub(super) const CORRELATION: &str = "019ce0f9-4f0b-7879-a277-7ee20ad9b92b";

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
    /// The object that the path names.
    pub(super) object: Object,
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
    pub(super) associations: Vec<NewAssociation>,
}

/// An association that a new record begins with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAssociation {
    to: Named,
    types: Vec<Type>,
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

    /// The properties whose history is asked for.
    fn asked_history(&self) -> Vec<String> {
        let of = self.asked.query.iter().filter(|(name, _)| name == "propertiesWithHistory");
        of.flat_map(|(_, value)| value.split(',').map(str::to_owned)).collect()
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
        match self.emulator.state().table(self.object).set.get(name) {
            Some(property) => Reply::json("properties/name", 200, &property.shown(name)),
            None => error("properties/name", 404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn list(&self) -> Reply {
        let limit = self.asked.query_value("limit").map_or(Ok(10), str::parse).unwrap_or(0);
        let after = self.asked.query_value("after").map_or(Ok(0), str::parse::<u64>);
        let (names, history) = (self.asked_properties(), self.asked_history());
        let limit_max = if history.is_empty() { INPUTS_MAX } else { INPUTS_WITH_HISTORY_MAX };
        let Some(after) = after.ok().filter(|_| (1..=limit_max).contains(&limit)) else {
            let message = format!("limit must be from 1 to {limit_max}");
            return error("list", 400, "VALIDATION_ERROR", &message);
        };
        let state = self.emulator.state();
        let table = state.table(self.object);
        let page = match self.asked.query_value("archived") {
            Some("true") => table.archived_page(after, limit),
            _ => table.page(after, limit),
        };
        let results: Vec<Json> = page.iter().map(|record| shown(record, (&names, &history), table)).collect();
        let mut body = json!({ "results": results });
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            body["paging"] = json!({ "next": { "after": last.id.to_string() } });
        }
        Reply::json("list", 200, &body)
    }

    fn find(&self, table: &Table, id: &str) -> Option<u64> {
        match self.asked.query_value("idProperty") {
            Some(property) => table.find(property, id).map(|record| record.id),
            None => id.parse().ok(),
        }
    }

    /// Associates two records as this caller.
    pub(super) fn relate(&self, one: Place, other: Place, asks: Asks) -> Result<(), String> {
        let act = Act { writer: &self.writer, now: self.emulator.now() };
        self.emulator.state().relate((one, other), asks, act)
    }

    pub(super) fn unrelate(&self, one: Place, other: Place) {
        let act = Act { writer: &self.writer, now: self.emulator.now() };
        self.emulator.state().unrelate((one, other), act);
    }

    /// Makes the associations that a new record begins with.
    pub(super) fn associate_new(
        &self,
        state: &mut State,
        id: u64,
        associations: &[NewAssociation],
    ) -> Result<(), String> {
        let act = Act { writer: &self.writer, now: self.emulator.now() };
        for association in associations {
            let to = Object::ALL
                .into_iter()
                .find_map(|to| Some((to, asks_for_primary(&association.types, (self.object, to))?)));
            let ((to, primary), other) =
                to.zip(association.to.number()).ok_or("One or more associations are invalid")?;
            state.relate(((self.object, id), (to, other)), Asks::of(primary), act)?;
        }
        Ok(())
    }

    fn members(&self, list: &str) -> Reply {
        let number = |name: &str| self.asked.query_value(name).and_then(|value| value.parse().ok());
        let limit = number("limit").unwrap_or(100);
        if limit > MEMBERS_MAX {
            return error("lists/members", 400, "VALIDATION_ERROR", "at most 250 members in a page");
        }
        let limit = usize::try_from(limit).unwrap_or_default();
        let members = self.emulator.state().lists_at(self.emulator.now()).members(
            list,
            limit,
            number("after").unwrap_or(0),
        );
        match members {
            Some(members) => Reply::json("lists/members", 200, &members),
            None => refused("lists/members", &not_found()),
        }
    }

    fn read(&self, id: &str) -> Reply {
        let state = self.emulator.state();
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        let archived = self.asked.query_value("archived") == Some("true");
        let table = state.table(self.object);
        let found =
            self.find(table, &id).and_then(|id| if archived { table.archived(id) } else { table.get(id) });
        match found {
            Some(record) => {
                let asked = (self.asked_properties(), self.asked_history());
                Reply::json("read", 200, &shown(record, (&asked.0, &asked.1), table))
            }
            None => refused("read", &not_found()),
        }
    }

    fn create(&mut self) -> Reply {
        let input: WriteInput = match self.read_body("create") {
            Ok(input) => input,
            Err(reply) => return reply,
        };
        let reply = self.write_one("create", None, &texts(input.properties), 201);
        let made: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
        let id = made["id"].as_str().and_then(|id| id.parse().ok());
        match id.map(|id| self.associate_new(&mut self.emulator.state(), id, &input.associations)) {
            Some(Err(message)) => error("create", 400, "VALIDATION_ERROR", &message),
            Some(Ok(())) | None => reply,
        }
    }

    fn update(&mut self, id: &str) -> Reply {
        let input: WriteInput = match self.read_body("update") {
            Ok(input) => input,
            Err(reply) => return reply,
        };
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        let id = self.find(self.emulator.state().table(self.object), &id);
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
        match state.write(self.object, id, values, Act { writer: &self.writer, now }) {
            Err(problem) => refused(endpoint, &problem),
            Ok(change) => {
                let contact = state.table(self.object).get(change.id);
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
        if let Ok(id) = id.parse() {
            state.archive(self.object, id, Act { writer: &self.writer, now });
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
        match state.merge(self.object, (primary, other), act) {
            Err(problem) => refused("merge", &problem),
            Ok(survivor) => {
                let shown = state.table(self.object).get(survivor).map(|record| record.shown(&[], true));
                Reply::json("merge", 200, &shown.unwrap_or_default())
            }
        }
    }
}

/// A record with the properties asked for, and the history of those whose history is asked for; one that the portal does not
/// define is left out.
pub(super) fn shown(record: &Record, (names, history): (&[String], &[String]), table: &Table) -> Json {
    let known: Vec<String> = names.iter().filter(|name| table.set.get(name).is_some()).cloned().collect();
    let mut told = record.shown(&known, false);
    if !history.is_empty() {
        told["propertiesWithHistory"] = record.history.shown(history);
    }
    told
}
