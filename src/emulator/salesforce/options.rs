//! How the emulated organization is set up.

use crate::domain::Secret;

/// How the emulated organization is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The organization.
    pub organization: String,
    /// Its edition.
    pub edition: String,
    /// The address under which the emulator is reached.
    pub instance_url: String,
    /// The integration's client id and secret.
    pub client: (String, Secret),
    /// The person's user name and password.
    pub person: (String, Secret),
    /// How long a session lasts.
    pub session_ms: i64,
    /// The unique external id field on leads, contacts, accounts and opportunities; empty for none.
    pub external_id_field: String,
    /// Further unique external id fields on the same objects, for several portals on one organization.
    pub more_external_id_fields: Vec<String>,
    /// Custom fields: the object, the field's name and its type, as describe calls it.
    pub custom_fields: Vec<(String, String, &'static str)>,
    /// When the trial ends, for a trial organization.
    pub trial_ends: Option<String>,
    /// Formula fields: the object, the field's name, and the field that it shows, of the record itself or of its account (`Account.Name`).
    pub formulas: Vec<(String, String, String)>,
    /// Whether states and countries come from lists.
    pub lists_places: bool,
    /// Whether an account may be a person.
    pub person_accounts: bool,
    /// Whether the integration's user may send outbound messages; the vendor advises against it.
    pub integration_sends_messages: bool,
    /// Calls in 24 hours.
    pub calls_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organization: "00D000000000001EAA".to_owned(),
            edition: "Enterprise Edition".to_owned(),
            instance_url: "http://127.0.0.1:9102".to_owned(),
            client: ("integration-client".to_owned(), Secret::new("integration-secret")),
            person: ("person@example.com".to_owned(), Secret::new("person-password")),
            session_ms: 2 * 3_600_000,
            external_id_field: "Hubforce_HubSpot_Id__c".to_owned(),
            more_external_id_fields: Vec::new(),
            custom_fields: Vec::new(),
            trial_ends: None,
            formulas: Vec::new(),
            lists_places: false,
            person_accounts: false,
            integration_sends_messages: false,
            calls_max: 15_000,
        }
    }
}

impl Options {
    /// The names of the external id fields.
    pub(super) fn external_ids(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.external_id_field)
            .chain(&self.more_external_id_fields)
            .filter(|name| !name.is_empty())
    }

    /// Whether this edition has outbound messages.
    pub(super) fn sends_messages(&self) -> bool {
        let with = ["Enterprise", "Performance", "Unlimited", "Developer"];
        with.iter().any(|edition| self.edition.starts_with(edition))
    }

    /// Whether this edition answers API calls.
    pub(super) fn has_api(&self) -> bool {
        let without = ["Group", "Team", "Contact Manager", "Base", "Personal"];
        !without.iter().any(|edition| self.edition.starts_with(edition))
    }
}
