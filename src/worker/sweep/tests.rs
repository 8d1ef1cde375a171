//! The bookkeeping of a sweep, without a CRM.

use std::collections::BTreeSet;

use crate::crm::{Deed, Place, Stream, Trace};
use crate::domain::{Family, Fields, HubspotId, Kind, Record, RecordKey, SalesforceId, Timestamp, Value};
use crate::plan::{Agreed, Base, Pair};
use crate::worker::sweep::cursor::{
    DELETED_PAGES_MAX, OVERLAP_HUBSPOT_MS, OVERLAP_SALESFORCE_MS, SEEN_MAX, Sweep,
};

const CONTACTS: Stream = Stream::Changed(Kind::HubspotContact);
const LEADS: Stream = Stream::Changed(Kind::Lead);
const DELETED: Stream = Stream::Deleted(Kind::HubspotContact);

/// A start that is no whole second.
const START: Timestamp = Timestamp::from_millis(1_790_000_000_615);

fn after(millis: i64) -> Timestamp {
    START.plus_millis(millis)
}

fn trace(id: u64, at: Timestamp, city: &str) -> Trace {
    let fields = Fields::from([("city".to_owned(), Value::text(city))]);
    let key = RecordKey::hubspot_contact(HubspotId::new(id));
    let record = Record { key, fields, modified_at: at, modified_by: None };
    Trace { record, deed: Deed::Changed, edited_at: None }
}

/// Nothing is out of our reach.
fn nothing(_: Family) -> BTreeSet<String> {
    BTreeSet::new()
}

/// A sweep of these streams that began so long after the first one.
fn begun(streams: &[Stream], millis: i64) -> Sweep {
    let mut sweep = Sweep::first(streams, START);
    sweep.go_on(streams, nothing, after(millis));
    sweep
}

fn unseen(sweep: &mut Sweep, traces: Vec<Trace>) -> usize {
    unseen_of(sweep, traces, None)
}

/// The same for records of this pair.
fn unseen_of(sweep: &mut Sweep, traces: Vec<Trace>, pair: Option<&Pair>) -> usize {
    let began_at = sweep.began_at.unwrap();
    let traces = traces.into_iter().map(|trace| (trace, pair.cloned())).collect();
    sweep.strand(&CONTACTS).unwrap().unseen(&CONTACTS, traces, began_at).len()
}

fn place(sweep: &mut Sweep, stream: &Stream) -> Timestamp {
    sweep.strand(stream).unwrap().place.since
}

#[test]
fn a_stream_begins_with_the_second_in_which_it_is_taken_up() {
    let mut sweep = begun(&[LEADS], 300_000);
    let whole = Timestamp::from_millis(1_790_000_000_000);
    assert_eq!(place(&mut sweep, &LEADS), whole, "an edit of the same second bears the second's beginning");
    assert_eq!(sweep.strand(&LEADS).unwrap().window, whole);
}

#[test]
fn a_clock_that_is_set_back_takes_the_sweep_with_it() {
    let mut sweep = Sweep::first(&[CONTACTS], after(3_600_000));
    sweep.go_on(&[CONTACTS], nothing, START);
    let whole = Timestamp::from_millis(1_790_000_000_000);
    assert_eq!(place(&mut sweep, &CONTACTS), whole);
    assert_eq!(unseen(&mut sweep, vec![trace(1, after(10), "Ulm")]), 1);
}

#[test]
fn the_next_sweep_looks_back_behind_the_beginning_of_this_one_and_never_before_the_first() {
    let streams = [CONTACTS, LEADS];
    let mut sweep = begun(&streams, 300_000);
    for stream in &streams {
        sweep.turn_page(stream, None);
    }
    assert_eq!(place(&mut sweep, &CONTACTS).millis_since(after(300_000)), -OVERLAP_HUBSPOT_MS - 615);
    assert_eq!(place(&mut sweep, &LEADS), Timestamp::from_millis(1_790_000_000_000));
    sweep.end();
    sweep.go_on(&streams, nothing, after(3_600_000));
    sweep.turn_page(&LEADS, None);
    assert_eq!(place(&mut sweep, &LEADS).millis_since(after(3_600_000)), -OVERLAP_SALESFORCE_MS - 615);
}

