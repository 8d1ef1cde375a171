//! What a family's pairing comes to.

use std::borrow::Cow;

use crate::domain::{Kind, Record};
use crate::plan::State;

/// Who belongs to whom, and why.
pub(super) struct Pairing<'a> {
    pub(super) verdict: Verdict<'a>,
    pub(super) rule: &'static str,
    pub(super) text: Cow<'static, str>,
}

/// The verdict.
pub(super) enum Verdict<'a> {
    /// The two are a pair.
    Pair {
        hubspot: &'a Record,
        salesforce: &'a Record,
        /// Whether memory does not know it yet.
        new: bool,
        /// Whether a new one takes over what was agreed with the present twin.
        heir: bool,
        /// The Salesforce record that was the twin until now.
        let_go: Option<&'a Record>,
    },
    /// The record gets a twin of this kind.
    Create { twin: &'a Record, kind: Kind },
    /// The record is deleted as its twin was, and the pair rests.
    Delete(&'a Record),
    /// The pair rests.
    Stop,
    /// It cannot be told yet: the next look decides.
    Wait,
    /// A person must choose.
    Ambiguous,
    /// Somebody else holds what would be the twin: nothing is taken, and a person must decide.
    Held,
    /// Nothing is to be done.
    Nothing(State),
}

pub(super) fn pairing<'a>(
    verdict: Verdict<'a>,
    rule: &'static str,
    text: impl Into<Cow<'static, str>>,
) -> Pairing<'a> {
    Pairing { verdict, rule, text: text.into() }
}

impl<'a> Verdict<'a> {
    /// Two records that memory does not know as a pair yet.
    pub(super) const fn link(hubspot: &'a Record, salesforce: &'a Record) -> Self {
        Self::Pair { hubspot, salesforce, new: true, heir: false, let_go: None }
    }

    /// Two records that memory knows as a pair.
    pub(super) const fn known(hubspot: &'a Record, salesforce: &'a Record) -> Self {
        Self::Pair { hubspot, salesforce, new: false, heir: false, let_go: None }
    }
}
