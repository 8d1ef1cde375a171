//! The client: reading, finding and listing contacts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::crm::hubspot::answers::error_of;
use crate::crm::hubspot::wire::{
    AccountDetails, BatchAnswer, BatchArchive, BatchRead, Id, ListAnswer, Object, Properties,
};
use crate::crm::limiter::{Allowance, Limiter};
use crate::crm::transport::{Answer, Body, Call, Transport, side_by_side};
use crate::crm::{Crm, Error, FieldsByKind, Found, Identity, Page, Search, Write, Written};
use crate::domain::{Clock, HubspotId, Kind, Record, RecordId, RecordKey, Secret, System};
use crate::plan::Schema;

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
}

/// The property that holds a contact's further addresses; a search by one of them finds it, too.
const FURTHER_ADDRESSES: &str = "hs_additional_emails";

impl HubspotClient {
    /// A client; nothing is called yet.
    pub fn new(options: Options, transport: Transport, clock: Arc<dyn Clock>) -> Self {
        let limiter = Limiter::new(options.allowance);
        Self { options, transport, clock, limiter }
    }

    /// The path of an API family, in the configured style.
    pub(super) fn path(&self, family: &str, rest: &str) -> String {
        let (url, version) = (&self.options.api_url, &self.options.api_version);
        match (family, version.as_str()) {
            ("account-info", version) => format!("{url}/account-info/{version}{rest}"),
            (family, "v3") => format!("{url}/crm/v3/{family}{rest}"),
            (family, version) => format!("{url}/crm/{family}/{version}{rest}"),
        }
    }

