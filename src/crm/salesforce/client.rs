//! The client: reading, finding and listing leads and contacts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::crm::limiter::{Allowance, Limiter, Purse};
use crate::crm::salesforce::answers::{classify, error_of};
use crate::crm::salesforce::auth::{Access, ClientCredentials, Session};
use crate::crm::salesforce::queries::{answers_to, queries_for};
use crate::crm::salesforce::soql::{LIST_MAX, is_in, literal};
use crate::crm::salesforce::wire::{
    ALWAYS_READ, ApiError, Describe, QueryAnswer, READ_OF_LEADS, Retrieve, Row, fate_of, into_found,
    into_record,
};
use crate::crm::transport::{Answer, Body, Call, Transport, side_by_side};
use crate::crm::{Asked, Crm, Error, FieldsByKind, Found, Identity, Page, Search, Traces, Write, Written};
use crate::domain::{Clock, Kind, Record, RecordKey, SalesforceId, System, Timestamp};
use crate::plan::Schema;
use crate::plan::owners::Owner;
use crate::plan::stages::PipelineStage;

/// The most ids in one read.
const READ_MAX: usize = 2_000;

/// The kinds that live in Salesforce.
pub(super) const SALESFORCE_KINDS: [Kind; 4] = [Kind::Lead, Kind::Contact, Kind::Account, Kind::Opportunity];

/// How an organization is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// My Domain, without a slash at the end.
    pub login_url: String,
    /// The organization; credentials of another one are refused.
    pub organization: SalesforceId,
    /// `66.0`.
    pub api_version: String,
    /// The app's credentials.
    pub credentials: ClientCredentials,
    /// Our share of the allowance.
    pub allowance: Allowance,
    /// Calls in flight at once.
    pub calls_in_flight: usize,
}

/// A Salesforce organization.
pub struct SalesforceClient {
    options: Options,
    access: Access,
    transport: Transport,
    clock: Arc<dyn Clock>,
    limiter: Limiter,
}

/// A call before it knows its session.
pub(super) struct Request {
    pub(super) endpoint: &'static str,
    pub(super) method: Method,
    /// Below `/services/data/vXX.X`, or absolute below the instance where it begins with `/services`.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
}

impl Request {
    fn get(endpoint: &'static str, path: String) -> Self {
        Self { endpoint, method: Method::GET, path, headers: Vec::new(), body: None }
    }
}

impl SalesforceClient {
    /// A client; nothing is called yet.
    pub fn new(options: Options, transport: Transport, clock: Arc<dyn Clock>, purse: Arc<dyn Purse>) -> Self {
        let access =
            Access::new(options.login_url.clone(), options.organization, options.credentials.clone());
        let limiter = Limiter::new(System::Salesforce, options.allowance, purse);
        Self { options, access, transport, clock, limiter }
    }

    /// A path below the configured version of the API.
    pub(super) fn versioned(&self, path: &str) -> String {
        format!("/services/data/v{}{path}", self.options.api_version)
    }

    pub(super) const fn calls_in_flight(&self) -> usize {
        self.options.calls_in_flight
    }

    pub(super) fn now(&self) -> crate::domain::Timestamp {
        self.clock.now()
    }

    /// Makes a call; a session that ran out is renewed once and the call repeated once.
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, Error> {
        let session = self.access.session(&self.transport).await?;
        let answer = self.call_as(&session, request).await?;
        if answer.status != 401 || !says_session_ran_out(&answer) {
            return self.checked(answer);
        }
        let session = self.access.renewed(&self.transport, &session).await?;
        let answer = self.call_as(&session, request).await?;
        self.checked(answer)
    }

    async fn call_as(&self, session: &Session, request: &Request) -> Result<Answer, Error> {
        self.limiter.take(&*self.clock).await?;
        let path = if request.path.starts_with("/services") {
            request.path.clone()
        } else {
            self.versioned(&request.path)
        };
        let mut headers = request.headers.clone();
        headers.push(("sforce-call-options", "client=hubforce".to_owned()));
        let body = request.body.as_ref().map_or(Body::Nothing, |body| Body::Json(body.clone()));
        let call = Call {
            system: System::Salesforce,
            endpoint: request.endpoint,
            method: request.method.clone(),
            url: format!("{}{path}", session.instance_url),
            token: Some(&session.token),
            headers,
            body,
        };
        self.transport.send(call).await
    }

