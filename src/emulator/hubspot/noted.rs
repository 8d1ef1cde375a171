//! What the journal says of associations. Those of contacts with companies stand in the contact's own property; those of deals are
//! noted here: the primary company under that property's name, the contacts one by one.

use crate::emulator::hubspot::associations::{Link, Place};
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::portal::{COMPANY, State};
use crate::emulator::hubspot::records::Table;
use crate::emulator::hubspot::writer::{Act, Writer};
use crate::emulator::journal::{Author, Change};

/// The deals of a record: each with its primary company and the record's place among its contacts.
pub(super) type Deals = Vec<(u64, Option<u64>, Option<u64>)>;

impl Table {
    /// Notes what happened to a record as a whole.
    pub(super) fn note(&self, id: u64, change: Change, new: &str) {
        self.journal.note((self.object.plural(), &id.to_string()), change, new);
    }
}

impl State {
    /// What is noted from now on is this writer's.
    pub(super) fn begin(&self, act: Act<'_>) {
        let author = match act.writer {
            Writer::App(_) => Author::Integration,
            Writer::Person => Author::Person,
            Writer::Portal | Writer::Connector => Author::Crm,
        };
        self.journal.begin(author, act.now);
    }

    /// Notes an association of a deal that came or went.
    pub(super) fn note_link(&self, link: Link, primary_before: Option<u64>, came: bool) {
        let Link { from, to } = link;
        if from.0 != Object::Deal {
            return;
        }
        if to.0 == Object::Company {
            self.note_company(from.1, primary_before);
            return;
        }
        let contact = to.1.to_string();
        let (old, new) = if came { ("", contact.as_str()) } else { (contact.as_str(), "") };
        self.note_contact(from.1, (old, new));
    }

    /// Notes what deals lose with a record that is deleted, before it is.
    pub(super) fn note_forgotten(&self, place: Place) {
        for (deal, company, contact) in self.deals_of(place.0, &[place.1]) {
            if let Some(contact) = contact {
                self.note_contact(deal, (&contact.to_string(), ""));
            } else if company == Some(place.1) {
                let field = (COMPANY, company.map(text).unwrap_or_default());
                self.journal.note_value(("deals", &deal.to_string()), (field.0, &field.1, ""));
            }
        }
    }

    /// The deals that these records of one object have.
    pub(super) fn deals_of(&self, object: Object, ids: &[u64]) -> Deals {
        let deals = |id: &u64| {
            let contact = (object == Object::Contact).then_some(*id);
            let of = if object == Object::Deal {
                Vec::new()
            } else {
                self.associations.of((object, *id), Object::Deal)
            };
            let with =
                |(deal, _): (u64, bool)| (deal, self.associations.primary_of((Object::Deal, deal)), contact);
            of.into_iter().map(with).collect::<Vec<_>>()
        };
        ids.iter().flat_map(deals).collect()
    }

    /// Notes what deals got from a merge.
    pub(super) fn note_inherited(&self, before: &Deals, survivor: Place) {
        for (deal, company, contact) in before {
            if let Some(contact) = contact {
                self.note_contact(*deal, (&contact.to_string(), ""));
                self.note_contact(*deal, ("", &survivor.1.to_string()));
            } else {
                self.note_company(*deal, *company);
            }
        }
    }

    fn note_company(&self, deal: u64, before: Option<u64>) {
        let after = self.associations.primary_of((Object::Deal, deal));
        let [old, new] = [before, after].map(|id| id.map(text).unwrap_or_default());
        self.journal.note_value(("deals", &deal.to_string()), (COMPANY, &old, &new));
    }

    fn note_contact(&self, deal: u64, (old, new): (&str, &str)) {
        self.journal.note_association(("deals", &deal.to_string()), ("contacts", old, new));
    }
}

fn text(id: u64) -> String {
    id.to_string()
}
