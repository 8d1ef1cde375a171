//! The planner as a whole: what it plans, applied, leaves nothing to plan.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::mapping::{ConflictPolicy, MappingOptions, Rule};
use super::options::{CreateInSalesforce, PeopleOptions, SyncOptions};
use super::resolve::{Resolved, Severity, Survey, check_offline, resolve};
use super::*;
use crate::domain::{HubspotId, SalesforceId, System, Value};

fn text_field() -> FieldSchema {
    FieldSchema {
        field_type: FieldType::Text,
        createable: true,
        updateable: true,
        required: false,
        length: Some(40),
        scale: None,
        options: None,
        restricted: false,
        calculated: false,
    }
}

/// Schemas with every field of the default mappings, and two of our own.
fn schemas() -> Schemas {
    let mut schemas: Schemas = Kind::ALL.map(|kind| (kind, Schema::new())).into_iter().collect();
    let family = Family::People;
    let defaults = defaults::optional(family).into_iter().chain(defaults::locked(family));
    for default in defaults {
        let fields = default.fields.into_iter().flatten();
        for (kind, name) in fields.chain([(Kind::HubspotContact, default.property)]) {
            schemas.entry(kind).or_default().insert(name.to_owned(), text_field());
        }
    }
    for kind in [Kind::Lead, Kind::Contact] {
        if let Some(schema) = schemas.get_mut(&kind) {
            schema.insert("Key__c".to_owned(), text_field());
            schema.insert(
                "Formula__c".to_owned(),
                FieldSchema { createable: false, updateable: false, calculated: true, ..text_field() },
            );
            for required in ["LastName", "Company"] {
                schema.entry(required.to_owned()).and_modify(|field| field.required = true);
            }
        }
    }
    schemas
}

fn rules_with(rule: Rule, conflict: ConflictPolicy) -> Rules {
    let mapping = |hubspot: &str, field: &str| MappingOptions {
        hubspot: hubspot.to_owned(),
        salesforce: Some(field.to_owned()),
        lead: None,
        contact: None,
        rule: Some(rule),
        conflict,
        values: BTreeMap::new(),
    };
    let resolved = resolved(PeopleOptions {
        mappings: vec![mapping("city", "Title"), mapping("jobtitle", "Phone")],
        ..PeopleOptions::default()
    });
    assert!(
        resolved.findings.iter().all(|finding| finding.severity > Severity::Error),
        "{:?}",
        resolved.findings
    );
    resolved.rules
}

fn resolved(contacts: PeopleOptions) -> Resolved {
    resolved_with(contacts, schemas())
}

fn resolved_with(contacts: PeopleOptions, schemas: Schemas) -> Resolved {
    let sync = SyncOptions { contacts, ..SyncOptions::default() };
    resolve(&sync, Some("Key__c"), &Survey { schemas, ..Survey::default() })
}

fn contact(fields: &[(&str, &str)]) -> Record {
    record(RecordKey::hubspot_contact(HubspotId::new(7)), "email", fields)
}

fn lead(fields: &[(&str, &str)]) -> Record {
    record(RecordKey::lead(SalesforceId::parse("00Q4S000002sSac").unwrap()), "Email", fields)
}

fn record(key: RecordKey, address: &str, fields: &[(&str, &str)]) -> Record {
    let mut held: Fields = schemas()[&key.kind()].keys().map(|name| (name.clone(), Value::Blank)).collect();
    held.insert(address.to_owned(), Value::text("ada@example.com"));
    held.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))));
    Record { key, fields: held, modified_at: Timestamp::from_millis(1), modified_by: None }
}

fn pair_view(hubspot: Record, salesforce: Record, base: Base) -> View {
    let pair = Pair { hubspot: hubspot.key, salesforce: salesforce.key, stopped: None, base };
    let around = Around { now: Timestamp::from_millis(10), ..Around::default() };
    View { pair: Some(pair), hubspot: Side::Present(hubspot), salesforce: Side::Present(salesforce), around }
}

