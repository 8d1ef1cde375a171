//! Search: an index that lags behind the records, with the limits that HubSpot documents for it.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::Reply;
use crate::emulator::hubspot::properties::PropertySet;
use crate::emulator::hubspot::records::Record;
use crate::emulator::hubspot::rest::{CORRELATION, Call, error, shown};

/// The longest body.
const BODY_CHARACTERS_MAX: usize = 3_000;

/// The most groups, filters in a group, and filters in all.
const GROUPS_MAX: usize = 5;
const FILTERS_MAX: usize = 6;
const FILTERS_IN_ALL_MAX: usize = 18;

/// The largest page.
const PAGE_MAX: usize = 200;

/// The index: how far it lags behind, and when it was asked of late.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A record that changed less than this long ago is not found.
    pub(super) lag_ms: i64,
    recent: VecDeque<Timestamp>,
}

impl Index {
    /// Whether one more search may be made in this second.
    fn admits(&mut self, per_second: usize, now: Timestamp) -> bool {
        while self.recent.front().is_some_and(|at| now.millis_since(*at) >= 1_000) {
            self.recent.pop_front();
        }
        let admits = self.recent.len() < per_second;
        if admits {
            self.recent.push_back(now);
        }
        admits
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Search {
    #[serde(default)]
    filter_groups: Vec<Group>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    sorts: Vec<Sort>,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    limit: Option<Count>,
    #[serde(default)]
    after: Option<Count>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    property_name: String,
    operator: Operator,
    #[serde(default)]
    value: String,
    #[serde(default)]
    high_value: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Operator {
    Lt,
    Lte,
    Gt,
    Gte,
    Eq,
    Neq,
    Between,
    In,
    NotIn,
    HasProperty,
    NotHasProperty,
}

#[derive(Deserialize)]
#[serde(from = "WrittenSort")]
struct Sort {
    property_name: String,
    direction: Direction,
}

/// The documentation has an object, the specification a text: the name of a property or, as the vendor's own clients send it, that
/// object written out.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSort {
    Object(SortObject),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SortObject {
    property_name: String,
    #[serde(default)]
    direction: Direction,
}

impl From<WrittenSort> for Sort {
    fn from(written: WrittenSort) -> Self {
        let object = match written {
            WrittenSort::Object(object) => object,
            WrittenSort::Text(text) => serde_json::from_str(&text)
                .unwrap_or(SortObject { property_name: text, direction: Direction::default() }),
        };
        Self { property_name: object.property_name, direction: object.direction }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Direction {
    #[default]
    Ascending,
    Descending,
}

/// A number, or a text of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(usize),
    Text(String),
}

impl Count {
    fn get(&self) -> Option<usize> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl Call<'_> {
    pub(super) fn search(&self) -> Reply {
        let now = self.emulator.now();
        let options = &self.emulator.options;
        if !self.emulator.state().index.admits(options.searches_per_second, now) {
            return too_many();
        }
        let search: Search = match self.read_body("search") {
            Ok(search) => search,
            Err(reply) => return reply,
        };
        let page = (
            search.limit.as_ref().map_or(Some(10), Count::get),
            search.after.as_ref().map_or(Some(0), Count::get),
        );
        let (Some(limit @ 1..=PAGE_MAX), Some(after)) = page else {
            return invalid("limit must be from 1 to 200, after an offset");
        };
        if after + limit > options.search_window {
            return invalid("the search cannot page beyond its window");
        }
        let state = self.emulator.state();
        let table = state.table(self.object);
        if let Some(problem) = search.problem(self.asked.body.len(), &table.set) {
            return invalid(&problem);
        }
        let indexed = |record: &&Record| now.millis_since(record.updated_at) >= state.index.lag_ms;
        let found: Vec<&Record> =
            table.live().filter(indexed).filter(|record| search.fits(record, &table.set)).collect();
        let found = search.sorted(found, &table.set);
        let results: Vec<Json> = found
            .iter()
            .skip(after)
            .take(limit)
            .map(|record| shown(record, (&search.properties, &[]), table))
            .collect();
        let mut body = json!({ "total": found.len(), "results": results });
        if after + limit < found.len() {
            body["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
        }
        Reply::json("search", 200, &body)
    }
}

impl Search {
    /// What is wrong with it, if anything.
    fn problem(&self, body_length: usize, set: &PropertySet) -> Option<String> {
        let groups = self.groups();
        let n_filters: usize = groups.iter().map(|group| group.len()).sum();
        let too_large = body_length > BODY_CHARACTERS_MAX
            || groups.len() > GROUPS_MAX
            || groups.iter().any(|group| group.len() > FILTERS_MAX)
            || n_filters > FILTERS_IN_ALL_MAX
            || self.sorts.len() > 1;
        let named = groups.iter().copied().flatten().map(|filter| &filter.property_name);
        let mut named = named.chain(self.sorts.iter().map(|sort| &sort.property_name));
        match named.find(|name| set.get(name).is_none()) {
            _ if too_large => Some("the search is larger than its limits".to_owned()),
            Some(name) => Some(format!("Property \"{name}\" does not exist")),
            None => None,
        }
    }

    fn groups(&self) -> Vec<&[Filter]> {
        let own = Some(self.filters.as_slice()).filter(|filters| !filters.is_empty());
        self.filter_groups.iter().map(|group| group.filters.as_slice()).chain(own).collect()
    }

    fn fits(&self, record: &Record, set: &PropertySet) -> bool {
        let groups = self.groups();
        groups.is_empty() || groups.iter().any(|group| group.iter().all(|filter| filter.fits(record, set)))
    }

    /// The oldest comes first where nothing else is asked for. Records that are alike come in no order that means anything.
    fn sorted<'a>(&self, mut found: Vec<&'a Record>, set: &PropertySet) -> Vec<&'a Record> {
        found.sort_by_key(|record| scattered(record.id));
        let Some(sort) = self.sorts.first() else {
            found.sort_by_key(|record| record.created_at);
            return found;
        };
        let mut held: Vec<(Known, &Record)> =
            found.into_iter().map(|record| (Known::of(record, &sort.property_name, set), record)).collect();
        held.sort_by(|(one, _), (other, _)| {
            let order = one.compare(other);
            if sort.direction == Direction::Descending { order.reverse() } else { order }
        });
        held.into_iter().map(|(_, record)| record).collect()
    }
}

/// An order that is none.
const fn scattered(id: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

impl Filter {
    fn fits(&self, record: &Record, set: &PropertySet) -> bool {
        let held = Known::of(record, &self.property_name, set);
        let has = !matches!(held, Known::Nothing);
        let against = |text: &str| held.compare(&Known::read(text, kind_of(&self.property_name, set)));
        let is = |wanted: &[Ordering], text: &str| has && wanted.contains(&against(text));
        let listed = || self.values.iter().any(|value| against(value) == Ordering::Equal);
        match self.operator {
            Operator::Lt => is(&[Ordering::Less], &self.value),
            Operator::Lte => is(&[Ordering::Less, Ordering::Equal], &self.value),
            Operator::Gt => is(&[Ordering::Greater], &self.value),
            Operator::Gte => is(&[Ordering::Greater, Ordering::Equal], &self.value),
            Operator::Eq => is(&[Ordering::Equal], &self.value),
            Operator::Neq => is(&[Ordering::Less, Ordering::Greater], &self.value),
            Operator::Between => {
                is(&[Ordering::Greater, Ordering::Equal], &self.value)
                    && is(&[Ordering::Less, Ordering::Equal], &self.high_value)
            }
            Operator::In => has && listed(),
            Operator::NotIn => has && !listed(),
            Operator::HasProperty => has,
            Operator::NotHasProperty => !has,
        }
    }
}

/// A value as it is compared.
enum Known {
    Nothing,
    Number(f64),
    Instant(i64),
    Text(String),
}

fn kind_of<'a>(name: &str, set: &'a PropertySet) -> &'a str {
    set.get(name).map_or("string", |property| property.value_type)
}

impl Known {
    fn of(record: &Record, name: &str, set: &PropertySet) -> Self {
        Self::read(record.properties.get(name).map_or("", String::as_str), kind_of(name, set))
    }

    /// Dates are told as instants or as milliseconds since 1970.
    fn read(text: &str, value_type: &str) -> Self {
        let known = match value_type {
            _ if text.is_empty() => None,
            "number" => text.parse().ok().map(Self::Number),
            "date" | "datetime" => {
                let instant = Timestamp::parse(text).map(Timestamp::as_millis);
                instant.or_else(|| text.parse().ok()).map(Self::Instant)
            }
            _ => Some(Self::Text(text.to_lowercase())),
        };
        known.unwrap_or(Self::Nothing)
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Instant(one), Self::Instant(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Nothing, Self::Nothing) => Ordering::Equal,
            (Self::Nothing, _) => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

fn invalid(message: &str) -> Reply {
    error("search", 400, "VALIDATION_ERROR", message)
}

/// Searches have an allowance of their own, and answer without a word about what is left of it.
fn too_many() -> Reply {
    let body = json!({
        "status": "error", "message": "You have reached your secondly limit.", "errorType": "RATE_LIMIT",
        "correlationId": CORRELATION, "policyName": "SECONDLY",
    });
    Reply::json("search", 429, &body)
}