    fn checked(&self, answer: Answer) -> Result<Answer, Error> {
        let told = answer.header("sforce-limit-info").and_then(left_of_allowance);
        let left = told.map_or(self.limiter.left_today(), |told| told.min(self.limiter.left_today()));
        self.transport.tell_allowance(System::Salesforce, left);
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let error = error_of(&answer, self.clock.now());
        if let Error::Quota { until: Some(until), .. } = &error {
            self.limiter.refuse_until(*until);
        }
        Err(error)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: String,
    ) -> Result<T, Error> {
        read_body(&self.call(&Request::get(endpoint, path)).await?)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: String,
        body: &(impl serde::Serialize + Sync),
    ) -> Result<T, Error> {
        let body = Some(to_body(body)?);
        read_body(
            &self.call(&Request { endpoint, method: Method::POST, path, headers: Vec::new(), body }).await?,
        )
    }

    /// Every row of a query.
    pub(super) async fn rows(&self, soql: &str) -> Result<Vec<Row>, Error> {
        self.rows_from(self.query("query", soql).await?).await
    }

    async fn query(&self, endpoint: &'static str, soql: &str) -> Result<QueryAnswer, Error> {
        self.get(endpoint, format!("/{endpoint}?q={}", utf8_percent_encode(soql, NON_ALPHANUMERIC))).await
    }

    async fn read_kind(
        &self,
        kind: Kind,
        keys: Vec<RecordKey>,
        fields: &FieldsByKind,
    ) -> Vec<(RecordKey, Found)> {
        let names = names_to_read(kind, fields);
        let body = Retrieve {
            ids: keys.iter().map(|key| key.id().to_string()).collect(),
            fields: names.iter().map(String::as_str).collect(),
        };
        let rows: Vec<Option<Row>> = match self
            .post("composite/sobjects/read", format!("/composite/sobjects/{kind}"), &body)
            .await
        {
            Ok(rows) => rows,
            Err(error) => return keys.into_iter().map(|key| (key, Found::Failed(error.clone()))).collect(),
        };
        let mut found = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for (key, row) in keys.into_iter().zip(rows.into_iter().chain(std::iter::repeat(None))) {
            match row.and_then(|row| into_found(kind, row)) {
                Some(told) => found.push((key, told)),
                None => missing.push(key),
            }
        }
        for chunk in missing.chunks(LIST_MAX) {
            found.extend(self.look_among_deleted(kind, chunk).await);
        }
        found
    }

    async fn look_among_deleted(&self, kind: Kind, keys: &[RecordKey]) -> Vec<(RecordKey, Found)> {
        let ids: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
        let successor = match kind {
            Kind::Lead => ", MasterRecordId, IsConverted, ConvertedContactId",
            // Opportunities cannot be merged and have no such field.
            Kind::Opportunity => "",
            _ => ", MasterRecordId",
        };
        let soql = format!("SELECT Id, IsDeleted{successor} FROM {kind} WHERE {}", is_in("Id", &ids));
        let answer = self.query("queryAll", &soql).await;
        let fate = |key: &RecordKey| match &answer {
            Err(error) => Found::Failed(error.clone()),
            Ok(answer) => {
                let is_it = |row: &&Row| {
                    row.get("Id").and_then(serde_json::Value::as_str) == Some(&key.id().to_string())
                };
                answer.records.iter().find(is_it).map_or(Found::Absent, |row| fate_of(kind, row))
            }
        };
        keys.iter().map(|key| (*key, fate(key))).collect()
    }

    pub(super) fn page_of(&self, status: u16, body: serde_json::Value) -> Result<QueryAnswer, Error> {
        if status == 200 {
            return serde_json::from_value(body)
                .map_err(|_| Error::Unexpected { text: "a query answer of unexpected shape".to_owned() });
        }
        let errors: Vec<ApiError> = serde_json::from_value(body).unwrap_or_default();
        Err(classify(errors.into_iter().next().unwrap_or_default(), status, self.clock.now()))
    }

    pub(super) async fn collect(
        &self,
        kind: Kind,
        first: QueryAnswer,
        records: &mut Vec<Record>,
    ) -> Result<(), Error> {
        let rows = self.rows_from(first).await?;
        records.extend(rows.into_iter().filter_map(|row| into_record(kind, row)));
        Ok(())
    }
}

pub(super) fn to_body(body: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body)
        .map_err(|_| Error::Unexpected { text: "a request could not be written".to_owned() })
}

pub(super) fn read_body<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| Error::Unexpected {
        text: format!(
            "a {} answer of unexpected shape at line {} column {}",
            answer.status,
            error.line(),
            error.column()
        ),
    })
}

/// Some refusals with status 401 do not mean that the session ran out; renewing it would not help.
fn says_session_ran_out(answer: &Answer) -> bool {
    let errors: Vec<ApiError> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let other = |error: &ApiError| {
        error.message.contains("not attached to Agent")
            || error.message.contains("not valid for use with the REST API")
    };
    !errors.iter().any(other)
}

