//! What a portal holds, and what its own rules make of a write: mirrors of companies and of the opt-out, stages within pipelines.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::hubspot::associations::{Asks, Associations, Link, Place};
use crate::emulator::hubspot::lists::{Filters, Lists};
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::owners::{Owner, Pipeline};
use crate::emulator::hubspot::properties::PropertySet;
use crate::emulator::hubspot::records::{Change, Refused, Table, not_found};
use crate::emulator::hubspot::search::Index;
use crate::emulator::hubspot::webhooks::Webhooks;
use crate::emulator::hubspot::writer::{Act, Writer};
use crate::emulator::journal::{Author, Journal};

/// The mirror of whether an address is opted out.
const OPT_OUT: &str = "hs_email_optout";

/// The mirror of a contact's primary company.
pub(super) const COMPANY: &str = "associatedcompanyid";

/// What a portal holds.
pub(super) struct State {
    tables: BTreeMap<Object, Table>,
    pub(super) associations: Associations,
    pub(super) lists: Lists,
    pub(super) index: Index,
    pub(super) owners: BTreeMap<u64, Owner>,
    pub(super) pipelines: Vec<Pipeline>,
    opted_out: BTreeSet<String>,
    /// Addresses of contacts that were erased.
    pub(super) blocked: BTreeSet<String>,
    pub(super) webhooks: Webhooks,
    pub(super) journal: Journal,
}

impl State {
    pub(super) fn new(own_properties: bool, webhooks: Webhooks, journal: Journal) -> Self {
        let standard = |object| PropertySet::standard(object, own_properties);
        let table = |object| (object, Table::new(object, standard(object), journal.clone()));
        let mut state = Self {
            tables: Object::ALL.map(table).into_iter().collect(),
            associations: Associations::default(),
            lists: Lists::default(),
            index: Index::default(),
            owners: BTreeMap::new(),
            pipelines: Vec::new(),
            opted_out: BTreeSet::new(),
            blocked: BTreeSet::new(),
            webhooks,
            journal,
        };
        state.add_pipeline(Pipeline::sales());
        state
    }

    pub(super) fn clear(&mut self) {
        self.tables.values_mut().for_each(Table::clear);
        self.associations = Associations::default();
        self.lists = Lists::default();
        self.opted_out.clear();
        self.blocked.clear();
        self.journal.clear();
        self.webhooks.outbox.clear();
    }

    pub(super) fn add_native_property(&mut self, name: &str) {
        if let Some(contacts) = self.table_mut(Object::Contact) {
            contacts.set.add_native(name);
        }
    }

    pub(super) fn table(&self, object: Object) -> &Table {
        &self.tables[&object]
    }

    pub(super) fn table_mut(&mut self, object: Object) -> Option<&mut Table> {
        self.tables.get_mut(&object)
    }

    pub(super) fn add_owner(&mut self, owner: Owner) {
        for table in self.tables.values_mut() {
            table.set.add_option("hubspot_owner_id", &owner.id.to_string());
        }
        self.owners.insert(owner.id, owner);
    }

    pub(super) fn add_pipeline(&mut self, pipeline: Pipeline) {
        if let Some(table) = self.tables.get_mut(&Object::Deal) {
            table.set.add_option("pipeline", &pipeline.id);
            pipeline.stages.iter().for_each(|stage| table.set.add_option("dealstage", &stage.id));
        }
        self.pipelines.push(pipeline);
    }

    /// Creates (`id` is `None`) or updates a record and tells of it.
    pub(super) fn write(
        &mut self,
        object: Object,
        id: Option<u64>,
        values: &BTreeMap<String, String>,
        act: Act<'_>,
    ) -> Result<Change, Refused> {
        self.begin(act);
        self.check_stage(object, id, values)?;
        self.check_not_blocked(object, values, act.writer)?;
        self.settle_lists(act.now);
        let table = self.table_mut(object).ok_or_else(not_found)?;
        let change = table.write(id, values, act)?;
        if *act.writer == Writer::Person
            && let Some(address) = values.get("email").filter(|_| object == Object::Contact)
        {
            self.unblock(address);
        }
        self.lists.changed(object, change.id, act.now);
        self.webhooks.changed(&change, act);
        if change.moved.iter().any(|(name, _)| name == "email") {
            self.journal.follows();
            self.mirror_opt_out(change.id, act);
        }
        Ok(change)
    }

