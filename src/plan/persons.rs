//! Accounts that are persons: one record in Salesforce that is an account and a contact at once.
//!
//! Salesforce shows the person twice, as an account and as a contact behind it. In HubSpot they are a company and a contact, each with
//! the person's name. The contact behind the account tells of nothing and takes nothing: what it is told comes through its
//! account, and what is told to it goes there. The account's name follows from the person's, and its contact has no other account.

use std::borrow::Cow;

use crate::domain::{Kind, Record, RecordKey, Value};
use crate::plan::FieldSchema;
use crate::plan::draft::Draft;
use crate::plan::mapping::Target;
use crate::plan::rules::ACCOUNT_FIELD;
use crate::plan::{Side, Step, View};

/// Salesforce's field that says whether an account is a person; its contact has it, too. Organizations without person accounts do not.
pub const PERSON_FIELD: &str = "IsPersonAccount";

/// Salesforce's field of an account that names the contact behind it.
pub const PERSON_CONTACT_FIELD: &str = "PersonContactId";

/// Whether a Salesforce record is a person account, or the contact behind one.
pub(super) fn is_person(record: &Record) -> bool {
    record.fields.get(PERSON_FIELD) == Some(&Value::Flag(true))
}

/// The account through which the contact behind it is written; `None` for every other record.
pub(super) fn account_behind(record: &Record) -> Option<RecordKey> {
    let person = record.key.kind() == Kind::Contact && is_person(record);
    let account = record.fields.get(ACCOUNT_FIELD).filter(|_| person)?.as_text()?;
    RecordKey::parse(Kind::Account, &account).ok()
}

/// The contact behind an account; `None` for one that is no person.
pub(super) fn contact_behind(record: &Record) -> Option<RecordKey> {
    let person = record.key.kind() == Kind::Account && is_person(record);
    let contact = record.fields.get(PERSON_CONTACT_FIELD).filter(|_| person)?.as_text()?;
    RecordKey::parse(Kind::Contact, &contact).ok()
}

/// A field as it is for this record: a person's account takes no name, and its contact no other account.
pub(super) fn fitted<'t>(target: &'t Target, record: &Record) -> Cow<'t, Target> {
    let field = if record.key.kind() == Kind::Account { "Name" } else { ACCOUNT_FIELD };
    if target.field != field || !is_person(record) {
        return Cow::Borrowed(target);
    }
    let schema = FieldSchema { updateable: false, ..target.schema.clone() };
    Cow::Owned(Target { schema, ..target.clone() })
}

/// The contact behind an account tells of nothing itself: it is looked at whenever its account is.
pub(super) fn look_at_contact(draft: &mut Draft<'_>) {
    if let Side::Present(account) = &draft.view.salesforce
        && let Some(key) = contact_behind(account)
        && draft.rules.people.enabled
    {
        draft.steps.push(Step::Look { key });
    }
}

/// What was written through an account is news to its company.
pub(super) fn look_at_account(view: &View, steps: &mut Vec<Step>) {
    let Side::Present(contact) = &view.salesforce else { return };
    let Some(key) = account_behind(contact) else { return };
    if steps.iter().any(|step| matches!(step, Step::Update { through: Some(_), .. })) {
        steps.push(Step::Look { key });
    }
}