    pub(super) fn contacts(&self, rest: &str) -> String {
        self.path("objects", &format!("/contacts{rest}"))
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
        self.limiter.take(self.clock.now())?;
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

    async fn get<T: DeserializeOwned>(&self, endpoint: &'static str, url: String) -> Result<T, Error> {
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

    /// Puts contacts in the portal's recycling bin, from where they can be restored for 90 days.
    pub(super) async fn archive(&self, ids: Vec<String>) -> Result<(), Error> {
        let body = to_body(&BatchArchive { inputs: ids.into_iter().map(|id| Id { id }).collect() })?;
        let url = self.contacts("/batch/archive");
        self.call("batch/archive", Method::POST, url, Body::Json(body)).await.map(drop)
    }

    async fn batch_read(
        &self,
        ids: Vec<String>,
        properties: &[String],
        id_property: Option<&str>,
        archived: bool,
    ) -> Result<Vec<Object>, Error> {
        let body =
            BatchRead { properties, id_property, inputs: ids.into_iter().map(|id| Id { id }).collect() };
        let url = self.contacts(if archived { "/batch/read?archived=true" } else { "/batch/read" });
        let answer: BatchAnswer = self.post("batch/read", url, &body).await?;
        Ok(answer.results)
    }

    async fn read_chunk(&self, keys: &[RecordKey], properties: &[String]) -> Vec<Found> {
        let ids = |keys: &[RecordKey]| keys.iter().map(|key| key.id().to_string()).collect();
        let objects = match self.batch_read(ids(keys), properties, None, false).await {
            Ok(objects) => objects,
            Err(error) => return keys.iter().map(|_| Found::Failed(error.clone())).collect(),
        };
        let mut records = by_id(objects);
        let missing: Vec<RecordKey> =
            keys.iter().filter(|key| !records.contains_key(&key.id())).copied().collect();
        let archived = if missing.is_empty() {
            Ok(Vec::new())
        } else {
            self.batch_read(ids(&missing), &[], None, true).await
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

    /// The contacts that hold these values of a unique property, by folded value.
    async fn find_by(
        &self,
        id_property: &str,
        values: &[String],
        properties: &[String],
    ) -> Result<BTreeMap<String, Record>, Error> {
        let mut wanted = properties.to_vec();
        for property in ["email", FURTHER_ADDRESSES, id_property] {
            if wanted.iter().all(|known| known != property) {
                wanted.push(property.to_owned());
            }
        }
        let mut calls: Vec<BoxFuture<'_, Result<Vec<Object>, Error>>> = Vec::new();
        for chunk in values.chunks(BATCH_MAX) {
            calls.push(self.batch_read(chunk.to_vec(), &wanted, Some(id_property), false).boxed());
        }
        let objects = side_by_side(calls, self.options.calls_in_flight).await;
        let mut found = BTreeMap::new();
        for object in objects.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            let named = named_values(&object, id_property);
            if let Some(record) = object.into_record() {
                found.extend(named.into_iter().map(|value| (value, record.clone())));
            }
        }
        Ok(found)
    }
}

fn to_body(body: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
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

fn by_id(objects: Vec<Object>) -> HashMap<RecordId, Record> {
    objects.into_iter().filter_map(Object::into_record).map(|record| (record.key.id(), record)).collect()
}

/// The values by which a found contact may have been asked for: a search by a further address answers under the main one.
fn named_values(object: &Object, id_property: &str) -> Vec<String> {
    let held = |property: &str| object.properties.get(property).cloned().flatten().unwrap_or_default();
    let mut values = vec![held(id_property)];
    if id_property == "email" {
        values.extend(held(FURTHER_ADDRESSES).split(';').map(str::to_owned));
    }
    values.into_iter().map(|value| value.trim().to_lowercase()).filter(|value| !value.is_empty()).collect()
}

#[async_trait]
impl Crm for HubspotClient {
    fn system(&self) -> System {
        System::Hubspot
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
        })
    }

    async fn schema(&self, kind: Kind) -> Result<Schema, Error> {
        if kind != Kind::HubspotContact {
            return Ok(Schema::new());
        }
        let answer: Properties = self.get("properties", self.path("properties", "/contacts")).await?;
        Ok(answer.results.into_iter().map(crate::crm::hubspot::wire::Property::into_schema).collect())
    }

    async fn read(&self, keys: &[RecordKey], fields: &FieldsByKind) -> Vec<Found> {
        let properties = fields.get(&Kind::HubspotContact).map(Vec::as_slice).unwrap_or_default();
        let mut calls: Vec<BoxFuture<'_, Vec<Found>>> = Vec::new();
        for chunk in keys.chunks(BATCH_MAX) {
            calls.push(self.read_chunk(chunk, properties).boxed());
        }
        side_by_side(calls, self.options.calls_in_flight).await.into_iter().flatten().collect()
    }

    async fn find(&self, searches: &[Search], fields: &FieldsByKind) -> Vec<Result<Vec<Record>, Error>> {
        let properties = fields.get(&Kind::HubspotContact).map(Vec::as_slice).unwrap_or_default();
        // What to ask: each unique property with the values wanted of it.
        let mut wanted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (property, value) in searches.iter().flat_map(asked_of) {
            wanted.entry(property).or_default().push(value);
        }
        let mut found = BTreeMap::new();
        for (property, mut values) in wanted {
            values.sort_unstable();
            values.dedup();
            found.insert(property, self.find_by(property, &values, properties).await);
        }
        searches.iter().map(|search| answer_to(search, &found)).collect()
    }

    async fn members(&self, list: &str, keys: &[RecordKey]) -> Vec<Result<bool, Error>> {
        self.members_of(list, keys).await
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Written, Error>> {
        self.write_all(writes).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>) -> Result<Page, Error> {
        if kind != Kind::HubspotContact {
            return Ok(Page { keys: Vec::new(), next: None, total: None });
        }
        let after = after.map(|after| {
            format!(
                "&after={}",
                percent_encoding::utf8_percent_encode(after, percent_encoding::NON_ALPHANUMERIC)
            )
        });
        let url = self.contacts(&format!("?limit={BATCH_MAX}&properties=email{}", after.unwrap_or_default()));
        let answer: ListAnswer = self.get("list", url).await?;
        let keys =
            answer.results.iter().filter_map(Object::contact_id).map(RecordKey::hubspot_contact).collect();
        let next = answer.paging.and_then(|paging| paging.next).map(|next| next.after);
        Ok(Page { keys, next, total: None })
    }
}

/// The unique properties a search asks, with the value wanted of each.
fn asked_of(search: &Search) -> Vec<(&str, String)> {
    let address = search.address.as_ref().map(|address| ("email", address.to_lowercase()));
    let key = search.key.as_ref().map(|(property, id)| (property.as_str(), id.to_lowercase()));
    address.into_iter().chain(key).collect()
}

fn answer_to(
    search: &Search,
    found: &BTreeMap<&str, Result<BTreeMap<String, Record>, Error>>,
) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    for (property, value) in asked_of(search) {
        match found.get(property) {
            Some(Ok(by_value)) => records.extend(by_value.get(&value).cloned()),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
    }
    records.dedup_by_key(|record| record.key);
    Ok(records)
}

/// The id of a contact, as results name it.
pub(super) fn contact_id(id: HubspotId) -> RecordId {
    RecordId::Hubspot(id)
}