    /// A stage must belong to the pipeline that the deal is in, or is moved to.
    fn check_stage(
        &self,
        object: Object,
        id: Option<u64>,
        values: &BTreeMap<String, String>,
    ) -> Result<(), Refused> {
        let Some(stage) = values.get("dealstage").filter(|_| object == Object::Deal) else { return Ok(()) };
        let held = id.and_then(|id| self.table(object).get(id)?.properties.get("pipeline").cloned());
        let pipeline = values.get("pipeline").cloned().or(held).unwrap_or_else(|| "default".to_owned());
        let known = self.pipelines.iter().find(|known| known.id == pipeline);
        if known.is_some_and(|known| known.stages.iter().any(|known| known.id == *stage)) {
            return Ok(());
        }
        let message = format!("{stage} is no stage of pipeline {pipeline}");
        let error = json!({ "message": message, "code": "INVALID_OPTION", "context": { "propertyName": ["dealstage"] } });
        Err(Refused {
            status: 400,
            category: "VALIDATION_ERROR",
            message,
            errors: vec![error],
            existing: None,
        })
    }

    pub(super) fn archive(&mut self, object: Object, id: u64, act: Act<'_>) -> bool {
        self.begin(act);
        self.settle_lists(act.now);
        let gone = self.table_mut(object).is_some_and(|table| table.archive(id, act.now));
        if gone {
            self.lists.changed(object, id, act.now);
            self.journal.follows();
            self.webhooks.deleted(object, id, act);
            let members = if object == Object::Company {
                self.associations.of((object, id), Object::Contact)
            } else {
                Vec::new()
            };
            self.note_forgotten((object, id));
            self.associations.forget((object, id));
            for (contact, _) in members {
                self.mirror_company(contact, act);
            }
        }
        gone
    }

    pub(super) fn merge(&mut self, object: Object, ids: (u64, u64), act: Act<'_>) -> Result<u64, Refused> {
        self.begin(act);
        self.settle_lists(act.now);
        let table = self.table_mut(object).filter(|_| object != Object::Deal).ok_or_else(not_found)?;
        let survivor = table.merge(ids, act)?;
        for id in [ids.0, ids.1, survivor] {
            self.lists.changed(object, id, act.now);
        }
        let before = self.deals_of(object, &[ids.0, ids.1]);
        for loser in [ids.1, ids.0] {
            self.associations.inherit((object, loser), (object, survivor));
        }
        self.note_inherited(&before, (object, survivor));
        for (contact, _) in self.associations.of((object, survivor), Object::Contact) {
            self.mirror_company(contact, act);
        }
        self.webhooks.merged(object, ids, survivor, act);
        Ok(survivor)
    }

    pub(super) fn restore(&mut self, object: Object, id: u64, now: Timestamp) -> Result<(), String> {
        self.settle_lists(now);
        self.journal.begin(Author::Person, now);
        self.table_mut(object).ok_or("there is no such object")?.restore(id, now)?;
        self.lists.changed(object, id, now);
        self.webhooks.restored(object, id, now);
        // Its associations went with it.
        if object == Object::Contact {
            self.journal.follows();
            self.mirror_company(id, Act { writer: &Writer::Person, now });
        }
        Ok(())
    }

    /// Associates two records, and tells of it where that is new.
    pub(super) fn relate(
        &mut self,
        (one, other): (Place, Place),
        asks: Asks,
        act: Act<'_>,
    ) -> Result<(), String> {
        for place in [one, other] {
            if self.table(place.0).get(place.1).is_none() {
                return Err(format!("unknown_id_{} is not a valid ID", place.1));
            }
        }
        let link = Link::between(one, other).ok_or("these objects have no associations")?;
        self.begin(act);
        let before = self.associations.primary_of(link.from);
        let (changed, primary) = self.associations.add(link, asks);
        if changed {
            self.note_link(link, before, true);
            self.webhooks.associated(link, (false, primary), act);
            self.mirror_link(link, act);
        }
        Ok(())
    }

