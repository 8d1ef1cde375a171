//! Formula fields: they show another field, of the record itself or of its account. That one changes tells of nothing and stamps nothing.

use serde_json::{Map, Value as Json};

use crate::emulator::salesforce::State;
use crate::emulator::salesforce::records::{Record, Table};

impl State {
    /// Brings every formula field up to date.
    pub(super) fn follow_formulas(&mut self) {
        self.journal.follows();
        for (object, name, shown) in self.formulas.clone() {
            let Some(table) = self.tables.get(object.as_str()) else { continue };
            let values: Vec<(String, Json)> = table
                .rows()
                .map(|record| (record.text("Id").to_owned(), self.shown_by(record, &shown)))
                .collect();
            let Some(table) = self.tables.get_mut(object.as_str()) else { continue };
            for (id, value) in values {
                table.set(&id, Map::from_iter([(name.clone(), value)]));
            }
        }
    }

    fn shown_by(&self, record: &Record, shown: &str) -> Json {
        let (record, field) = match shown.strip_prefix("Account.") {
            Some(field) => (
                self.tables.get("Account").and_then(|table: &Table| table.get(record.text("AccountId"))),
                field,
            ),
            None => (Some(record), shown),
        };
        record.and_then(|record| record.fields.get(field)).cloned().unwrap_or(Json::Null)
    }
}