#[test]
fn a_stream_that_was_left_out_goes_on_where_it_was() {
    let mut sweep = begun(&[CONTACTS], 300_000);
    sweep.turn_page(&CONTACTS, Some(Place::since(after(100_000))));
    sweep.skip(&CONTACTS);
    assert_eq!(place(&mut sweep, &CONTACTS), after(100_000), "no further than it came");
    let mut sweep = begun(&[CONTACTS], 300_000);
    sweep.turn_page(&CONTACTS, Some(Place::since(after(299_000))));
    sweep.skip(&CONTACTS);
    let back = place(&mut sweep, &CONTACTS).millis_since(after(300_000));
    assert_eq!(back, -OVERLAP_HUBSPOT_MS - 615, "and not beyond what is shown late");
}

#[test]
fn r_294_a_field_that_is_shown_again_takes_the_stream_back_to_when_it_was_hidden() {
    const DAY: i64 = 86_400_000;
    let sweeps_at = |sweep: &mut Sweep, millis: i64, hidden: &[&str]| {
        let hidden = |_| hidden.iter().map(|name| (*name).to_owned()).collect();
        sweep.go_on(&[CONTACTS], hidden, after(millis));
        let from = place(sweep, &CONTACTS);
        sweep.turn_page(&CONTACTS, None);
        sweep.end();
        from
    };
    let mut sweep = Sweep::first(&[CONTACTS], START);
    // What never was in reach is a new mapping when it comes.
    sweeps_at(&mut sweep, DAY, &["Fax"]);
    let last_seen = sweeps_at(&mut sweep, DAY + 300_000, &["Fax"]);
    sweeps_at(&mut sweep, DAY + 600_000, &["Fax", "Title"]);
    sweeps_at(&mut sweep, 5 * DAY, &["Title"]);
    let from = sweeps_at(&mut sweep, 6 * DAY, &[]);
    assert!(from <= last_seen.plus_millis(300_000), "{from} {last_seen}");
    assert!(from >= last_seen.plus_millis(-DAY), "{from} {last_seen}");
    assert!(sweeps_at(&mut sweep, 7 * DAY, &[]) > after(5 * DAY), "once");
    let next = sweeps_at(&mut sweep, 8 * DAY, &["Title"]);
    assert!(next > after(6 * DAY), "a field that goes takes nothing back: {next}");
}

#[test]
fn what_was_seen_before_a_stream_was_left_out_is_known_still() {
    let mut sweep = begun(&[CONTACTS], 300_000);
    assert_eq!(unseen(&mut sweep, vec![trace(1, after(290_000), "Bonn")]), 1);
    sweep.turn_page(&CONTACTS, None);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(310_000));
    sweep.skip(&CONTACTS);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(320_000));
    assert_eq!(unseen(&mut sweep, vec![trace(1, after(290_000), "Bonn")]), 0);
}

#[test]
fn a_stream_that_is_switched_off_is_forgotten_and_begins_anew() {
    let mut sweep = begun(&[CONTACTS, LEADS], 300_000);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(600_000));
    sweep.end();
    sweep.go_on(&[CONTACTS, LEADS], nothing, after(900_000));
    assert_eq!(place(&mut sweep, &LEADS), Timestamp::from_millis(1_790_000_900_000));
    assert_eq!(place(&mut sweep, &CONTACTS), Timestamp::from_millis(1_790_000_000_000));
}