/// Carries a plan out on the view it was made of, as a worker and two willing CRMs would.
fn applied(view: &View, plan: &Plan) -> View {
    let mut next = view.clone();
    let mut base = plan.base.clone();
    for step in &plan.steps {
        let Step::Update { key, changes, .. } = step else { continue };
        let side = if key.system() == System::Hubspot { &mut next.hubspot } else { &mut next.salesforce };
        let Side::Present(record) = side else { continue };
        record.fields.extend(fields_of(changes));
        base.extend(changes.iter().filter_map(|change| change.agrees.clone()));
    }
    if let Some(pair) = &mut next.pair {
        pair.base = base;
    }
    next
}

#[test]
fn r_202_every_default_mapping_resolves_and_the_address_comes_first() {
    let rules = resolved(PeopleOptions::default()).rules;
    assert_eq!(rules.mappings(Family::People).len(), 19);
    assert!(rules.mappings(Family::People)[0].is_address());
    let bare = resolved(PeopleOptions { default_mappings: false, ..PeopleOptions::default() }).rules;
    assert_eq!(bare.mappings(Family::People).len(), 2, "R-201, R-204: the address and the opt-out stay");
}

#[test]
fn r_198_and_r_208_what_does_not_go_together_is_said_so() {
    let mapping = |hubspot: &str, lead: &str| MappingOptions {
        hubspot: hubspot.to_owned(),
        salesforce: None,
        lead: Some(lead.to_owned()),
        contact: None,
        rule: None,
        conflict: ConflictPolicy::default(),
        values: BTreeMap::new(),
    };
    let mut schemas = schemas();
    schemas.entry(Kind::Lead).and_modify(|schema| {
        schema.insert("Flag__c".to_owned(), FieldSchema { field_type: FieldType::Flag, ..text_field() });
    });
    for (mappings, said) in [
        (vec![mapping("city", "City"), mapping("city", "Street")], "mapped twice"),
        (vec![mapping("city", "City"), mapping("state", "City")], "mapped twice"),
        (vec![mapping("city", "Flag__c")], "R-208"),
        (vec![mapping("nosuch", "City")], "no such property"),
        (vec![mapping("city", "NoSuch__c")], "no such field"),
    ] {
        let options = PeopleOptions { mappings, ..PeopleOptions::default() };
        let findings = resolved_with(options, schemas.clone()).findings;
        assert!(findings.iter().any(|finding| finding.text.contains(said)), "{said}: {findings:?}");
    }
}

#[test]
fn r_002_and_r_003_an_edition_without_an_api_is_refused_and_one_without_messages_is_said() {
    let findings = |edition: &str| {
        let survey = Survey { schemas: schemas(), edition: Some(edition.to_owned()), ..Survey::default() };
        resolve(&SyncOptions::default(), Some("Key__c"), &survey)
    };
    assert!(findings("Team Edition").refusal().is_some_and(|reason| reason.contains("R-002")));
    for (edition, warned) in
        [("Professional Edition", true), ("Enterprise Edition", false), ("Developer Edition", false)]
    {
        let resolved = findings(edition);
        assert_eq!(resolved.refusal(), None, "{edition}");
        let said = resolved.findings.iter().any(|finding| finding.text.contains("outbound messages"));
        assert_eq!(said, warned, "{edition}");
    }
}