    pub(super) fn unrelate(&mut self, (one, other): (Place, Place), act: Act<'_>) {
        let Some(link) = Link::between(one, other) else { return };
        self.begin(act);
        let before = self.associations.primary_of(link.from);
        if self.associations.remove(link) {
            self.note_link(link, before, false);
            self.webhooks.associated(link, (true, false), act);
            self.mirror_link(link, act);
        }
    }

    /// Brings the active lists up to this time.
    pub(super) fn settle_lists(&mut self, now: Timestamp) {
        self.lists.settle(now, &self.tables[&Object::Contact]);
    }

    /// Defines an active list.
    pub(super) fn define_list(&mut self, list: &str, filters: Filters, now: Timestamp) {
        self.settle_lists(now);
        self.lists.set_active(list, filters, &self.tables[&Object::Contact], now);
    }

    /// The lists as they are at this time.
    pub(super) fn lists_at(&mut self, now: Timestamp) -> &Lists {
        self.settle_lists(now);
        &self.lists
    }

    /// Gives a contact the value of something that the portal mirrors there. Returns whether it is another one.
    fn mirror(&mut self, contact: u64, mirrored: (&str, &str), act: Act<'_>) -> bool {
        self.settle_lists(act.now);
        let moved = self.table_mut(Object::Contact).is_some_and(|table| table.mirror(contact, mirrored, act));
        if moved {
            self.lists.changed(Object::Contact, contact, act.now);
        }
        moved
    }

    fn mirror_link(&mut self, link: Link, act: Act<'_>) {
        if link.from.0 == Object::Contact {
            self.mirror_company(link.from.1, act);
        }
    }

    fn mirror_company(&mut self, contact: u64, act: Act<'_>) {
        let company = self.associations.primary_of((Object::Contact, contact));
        let company = company.map(|id| id.to_string()).unwrap_or_default();
        self.mirror(contact, (COMPANY, &company), act);
    }

    /// An address opts out of all mail, or in again: the contact that has it shows that.
    pub(super) fn opt(&mut self, address: &str, out: bool, act: Act<'_>) {
        self.begin(act);
        let folded = address.trim().to_lowercase();
        if out {
            self.opted_out.insert(folded.clone());
        } else {
            self.opted_out.remove(&folded);
        }
        if let Some(id) = self.table(Object::Contact).find("email", &folded).map(|contact| contact.id) {
            self.mirror_opt_out(id, act);
        }
    }

    pub(super) fn is_out(&self, address: &str) -> bool {
        self.opted_out.contains(&address.trim().to_lowercase())
    }

    fn mirror_opt_out(&mut self, contact: u64, act: Act<'_>) {
        let address = self.table(Object::Contact).get(contact).and_then(|held| held.properties.get("email"));
        let out = address.is_some_and(|address| self.is_out(address));
        let value = if out { "true" } else { "" };
        if self.mirror(contact, (OPT_OUT, value), act) {
            let moved = vec![(OPT_OUT.to_owned(), value.to_owned())];
            let change = Change { object: Object::Contact, id: contact, created: false, moved };
            self.webhooks.changed(&change, act);
        }
    }

    /// The portal makes a company for a contact by itself.
    pub(super) fn make_company(&mut self, contact: u64, name: &str, now: Timestamp) -> Result<u64, String> {
        let act = Act { writer: &Writer::Portal, now };
        let values = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        let made = self.write(Object::Company, None, &values, act).map_err(|refused| refused.message)?;
        self.relate(((Object::Contact, contact), (Object::Company, made.id)), Asks::FirstIsPrimary, act)?;
        Ok(made.id)
    }

    pub(super) fn shown(&self) -> Json {
        let tables = self.tables.iter().map(|(object, table)| (object.plural().to_owned(), table.shown()));
        Json::Object(tables.collect())
    }
}
