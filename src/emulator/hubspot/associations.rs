//! Associations between records, and the calls that read and write them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::emulator::Reply;
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::rest::{Call, error};

/// A record by its object and id.
pub(super) type Place = (Object, u64);

/// The most inputs of a reading, and of a writing.
const READ_MAX: usize = 1_000;
const WRITE_MAX: usize = 2_000;

/// An association in its own direction: to a company, or from a deal to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) from: Place,
    pub(super) to: Place,
}

impl Link {
    /// Brings two records into the order in which an association is kept; `None` where they cannot have one.
    pub(super) fn between(one: Place, other: Place) -> Option<Self> {
        match (one.0, other.0) {
            (Object::Contact | Object::Deal, Object::Company) | (Object::Deal, Object::Contact) => {
                Some(Self { from: one, to: other })
            }
            (Object::Company, Object::Contact | Object::Deal) | (Object::Contact, Object::Deal) => {
                Some(Self { from: other, to: one })
            }
            _ => None,
        }
    }
}

/// What is asked of a record's company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// To be the primary one.
    Primary,
    /// To be the primary one where there is none yet.
    FirstIsPrimary,
    /// Not to be the primary one.
    Secondary,
}

impl Asks {
    /// What the API asks for, with the primary label or without.
    pub(super) const fn of(primary: bool) -> Self {
        if primary { Self::Primary } else { Self::FirstIsPrimary }
    }
}

/// The type ids of a direction: without a label, and as the primary company.
const fn type_ids(from: Object, to: Object) -> Option<(u32, Option<u32>)> {
    match (from, to) {
        (Object::Contact, Object::Company) => Some((279, Some(1))),
        (Object::Company, Object::Contact) => Some((280, Some(2))),
        (Object::Deal, Object::Company) => Some((341, Some(5))),
        (Object::Company, Object::Deal) => Some((342, Some(6))),
        (Object::Deal, Object::Contact) => Some((3, None)),
        (Object::Contact, Object::Deal) => Some((4, None)),
        _ => None,
    }
}

/// The associations of a portal, and whether each is a primary one.
#[derive(Debug, Default)]
pub(super) struct Associations(BTreeMap<Link, bool>);

impl Associations {
    /// Associates two records. Returns whether anything changed, and whether it is the primary company now.
    pub(super) fn add(&mut self, link: Link, asks: Asks) -> (bool, bool) {
        let has_primary = self.primary_of(link.from);
        let first_or_same = has_primary.is_none_or(|company| company == link.to.1);
        let primary = link.to.0 == Object::Company
            && (asks == Asks::Primary || (asks == Asks::FirstIsPrimary && first_or_same));
        if primary {
            for (other, flag) in self.0.iter_mut().filter(|(other, _)| other.from == link.from) {
                *flag = *flag && other.to == link.to;
            }
        }
        let before = self.0.insert(link, primary);
        (before != Some(primary), primary)
    }

    pub(super) fn remove(&mut self, link: Link) -> bool {
        self.0.remove(&link).is_some()
    }

    /// Takes away all that a record had.
    pub(super) fn forget(&mut self, place: Place) {
        self.0.retain(|link, _| link.from != place && link.to != place);
    }

    /// Lets a record take over what another had.
    pub(super) fn inherit(&mut self, old: Place, new: Place) {
        let of_old: Vec<(Link, bool)> = self
            .0
            .iter()
            .filter(|(link, _)| link.from == old || link.to == old)
            .map(|(link, flag)| (*link, *flag))
            .collect();
        self.forget(old);
        let renamed = |place: Place| if place == old { new } else { place };
        for (link, primary) in of_old {
            let link = Link { from: renamed(link.from), to: renamed(link.to) };
            if primary {
                self.add(link, Asks::Primary);
            } else {
                self.0.entry(link).or_insert(false);
            }
        }
    }

    /// The primary company of a contact or deal.
    pub(super) fn primary_of(&self, place: Place) -> Option<u64> {
        self.0.iter().find(|(link, primary)| link.from == place && **primary).map(|(link, _)| link.to.1)
    }

