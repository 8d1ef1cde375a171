//! The fields of every object.

/// What a caller may do with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Write it or leave it blank.
    Free,
    /// Write it, never leave it blank.
    Required,
    /// Write it; left out on creation, it gets a value. Never blank.
    Defaulted,
    /// Name it on creation, and never again.
    Fixed,
    /// Write it on creation alone.
    OnCreate,
    /// Read it.
    Read,
}

/// A field: name, type, length (of an amount: its decimals), use.
pub(super) type Row = (&'static str, &'static str, usize, Use);

/// Whether values of a type are rounded to the decimals of their field.
pub(super) fn is_amount(kind: &str) -> bool {
    matches!(kind, "currency" | "double" | "percent")
}

use Use::{Defaulted, Fixed, Free, OnCreate, Read, Required};

/// What every row has.
pub(super) const AUDIT: [Row; 6] = [
    ("Id", "id", 18, Read),
    ("CreatedDate", "datetime", 0, Read),
    ("CreatedById", "reference", 18, Read),
    ("LastModifiedDate", "datetime", 0, Read),
    ("LastModifiedById", "reference", 18, Read),
    ("SystemModstamp", "datetime", 0, Read),
];

/// What leads and contacts share.
const PERSON: [Row; 14] = [
    ("FirstName", "string", 40, Free),
    ("LastName", "string", 80, Required),
    ("Name", "string", 121, Read),
    ("Salutation", "picklist", 40, Free),
    ("Title", "string", 128, Free),
    ("Email", "email", 80, Free),
    ("Phone", "phone", 40, Free),
    ("MobilePhone", "phone", 40, Free),
    ("Fax", "phone", 40, Free),
    ("Description", "textarea", 32_000, Free),
    ("LeadSource", "picklist", 40, Free),
    ("HasOptedOutOfEmail", "boolean", 0, Defaulted),
    ("OwnerId", "reference", 18, Defaulted),
    ("MasterRecordId", "reference", 18, Read),
];
const LEAD: [Row; 17] = [
    ("Company", "string", 255, Required),
    ("Status", "picklist", 40, Defaulted),
    ("Street", "textarea", 255, Free),
    ("City", "string", 40, Free),
    ("State", "string", 80, Free),
    ("PostalCode", "string", 20, Free),
    ("Country", "string", 80, Free),
    ("Website", "url", 255, Free),
    ("Industry", "picklist", 40, Free),
    ("Rating", "picklist", 40, Free),
    ("AnnualRevenue", "currency", 0, Free),
    ("NumberOfEmployees", "int", 0, Free),
    ("IsConverted", "boolean", 0, OnCreate),
    ("ConvertedAccountId", "reference", 18, Read),
    ("ConvertedContactId", "reference", 18, Read),
    ("ConvertedOpportunityId", "reference", 18, Read),
    ("ConvertedDate", "date", 0, Read),
];
const CONTACT: [Row; 8] = [
    ("AccountId", "reference", 18, Free),
    ("MailingStreet", "textarea", 255, Free),
    ("MailingCity", "string", 40, Free),
    ("MailingState", "string", 80, Free),
    ("MailingPostalCode", "string", 20, Free),
    ("MailingCountry", "string", 80, Free),
    ("Department", "string", 80, Free),
    ("Birthdate", "date", 0, Free),
];
const ACCOUNT: [Row; 18] = [
    ("Name", "string", 255, Required),
    ("Type", "picklist", 255, Free),
    ("Industry", "picklist", 255, Free),
    ("BillingStreet", "textarea", 255, Free),
    ("BillingCity", "string", 40, Free),
    ("BillingState", "string", 80, Free),
    ("BillingPostalCode", "string", 20, Free),
    ("BillingCountry", "string", 80, Free),
    ("Phone", "phone", 40, Free),
    ("Fax", "phone", 40, Free),
    ("Website", "url", 255, Free),
    ("AnnualRevenue", "currency", 0, Free),
    ("NumberOfEmployees", "int", 0, Free),
    ("Description", "textarea", 32_000, Free),
    ("ParentId", "reference", 18, Free),
    ("OwnerId", "reference", 18, Defaulted),
    ("AccountSource", "picklist", 255, Free),
    ("MasterRecordId", "reference", 18, Read),
];
/// What an account has besides where accounts may be persons.
pub(super) const PERSON_ACCOUNT: [Row; 17] = [
    ("IsPersonAccount", "boolean", 0, Read),
    ("PersonContactId", "reference", 18, Read),
    ("FirstName", "string", 40, Free),
    ("LastName", "string", 80, Free),
    ("Salutation", "picklist", 40, Free),
    ("PersonEmail", "email", 80, Free),
    ("PersonMobilePhone", "phone", 40, Free),
    ("PersonTitle", "string", 80, Free),
    ("PersonDepartment", "string", 80, Free),
    ("PersonBirthdate", "date", 0, Free),
    ("PersonLeadSource", "picklist", 40, Free),
    ("PersonMailingStreet", "textarea", 255, Free),
    ("PersonMailingCity", "string", 40, Free),
    ("PersonMailingState", "string", 80, Free),
    ("PersonMailingPostalCode", "string", 20, Free),
    ("PersonMailingCountry", "string", 80, Free),
    ("PersonHasOptedOutOfEmail", "boolean", 0, Defaulted),
];
/// What a contact has besides there.
pub(super) const PERSON_CONTACT: [Row; 1] = [("IsPersonAccount", "boolean", 0, Read)];
const OPPORTUNITY: [Row; 14] = [
    ("Name", "string", 120, Required),
    ("StageName", "picklist", 255, Required),
    ("CloseDate", "date", 0, Required),
    ("AccountId", "reference", 18, Free),
    ("Amount", "currency", 2, Free),
    ("Probability", "percent", 0, Free),
    ("Type", "picklist", 255, Free),
    ("LeadSource", "picklist", 255, Free),
    ("NextStep", "string", 255, Free),
    ("Description", "textarea", 32_000, Free),
    ("OwnerId", "reference", 18, Defaulted),
    ("IsClosed", "boolean", 0, Read),
    ("IsWon", "boolean", 0, Read),
    ("HasOpportunityLineItem", "boolean", 0, Read),
];
const CONTACT_ROLE: [Row; 4] = [
    ("OpportunityId", "reference", 18, Fixed),
    ("ContactId", "reference", 18, Fixed),
    ("Role", "picklist", 255, Free),
    ("IsPrimary", "boolean", 0, Defaulted),
];
const USER: [Row; 7] = [
    ("Username", "string", 80, Read),
    ("Email", "email", 128, Read),
    ("Name", "string", 121, Read),
    ("FirstName", "string", 40, Read),
    ("LastName", "string", 80, Read),
    ("IsActive", "boolean", 0, Read),
    ("UserType", "picklist", 40, Read),
];
const GROUP: [Row; 5] = [
    ("Name", "string", 40, Read),
    ("DeveloperName", "string", 80, Read),
    ("Type", "picklist", 40, Read),
    ("Email", "email", 255, Read),
    ("RelatedId", "reference", 18, Read),
];
const QUEUE_SOBJECT: [Row; 2] = [("QueueId", "reference", 18, Read), ("SobjectType", "picklist", 40, Read)];
const STAGE: [Row; 7] = [
    ("ApiName", "string", 255, Read),
    ("MasterLabel", "string", 255, Read),
    ("IsActive", "boolean", 0, Read),
    ("IsClosed", "boolean", 0, Read),
    ("IsWon", "boolean", 0, Read),
    ("DefaultProbability", "percent", 0, Read),
    ("SortOrder", "int", 0, Read),
];
const ASSIGNMENT_RULE: [Row; 3] =
    [("Name", "string", 120, Read), ("SobjectType", "picklist", 40, Read), ("Active", "boolean", 0, Read)];