#[test]
fn r_004_and_r_013_a_trial_and_missing_permissions_are_said() {
    let mut schemas = schemas();
    for field in schemas.entry(Kind::Lead).or_default().values_mut() {
        field.createable = false;
    }
    let survey = Survey { schemas, trial_ends: Some("2026-12-24".to_owned()), ..Survey::default() };
    let resolved = resolve(&SyncOptions::default(), Some("Key__c"), &survey);
    assert_eq!(resolved.refusal(), None);
    let said = |rule: &str| {
        let texts = resolved.findings.iter().filter(|finding| finding.text.contains(rule));
        texts.map(|finding| finding.subject.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((said("R-004"), said("R-013")), (vec!["organization"], vec!["Lead"]));
}

#[test]
fn r_065_a_missing_property_of_ours_is_said_and_worse_where_it_is_the_key() {
    let mut schemas = schemas();
    for kind in [Kind::Company, Kind::Account, Kind::Deal, Kind::Opportunity] {
        schemas.entry(kind).or_default().insert("Key__c".to_owned(), text_field());
    }
    let mut options = SyncOptions::default();
    (options.companies.enabled, options.deals.enabled) = (true, true);
    let severities = |schemas: Schemas| {
        let survey = Survey { schemas, ..Survey::default() };
        let found = resolve(&options, Some("Key__c"), &survey).findings.into_iter();
        let ours = found.filter(|finding| finding.subject.starts_with("hubforce_salesforce_"));
        let mut said: Vec<_> =
            ours.map(|finding| (finding.severity, finding.text.contains("create it"))).collect();
        said.sort_unstable();
        said
    };
    let (note, error) = ((Severity::Note, true), (Severity::Error, true));
    assert_eq!(severities(schemas.clone()), [error, error, note, note]);
    for (kind, name) in [(Kind::Company, "account"), (Kind::Deal, "opportunity")] {
        let property = format!("hubforce_salesforce_{name}_id");
        schemas.entry(kind).or_default().insert(property, text_field());
    }
    assert_eq!(severities(schemas), [note, note]);
}

#[test]
fn r_199_and_r_200_mappings_that_do_nothing_are_said() {
    let mapping = |hubspot: &str, salesforce: &str| MappingOptions {
        hubspot: hubspot.to_owned(),
        salesforce: Some(salesforce.to_owned()),
        lead: None,
        contact: None,
        rule: None,
        conflict: ConflictPolicy::default(),
        values: BTreeMap::new(),
    };
    let mut sync = SyncOptions::default();
    sync.companies.mappings = vec![mapping("city", "BillingCity")];
    sync.contacts.mappings = vec![mapping("second_owner", "Title")];
    let mut schemas = schemas();
    let user = FieldSchema { field_type: FieldType::Reference, ..text_field() };
    schemas.entry(Kind::HubspotContact).or_default().insert("second_owner".to_owned(), user);
    let resolved = resolve(&sync, Some("Key__c"), &Survey { schemas, ..Survey::default() });
    for rule in ["R-199", "R-200"] {
        assert!(
            resolved.findings.iter().any(|finding| finding.text.contains(rule)),
            "{:?}",
            resolved.findings
        );
    }
    sync.companies.enabled = true;
    assert!(check_offline(&sync).iter().all(|finding| !finding.text.contains("R-199")));
}

#[test]
fn r_046_and_r_149_settings_that_few_people_want_together_are_named() {
    let said = |change: fn(&mut SyncOptions)| {
        let mut sync = SyncOptions::default();
        sync.companies.enabled = true;
        sync.deals.enabled = true;
        change(&mut sync);
        let texts = check_offline(&sync).into_iter().map(|finding| finding.text).collect::<String>();
        ["R-046", "R-149"].map(|rule| texts.contains(rule))
    };
    assert_eq!(said(|_| {}), [true, false]);
    assert_eq!(said(|sync| sync.contacts.create_in_salesforce = CreateInSalesforce::Contact), [false; 2]);
    assert_eq!(said(|sync| sync.companies.hubspot_creates_companies = false), [false; 2]);
    assert_eq!(said(|sync| sync.companies.enabled = false), [false, true]);
    assert_eq!(said(|sync| (sync.companies.enabled, sync.deals.enabled) = (false, false)), [false; 2]);
}

#[test]
fn r_201_address_and_opt_out_are_mapped_whatever_the_settings_say() {
    let options = PeopleOptions { default_mappings: false, ..PeopleOptions::default() };
    let rules = resolved(options).rules;
    let mapped: Vec<&str> =
        rules.mappings(Family::People).iter().map(|mapping| mapping.property.as_str()).collect();
    assert_eq!(mapped, ["email", "hs_email_optout"]);
}

#[test]
fn r_203_companies_have_default_mappings_too() {
    let of = |family| {
        let mut names: Vec<_> = defaults::optional(family).into_iter().map(|one| one.property).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        of(Family::Companies),
        [
            "address",
            "annualrevenue",
            "city",
            "country",
            "description",
            "industry",
            "name",
            "numberofemployees",
            "phone",
            "state",
            "type",
            "website",
            "zip",
        ]
    );
}

#[test]
fn r_205_a_stage_that_was_cleared_on_its_way_back_clears_nothing_in_salesforce() {
    use ConflictPolicy::{Hold, Hubspot, Newest, Salesforce};
    let mut schemas = schemas();
    for (kind, field) in [(Kind::HubspotContact, "lifecyclestage"), (Kind::Lead, "Stage__c")] {
        schemas.entry(kind).or_default().insert(field.to_owned(), text_field());
    }
    // What was agreed on, what HubSpot holds of late, what Salesforce holds, and what HubSpot and Salesforce are to hold.
    for (policies, base, hubspot, salesforce, expected) in [
        (&[Newest, Hubspot, Hold, Salesforce][..], "customer", "", "opportunity", ["opportunity"; 2]),
        (&[Newest, Hubspot], "customer", "", "customer", ["", ""]),
        (&[Newest, Hubspot], "customer", "lead", "opportunity", ["lead"; 2]),
        (&[Newest, Hubspot], "customer", "lead", "", ["lead"; 2]),
        (&[Newest], "", "", "opportunity", ["opportunity"; 2]),
    ] {
        for conflict in policies {
            let mapping = MappingOptions {
                hubspot: "lifecyclestage".to_owned(),
                salesforce: None,
                lead: Some("Stage__c".to_owned()),
                contact: None,
                rule: None,
                conflict: *conflict,
                values: BTreeMap::new(),
            };
            let options = PeopleOptions { mappings: vec![mapping], ..PeopleOptions::default() };
            let rules = resolved_with(options, schemas.clone()).rules;
            let known = ("lifecyclestage".to_owned(), Agreed::new(Value::text(base)));
            let sides = (contact(&[("lifecyclestage", hubspot)]), lead(&[("Stage__c", salesforce)]));
            let mut view = pair_view(sides.0, sides.1, Base::from_iter([known]));
            let changed = ("lifecyclestage".to_owned(), Timestamp::from_millis(2));
            view.around.hubspot_times = Some(BTreeMap::from([changed]));
            let after = applied(&view, &plan(&view, &rules));
            let held = |side: &Side, field: &str| match side {
                Side::Present(record) => record.fields[field].as_text().unwrap_or_default().into_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(
                [held(&after.hubspot, "lifecyclestage"), held(&after.salesforce, "Stage__c")],
                expected,
                "{conflict:?} base {base} hubspot {hubspot} salesforce {salesforce}"
            );
        }
    }
}

#[test]
fn r_192_what_an_interrupted_write_carried_out_is_agreed_and_what_came_later_is_an_edit() {
    let rules = rules_with(Rule::TwoWay, ConflictPolicy::Newest);
    let value = |text: &str| Value::text(text);
    let agreed = |text: &str| Some(Agreed::new(value(text)));
    let followed = |text: &str, by: &str| {
        Some(Agreed::new(value(text)).followed_by(value(by), System::Hubspot, Timestamp::from_millis(0)))
    };
    // The base, what HubSpot and Salesforce hold, the write to HubSpot (old, new), and what becomes of it.
    for (base, hubspot, salesforce, write, expected) in [
        // It was carried out, and somebody took the cause of it back.
        (agreed("a"), "b", "a", ("a", "b"), Decision::ToHubspot),
        // It was not carried out.
        (agreed("a"), "a", "b", ("a", "b"), Decision::ToHubspot),
        // It was carried out, and somebody moved on from it.
        (agreed("a"), "c", "b", ("a", "b"), Decision::ToSalesforce),
        (None, "c", "b", ("", "b"), Decision::ToSalesforce),
        // It was carried out, and nothing happened since.
        (None, "b", "b", ("", "b"), Decision::Agree),
        // It was not carried out: a later write is recorded, and somebody moved on from that.
        (followed("a", "c"), "d", "c", ("a", "b"), Decision::ToSalesforce),
    ] {
        let known = base.map(|base| ("city".to_owned(), base));
        let sides = (contact(&[("city", hubspot)]), lead(&[("Title", salesforce)]));
        let mut view = pair_view(sides.0, sides.1, Base::from_iter(known));
        let key = RecordKey::hubspot_contact(HubspotId::new(7));
        let begun = Begun {
            at: Timestamp::from_millis(1),
            key,
            field: "city".to_owned(),
            old: value(write.0),
            new: value(write.1),
        };
        take_in(&mut view, &[begun], &rules);
        let why = plan(&view, &rules).why;
        let of_it = why.iter().find(|why| why.property.as_deref() == Some("city")).map(|why| why.decision);
        assert_eq!(of_it, Some(expected), "hubspot {hubspot} salesforce {salesforce} {write:?}");
    }
}

#[test]
fn r_063_what_was_begun_for_the_former_counterpart_says_nothing_of_the_new_one() {
    let rules = rules_with(Rule::TwoWay, ConflictPolicy::Newest);
    let begun = Begun {
        at: Timestamp::from_millis(4),
        key: RecordKey::hubspot_contact(HubspotId::new(7)),
        field: "city".to_owned(),
        old: Value::Blank,
        new: Value::text("a"),
    };
    // When the two were linked, and what becomes of a value that only HubSpot holds.
    for (linked_at, expected) in [(5, Decision::ToSalesforce), (3, Decision::ToHubspot)] {
        let mut base = Base::from_iter([("city".to_owned(), Agreed::pending())]);
        competing::count_as_linked(&mut base, Timestamp::from_millis(linked_at));
        let mut view = pair_view(contact(&[("city", "a")]), lead(&[("Title", "")]), base);
        take_in(&mut view, std::slice::from_ref(&begun), &rules);
        let why = plan(&view, &rules).why;
        let of_it = why.iter().find(|why| why.property.as_deref() == Some("city")).map(|why| why.decision);
        assert_eq!(of_it, Some(expected), "linked at {linked_at}");
    }
}

#[test]
fn r_212_a_formula_flows_to_hubspot_only() {
    let mapping = MappingOptions {
        hubspot: "city".to_owned(),
        salesforce: Some("Formula__c".to_owned()),
        lead: None,
        contact: None,
        rule: Some(Rule::TwoWay),
        conflict: ConflictPolicy::default(),
        values: BTreeMap::new(),
    };
    let options = PeopleOptions { mappings: vec![mapping], ..PeopleOptions::default() };
    let rules = resolved(options).rules;
    let base = Base::from_iter([("city".to_owned(), Agreed::new(Value::text("a")))]);
    let view = pair_view(contact(&[("city", "b")]), lead(&[("Formula__c", "a"), ("Key__c", "7")]), base);
    let planned = plan(&view, &rules);
    let to_hubspot =
        |step: &Step| matches!(step, Step::Update { key, .. } if key.system() == System::Hubspot);
    assert!(
        planned.writes()
            && planned.steps.iter().filter(|step| matches!(step, Step::Update { .. })).all(to_hubspot),
        "{planned:?}"
    );
}

#[test]
fn a_value_that_keeps_returning_is_held_and_the_others_travel() {
    let rules = rules_with(Rule::TwoWay, ConflictPolicy::Newest);
    let mut view = pair_view(
        contact(&[("city", "a"), ("lastname", "L")]),
        lead(&[("Title", "a"), ("Key__c", "7"), ("LastName", "L")]),
        Base::default(),
    );
    let mut held = false;
    for round in 0..12 {
        view = applied(&view, &plan(&view, &rules));
        // Something in HubSpot writes one value, something in Salesforce the other.
        let (side, field, value) = if round % 2 == 0 {
            (&mut view.hubspot, "city", "A")
        } else {
            (&mut view.salesforce, "Title", "a")
        };
        if let Side::Present(record) = side {
            record.fields.insert(field.to_owned(), Value::text(value));
        }
        let planned = plan(&view, &rules);
        held |= planned.steps.iter().any(|step| matches!(step, Step::Hold { category: Category::Loop, .. }));
    }
    assert!(held);
}

#[test]
fn every_decision_has_its_reason() {
    let rules = rules_with(Rule::TwoWay, ConflictPolicy::Newest);
    let view = pair_view(contact(&[("city", "x")]), lead(&[("LastName", "y")]), Base::default());
    let planned = plan(&view, &rules);
    for mapping in rules.mappings(Family::People) {
        let reasons =
            planned.why.iter().filter(|why| why.property.as_ref() == Some(&mapping.property)).count();
        assert_eq!(reasons, 1, "{}", mapping.property);
    }
    assert!(planned.why.iter().any(|why| why.property.is_none()));
}

fn any_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "c", " a ", "A"])
}