    /// The records of an object that a record is associated with, the primary one first.
    pub(super) fn of(&self, place: Place, object: Object) -> Vec<(u64, bool)> {
        let other = |link: &Link| match place {
            place if place == link.from => Some(link.to),
            place if place == link.to => Some(link.from),
            _ => None,
        };
        let found = self.0.iter().filter_map(|(link, primary)| Some((other(link)?, *primary)));
        let mut found: Vec<(u64, bool)> =
            found.filter(|(other, _)| other.0 == object).map(|(other, primary)| (other.1, primary)).collect();
        found.sort_by_key(|(id, primary)| (!primary, *id));
        found
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<T> {
    inputs: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadInput {
    id: String,
    #[serde(default)]
    #[expect(dead_code, reason = "pages are never needed below the limit")]
    after: Option<String>,
}

/// A record named in a body: as text or as a number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    id: Json,
}

impl Named {
    pub(super) fn number(&self) -> Option<u64> {
        self.id.as_u64().or_else(|| self.id.as_str()?.parse().ok())
    }
}

/// A type of association in a body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Type {
    association_category: String,
    association_type_id: u32,
}

/// Whether types ask for the primary label; `None` where one of them is no type between the two.
pub(super) fn asks_for_primary(types: &[Type], (from, to): (Object, Object)) -> Option<bool> {
    let (plain, primary) = type_ids(from, to)?;
    let known = |one: &Type| {
        one.association_category == "HUBSPOT_DEFINED"
            && (one.association_type_id == plain || Some(one.association_type_id) == primary)
    };
    types.iter().all(known).then(|| types.iter().any(|one| Some(one.association_type_id) == primary))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateInput {
    from: Named,
    to: Named,
    #[serde(default)]
    types: Vec<Type>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveInput {
    from: Named,
    to: Vec<Named>,
}

impl Call<'_> {
    pub(super) fn associations(&mut self, between: (Object, Object), rest: &[&str]) -> Option<Reply> {
        match rest {
            ["batch", "read"] => Some(self.read_associations(between)),
            ["batch", "create"] => Some(self.create_associations("associations/create", between)),
            ["batch", "associate", "default"] => {
                Some(self.create_associations("associations/default", between))
            }
            ["batch", "archive"] => Some(self.archive_associations(between)),
            _ => None,
        }
    }

    fn read_associations(&self, (from, to): (Object, Object)) -> Reply {
        let endpoint = "associations/read";
        let batch: Batch<ReadInput> = match self.read_body(endpoint) {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        let Some((plain, label)) = type_ids(from, to).filter(|_| batch.inputs.len() <= READ_MAX) else {
            return error(
                endpoint,
                400,
                "VALIDATION_ERROR",
                "these objects have no associations, or more than 1,000 inputs",
            );
        };
        let state = self.emulator.state();
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &batch.inputs {
            let id = input.id.parse().unwrap_or_default();
            let found = state.associations.of((from, id), to);
            if found.is_empty() {
                errors.push(json!({
                    "status": "error", "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": format!("No {} is associated with {} {id}.", to.name(), from.name()),
                    "context": { "fromObjectId": [input.id], "fromObjectType": [from.name()], "toObjectType": [to.name()] },
                }));
                continue;
            }
            let shown = |(id, primary): &(u64, bool)| {
                let plain = json!({ "category": "HUBSPOT_DEFINED", "typeId": plain, "label": null });
                let primary = label.filter(|_| *primary);
                let primary = primary
                    .map(|id| json!({ "category": "HUBSPOT_DEFINED", "typeId": id, "label": "Primary" }));
                let types: Vec<Json> = primary.into_iter().chain([plain]).collect();
                json!({ "toObjectId": id, "associationTypes": types })
            };
            results.push(
                json!({ "from": { "id": input.id }, "to": found.iter().map(shown).collect::<Vec<_>>() }),
            );
        }
        let mut body = self.batch_body(&results);
        if errors.is_empty() {
            return Reply::json(endpoint, 200, &body);
        }
        body["numErrors"] = json!(errors.len());
        body["errors"] = Json::from(errors);
        Reply::json(endpoint, 207, &body)
    }

    fn create_associations(&mut self, endpoint: &'static str, (from, to): (Object, Object)) -> Reply {
        let batch: Batch<CreateInput> = match self.read_body(endpoint) {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        if batch.inputs.len() > WRITE_MAX {
            return error(endpoint, 400, "VALIDATION_ERROR", "at most 2,000 inputs");
        }
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &batch.inputs {
            let primary = asks_for_primary(&input.types, (from, to));
            let ids = input.from.number().zip(input.to.number());
            let made = match (primary, ids) {
                (Some(primary), Some((one, other))) => {
                    self.relate((from, one), (to, other), Asks::of(primary))
                }
                _ => Err("an id or a type is not valid".to_owned()),
            };
            match made {
                Ok(()) => results.push(json!({
                    "fromObjectTypeId": from.type_id(), "fromObjectId": input.from.number(),
                    "toObjectTypeId": to.type_id(), "toObjectId": input.to.number(), "labels": [],
                })),
                Err(message) => errors.push(json!({
                    "status": "error", "category": "VALIDATION_ERROR",
                    "subCategory": "crm.associations.INVALID_IDENTIFIER", "message": message,
                })),
            }
        }
        let mut body = self.batch_body(&results);
        let status = if errors.is_empty() { 201 } else { 207 };
        if !errors.is_empty() {
            body["numErrors"] = json!(errors.len());
            body["errors"] = Json::from(errors);
        }
        Reply::json(endpoint, status, &body)
    }

    fn archive_associations(&mut self, (from, to): (Object, Object)) -> Reply {
        let endpoint = "associations/archive";
        let batch: Batch<ArchiveInput> = match self.read_body(endpoint) {
            Ok(batch) => batch,
            Err(reply) => return reply,
        };
        for input in &batch.inputs {
            for other in &input.to {
                if let Some((one, other)) = input.from.number().zip(other.number()) {
                    self.unrelate((from, one), (to, other));
                }
            }
        }
        Reply::empty(endpoint, 204)
    }
}