const ORGANIZATION: [Row; 9] = [
    ("Name", "string", 80, Read),
    ("OrganizationType", "picklist", 40, Read),
    ("IsSandbox", "boolean", 0, Read),
    ("InstanceName", "string", 5, Read),
    ("NamespacePrefix", "string", 15, Read),
    ("TrialExpirationDate", "datetime", 0, Read),
    ("DefaultLocaleSidKey", "picklist", 40, Read),
    ("LanguageLocaleKey", "picklist", 40, Read),
    ("IsReadOnly", "boolean", 0, Read),
];

/// The objects whose rows callers write.
pub(super) const WRITTEN: [&str; 5] = ["Lead", "Contact", "Account", "Opportunity", "OpportunityContactRole"];

/// The objects whose rows the organization's administrators keep.
pub(super) const STANDING: [&str; 6] =
    ["User", "Group", "QueueSobject", "OpportunityStage", "AssignmentRule", "Organization"];

/// An object's key prefix and its own fields.
pub(super) fn of(object: &str) -> (&'static str, Vec<&'static [Row]>) {
    match object {
        "Lead" => ("00Q", vec![&PERSON, &LEAD]),
        "Contact" => ("003", vec![&PERSON, &CONTACT]),
        "Account" => ("001", vec![&ACCOUNT]),
        "Opportunity" => ("006", vec![&OPPORTUNITY]),
        "OpportunityContactRole" => ("00K", vec![&CONTACT_ROLE]),
        "User" => ("005", vec![&USER]),
        "Group" => ("00G", vec![&GROUP]),
        "QueueSobject" => ("03g", vec![&QUEUE_SOBJECT]),
        "OpportunityStage" => ("01J", vec![&STAGE]),
        "AssignmentRule" => ("01Q", vec![&ASSIGNMENT_RULE]),
        _ => ("00D", vec![&ORGANIZATION]),
    }
}

