//! What both sides last agreed on, field by field.
//!
//! The base is what makes the merge three-way and keeps "never had a value" apart from "had a value, now cleared".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Timestamp, Value};

/// The agreed values of one pair, by HubSpot property. A property that is absent was never agreed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base(pub BTreeMap<String, Agreed>);

/// One agreed value, in the normal form of its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreed {
    /// The value.
    #[serde(rename = "v")]
    pub value: Value,
    /// The value agreed on before this one; what the loop breaker compares with.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
    /// How often the value returned to the one before, in a row.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub flips: u8,
    /// When it last did.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub flipped_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(flips: &u8) -> bool {
    *flips == 0
}

impl Agreed {
    /// A value agreed on for the first time.
    pub const fn new(value: Value) -> Self {
        Self { value, previous: None, flips: 0, flipped_at: None }
    }
}
