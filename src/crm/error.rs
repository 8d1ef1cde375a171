//! What can go wrong with a CRM, named for what the caller does next.

use std::sync::Arc;

use crate::domain::{RecordId, Timestamp};
use crate::plan::Category;

/// A failed call, or one failed record within a call. Cheap to clone, because one failed call fails every record it carried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Try again later: the CRM is busy, locked or unreachable. Where a write was under way, it may have happened.
    #[error("the CRM is not available ({status})")]
    Unavailable {
        /// The HTTP status, or what kept us from getting one: `timeout`, `connection`.
        status: String,
        /// How long the CRM asked us to wait.
        retry_after_ms: Option<i64>,
        /// The cause.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The API allowance is used up.
    #[error("the API allowance is used up ({policy})")]
    Quota {
        /// The limit's own name, such as `TEN_SECONDLY_ROLLING` or `DAILY`.
        policy: String,
        /// When calls are possible again, where that is known.
        until: Option<Timestamp>,
    },
    /// The CRM refuses our credentials or the permissions behind them: a person must act.
    #[error("the CRM refuses access: {reason}")]
    Unauthorized {
        /// The CRM's own words, which hold no secret.
        reason: String,
    },
    /// The CRM refuses this record: a person must act on the record or the settings.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The CRM answered something its documentation does not promise.
    #[error("unexpected answer: {text}")]
    Unexpected {
        /// What was wrong with it, without its content.
        text: String,
    },
}

impl Error {
    /// What is refused to somebody whom the CRM knows all the same: a permission is missing, and what needs it waits for a person
    ///
    #[must_use]
    pub fn missing_permission(reason: &str) -> Self {
        Self::Refused(Refusal {
            category: Category::FieldPermission,
            code: "MISSING_PERMISSION".to_owned(),
            message: reason.to_owned(),
            fields: Vec::new(),
            existing: None,
        })
    }
}

/// A record refused by its CRM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The heading under which people find it.
    pub category: Category,
    /// The CRM's code, such as `FIELD_CUSTOM_VALIDATION_EXCEPTION`.
    pub code: String,
    /// The CRM's words for people. May hold values: it is stored and shown to operators, and never logged.
    pub message: String,
    /// The fields at fault, where the CRM names them: the rest can be written without them.
    pub fields: Vec<String>,
    /// The record that already holds the unique value, where the CRM names it.
    pub existing: Option<RecordId>,
}
