//! Several calls in one: each part is answered as it would be alone, one after the other.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::emulator::salesforce::rest::{Call, error};
use crate::emulator::{Asked, Part, Reply, UNKNOWN, decode_query};

/// The most parts of one call.
const PARTS_MAX: usize = 25;

/// The most of them that are queries or collections.
const COLLECTIONS_MAX: usize = 5;

/// Headers that a part may not have.
const HEADERS_OF_THE_WHOLE: [&str; 3] = ["accept", "authorization", "content-type"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Composite {
    #[serde(default)]
    all_or_none: bool,
    #[serde(default)]
    collate_subrequests: bool,
    #[serde(rename = "compositeRequest")]
    parts: Vec<Subrequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Subrequest {
    method: String,
    url: String,
    reference_id: String,
    #[serde(default)]
    http_headers: Map<String, Json>,
    #[serde(default)]
    body: Json,
}

impl Subrequest {
    fn path(&self) -> &str {
        self.url.split_once('?').map_or(self.url.as_str(), |(path, _)| path)
    }
}

/// The parts of a composite call, by method and path; none of any other call.
pub(super) fn parts(asked: &Asked<'_>) -> Vec<Part> {
    let is_composite = asked.method == "POST" && asked.path.ends_with("/composite");
    let composite = is_composite.then(|| serde_json::from_slice::<Composite>(asked.body).ok()).flatten();
    let parts = composite.into_iter().flat_map(|composite| composite.parts);
    parts.map(|part| Part { path: part.path().to_owned(), method: part.method }).collect()
}

impl Call<'_> {
    pub(super) fn composite(&self) -> Reply {
        let Ok(composite) = serde_json::from_slice::<Composite>(self.asked.body) else {
            return error("composite", 400, "JSON_PARSER_ERROR", "the body is no composite request");
        };
        let parts = &composite.parts;
        if composite.all_or_none || composite.collate_subrequests {
            let text = "this emulator does one part after the other, each for itself";
            return error("composite", 400, "INVALID_INPUT", text);
        }
        if parts.is_empty()
            || parts.len() > PARTS_MAX
            || parts.iter().filter(|part| is_large(part)).count() > COLLECTIONS_MAX
        {
            let text = "from 1 to 25 parts, at most 5 of them queries or collections";
            return error("composite", 400, "LIMIT_EXCEEDED", text);
        }
        let mut responses = Vec::new();
        for part in parts {
            let reply = match self.part(part) {
                Ok(reply) => reply,
                Err(refused) => return refused,
            };
            self.emulator.desk.count_part(&part.method, reply.endpoint, self.caller);
            let body: Json = serde_json::from_slice(&reply.body).unwrap_or(Json::Null);
            responses.push(json!({
                "body": body, "httpHeaders": {}, "httpStatusCode": reply.status, "referenceId": part.reference_id,
            }));
        }
        let endpoint =
            if parts.iter().all(|part| part.method == "GET") { "composite" } else { "composite/write" };
        Reply::json(endpoint, 200, &json!({ "compositeResponse": responses }))
    }

    /// Answers a part as it would be answered alone; what the emulator does not know is an unknown call.
    fn part(&self, part: &Subrequest) -> Result<Reply, Reply> {
        let wrong = |text: &str| Err(error("composite", 400, "INVALID_INPUT", text));
        let below = format!("/services/data/{}/", self.version);
        let Some(rest) = part.path().strip_prefix(&below) else {
            return wrong("a part's url begins with the version of the whole call");
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &part.http_headers {
            let read = (
                name.parse::<HeaderName>(),
                value.as_str().and_then(|value| HeaderValue::from_str(value).ok()),
            );
            let (Ok(name), Some(value)) = read else { return wrong("a header of a part cannot be read") };
            if HEADERS_OF_THE_WHOLE.contains(&name.as_str()) {
                return wrong("a part has no such header of its own");
            }
            headers.insert(name, value);
        }
        let body = if part.body.is_null() { Vec::new() } else { part.body.to_string().into_bytes() };
        let query = part.url.split_once('?').map_or("", |(_, query)| query);
        let asked = Asked {
            method: &part.method,
            path: part.path(),
            query: decode_query(query),
            headers: &headers,
            body: &body,
        };
        let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.as_slice() == ["composite"] {
            return wrong("a composite call has no composite part");
        }
        let reply = self.of(&asked).answer(&segments);
        if reply.endpoint == UNKNOWN { Err(reply) } else { Ok(reply) }
    }
}

/// Whether a part is a query or a collection.
fn is_large(part: &Subrequest) -> bool {
    let path = part.path();
    path.ends_with("/query") || path.ends_with("/queryAll") || path.contains("/composite/sobjects")
}