fn any_rule() -> impl Strategy<Value = Rule> {
    use Rule::{AlwaysHubspot, AlwaysSalesforce, DontSync, PreferHubspot, PreferSalesforce, TwoWay};
    prop::sample::select(vec![
        PreferSalesforce,
        AlwaysSalesforce,
        PreferHubspot,
        AlwaysHubspot,
        TwoWay,
        DontSync,
    ])
}

fn any_policy() -> impl Strategy<Value = ConflictPolicy> {
    use ConflictPolicy::{Hold, Hubspot, Newest, Salesforce};
    prop::sample::select(vec![Newest, Salesforce, Hubspot, Hold])
}

proptest! {
    /// Whatever both sides hold and held: a plan that was carried out leaves nothing to write, and what was agreed on stays.
    #[test]
    fn i_4_a_plan_carried_out_plans_nothing(
        rule in any_rule(),
        policy in any_policy(),
        hubspot in any_value(),
        salesforce in any_value(),
        agreed in prop::option::of(any_value()),
        asked in prop_oneof![Just(Asked::No), Just(Asked::Bulk), Just(Asked::Single)],
    ) {
        let rules = rules_with(rule, policy);
        let base: Base = agreed.map(|value| ("city".to_owned(), Agreed::new(Value::text(value.trim())))).into_iter().collect();
        let mut view = pair_view(contact(&[("city", hubspot)]), lead(&[("Title", salesforce)]), base);
        view.around.asked = asked;
        let first = plan(&view, &rules);
        let mut after = applied(&view, &first);
        after.around.asked = Asked::No;
        let second = plan(&after, &rules);
        prop_assert!(!second.writes(), "first {first:?}\nsecond {second:?}");
        let third = plan(&applied(&after, &second), &rules);
        prop_assert_eq!(&third.base, &second.base);
    }
}

#[test]
fn r_063_only_what_somebody_else_wrote_makes_a_record_the_most_recently_updated() {
    let rules =
        Rules { salesforce_author: Some("us".to_owned()), ..resolved(PeopleOptions::default()).rules };
    let rival = |by: Option<&str>| {
        let key = RecordKey::parse(Kind::Contact, "0034S000002sSac").unwrap();
        let record = record(key, "Email", &[]);
        Record { modified_at: Timestamp::from_millis(2), modified_by: by.map(str::to_owned), ..record }
    };
    for (by, relinks) in [(Some("us"), false), (Some("somebody"), true), (None, true)] {
        let mut view = pair_view(contact(&[]), lead(&[]), Base::default());
        view.around.candidates = vec![Candidate::new(rival(by), false)];
        let plan = plan(&view, &rules);
        let links = plan.steps.iter().any(|step| matches!(step, Step::Link { .. }));
        assert_eq!(links, relinks, "{by:?}");
    }
}
