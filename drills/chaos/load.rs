//! The producer: people create and edit contacts, and every event is sent once, signed as HubSpot signs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hubforce::domain::Clock;
use hubforce::emulator::{Answer, Outgoing, Vendor};
use serde_json::Value as Json;

use crate::town::Town;

/// Producers side by side.
const PRODUCERS: usize = 6;

/// How long each rests between two events.
const PACE: Duration = Duration::from_millis(10);

/// How long one event may take; HubSpot waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the service may take to catch up after the load; longer than a record waits that failed a few times.
const CATCH_UP: Duration = Duration::from_mins(5);

/// What the values are made of: this and the turn.
const VALUE: &str = "city ";

/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the producers saw.
#[derive(Default)]
pub(crate) struct Seen {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    /// The contacts of which an event was acknowledged, each with its last value that one of them told.
    contacts: Mutex<BTreeMap<u64, usize>>,
    /// Whether what was broken is mended, and when the first event after that was acknowledged.
    mended: Mutex<Option<(Instant, Option<Instant>)>>,
    stop: AtomicBool,
}

/// What came of a load.
pub(crate) struct Result {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) worked: usize,
    pub(crate) lost: Vec<Unworked>,
    pub(crate) doubled: usize,
    pub(crate) answers_after_ms: Option<u128>,
    pub(crate) caught_up_after_ms: Option<u128>,
}

/// A contact whose lead is not there, or holds less than was acknowledged.
pub(crate) struct Unworked {
    pub(crate) contact: u64,
    /// The turn of the last value that was acknowledged.
    pub(crate) told: usize,
    /// That of the value which the lead holds, if there is one.
    pub(crate) held: Option<usize>,
}

/// A load that is on.
pub(crate) struct Load {
    pub(crate) seen: Arc<Seen>,
    town: Arc<Town>,
    producers: Vec<tokio::task::JoinHandle<()>>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn note(&self, outgoing: &Outgoing, told: bool) {
        let events: Json = serde_json::from_slice(&outgoing.body).unwrap_or_default();
        let events = events.as_array().map_or(&[][..], Vec::as_slice);
        if !told {
            self.refused.fetch_add(events.len(), Ordering::SeqCst);
            return;
        }
        self.acknowledged.fetch_add(events.len(), Ordering::SeqCst);
        let mut contacts = held(&self.contacts);
        for event in events {
            let Some(id) = event["objectId"].as_u64() else { continue };
            let turn =
                if event["propertyName"] == "city" { turn_of(event["propertyValue"].as_str()) } else { 0 };
            let known = contacts.entry(id).or_default();
            *known = turn.max(*known);
        }
        drop(contacts);
        if let Some((_, first @ None)) = &mut *held(&self.mended) {
            *first = Some(Instant::now());
        }
    }
}

impl Load {
    pub(crate) fn begin(town: &Arc<Town>) -> Self {
        // A person's client would refuse plain http; this one only carries what is signed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let seen = Arc::new(Seen::default());
        let producer = |n: usize| tokio::spawn(produce(n, Arc::clone(town), Arc::clone(&seen)));
        Self {
            seen: Arc::clone(&seen),
            town: Arc::clone(town),
            producers: (0..PRODUCERS).map(producer).collect(),
        }
    }

    /// What was broken is mended. Returns how long it takes until everything acknowledged so far is worked, while the load goes on.
    pub(crate) async fn catch_up(&self) -> Option<u128> {
        *held(&self.seen.mended) = Some((Instant::now(), None));
        let contacts = held(&self.seen.contacts).clone();
        let begun = Instant::now();
        self.until_worked(&contacts).await.is_empty().then(|| begun.elapsed().as_millis())
    }