/// The objects a reference may name.
pub(super) fn references(object: &str, field: &str) -> &'static [&'static str] {
    match (field, object) {
        ("OwnerId", "Lead") => &["Group", "User"],
        ("OwnerId" | "CreatedById" | "LastModifiedById", _) => &["User"],
        ("AccountId" | "ParentId" | "ConvertedAccountId", _) | ("MasterRecordId", "Account") => &["Account"],
        ("ContactId" | "ConvertedContactId" | "PersonContactId", _) | ("MasterRecordId", "Contact") => {
            &["Contact"]
        }
        ("MasterRecordId", "Lead") => &["Lead"],
        ("OpportunityId" | "ConvertedOpportunityId", _) => &["Opportunity"],
        ("QueueId", _) => &["Group"],
        _ => &[],
    }
}

const STATUSES: [&str; 4] =
    ["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"];
const SALUTATIONS: [&str; 5] = ["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];
const SOURCES: [&str; 5] = ["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const ACCOUNT_TYPES: [&str; 4] = ["Prospect", "Customer - Direct", "Channel Partner / Reseller", "Other"];
const DEAL_TYPES: [&str; 3] =
    ["Existing Customer - Upgrade", "Existing Customer - Replacement", "New Customer"];
const INDUSTRIES: [&str; 6] = ["Banking", "Consulting", "Education", "Energy", "Technology", "Other"];
const ROLES: [&str; 4] = ["Decision Maker", "Economic Buyer", "Evaluator", "Other"];

/// The stages an organization begins with: name, probability, whether it closes, whether it wins.
pub(super) const STAGES: [(&str, u32, bool, bool); 10] = [
    ("Prospecting", 10, false, false),
    ("Qualification", 10, false, false),
    ("Needs Analysis", 20, false, false),
    ("Value Proposition", 50, false, false),
    ("Id. Decision Makers", 60, false, false),
    ("Perception Analysis", 70, false, false),
    ("Proposal/Price Quote", 75, false, false),
    ("Negotiation/Review", 90, false, false),
    ("Closed Won", 100, true, true),
    ("Closed Lost", 0, true, false),
];

/// A picklist's values; all accept others, too.
pub(super) fn values(object: &str, field: &str) -> Vec<&'static str> {
    match (object, field) {
        ("Lead", "Status") => STATUSES.to_vec(),
        (_, "Salutation") => SALUTATIONS.to_vec(),
        (_, "StageName") => STAGES.iter().map(|stage| stage.0).collect(),
        ("Account", "Type") => ACCOUNT_TYPES.to_vec(),
        ("Opportunity", "Type") => DEAL_TYPES.to_vec(),
        ("Account", "Industry") => INDUSTRIES.to_vec(),
        ("Account" | "Opportunity", "LeadSource" | "AccountSource" | "PersonLeadSource") => SOURCES.to_vec(),
        (_, "Role") => ROLES.to_vec(),
        _ => Vec::new(),
    }
}

/// What a field holds in a new row that names no value for it.
pub(super) fn default(object: &str, field: &str) -> Option<&'static str> {
    (object == "Lead" && field == "Status").then_some(STATUSES[0])
}
