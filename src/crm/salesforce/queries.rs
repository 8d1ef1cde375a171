//! Queries, several in one call, and what is searched by them.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::crm::salesforce::client::{SALESFORCE_KINDS, SalesforceClient, names_to_read};
use crate::crm::salesforce::soql::{LIST_MAX, is_in};
use crate::crm::salesforce::wire::{Composite, CompositeAnswer, QueryAnswer, Row, Subrequest};
use crate::crm::{Error, FieldsByKind, Search};
use crate::domain::{Family, Kind, Record, Value};

/// When a record was made. The oldest comes first, whatever kind it is of: that is what "the first returned" comes to in practice.
const CREATED: &str = "CreatedDate";

/// The most queries in one composite call.
pub(super) const QUERIES_MAX: usize = 5;

impl SalesforceClient {
    /// Runs up to [`QUERIES_MAX`] queries in one call, by `query` or `queryAll`; the first page of each.
    pub(super) async fn query_at_once(
        &self,
        resource: &str,
        queries: impl Iterator<Item = &str>,
    ) -> Result<Vec<Result<QueryAnswer, Error>>, Error> {
        let path = self.versioned(&format!("/{resource}?q="));
        let subrequest = |(place, soql): (usize, &str)| {
            Subrequest::get(
                format!("{path}{}", utf8_percent_encode(soql, NON_ALPHANUMERIC)),
                format!("q{place}"),
            )
        };
        let body = Composite::one_by_one(queries.enumerate().map(subrequest).collect());
        let answer: CompositeAnswer = self.post("composite", "/composite".to_owned(), &body).await?;
        let responses = answer.composite_response.into_iter();
        Ok(responses.map(|response| self.page_of(response.http_status_code, response.body)).collect())
    }

    /// Runs several queries in as few calls as there can be, and follows each to its last page.
    pub(super) async fn query_together(&self, queries: &[(Kind, String)]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for chunk in queries.chunks(QUERIES_MAX) {
            let pages = self.query_at_once("query", chunk.iter().map(|(_, soql)| soql.as_str())).await?;
            for ((kind, _), page) in chunk.iter().zip(pages) {
                self.collect(*kind, page?, &mut records).await?;
            }
        }
        Ok(records)
    }

    /// Every row of a query whose first page is known.
    pub(super) async fn rows_from(&self, first: QueryAnswer) -> Result<Vec<Row>, Error> {
        let (mut rows, mut page) = (Vec::new(), first);
        loop {
            rows.append(&mut page.records);
            // The locator is opaque; it is a path below the instance.
            let Some(next) = page.next_records_url.filter(|_| !page.done) else { return Ok(rows) };
            page = self.get("query/more", next).await?;
        }
    }
}

/// The queries that find everything that is searched: addresses and keys, by kind, in lists of bounded length.
pub(super) fn queries_for(searches: &[Search], fields: &FieldsByKind) -> Vec<(Kind, String)> {
    let mut queries = Vec::new();
    for kind in SALESFORCE_KINDS {
        let mut wanted: BTreeSet<(&str, &str)> = BTreeSet::new();
        for search in searches.iter().filter(|search| search.kinds.contains(&kind)) {
            let address = search.address.as_deref().filter(|_| kind.family() == Family::People);
            wanted.extend(address.map(|address| ("Email", address)));
            wanted.extend(search.key.as_ref().map(|(field, id)| (field.as_str(), id.as_str())));
        }
        let wanted: Vec<(&str, &str)> = wanted.into_iter().collect();
        let names = names_to_read(kind, fields).join(", ");
        let live = if kind == Kind::Lead { "IsConverted = false AND " } else { "" };
        for chunk in wanted.chunks(LIST_MAX) {
            let names_of: BTreeSet<&str> = chunk.iter().map(|(field, _)| *field).collect();
            let lists: Vec<String> = names_of
                .into_iter()
                .map(|name| {
                    let values: Vec<String> = chunk
                        .iter()
                        .filter(|(field, _)| *field == name)
                        .map(|(_, value)| (*value).to_owned())
                        .collect();
                    is_in(name, &values)
                })
                .collect();
            let of_lists = lists.join(" OR ");
            queries.push((
                kind,
                format!(
                    "SELECT {names}, {CREATED} FROM {kind} WHERE {live}({of_lists}) ORDER BY {CREATED}, Id"
                ),
            ));
        }
    }
    queries
}

pub(super) fn answers_to(search: &Search, records: &[Record]) -> Vec<Record> {
    let holds = |record: &Record, field: &str, wanted: &str| {
        record
            .fields
            .get(field)
            .and_then(Value::as_text)
            .is_some_and(|held| held.trim().eq_ignore_ascii_case(wanted))
    };
    let fits = |record: &&Record| {
        search.kinds.contains(&record.key.kind())
            && (search.address.as_deref().is_some_and(|address| holds(record, "Email", address))
                || search.key.as_ref().is_some_and(|(field, id)| holds(record, field, id)))
    };
    let mut answers: Vec<Record> = records.iter().filter(fits).cloned().collect();
    let mut seen = BTreeSet::new();
    answers.retain(|record| seen.insert(record.key));
    answers
        .sort_by_cached_key(|record| record.fields.get(CREATED).and_then(Value::as_text).map(String::from));
    answers
}
