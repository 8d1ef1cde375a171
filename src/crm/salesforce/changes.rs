//! What changed of late in Salesforce: every object by `SystemModstamp`, deleted rows and all, several objects in one call.
//!
//! The stamp has whole seconds and many rows share one, so a page goes on by the stamp and the id together. It is set within a
//! transaction and seen after it: whoever asks again looks back far enough to see what a slow transaction stamped before.

use serde_json::Value as Json;

use crate::crm::salesforce::client::{SalesforceClient, names_to_read};
use crate::crm::salesforce::queries::QUERIES_MAX;
use crate::crm::salesforce::soql::literal;
use crate::crm::salesforce::wire::{QueryAnswer, Row, into_fields, into_record};
use crate::crm::{Asked, Deed, Error, FieldsByKind, Place, Stream, Trace, Traces};
use crate::domain::{Kind, Record, RecordKey, Timestamp};

/// The most rows in one page: what Salesforce sends at once.
const PAGE_MAX: usize = 2_000;

impl SalesforceClient {
    pub(super) async fn changes_of(
        &self,
        asked: &[Asked],
        fields: &FieldsByKind,
    ) -> Vec<Result<Traces, Error>> {
        let mut answers = Vec::with_capacity(asked.len());
        for chunk in asked.chunks(QUERIES_MAX) {
            answers.extend(self.pages_of(chunk, fields).await);
        }
        answers
    }

    async fn pages_of(&self, asked: &[Asked], fields: &FieldsByKind) -> Vec<Result<Traces, Error>> {
        let queries: Vec<Option<String>> = asked.iter().map(|asked| query_of(asked, fields)).collect();
        let answered = self.query_at_once("queryAll", queries.iter().flatten().map(String::as_str)).await;
        let mut pages = match answered {
            Ok(pages) => pages.into_iter(),
            Err(error) => return asked.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut answers = Vec::with_capacity(asked.len());
        for (asked, query) in asked.iter().zip(&queries) {
            let missing = || Err(Error::Unexpected { text: "fewer answers than queries".to_owned() });
            answers.push(match query {
                None => Ok(Traces::nothing()),
                Some(_) => match pages.next().unwrap_or_else(missing) {
                    Ok(page) => self.traces_of(&asked.stream, page).await,
                    Err(error) => Err(error),
                },
            });
        }
        answers
    }

    async fn traces_of(&self, stream: &Stream, first: QueryAnswer) -> Result<Traces, Error> {
        // Rows with long texts come in smaller pages than were asked for.
        let rows = self.rows_from(first).await?;
        let last = rows.last().filter(|_| rows.len() >= PAGE_MAX);
        let next = last.and_then(|row| {
            let since = row.get("SystemModstamp").and_then(Json::as_str).and_then(Timestamp::parse)?;
            Some(Place { since, after: Some(row.get("Id")?.as_str()?.to_owned()) })
        });
        let trace = |row: Row| match stream {
            Stream::Changed(kind) => record_of(*kind, row),
            Stream::Roles => role_of(row),
            Stream::Deleted(_) | Stream::Joined(_) => None,
        };
        Ok(Traces { traces: rows.into_iter().filter_map(trace).collect(), next })
    }
}

/// The query for a page; `None` for a stream that Salesforce does not have.
fn query_of(asked: &Asked, fields: &FieldsByKind) -> Option<String> {
    let (object, names) = match &asked.stream {
        Stream::Changed(kind) => {
            let mut names = names_to_read(*kind, fields);
            names.extend(["IsDeleted", "LastModifiedDate"].map(str::to_owned));
            (kind.as_str(), names.join(", "))
        }
        Stream::Roles => {
            ("OpportunityContactRole", "Id, OpportunityId, ContactId, IsDeleted, SystemModstamp".to_owned())
        }
        Stream::Deleted(_) | Stream::Joined(_) => return None,
    };
    let since = instant(asked.place.since);
    let condition = match &asked.place.after {
        None => format!("SystemModstamp >= {since}"),
        Some(id) => {
            format!("SystemModstamp > {since} OR (SystemModstamp = {since} AND Id > {})", literal(id))
        }
    };
    Some(format!(
        "SELECT {names} FROM {object} WHERE {condition} ORDER BY SystemModstamp, Id LIMIT {PAGE_MAX}"
    ))
}

/// An instant as SOQL writes it: whole seconds, as rows have them; what lies within one is looked at from its beginning.
fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

fn record_of(kind: Kind, row: Row) -> Option<Trace> {
    let says = |name: &str| row.get(name).and_then(Json::as_bool) == Some(true);
    let gone = says("IsDeleted") || says("IsConverted");
    let edited_at = row.get("LastModifiedDate").and_then(Json::as_str).and_then(Timestamp::parse);
    let deed = if gone { Deed::Gone } else { Deed::Changed };
    Some(Trace { record: into_record(kind, row)?, deed, edited_at })
}

/// A role speaks of its opportunity.
fn role_of(row: Row) -> Option<Trace> {
    let text = |name: &str| row.get(name).and_then(Json::as_str);
    let key = RecordKey::parse(Kind::Opportunity, text("OpportunityId")?).ok()?;
    let modified_at = text("SystemModstamp").and_then(Timestamp::parse).unwrap_or_default();
    let record = Record { key, fields: into_fields(row), modified_at, modified_by: None };
    Some(Trace { record, deed: Deed::Related, edited_at: None })
}
