//! States and countries, where they come from lists: only listed ones are taken, and no state without its country.

use serde_json::{Map, Value as Json};

use crate::emulator::salesforce::State;
use crate::emulator::salesforce::records::RowError;

/// The countries, with their states.
const COUNTRIES: [(&str, &[&str]); 3] =
    [("United States", &["Ohio", "Texas"]), ("Australia", &["Queensland", "Tasmania"]), ("Germany", &[])];

/// The fields of a state and of its country.
const PLACES: [(&str, &str); 4] = [
    ("State", "Country"),
    ("MailingState", "MailingCountry"),
    ("BillingState", "BillingCountry"),
    ("PersonMailingState", "PersonMailingCountry"),
];

impl State {
    /// Refuses what is not on the lists.
    pub(super) fn check_places(
        &self,
        object: &str,
        id: Option<&str>,
        values: &Map<String, Json>,
    ) -> Result<(), RowError> {
        if !self.lists_places {
            return Ok(());
        }
        let before = id.and_then(|id| self.tables.get(object)?.get(id));
        let held = |name: &str| {
            let value = values.get(name).or_else(|| before?.fields.get(name));
            value.and_then(Json::as_str).unwrap_or_default()
        };
        for (state, country) in PLACES
            .iter()
            .filter(|(state, country)| values.contains_key(*state) || values.contains_key(*country))
        {
            match wrong_place(held(state), held(country)) {
                None => {}
                Some((of_country, message)) => {
                    let field = if of_country { country } else { state };
                    let error = RowError::new("FIELD_INTEGRITY_EXCEPTION", message.to_owned());
                    return Err(RowError { fields: vec![(*field).to_owned()], ..error });
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with a state and its country, and whether it is the country.
fn wrong_place(state: &str, country: &str) -> Option<(bool, &'static str)> {
    let listed = COUNTRIES.iter().find(|(name, _)| *name == country);
    match (state, country, listed) {
        ("", "", _) => None,
        (_, "", _) => Some((
            false,
            "A country/territory must be specified before specifying a state value for field: State/Province",
        )),
        (_, _, None) => Some((
            true,
            "There's a problem with this country, even though it may appear correct. Please select a country/territory from the list of valid countries.",
        )),
        ("", _, Some(_)) => None,
        (_, _, Some((_, states))) if states.contains(&state) => None,
        (_, _, Some(_)) => Some((
            false,
            "There's a problem with this state, even though it may appear correct. Please select a state from the list of valid states.",
        )),
    }
}
