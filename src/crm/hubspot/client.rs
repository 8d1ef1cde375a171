//! The client: reading, finding and listing records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::crm::hubspot::answers::error_of;
use crate::crm::hubspot::changes::Pace;
use crate::crm::hubspot::people::Pipelines;
use crate::crm::hubspot::wire::{
    AccountDetails, BatchAnswer, BatchArchive, BatchRead, Id, ListAnswer, NextPage, Object, Properties,
};
use crate::crm::limiter::{Allowance, Limiter, Purse};
use crate::crm::transport::{Answer, Body, Call, Transport, side_by_side};
use crate::crm::{
    Asked, Crm, Error, FieldsByKind, Found, Identity, Page, Search, Traces, ValueTimes, Write, Written,
};
use crate::domain::{Clock, Kind, Record, RecordId, RecordKey, Secret, System, Timestamp};
use crate::plan::owners::Owner;
use crate::plan::resolve::ListKind;
use crate::plan::stages::PipelineStage;
use crate::plan::{Category, Schema};

/// The most records in one batch call.
pub(super) const BATCH_MAX: usize = 100;

/// How a portal is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://api.hubapi.com`, without a slash at the end.
    pub api_url: String,
    /// `2026-09`, `2026-03`, or `v3` for the legacy paths.
    pub api_version: String,
    /// The account; calls with a token of another one are refused.
    pub portal_id: u64,
    /// Our app, by whose id our own writes come back.
    pub app_id: u64,
    /// The app's static token.
    pub access_token: Secret,
    /// Our share of the allowance.
    pub allowance: Allowance,
    /// Calls in flight at once.
    pub calls_in_flight: usize,
}

/// A HubSpot portal.
pub struct HubspotClient {
    options: Options,
    transport: Transport,
    clock: Arc<dyn Clock>,
    limiter: Limiter,
    pace: Pace,
}

/// By what records are asked for.
#[derive(Clone, Copy)]
enum By<'a> {
    Id,
    /// Only those that were deleted.
    ArchivedId,
    /// A unique property.
    Property(&'a str),
}

/// The kinds that live in HubSpot.
const HUBSPOT_KINDS: [Kind; 3] = [Kind::HubspotContact, Kind::Company, Kind::Deal];

/// The property that holds a contact's further addresses; a search by one of them finds it, too.
const FURTHER_ADDRESSES: &str = "hs_additional_emails";

