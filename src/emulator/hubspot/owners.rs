//! Owners, pipelines, and the opt-out of addresses.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::emulator::Reply;
use crate::emulator::hubspot::records::not_found;
use crate::emulator::hubspot::rest::{Call, error, refused};
use crate::emulator::hubspot::writer::Act;

/// The most owners in one page.
const PAGE_MAX: usize = 500;

/// Somebody who may own records.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Owner {
    pub(super) id: u64,
    pub(super) email: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    #[serde(default)]
    pub(super) archived: bool,
}

impl Owner {
    fn shown(&self) -> Json {
        json!({
            "id": self.id.to_string(), "email": self.email, "type": "PERSON", "firstName": self.first_name,
            "lastName": self.last_name, "userId": if self.archived { Json::Null } else { json!(self.id) },
            "userIdIncludingInactive": self.id, "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "2026-01-01T00:00:00.000Z", "archived": self.archived,
        })
    }
}

/// A pipeline of deals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipeline {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) stages: Vec<Stage>,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) closed: bool,
}

impl Pipeline {
    /// The pipeline that every portal begins with.
    pub(super) fn sales() -> Self {
        let stages = [
            ("appointmentscheduled", "Appointment Scheduled", false),
            ("qualifiedtobuy", "Qualified To Buy", false),
            ("presentationscheduled", "Presentation Scheduled", false),
            ("decisionmakerboughtin", "Decision Maker Bought-In", false),
            ("contractsent", "Contract Sent", false),
            ("closedwon", "Closed Won", true),
            ("closedlost", "Closed Lost", true),
        ];
        Self::new("default", "Sales Pipeline", &stages)
    }

    pub(super) fn new(id: &str, label: &str, stages: &[(&str, &str, bool)]) -> Self {
        let stage = |(id, label, closed): &(&str, &str, bool)| Stage {
            id: (*id).to_owned(),
            label: (*label).to_owned(),
            closed: *closed,
        };
        Self { id: id.to_owned(), label: label.to_owned(), stages: stages.iter().map(stage).collect() }
    }

    fn shown(&self) -> Json {
        let stage = |(place, stage): (usize, &Stage)| {
            let probability =
                if stage.closed { if stage.label.contains("Won") { "1.0" } else { "0.0" } } else { "0.5" };
            json!({
                "label": stage.label, "displayOrder": place, "id": stage.id, "archived": false,
                "metadata": { "isClosed": stage.closed.to_string(), "probability": probability },
                "createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z",
            })
        };
        json!({
            "label": self.label, "displayOrder": 0, "id": self.id, "archived": false,
            "stages": self.stages.iter().enumerate().map(stage).collect::<Vec<_>>(),
            "createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z",
        })
    }
}

impl Call<'_> {
    pub(super) fn owners(&self) -> Reply {
        let limit = self.asked.query_value("limit").map_or(Ok(100), str::parse).unwrap_or(0);
        let after = self.asked.query_value("after").map_or(Ok(0), str::parse::<u64>);
        let (1..=PAGE_MAX, Ok(after)) = (limit, after) else {
            return error("owners", 400, "VALIDATION_ERROR", "limit must be from 1 to 500");
        };
        let archived = self.asked.query_value("archived") == Some("true");
        let email = self.asked.query_value("email");
        let state = self.emulator.state();
        let fits =
            |owner: &&Owner| owner.archived == archived && email.is_none_or(|email| email == owner.email);
        let page: Vec<&Owner> =
            state.owners.range(after + 1..).map(|(_, owner)| owner).filter(fits).take(limit).collect();
        let mut body = json!({ "results": page.iter().map(|owner| owner.shown()).collect::<Vec<_>>() });
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            body["paging"] = json!({ "next": { "after": last.id.to_string() } });
        }
        Reply::json("owners", 200, &body)
    }

    pub(super) fn owner(&self, id: &str) -> Reply {
        let state = self.emulator.state();
        let found = id.parse::<u64>().ok().and_then(|id| state.owners.get(&id));
        found.map_or_else(
            || refused("owners/id", &not_found()),
            |owner| Reply::json("owners/id", 200, &owner.shown()),
        )
    }

    pub(super) fn pipelines(&self) -> Reply {
        let state = self.emulator.state();
        let shown: Vec<Json> = state.pipelines.iter().map(Pipeline::shown).collect();
        Reply::json("pipelines", 200, &json!({ "results": shown }))
    }

    /// Tells whether an address is opted out of all mail, or opts it out.
    pub(super) fn unsubscribe_all(&mut self, method: &str, address: &str) -> Reply {
        let endpoint = "unsubscribe-all";
        if self.asked.query_value("channel") != Some("EMAIL") {
            return error(endpoint, 400, "VALIDATION_ERROR", "channel must be EMAIL");
        }
        let address = percent_encoding::percent_decode_str(address).decode_utf8_lossy().into_owned();
        let now = self.emulator.now();
        let mut state = self.emulator.state();
        if method == "POST" {
            state.opt(&address, true, Act { writer: &self.writer, now });
        }
        let status = json!({
            "subscriberIdString": address, "status": "UNSUBSCRIBED", "channel": "EMAIL",
            "wideStatusType": "PORTAL_WIDE", "businessUnitId": 0, "timestamp": now.to_string(),
        });
        let results = if method == "GET" && state.is_out(&address) { vec![status] } else { Vec::new() };
        Reply::json(endpoint, 200, &self.batch_body(&results))
    }
}