    /// Waits until these are worked, or until it has taken too long. Returns those that are not.
    async fn until_worked(&self, contacts: &BTreeMap<u64, usize>) -> Vec<Unworked> {
        let until = Instant::now() + CATCH_UP;
        let mut lost = unworked(&self.town, contacts);
        while !lost.is_empty() && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            lost = unworked(&self.town, contacts);
        }
        lost
    }

    /// Ends the load and waits until everything acknowledged is worked, or until it has taken too long.
    pub(crate) async fn end(mut self, caught_up_after_ms: Option<u128>) -> Result {
        self.seen.stop.store(true, Ordering::SeqCst);
        for producer in std::mem::take(&mut self.producers) {
            let _ = producer.await;
        }
        let contacts = held(&self.seen.contacts).clone();
        let lost = self.until_worked(&contacts).await;
        let mended = *held(&self.seen.mended);
        Result {
            acknowledged: self.seen.acknowledged(),
            refused: self.seen.refused.load(Ordering::SeqCst),
            worked: contacts.len() - lost.len(),
            lost,
            doubled: doubled(&self.town),
            answers_after_ms: mended.and_then(|(at, first)| Some((first? - at).as_millis())),
            caught_up_after_ms,
        }
    }
}

/// One producer: creates and edits, and sends what HubSpot has to tell.
async fn produce(n: usize, town: Arc<Town>, seen: Arc<Seen>) {
    let Ok(client) = reqwest::Client::builder().timeout(PATIENCE).build() else { return };
    let mut chance = fastrand::Rng::with_seed(n as u64);
    let mut own: Vec<u64> = Vec::new();
    let mut turn = 0_usize;
    while !seen.stop.load(Ordering::SeqCst) {
        turn += 1;
        let value = format!("{VALUE}{turn}");
        if own.len() < 20 || chance.u8(..4) == 0 {
            let address = format!("p{n}-{turn}@example.com");
            own.extend(town.hubspot.create(&[("email", &address), ("lastname", &value), ("city", &value)]));
        } else {
            let contact = own[chance.usize(..own.len())];
            // A contact that the portal refuses to change stays as it is.
            let _ = town.hubspot.update(contact, &[("city", &value)]);
        }
        for outgoing in town.hubspot.take_due(town.hubspot.control().clock().now()) {
            let told = send(&client, &outgoing).await;
            seen.note(&outgoing, told);
            // Told or not, it is not sent again: nothing may cover up for what was acknowledged and lost.
            town.hubspot.settle(
                outgoing.id,
                &Answer::Status(200, Vec::new()),
                town.hubspot.control().clock().now(),
            );
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn send(client: &reqwest::Client, outgoing: &Outgoing) -> bool {
    let mut request = client.post(&outgoing.url).body(outgoing.body.clone());
    for (name, value) in &outgoing.headers {
        request = request.header(*name, value);
    }
    request.send().await.is_ok_and(|response| response.status().as_u16() == 200)
}

/// The turn of its producer in which a value was given.
fn turn_of(value: Option<&str>) -> usize {
    value.and_then(|value| value.strip_prefix(VALUE)?.parse().ok()).unwrap_or_default()
}

/// The contacts that are not worked. A lead may hold more than was acknowledged: the rest is seen all the same when an earlier event is
/// worked.
fn unworked(town: &Town, contacts: &BTreeMap<u64, usize>) -> Vec<Unworked> {
    let leads: BTreeMap<String, usize> = town
        .salesforce
        .ids("Lead")
        .iter()
        .filter_map(|id| {
            let key = town.salesforce.field("Lead", id, "Hubforce_HubSpot_Id__c")?;
            Some((key, turn_of(town.salesforce.field("Lead", id, "City").as_deref())))
        })
        .collect();
    let unworked = |(contact, told): (&u64, &usize)| {
        let held = leads.get(&contact.to_string()).copied();
        let is_worked = held.is_some_and(|held| held >= *told);
        (!is_worked).then_some(Unworked { contact: *contact, told: *told, held })
    };
    contacts.iter().filter_map(unworked).collect()
}

/// How many leads there are beyond one for each address.
fn doubled(town: &Town) -> usize {
    let ids = town.salesforce.ids("Lead");
    let addresses: BTreeSet<String> =
        ids.iter().filter_map(|id| town.salesforce.field("Lead", id, "Email")).collect();
    ids.len() - addresses.len()
}
