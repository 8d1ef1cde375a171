//! HubSpot companies with Salesforce accounts.
//!
//! Companies are matched by our own ids, then by the people they share, and never by their domain. A pair stays one
//! . An account comes to HubSpot as soon as it is seen; a company goes to Salesforce only if its people say so:
//!
//! | the company's contacts | an account | rule |
//! |---|---|---|
//! | there are none | no | R-110 |
//! | all of them sync with leads, or will | no | R-111 |
//! | none of them qualifies for the inclusion list | no | R-113 |
//! | one qualifies, and not all sync with leads | yes | R-104 |
//! | one of them syncs with a contact without an account | yes | R-103 |
//! | the portal created the company for a contact, and contacts are what is created in Salesforce | yes | R-101 |
//! | any, but a person asks for it | yes | R-115, R-116 |
//!
//! A block goes before a reason to create.

use crate::domain::{Family, Kind, Record, RecordKey, System, Value};
use crate::plan::draft::{Both, Draft};
use crate::plan::options::CreateInSalesforce;
use crate::plan::pairing::held;
use crate::plan::people::fill;
use crate::plan::rules::SOURCE_PROPERTY;
use crate::plan::verdict::{Pairing, Verdict, pairing};
use crate::plan::{Candidate, Change, Plan, Rules, Side, State, Step, View, fates, lifecycle, persons};

/// What an account is named whose company has neither name nor domain.
const NAME_NOT_PROVIDED: &str = "[not provided]";

/// What HubSpot says of companies that it created by itself, for their contacts.
const CREATED_BY_PORTAL: [&str; 2] = ["COMPANIES", "CRM_SETTING"];

/// Decides what should happen to a company and its account.
pub(super) fn plan(view: &View, rules: &Rules) -> Plan {
    let mut draft = Draft::new(view, rules, Family::Companies);
    persons::look_at_contact(&mut draft);
    if !rules.companies.enabled {
        draft.say("R-090", "companies are switched off for this connection");
        return draft.finish(State::Excluded);
    }
    let pairing = decide(view, rules);
    draft.say(pairing.rule, pairing.text.clone());
    match pairing.verdict {
        Verdict::Pair { hubspot, salesforce, new, heir, let_go } => {
            let pair = Both::of(view, hubspot, salesforce, (new, heir));
            draft.pair(&pair, (new, let_go));
            if new || view.around.hubspot_succeeds {
                look_at_those_who_wait(&mut draft);
            }
            lifecycle::of_company(&mut draft, hubspot);
            draft.finish(State::Linked)
        }
        Verdict::Create { twin, kind } => {
            let mut changes = draft.first_values(twin, kind);
            if kind.system() == System::Salesforce {
                fill_name(&mut draft, twin, &mut changes);
                lifecycle::remember(&mut draft, twin);
            }
            draft.create(twin, kind, changes, &[]);
            look_at_those_who_wait(&mut draft);
            draft.finish(State::Linked)
        }
        Verdict::Delete(_)
        | Verdict::Stop
        | Verdict::Wait
        | Verdict::Ambiguous
        | Verdict::Held
        | Verdict::Nothing(_) => draft.rest(pairing),
    }
}

/// People, deals and opportunities that wait for the twin can have it now.
fn look_at_those_who_wait(draft: &mut Draft<'_>) {
    let around = &draft.view.around;
    let people = around.neighbours.iter().filter_map(|one| one.contact.or(one.twin));
    draft.steps.extend(people.chain(around.dependants.iter().copied()).map(|key| Step::Look { key }));
}

fn fill_name(draft: &mut Draft<'_>, twin: &Record, changes: &mut Vec<Change>) {
    let domain = twin.fields.get("domain").and_then(Value::as_text).map(std::borrow::Cow::into_owned);
    let name = domain.unwrap_or_else(|| NAME_NOT_PROVIDED.to_owned());
    fill(draft, Kind::Account, changes, ("Name", &name, "the name is missing and filled from the domain"));
}

fn decide<'a>(view: &'a View, rules: &Rules) -> Pairing<'a> {
    match (&view.pair, &view.hubspot, &view.salesforce) {
        (Some(pair), hubspot, salesforce) => {
            let known = fates::known(
                view,
                pair,
                (hubspot, salesforce),
                &fates::Settings {
                    delete: rules.companies.delete_in_hubspot.then_some("R-048"),
                    follow_merges: rules.people.follow_merges,
                },
            );
            known.unwrap_or_else(|alone| match alone {
                System::Hubspot => seek_account(view, rules),
                System::Salesforce => seek_company(view),
            })
        }
        (None, Side::Present(_), _) => seek_account(view, rules),
        (None, _, Side::Present(_)) => seek_company(view),
        (None, _, _) => {
            pairing(Verdict::Nothing(State::Unlinked), "R-049", "the record is not there, and had no twin")
        }
    }
}