impl HubspotClient {
    /// A client; nothing is called yet.
    pub fn new(options: Options, transport: Transport, clock: Arc<dyn Clock>, purse: Arc<dyn Purse>) -> Self {
        let limiter = Limiter::new(System::Hubspot, options.allowance, purse);
        Self { options, transport, clock, limiter, pace: Pace::default() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The path of an API family, in the configured style.
    pub(super) fn path(&self, family: &str, rest: &str) -> String {
        let (url, version) = (&self.options.api_url, &self.options.api_version);
        match (family, version.as_str()) {
            ("account-info", version) => format!("{url}/account-info/{version}{rest}"),
            ("communication-preferences", "v3") => format!("{url}/communication-preferences/v4{rest}"),
            ("communication-preferences", version) => {
                format!("{url}/communication-preferences/{version}{rest}")
            }
            (family, "v3") => format!("{url}/crm/v3/{family}{rest}"),
            (family, version) => format!("{url}/crm/{family}/{version}{rest}"),
        }
    }

    /// The path of a kind's records.
    pub(super) fn objects(&self, kind: Kind, rest: &str) -> String {
        self.path("objects", &format!("/{}{rest}", type_of(kind)))
    }

    /// Our app, whose id our own writes bear.
    pub(super) const fn app_id(&self) -> u64 {
        self.options.app_id
    }

    pub(super) const fn calls_in_flight(&self) -> usize {
        self.options.calls_in_flight
    }

    async fn call(
        &self,
        endpoint: &'static str,
        method: Method,
        url: String,
        body: Body,
    ) -> Result<Answer, Error> {
        self.limiter.take(&*self.clock).await?;
        let token = Some(&self.options.access_token);
        let call = Call { system: System::Hubspot, endpoint, method, url, token, headers: Vec::new(), body };
        let answer = self.transport.send(call).await?;
        self.transport.tell_allowance(System::Hubspot, self.limiter.left_today());
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
        url: String,
    ) -> Result<T, Error> {
        read_body(&self.call(endpoint, Method::GET, url, Body::Nothing).await?)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        url: String,
        body: &(impl serde::Serialize + Sync),
    ) -> Result<T, Error> {
        read_body(&self.call(endpoint, Method::POST, url, Body::Json(to_body(body)?)).await?)
    }

    /// Posts where the answer says nothing.
    pub(super) async fn tell(
        &self,
        endpoint: &'static str,
        url: String,
        body: &(impl serde::Serialize + Sync),
    ) -> Result<(), Error> {
        self.call(endpoint, Method::POST, url, Body::Json(to_body(body)?)).await.map(drop)
    }

    /// Puts records in the portal's recycling bin, from where they can be restored for 90 days.
    pub(super) async fn archive(&self, kind: Kind, ids: Vec<String>) -> Result<(), Error> {
        let body = BatchArchive { inputs: ids.into_iter().map(|id| Id { id }).collect() };
        self.tell("batch/archive", self.objects(kind, "/batch/archive"), &body).await
    }

    async fn batch_read(
        &self,
        kind: Kind,
        ids: Vec<String>,
        properties: &[String],
        asked: By<'_>,
    ) -> Result<Vec<Object>, Error> {
        let id_property = if let By::Property(property) = asked { Some(property) } else { None };
        let archived = matches!(asked, By::ArchivedId);
        let body =
            BatchRead { properties, id_property, inputs: ids.into_iter().map(|id| Id { id }).collect() };
        let url = self.objects(kind, if archived { "/batch/read?archived=true" } else { "/batch/read" });
        let answer: BatchAnswer = self.post("batch/read", url, &body).await?;
        Ok(answer.results)
    }

    async fn read_chunk(&self, kind: Kind, keys: &[RecordKey], properties: &[String]) -> Vec<Found> {
        let ids = |keys: &[RecordKey]| keys.iter().map(|key| key.id().to_string()).collect();
        let objects = match self.batch_read(kind, ids(keys), properties, By::Id).await {
            Ok(objects) => objects,
            Err(error) => return keys.iter().map(|_| Found::Failed(error.clone())).collect(),
        };
        let mut records = by_id(kind, objects);
        let missing: Vec<RecordKey> =
            keys.iter().filter(|key| !records.contains_key(&key.id())).copied().collect();
        let archived = if missing.is_empty() {
            Ok(Vec::new())
        } else {
            self.batch_read(kind, ids(&missing), &[], By::ArchivedId).await
        };
        let found = |key: &RecordKey| match (records.remove(&key.id()), &archived) {
            (Some(record), _) => Found::Present(record),
            (None, Err(error)) => Found::Failed(error.clone()),
            (None, Ok(archived)) if archived.iter().any(|object| object.id == key.id().to_string()) => {
                Found::Deleted
            }
            (None, Ok(_)) => Found::Absent,
        };
        keys.iter().map(found).collect()
    }

    /// The records that hold these values of a unique property, by folded value.
    async fn find_by(
        &self,
        (kind, id_property): (Kind, &str),
        values: &[String],
        properties: &[String],
    ) -> Result<BTreeMap<String, Record>, Error> {
        let mut wanted = properties.to_vec();
        let addresses = ["email", FURTHER_ADDRESSES].into_iter().filter(|_| kind == Kind::HubspotContact);
        for property in addresses.chain([id_property]) {
            if wanted.iter().all(|known| known != property) {
                wanted.push(property.to_owned());
            }
        }
        let mut calls: Vec<BoxFuture<'_, Result<Vec<Object>, Error>>> = Vec::new();
        for chunk in values.chunks(BATCH_MAX) {
            calls.push(self.batch_read(kind, chunk.to_vec(), &wanted, By::Property(id_property)).boxed());
        }
        let objects = side_by_side(calls, self.options.calls_in_flight).await;
        let mut found = BTreeMap::new();
        for object in objects.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            let named = named_values(&object, id_property);
            if let Some(record) = object.into_record(kind) {
                found.extend(named.into_iter().map(|value| (value, record.clone())));
            }
        }
        Ok(found)
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

fn by_id(kind: Kind, objects: Vec<Object>) -> HashMap<RecordId, Record> {
    let records = objects.into_iter().filter_map(|object| object.into_record(kind));
    records.map(|record| (record.key.id(), record)).collect()
}

/// A kind's name in paths.
pub(super) const fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Company => "companies",
        Kind::Deal => "deals",
        _ => "contacts",
    }
}

/// The values by which a found contact may have been asked for: a search by a further address answers under the main one.
fn named_values(object: &Object, id_property: &str) -> Vec<String> {
    let held = |property: &str| object.properties.get(property).cloned().flatten().unwrap_or_default();
    let mut values = vec![held(id_property)];
    if id_property == "email" {
        values.extend(held(FURTHER_ADDRESSES).split(';').map(str::to_owned));
    }
    // Addresses are compared without their case, other unique values as they are written.
    let compared = |value: String| if id_property == "email" { value.trim().to_lowercase() } else { value };
    values.into_iter().map(compared).filter(|value| !value.is_empty()).collect()
}

#[async_trait]
impl Crm for HubspotClient {
    fn system(&self) -> System {
        System::Hubspot
    }

