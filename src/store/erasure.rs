//! What erasing a contact for privacy comes to, whichever database does it.
//!
//! It goes in bounded steps, each a transaction: the pair and what is kept with jobs and records, then the deliveries, then the audit, and
//! then the pair once more, for what somebody wrote who had read it before.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value as Json;
use sha2::Sha256;

use crate::domain::{ConnectionName, Value};
use crate::plan::Base;
use crate::store::codec::{self, corrupt};
use crate::store::{Error, codec::from_json};

/// The most deliveries or audit rows looked at in one step, so that whoever stores deliveries never waits for long.
pub(crate) const ROWS_MAX: u32 = 200;

/// Why nothing passes between an erased contact and its counterpart.
pub(crate) const STOPPED: &str =
    "the HubSpot contact was erased for privacy; it comes back only if somebody enters it again in HubSpot";

/// What stands in the place of a message that may have held values.
pub(crate) const MESSAGE: &str = "erased for privacy";

/// The name of the key that addresses are hashed with.
pub(crate) const KEY: &str = "erased addresses";

/// What comes next in an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The pair, its jobs and its records.
    Pair,
    /// The stored deliveries.
    Deliveries,
    /// The audit rows.
    Audit,
    /// The pair once more; then it is done.
    Again,
}

impl Step {
    /// The word used in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Deliveries => "deliveries",
            Self::Audit => "audit",
            Self::Again => "again",
        }
    }

    /// Reads what [`Step::as_str`] writes.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        [Self::Pair, Self::Deliveries, Self::Audit, Self::Again]
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| corrupt(("erasures", "step"), "step of an erasure"))
    }
}

/// The address that a pair agreed on, folded as the planner folds it.
pub(crate) fn address_in(base: &str) -> Result<Option<String>, Error> {
    let base: Base = from_json(base, ("pairs", "base"))?;
    let address = base.get("email").and_then(|agreed| agreed.value.as_text().map(|text| folded(&text)));
    Ok(address.filter(|address| !address.is_empty()))
}

fn folded(address: &str) -> String {
    address.trim().to_lowercase()
}

/// The keyed hash of an address.
pub(crate) fn hash(key: &[u8], name: &ConnectionName, address: &str) -> Result<Vec<u8>, Error> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.map_err(|_| corrupt(("secret_keys", "value"), "key"))?;
    mac.update(name.as_str().as_bytes());
    mac.update(b"\0");
    mac.update(folded(address).as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// A body of HubSpot without the values of what it tells of a record; nothing where it tells of none. One that cannot be read is
/// replaced as a whole.
pub(crate) fn scrubbed(body: &[u8], id: &str) -> Option<Vec<u8>> {
    let Ok(Json::Array(mut events)) = serde_json::from_slice::<Json>(body) else {
        return Some(b"[]".to_vec());
    };
    let mut moved = false;
    for event in events.iter_mut().filter_map(Json::as_object_mut) {
        let is_about = match event.get("objectId") {
            Some(Json::Number(number)) => number.to_string() == id,
            Some(Json::String(text)) => text == id,
            _ => false,
        };
        if is_about && event.get("propertyValue").is_some_and(|value| !value.is_null()) {
            event.insert("propertyValue".to_owned(), Json::Null);
            moved = true;
        }
    }
    moved.then(|| Json::Array(events).to_string().into_bytes())
}

/// Nothing, as audit rows hold it.
pub(crate) fn nothing() -> Result<String, Error> {
    codec::to_json(&Value::Blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_one_record_leave_a_body_and_those_of_others_stay() {
        let event = |id: &str, value: &str| {
            format!(r#"{{"objectId":{id},"propertyName":"city","propertyValue":{value},"portalId":1}}"#)
        };
        let body = format!(
            "[{},{},7,{}]",
            event("7", r#""Bonn""#),
            event("8", r#""Kiel""#),
            event(r#""7""#, r#""Ulm""#)
        );
        let scrubbed_body: Json = serde_json::from_slice(&scrubbed(body.as_bytes(), "7").unwrap()).unwrap();
        let expected =
            format!("[{},{},7,{}]", event("7", "null"), event("8", r#""Kiel""#), event(r#""7""#, "null"));
        assert_eq!(scrubbed_body, serde_json::from_str::<Json>(&expected).unwrap());
        assert_eq!(scrubbed(scrubbed_body.to_string().as_bytes(), "7"), None, "once is enough");
        assert_eq!(scrubbed(body.as_bytes(), "9"), None);
        for unreadable in ["{}", "[7", "7"] {
            assert_eq!(scrubbed(unreadable.as_bytes(), "7"), Some(b"[]".to_vec()), "{unreadable}");
        }
    }

    #[test]
    fn an_address_is_one_however_it_is_written_and_another_one_elsewhere() {
        let name = |name| ConnectionName::parse(name).unwrap();
        let of = |connection, address| hash(b"key", &name(connection), address).unwrap();
        assert_eq!(of("acme", " Ada@Example.com"), of("acme", "ada@example.com"));
        assert_ne!(of("acme", "ada@example.com"), of("acme", "bob@example.com"));
        assert_ne!(of("acme", "ada@example.com"), of("other", "ada@example.com"));
        assert_eq!(of("acme", "ada@example.com").len(), 32);
    }
}
