//! The contact behind a person account, which is written through its account under other names.

use crate::crm::{Error, Written};
use crate::domain::{Fields, RecordKey};

/// What both call the same: the account of a person has these besides an account's own fields.
const SAME: [&str; 6] = ["FirstName", "LastName", "Salutation", "Phone", "Fax", "OwnerId"];

/// A contact's fields under their account's names: `PersonEmail` for `Email`, `X__pc` for `X__c`.
pub(super) fn on_account(fields: &Fields) -> Fields {
    fields.iter().map(|(name, value)| (name_on_account(name), value.clone())).collect()
}

/// The outcome of a write through an account, told of the contact.
pub(super) fn of_contact(outcome: Result<Written, Error>, contact: RecordKey) -> Result<Written, Error> {
    match outcome {
        Ok(written) => Ok(Written { id: contact.id(), ..written }),
        Err(Error::Refused(mut refusal)) => {
            refusal.fields = refusal.fields.iter().map(|name| name_on_contact(name)).collect();
            Err(Error::Refused(refusal))
        }
        Err(error) => Err(error),
    }
}

fn name_on_account(name: &str) -> String {
    match name.strip_suffix("__c") {
        Some(bare) => format!("{bare}__pc"),
        None if SAME.contains(&name) => name.to_owned(),
        None => format!("Person{name}"),
    }
}

fn name_on_contact(name: &str) -> String {
    match (name.strip_suffix("__pc"), name.strip_prefix("Person")) {
        (Some(bare), _) => format!("{bare}__c"),
        (None, Some(bare)) => bare.to_owned(),
        (None, None) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_222_every_name_leads_there_and_back() {
        for (contact, account) in [
            ("Email", "PersonEmail"),
            ("MailingCity", "PersonMailingCity"),
            ("HasOptedOutOfEmail", "PersonHasOptedOutOfEmail"),
            ("LastName", "LastName"),
            ("OwnerId", "OwnerId"),
            ("Hubforce_HubSpot_Id__c", "Hubforce_HubSpot_Id__pc"),
        ] {
            assert_eq!(name_on_account(contact), account);
            assert_eq!(name_on_contact(account), contact);
        }
    }
}