    fn calls_per_day(&self) -> u32 {
        self.limiter.per_day()
    }

    async fn identity(&self) -> Result<Identity, Error> {
        let details: AccountDetails = self.get("account-info", self.path("account-info", "/details")).await?;
        if details.portal_id != self.options.portal_id {
            let reason = format!(
                "the token belongs to portal {}, not to {}",
                details.portal_id, self.options.portal_id
            );
            return Err(Error::Unauthorized { reason });
        }
        Ok(Identity {
            account: details.portal_id.to_string(),
            author: Some(self.options.app_id.to_string()),
            time_zone: details.time_zone,
            edition: details.account_type,
            trial_ends: None,
        })
    }

    async fn schema(&self, kind: Kind) -> Result<Schema, Error> {
        if kind.system() != System::Hubspot {
            return Ok(Schema::new());
        }
        let url = self.path("properties", &format!("/{}", type_of(kind)));
        let answer: Properties = self.get("properties", url).await?;
        Ok(answer.results.into_iter().map(crate::crm::hubspot::wire::Property::into_schema).collect())
    }

    async fn read(&self, keys: &[RecordKey], fields: &FieldsByKind) -> Vec<Found> {
        let mut calls: Vec<BoxFuture<'_, (Vec<RecordKey>, Vec<Found>)>> = Vec::new();
        for kind in HUBSPOT_KINDS {
            let properties = fields.get(&kind).map(Vec::as_slice).unwrap_or_default();
            let of_kind: Vec<RecordKey> = keys.iter().filter(|key| key.kind() == kind).copied().collect();
            for chunk in of_kind.chunks(BATCH_MAX).map(<[RecordKey]>::to_vec) {
                calls.push(
                    async move {
                        let found = self.read_chunk(kind, &chunk, properties).await;
                        (chunk, found)
                    }
                    .boxed(),
                );
            }
        }
        let answers = side_by_side(calls, self.options.calls_in_flight).await;
        let mut found: HashMap<RecordKey, Found> =
            answers.into_iter().flat_map(|(keys, found)| keys.into_iter().zip(found)).collect();
        keys.iter().map(|key| found.remove(key).unwrap_or(Found::Absent)).collect()
    }