#[test]
fn what_was_seen_is_known_again_and_another_value_within_the_same_second_is_not() {
    let mut sweep = begun(&[CONTACTS], 300_000);
    let at = after(290_000);
    assert_eq!(unseen(&mut sweep, vec![trace(1, at, "Bonn"), trace(1, at, "Bonn")]), 1);
    sweep.turn_page(&CONTACTS, None);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(350_000));
    assert_eq!(unseen(&mut sweep, vec![trace(1, at, "Bonn")]), 0);
    assert_eq!(unseen(&mut sweep, vec![trace(1, at, "Rome")]), 1);
    sweep.turn_page(&CONTACTS, None);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(400_000));
    assert_eq!(unseen(&mut sweep, vec![trace(1, at, "Bonn")]), 0, "as long as it comes again");
    assert_eq!(unseen(&mut sweep, vec![trace(1, START.plus_millis(-1_000), "Bonn")]), 0, "not ours");
}

#[test]
fn a_value_that_returns_within_the_same_second_is_known_by_what_was_agreed_meanwhile() {
    let pair = |city: &str| Pair {
        hubspot: RecordKey::hubspot_contact(HubspotId::new(1)),
        salesforce: RecordKey::lead(SalesforceId::parse("00Q000000000001").unwrap()),
        stopped: None,
        base: Base::from_iter([("city".to_owned(), Agreed::new(Value::text(city)))]),
    };
    let mut sweep = begun(&[CONTACTS], 300_000);
    let bonn = || vec![trace(1, after(290_000), "Bonn")];
    assert_eq!(unseen_of(&mut sweep, bonn(), Some(&pair("Bonn"))), 1);
    assert_eq!(unseen_of(&mut sweep, bonn(), Some(&pair("Bonn"))), 0);
    assert_eq!(unseen_of(&mut sweep, bonn(), Some(&pair("Rome"))), 1, "Rome was written, and Bonn is back");
}

#[test]
fn what_is_remembered_has_a_limit() {
    let mut sweep = begun(&[CONTACTS], 300_000);
    let many = |from: u64| (from..from + 1_500).map(|id| trace(id, after(299_000), "Bonn")).collect();
    for page in 0..6 {
        assert_eq!(unseen(&mut sweep, many(page * 1_500)), 1_500);
        sweep.turn_page(&CONTACTS, Some(Place::since(after(299_000))));
    }
    sweep.turn_page(&CONTACTS, None);
    let text = serde_json::to_string(&sweep).unwrap();
    assert!(text.len() < SEEN_MAX * 22, "{}", text.len());
    assert_eq!(serde_json::from_str::<Sweep>(&text).unwrap(), sweep);
    sweep.end();
    sweep.go_on(&[CONTACTS], nothing, after(350_000));
    assert_eq!(unseen(&mut sweep, many(7_500)), 0, "the newest are known");
}

#[test]
fn a_sweep_asks_for_each_stream_until_it_is_done_and_for_few_pages_of_deleted_records() {
    let streams = [CONTACTS, DELETED];
    let mut sweep = begun(&streams, 300_000);
    let next = Place { since: START, after: Some("7".to_owned()) };
    assert_eq!(sweep.to_ask(&streams).len(), 2);
    sweep.turn_page(&CONTACTS, None);
    for _ in 0..DELETED_PAGES_MAX {
        let asked = sweep.to_ask(&streams);
        assert_eq!(asked.iter().map(|asked| &asked.stream).collect::<Vec<_>>(), [&DELETED]);
        sweep.turn_page(&DELETED, Some(next.clone()));
    }
    assert!(sweep.to_ask(&streams).is_empty());
    sweep.end();
    sweep.go_on(&streams, nothing, after(600_000));
    assert_eq!(sweep.to_ask(&streams)[1].place, next, "the next sweep goes on");
}

#[test]
fn what_was_deleted_and_is_not_any_more_has_returned() {
    let mut sweep = begun(&[DELETED], 300_000);
    let mut walk = |ids: &[&str]| {
        let strand = sweep.strand(&DELETED).unwrap();
        for id in ids {
            strand.is_gone((*id).to_owned());
        }
        let returned = strand.returned();
        sweep.turn_page(&DELETED, None);
        returned
    };
    assert!(walk(&["1", "2"]).is_empty());
    assert!(walk(&["2", "1", "3"]).is_empty());
    assert_eq!(walk(&["3"]), ["1", "2"]);
    assert_eq!(walk(&[]), ["3"]);
}
