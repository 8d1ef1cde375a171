//! Explaining one record: what is known, what would happen and why. Reads both sides now and writes nothing.

use serde::Serialize;

use crate::domain::{ConnectionName, Kind, RecordKey, System};
use crate::plan::{Asked, ExplainedField, State, Step, View, explain};
use crate::worker::gather::{Gathered, Sources, Subject, gather, plan_all};
use crate::worker::{Error, Worker};

/// The answer of `GET .../explain`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether the record takes part.
    pub eligible: bool,
    /// How it stands.
    pub state: State,
    /// Its twin.
    pub linked_to: Option<Linked>,
    /// The decisions, each with its rule.
    pub reasons: Vec<Reason>,
    /// The fields.
    pub fields: Vec<ExplainedField>,
    /// What would be done now.
    pub steps: Vec<Step>,
    /// Work that waits for it.
    pub pending: Vec<Pending>,
    /// The last error.
    pub last_error: Option<String>,
}

/// Names a record in an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Linked {
    /// The CRM.
    pub system: System,
    /// The kind.
    pub kind: Kind,
    /// The id.
    pub id: String,
}

impl From<RecordKey> for Linked {
    fn from(key: RecordKey) -> Self {
        Self { system: key.system(), kind: key.kind(), id: key.id().to_string() }
    }
}

/// A rule and what it decided.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The rule's number.
    pub rule: &'static str,
    /// The sentence.
    pub text: String,
}

/// Work that waits.
#[derive(Clone, Debug, Serialize)]
pub struct Pending {
    /// Whose work.
    #[serde(flatten)]
    pub record: Linked,
}

impl Subject {
    /// A record that a person asks about.
    pub(super) const fn asked_for(key: RecordKey, pair: Option<crate::plan::Pair>, asked: Asked) -> Self {
        Self { key, pair, asked, interrupted: false }
    }
}

impl Worker {
    /// Reads both sides of a record now and plans, writing nothing.
    pub async fn explain(&self, connection: &ConnectionName, key: RecordKey) -> Result<Explanation, Error> {
        let live = self.live(connection)?;
        let now = self.clock.now();
        let resolved = live.resolve(now).await?;
        let status = self.store.record(connection, &key).await?;
        let pair = status.as_ref().and_then(|status| status.pair.clone());
        let subject = Subject::asked_for(key, pair, Asked::No);
        let sources = Sources { live, store: &*self.store, rules: &resolved.rules, now };
        let mut gathered = gather(&sources, std::slice::from_ref(&subject)).await?;
        let plan = plan_all(&sources, &mut gathered).await?.into_iter().next().flatten();
        let (view, plan) = match (gathered.into_iter().next(), plan) {
            (Some(Gathered::View(view)), Some(plan)) => (view, plan),
            (Some(Gathered::Failed(system, source)), _) => return Err(Error::Crm { system, source }),
            (Some(Gathered::View(_) | Gathered::PutOff) | None, _) => {
                return Err(Error::Settings("the record was not looked at".to_owned()));
            }
        };
        let twin = twin_of(key, &view);
        Ok(Explanation {
            eligible: !matches!(plan.state, State::Excluded | State::Unlinked),
            state: plan.state,
            linked_to: twin.map(Linked::from),
            fields: explain(&view, &resolved.rules, &plan),
            reasons: plan.why.iter().map(|why| Reason { rule: why.rule, text: why.text.clone() }).collect(),
            steps: plan.steps,
            pending: status
                .iter()
                .filter(|status| status.pending)
                .map(|_| Pending { record: key.into() })
                .collect(),
            last_error: status.and_then(|status| status.last_error).map(|(_, message)| message),
        })
    }
}

fn twin_of(key: RecordKey, view: &View) -> Option<RecordKey> {
    let pair = view.pair.as_ref()?;
    match key {
        key if key == pair.hubspot => Some(pair.salesforce),
        key if key == pair.salesforce => Some(pair.hubspot),
        _ => None,
    }
}