    async fn survivor_of(&self, key: RecordKey) -> Result<Option<RecordKey>, Error> {
        let url = self.objects(key.kind(), &format!("/{}?properties=hs_object_id", key.id()));
        match self.get::<Object>("read", url).await {
            Ok(object) => Ok(object.key(key.kind()).filter(|survivor| *survivor != key)),
            Err(Error::Refused(refusal)) if refusal.category == Category::RecordUnavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find(&self, searches: &[Search], fields: &FieldsByKind) -> Vec<Result<Vec<Record>, Error>> {
        // What to ask: each unique property of each kind with the values wanted of it.
        let mut wanted: BTreeMap<Unique<'_>, Vec<String>> = BTreeMap::new();
        for (asked, value) in searches.iter().flat_map(asked_of) {
            wanted.entry(asked).or_default().push(value);
        }
        let mut found = BTreeMap::new();
        for (asked, mut values) in wanted {
            values.sort_unstable();
            values.dedup();
            let properties = fields.get(&asked.0).map(Vec::as_slice).unwrap_or_default();
            found.insert(asked, self.find_by(asked, &values, properties).await);
        }
        searches.iter().map(|search| answer_to(search, &found)).collect()
    }

    async fn related(&self, kind: Kind, keys: &[RecordKey]) -> Vec<Result<Vec<RecordKey>, Error>> {
        self.associated_with(kind, keys).await
    }

    async fn owners(&self) -> Result<Vec<Owner>, Error> {
        self.all_owners().await
    }

    async fn stages(&self) -> Result<Vec<PipelineStage>, Error> {
        let answer: Pipelines = self.get("pipelines", self.path("pipelines", "/deals")).await?;
        Ok(answer.into_stages())
    }

    async fn members(&self, list: &str, keys: &[RecordKey]) -> Vec<Result<bool, Error>> {
        self.members_of(list, keys).await
    }

    async fn list_members(&self, list: &str, after: Option<&str>) -> Result<Page, Error> {
        self.page_of_list(list, after).await
    }

    async fn native_connector(&self, signs: &[&str]) -> Result<Option<Timestamp>, Error> {
        self.native_write(signs).await
    }

    async fn list_kind(&self, list: &str) -> Result<Option<ListKind>, Error> {
        self.kind_of_list(list).await
    }

    async fn write(&self, writes: &[Write], _: &FieldsByKind) -> Vec<Result<Written, Error>> {
        // Each answer holds the properties that were written, as they are stored.
        self.write_all(writes).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>) -> Result<Page, Error> {
        if kind.system() != System::Hubspot {
            return Ok(Page { keys: Vec::new(), next: None, total: None });
        }
        let after = after.map(|after| NextPage { after: after.to_owned() }.parameter());
        let rest = format!("?limit={BATCH_MAX}&properties=hs_object_id{}", after.unwrap_or_default());
        let url = self.objects(kind, &rest);
        let answer: ListAnswer = self.get("list", url).await?;
        let keys = answer.results.iter().filter_map(|object| object.key(kind)).collect();
        let next = answer.paging.and_then(|paging| paging.next).map(|next| next.after);
        Ok(Page { keys, next, total: None })
    }

    async fn changes(&self, asked: &[Asked], fields: &FieldsByKind) -> Vec<Result<Traces, Error>> {
        self.changes_of(asked, fields).await
    }

    async fn value_times(&self, asked: &[(RecordKey, &[String])]) -> Vec<Result<ValueTimes, Error>> {
        self.times_of(asked).await
    }

    async fn edited(
        &self,
        keys: &[RecordKey],
        fields: &FieldsByKind,
        since: Timestamp,
    ) -> Vec<Result<bool, Error>> {
        self.edited_since(keys, fields, since).await
    }
}

/// A unique property of a kind.
type Unique<'a> = (Kind, &'a str);

/// The unique properties a search asks, with the value wanted of each.
fn asked_of(search: &Search) -> Vec<(Unique<'_>, String)> {
    let of = |kind: Kind| {
        let address = search.address.as_ref().filter(|_| kind == Kind::HubspotContact);
        let address = address.map(|address| ((kind, "email"), address.to_lowercase()));
        let key = search.key.as_ref().map(|(property, id)| ((kind, property.as_str()), id.clone()));
        address.into_iter().chain(key)
    };
    search.kinds.iter().copied().flat_map(of).collect()
}

fn answer_to(
    search: &Search,
    found: &BTreeMap<Unique<'_>, Result<BTreeMap<String, Record>, Error>>,
) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    for (asked, value) in asked_of(search) {
        match found.get(&asked) {
            Some(Ok(by_value)) => records.extend(by_value.get(&value).cloned()),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
    }
    records.dedup_by_key(|record| record.key);
    Ok(records)
}
