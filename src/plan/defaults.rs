//! The default mappings: what goes with what where nobody said otherwise.
//!
//! `email` comes first and stays even with `default_mappings = false`: people are known by it. `hs_lead_status` is not
//! among them, because its values mean something only through a `values` map.

/// A default mapping: the HubSpot property, the lead's field, the contact's field.
pub type DefaultMapping = (&'static str, Option<&'static str>, Option<&'static str>);

/// The address, by which people are known.
pub const ADDRESS: DefaultMapping = ("email", Some("Email"), Some("Email"));

/// The others. `company` is text and goes with the lead's text; a contact's account is a reference.
pub const PEOPLE: [DefaultMapping; 17] = [
    ("firstname", Some("FirstName"), Some("FirstName")),
    ("lastname", Some("LastName"), Some("LastName")),
    ("salutation", Some("Salutation"), Some("Salutation")),
    ("company", Some("Company"), None),
    ("jobtitle", Some("Title"), Some("Title")),
    ("phone", Some("Phone"), Some("Phone")),
    ("mobilephone", Some("MobilePhone"), Some("MobilePhone")),
    ("fax", Some("Fax"), Some("Fax")),
    ("address", Some("Street"), Some("MailingStreet")),
    ("city", Some("City"), Some("MailingCity")),
    ("state", Some("State"), Some("MailingState")),
    ("zip", Some("PostalCode"), Some("MailingPostalCode")),
    ("country", Some("Country"), Some("MailingCountry")),
    ("website", Some("Website"), None),
    ("industry", Some("Industry"), None),
    ("annualrevenue", Some("AnnualRevenue"), None),
    ("numemployees", Some("NumberOfEmployees"), None),
];
