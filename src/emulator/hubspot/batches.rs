//! The batch calls, each input with its own fate where HubSpot gives it one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::emulator::Reply;
use crate::emulator::hubspot::records::Refused;
use crate::emulator::hubspot::rest::{Call, WriteInput, error, refused, shown, texts};
use crate::emulator::hubspot::writer::Act;

/// The most inputs of a batch call.
pub(super) const INPUTS_MAX: usize = 100;

/// The most inputs of a batch call that asks for history.
pub(super) const INPUTS_WITH_HISTORY_MAX: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchRead {
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    properties_with_history: Vec<String>,
    #[serde(default)]
    id_property: Option<String>,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchWrite {
    inputs: Vec<WriteInput>,
}

impl Call<'_> {
    pub(super) fn batch_archive(&mut self) -> Reply {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct BatchArchive {
            inputs: Vec<Input>,
        }
        let batch: BatchArchive = match self.read_body("batch/archive") {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        if batch.inputs.len() > INPUTS_MAX {
            return error("batch/archive", 400, "VALIDATION_ERROR", "at most 100 inputs");
        }
        for input in &batch.inputs {
            self.archive(&input.id);
        }
        Reply::empty("batch/archive", 204)
    }

    pub(super) fn batch_read(&self) -> Reply {
        let batch: BatchRead = match self.read_body("batch/read") {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        let with_history = &batch.properties_with_history;
        let inputs_max = if with_history.is_empty() { INPUTS_MAX } else { INPUTS_WITH_HISTORY_MAX };
        if batch.inputs.len() > inputs_max {
            let message = format!("at most {inputs_max} inputs");
            return error("batch/read", 400, "VALIDATION_ERROR", &message);
        }
        let state = self.emulator.state();
        let table = state.table(self.object);
        let archived = self.asked.query_value("archived") == Some("true");
        let hides_merges = self.emulator.options.batches_hide_merges;
        let (mut results, mut missing) = (BTreeMap::new(), Vec::new());
        for input in batch.inputs {
            let found = match &batch.id_property {
                Some(property) => table.find(property, &input.id),
                None => input.id.parse().ok().and_then(|id| match (archived, hides_merges) {
                    (true, true) => table.gone(id),
                    (true, false) => table.archived(id),
                    (false, true) => table.get(id).filter(|record| record.id == id),
                    (false, false) => table.get(id),
                }),
            };
            match found {
                Some(record) => {
                    let asked = (&batch.properties[..], &with_history[..]);
                    results.insert(record.id, shown(record, asked, table));
                }
                None => missing.push(input.id),
            }
        }
        let mut body = self.batch_body(&results.into_values().collect::<Vec<_>>());
        if missing.is_empty() {
            return Reply::json("batch/read", 200, &body);
        }
        body["numErrors"] = json!(1);
        body["errors"] = json!([{
            "status": "error", "category": "OBJECT_NOT_FOUND", "context": { "ids": missing },
            "message": format!(
                "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
                self.object.name().to_uppercase()
            ),
        }]);
        Reply::json("batch/read", 207, &body)
    }

    pub(super) fn batch_body(&self, results: &[Json]) -> Json {
        let now = self.emulator.now().to_string();
        json!({ "status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now })
    }

    /// One invalid value fails the whole batch and nothing is written; an address that is taken fails its input only, where every
    /// input has a trace id.
    pub(super) fn batch_write(&mut self, endpoint: &'static str) -> Reply {
        let batch: BatchWrite = match self.read_body(endpoint) {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        if let Some(reply) = self.batch_problem(endpoint, &batch.inputs) {
            return reply;
        }
        let now = self.emulator.now();
        let state = &mut *self.emulator.state();
        // Without a trace id on every input the answer could not say which of them failed: nothing is written then.
        if endpoint == "batch/create"
            && batch.inputs.iter().any(|input| input.object_write_trace_id.is_none())
            && let Some(taken) = batch.inputs.iter().find_map(|input| {
                state.check_new(self.object, &texts(input.properties.clone()), &self.writer).err()
            })
        {
            return refused(endpoint, &taken);
        }
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in batch.inputs {
            let id = input.id.as_deref().and_then(|id| id.parse().ok());
            match state.write(self.object, id, &texts(input.properties), Act { writer: &self.writer, now }) {
                Ok(change) => {
                    if let Err(message) = self.associate_new(state, change.id, &input.associations) {
                        return error(endpoint, 400, "VALIDATION_ERROR", &message);
                    }
                    let shown = state.table(self.object).get(change.id).map(|record| record.shown(&[], true));
                    let mut result = shown.unwrap_or_default();
                    result["objectWriteTraceId"] = json!(input.object_write_trace_id);
                    results.push(result);
                }
                Err(problem) => errors.push(json!({
                    "status": "error", "category": problem.category, "message": problem.message,
                    "context": {
                        "ids": input.id.into_iter().collect::<Vec<_>>(),
                        "objectWriteTraceId": input.object_write_trace_id.into_iter().collect::<Vec<_>>(),
                        "existingId": problem.existing.map(|id| id.to_string()).into_iter().collect::<Vec<_>>(),
                    },
                })),
            }
        }
        let status = match (errors.is_empty(), endpoint) {
            (false, _) => 207,
            (true, "batch/create") => 201,
            (true, _) => 200,
        };
        let mut body = self.batch_body(&results);
        if !errors.is_empty() {
            body["numErrors"] = json!(errors.len());
            body["errors"] = Json::from(errors);
        }
        Reply::json(endpoint, status, &body)
    }

    /// What fails a whole batch.
    fn batch_problem(&self, endpoint: &'static str, inputs: &[WriteInput]) -> Option<Reply> {
        if inputs.len() > INPUTS_MAX {
            return Some(error(endpoint, 400, "VALIDATION_ERROR", "at most 100 inputs"));
        }
        let numbered = |input: &&WriteInput| input.id.as_ref().is_some_and(|id| id.parse::<u64>().is_ok());
        let message = match endpoint {
            "batch/create" if inputs.iter().any(|input| input.id.is_some()) => {
                Some("a record to be created has no id")
            }
            "batch/update" if inputs.iter().any(|input| !numbered(&input)) => {
                Some("a record to be updated has a numeric id")
            }
            _ => None,
        };
        if let Some(message) = message {
            return Some(error(endpoint, 400, "VALIDATION_ERROR", message));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = inputs.iter().filter_map(|input| input.id.as_ref()).find(|id| !seen.insert(*id))
        {
            let message = format!("Duplicate IDs found in batch input: [{twice}]. IDs must be unique");
            return Some(error(endpoint, 400, "VALIDATION_ERROR", &message));
        }
        let state = self.emulator.state();
        for input in inputs {
            let mut errors = Vec::new();
            for (name, value) in texts(input.properties.clone()) {
                if let Err(unfit) = state.table(self.object).set.fit(&name, &value) {
                    errors.push(json!({ "message": unfit.message, "code": unfit.code, "context": { "propertyName": [name] } }));
                }
            }
            if !errors.is_empty() {
                let message = format!("Property values were not valid: {}", Json::from(errors.clone()));
                let problem =
                    Refused { status: 400, category: "VALIDATION_ERROR", message, errors, existing: None };
                return Some(refused(endpoint, &problem));
            }
        }
        None
    }
}