/// What `api-usage=17/15000` leaves.
fn left_of_allowance(header: &str) -> Option<u64> {
    let usage = header.split(';').find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, limit) = usage.split_once('/')?;
    Some(limit.trim().parse::<u64>().ok()?.saturating_sub(used.trim().parse().ok()?))
}

pub(super) fn names_to_read(kind: Kind, fields: &FieldsByKind) -> Vec<String> {
    let wanted = fields.get(&kind).map(Vec::as_slice).unwrap_or_default().iter().map(String::as_str);
    let of_leads = READ_OF_LEADS.into_iter().filter(|_| kind == Kind::Lead);
    let names: BTreeSet<&str> = wanted.chain(ALWAYS_READ).chain(of_leads).chain(["Id"]).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[async_trait]
impl Crm for SalesforceClient {
    fn system(&self) -> System {
        System::Salesforce
    }

    fn calls_per_day(&self) -> u32 {
        self.limiter.per_day()
    }

    async fn identity(&self) -> Result<Identity, Error> {
        let soql = "SELECT Id, OrganizationType, TrialExpirationDate FROM Organization";
        let answer = self.query("query", soql).await?;
        let text = |name: &str| answer.records.first()?.get(name)?.as_str().map(str::to_owned);
        let session = self.access.session(&self.transport).await?;
        Ok(Identity {
            account: self.options.organization.to_string(),
            author: Some(session.user_id.to_string()),
            time_zone: None,
            edition: text("OrganizationType"),
            trial_ends: text("TrialExpirationDate"),
        })
    }

    async fn schema(&self, kind: Kind) -> Result<Schema, Error> {
        if kind.system() != System::Salesforce {
            return Ok(Schema::new());
        }
        let answer: Describe = self.get("describe", format!("/sobjects/{kind}/describe")).await?;
        Ok(answer.into_schema())
    }

    async fn read(&self, keys: &[RecordKey], fields: &FieldsByKind) -> Vec<Found> {
        let mut calls: Vec<BoxFuture<'_, Vec<(RecordKey, Found)>>> = Vec::new();
        for kind in SALESFORCE_KINDS {
            let of_kind: Vec<RecordKey> = keys.iter().filter(|key| key.kind() == kind).copied().collect();
            for chunk in of_kind.chunks(READ_MAX) {
                calls.push(self.read_kind(kind, chunk.to_vec(), fields).boxed());
            }
        }
        let found = side_by_side(calls, self.options.calls_in_flight).await;
        let mut found: HashMap<RecordKey, Found> = found.into_iter().flatten().collect();
        keys.iter().map(|key| found.remove(key).unwrap_or(Found::Absent)).collect()
    }

    async fn find(&self, searches: &[Search], fields: &FieldsByKind) -> Vec<Result<Vec<Record>, Error>> {
        match self.query_together(&queries_for(searches, fields)).await {
            Ok(records) => searches.iter().map(|search| Ok(answers_to(search, &records))).collect(),
            Err(error) => searches.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn related(&self, kind: Kind, keys: &[RecordKey]) -> Vec<Result<Vec<RecordKey>, Error>> {
        self.belonging_to(kind, keys).await
    }

    async fn owners(&self) -> Result<Vec<Owner>, Error> {
        self.users_and_queues().await
    }

    async fn stages(&self) -> Result<Vec<PipelineStage>, Error> {
        self.stage_names().await
    }

    async fn write(&self, writes: &[Write], fields: &FieldsByKind) -> Vec<Result<Written, Error>> {
        self.write_all(writes, fields).await
    }

    async fn changes(&self, asked: &[Asked], fields: &FieldsByKind) -> Vec<Result<Traces, Error>> {
        self.changes_of(asked, fields).await
    }

    async fn edited(&self, keys: &[RecordKey], _: &FieldsByKind, _: Timestamp) -> Vec<Result<bool, Error>> {
        // A trace tells by itself when somebody last edited the record.
        keys.iter().map(|_| Ok(false)).collect()
    }

    async fn list(&self, kind: Kind, after: Option<&str>) -> Result<Page, Error> {
        let mut conditions: Vec<String> =
            after.map(|after| format!("Id > {}", literal(after))).into_iter().collect();
        if kind == Kind::Lead {
            conditions.push("IsConverted = false".to_owned());
        }
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let soql = format!("SELECT Id FROM {kind}{condition} ORDER BY Id LIMIT {READ_MAX}");
        let answer = self.query("query", &soql).await?;
        let mut records = Vec::new();
        self.collect(kind, answer, &mut records).await?;
        let keys: Vec<RecordKey> = records.iter().map(|record| record.key).collect();
        let next = keys.last().filter(|_| keys.len() == READ_MAX).map(|key| key.id().to_string());
        Ok(Page { keys, next, total: None })
    }
}