/// The record that belongs to a company or account which has none: by our key, else the one with most shared contacts. Where that does not
/// decide, none is taken and none is made: a person moves a contact, or asks for a resync after the others are linked.
fn matching<'a>(
    view: &'a View,
    own: RecordKey,
    verdict: impl Fn(&'a Record) -> Verdict<'a>,
) -> Option<Pairing<'a>> {
    let candidates = &view.around.candidates;
    let free: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.holder_besides(own).is_none()).collect();
    if let Some(keyed) = free.iter().find(|candidate| candidate.keyed) {
        return Some(pairing(
            verdict(&keyed.record),
            "R-120",
            "the record bears the other's id, or is its successor",
        ));
    }
    if candidates.iter().any(|candidate| candidate.keyed) {
        return Some(held(candidates, own));
    }
    let most = free.iter().map(|candidate| candidate.shared).max()?;
    let best: Vec<&&Candidate> = free.iter().filter(|candidate| candidate.shared == most).collect();
    if let [only] = best.as_slice() {
        return Some(pairing(
            verdict(&only.record),
            "R-121",
            "the two share a contact, and no other shares more",
        ));
    }
    let names: Vec<String> = best.iter().map(|candidate| candidate.record.key.to_string()).collect();
    let text = format!(
        "{} share equally many contacts with it: none is linked; move a contact so that one has more, or link the others first",
        names.join(" and ")
    );
    Some(pairing(Verdict::Ambiguous, "R-121", text))
}

fn seek_company(view: &View) -> Pairing<'_> {
    let Side::Present(account) = &view.salesforce else { return nothing() };
    matching(view, account.key, |company| Verdict::link(company, account)).unwrap_or_else(|| {
        pairing(
            Verdict::Create { twin: account, kind: Kind::Company },
            "R-092",
            "no company shares a contact with the account: it becomes a new one",
        )
    })
}

fn seek_account<'a>(view: &'a View, rules: &Rules) -> Pairing<'a> {
    let Side::Present(company) = &view.hubspot else { return nothing() };
    let neighbours = &view.around.neighbours;
    let outside = !neighbours.is_empty() && !neighbours.iter().any(|one| one.eligible);
    if outside
        && rules.people.inclusion_list.is_some()
        && !view.around.asked.overrides()
        && !view.around.candidates.iter().any(|candidate| candidate.keyed)
    {
        let text =
            "none of the company's contacts qualifies for the inclusion list: it is matched with no account";
        return pairing(Verdict::Nothing(State::Unlinked), "R-113", text);
    }
    if let Some(matched) = matching(view, company.key, |account| Verdict::link(company, account)) {
        return matched;
    }
    let create = |rule, text| pairing(Verdict::Create { twin: company, kind: Kind::Account }, rule, text);
    if view.around.asked.overrides() {
        return create("R-115", "a person asks for it: the company becomes an account whatever its contacts");
    }
    match blocked(view, company, rules) {
        Some((rule, text)) => pairing(Verdict::Nothing(State::Unlinked), rule, text),
        None if auto_created(company) => {
            create("R-101", "the portal created the company for a contact that syncs")
        }
        None if view.around.neighbours.iter().any(|one| one.private) => {
            create("R-103", "a contact of the company syncs with a contact that has no account")
        }
        None => create("R-104", "a contact of the company qualifies for the inclusion list"),
    }
}

/// Why a company gets no account, if so.
fn blocked(view: &View, company: &Record, rules: &Rules) -> Option<(&'static str, &'static str)> {
    let neighbours = &view.around.neighbours;
    if neighbours.is_empty() {
        return Some(("R-110", "the company has no contacts: no account is created"));
    }
    let counts_unseen = !auto_created(company) || rules.companies.hubspot_creates_companies;
    let contact_like = |twin: Option<Kind>| match twin {
        Some(kind) => kind == Kind::Contact,
        None => counts_unseen && rules.people.create_in_salesforce == CreateInSalesforce::Contact,
    };
    if !neighbours.iter().any(|one| contact_like(one.twin.map(|twin| twin.kind()))) {
        return Some((
            "R-111",
            "none of the company's contacts syncs with a Salesforce contact: no account is created",
        ));
    }
    if !neighbours.iter().any(|one| one.eligible) {
        return Some((
            "R-113",
            "none of the company's contacts qualifies for the inclusion list: no account is created",
        ));
    }
    None
}

fn auto_created(company: &Record) -> bool {
    let source = company.fields.get(SOURCE_PROPERTY).and_then(Value::as_text);
    source.is_some_and(|source| CREATED_BY_PORTAL.contains(&source.as_ref()))
}

fn nothing<'a>() -> Pairing<'a> {
    pairing(Verdict::Nothing(State::Unlinked), "R-049", "the record is not there")
}
