//! Why a write did nothing.

use serde_json::Value as Json;

/// Why a write did nothing: status, category, words, and the values at fault.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) category: &'static str,
    pub(super) message: String,
    pub(super) errors: Vec<Json>,
    pub(super) existing: Option<u64>,
}

/// Values that the portal does not take.
pub(super) fn invalid(errors: Vec<Json>, message: String) -> Refused {
    Refused { status: 400, category: "VALIDATION_ERROR", message, errors, existing: None }
}

/// A record that is not there.
pub(super) fn not_found() -> Refused {
    Refused {
        status: 404,
        category: "OBJECT_NOT_FOUND",
        message: "resource not found".to_owned(),
        errors: Vec::new(),
        existing: None,
    }
}
