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

/// How long the service may take to catch up after the load.
const CATCH_UP: Duration = Duration::from_secs(90);

/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the producers saw.
#[derive(Default)]
pub(crate) struct Seen {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    /// The contacts of which an event was acknowledged.
    contacts: Mutex<BTreeSet<u64>>,
    /// Whether what was broken is mended, and when the first event after that was acknowledged.
    mended: Mutex<Option<(Instant, Option<Instant>)>>,
    stop: AtomicBool,
}

/// What came of a load.
pub(crate) struct Result {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) worked: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) answers_after_ms: Option<u128>,
    pub(crate) caught_up_after_ms: Option<u128>,
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
    /// What was broken is mended: the time to recover counts from here.
    pub(crate) fn is_mended(&self) {
        *held(&self.mended) = Some((Instant::now(), None));
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn note(&self, outgoing: &Outgoing, told: bool) {
        let events: Json = serde_json::from_slice(&outgoing.body).unwrap_or_default();
        let ids: Vec<u64> =
            events.as_array().into_iter().flatten().filter_map(|event| event["objectId"].as_u64()).collect();
        if !told {
            self.refused.fetch_add(ids.len(), Ordering::SeqCst);
            return;
        }
        self.acknowledged.fetch_add(ids.len(), Ordering::SeqCst);
        held(&self.contacts).extend(ids);
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
        Self { seen: Arc::clone(&seen), town: Arc::clone(town), producers: (0..PRODUCERS).map(producer).collect() }
    }

    /// Ends the load and waits until everything acknowledged is worked, or until it has taken too long.
    pub(crate) async fn end(self) -> Result {
        self.seen.stop.store(true, Ordering::SeqCst);
        for producer in self.producers {
            let _ = producer.await;
        }
        let contacts = held(&self.seen.contacts).clone();
        let until = Instant::now() + CATCH_UP;
        let mut lost = unworked(&self.town, &contacts);
        while lost > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            lost = unworked(&self.town, &contacts);
        }
        let mended = *held(&self.seen.mended);
        let caught_up = mended.filter(|_| lost == 0).map(|(at, _)| at.elapsed().as_millis());
        Result {
            acknowledged: self.seen.acknowledged(),
            refused: self.seen.refused.load(Ordering::SeqCst),
            worked: contacts.len() - lost,
            lost,
            doubled: doubled(&self.town),
            answers_after_ms: mended.and_then(|(at, first)| Some((first? - at).as_millis())),
            caught_up_after_ms: caught_up,
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
        let value = format!("city {turn}");
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
            town.hubspot.settle(outgoing.id, &Answer::Status(200, Vec::new()), town.hubspot.control().clock().now());
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

/// How many of the contacts have no lead that holds what they hold.
fn unworked(town: &Town, contacts: &BTreeSet<u64>) -> usize {
    let leads: BTreeMap<String, Option<String>> = town
        .salesforce
        .ids("Lead")
        .iter()
        .filter_map(|id| {
            let key = town.salesforce.field("Lead", id, "Hubforce_HubSpot_Id__c")?;
            Some((key, town.salesforce.field("Lead", id, "City")))
        })
        .collect();
    let agrees = |contact: &&u64| {
        leads.get(&contact.to_string()).is_some_and(|city| *city == town.hubspot.property(**contact, "city"))
    };
    contacts.len() - contacts.iter().filter(agrees).count()
}

/// How many leads there are beyond one for each address.
fn doubled(town: &Town) -> usize {
    let ids = town.salesforce.ids("Lead");
    let addresses: BTreeSet<String> =
        ids.iter().filter_map(|id| town.salesforce.field("Lead", id, "Email")).collect();
    ids.len() - addresses.len()
}
