//! Events and their signed delivery.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::domain::Timestamp;
use crate::emulator::Outgoing;
use crate::emulator::hubspot::Target;
use crate::emulator::hubspot::associations::Link;
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::records::Change;
use crate::emulator::hubspot::writer::{Act, Writer};
use crate::emulator::outbox::{Ladder, Outbox, WebhookControl};

/// The most events in one call.
const EVENTS_MAX: usize = 100;

/// Ten tries within a day, further and further apart. The vendor does not document the steps; these are ours.
const LADDER: Ladder =
    Ladder { first_ms: 60_000, longest_ms: 4 * 3_600_000, attempts_max: 10, age_max_ms: 86_400_000 };

/// Queued events and where they go.
#[derive(Debug)]
pub(super) struct Webhooks {
    portal_id: u64,
    app_id: u64,
    target: Option<(String, String)>,
    last_event: u64,
    pub(super) outbox: Outbox<Json>,
}

impl Webhooks {
    pub(super) fn new(portal_id: u64, app_id: u64) -> Self {
        Self { portal_id, app_id, target: None, last_event: 4_100_000_000, outbox: Outbox::new(LADDER) }
    }

    pub(super) fn set_target(&mut self, target: Option<(String, String)>) {
        self.target = target;
    }

    /// Takes the target away for a while: what happens is told to nobody.
    pub(super) fn set_aside_target(&mut self) -> Option<(String, String)> {
        self.target.take()
    }

    pub(super) fn set(&mut self, control: WebhookControl<Target>) {
        self.outbox.knobs.turn(&control);
        if let Some(targets) = control.targets {
            self.target = targets.into_iter().next().map(|target| (target.url, target.client_secret));
        }
    }

    /// A record was created or changed: one event each for its creation and for every property that moved.
    pub(super) fn changed(&mut self, change: &Change, act: Act<'_>) {
        if change.created {
            self.tell((change.object, "creation"), change.id, act, json!({ "changeFlag": "CREATED" }));
        }
        for (name, value) in &change.moved {
            let more = json!({ "propertyName": name, "propertyValue": value });
            self.tell((change.object, "propertyChange"), change.id, act, more);
        }
    }

    pub(super) fn deleted(&mut self, object: Object, id: u64, act: Act<'_>) {
        self.tell((object, "deletion"), id, act, json!({ "changeFlag": "DELETED" }));
    }

    /// A contact was erased: an event of its own tells of it, and the usual one of its deletion.
    pub(super) fn erased(&mut self, id: u64, act: Act<'_>) {
        self.tell((Object::Contact, "privacyDeletion"), id, act, json!({}));
        self.deleted(Object::Contact, id, act);
    }

    /// Two records became a third: the values that moved with it are not told, the loser's deletion is.
    pub(super) fn merged(
        &mut self,
        object: Object,
        (primary, other): (u64, u64),
        survivor: u64,
        act: Act<'_>,
    ) {
        let more = json!({
            "primaryObjectId": primary, "mergedObjectIds": [other], "newObjectId": survivor,
            "numberOfPropertiesMoved": 0,
        });
        self.tell((object, "merge"), survivor, act, more);
        self.deleted(object, other, act);
    }

    pub(super) fn restored(&mut self, object: Object, id: u64, now: Timestamp) {
        self.tell((object, "restore"), id, Act { writer: &Writer::Person, now }, json!({}));
    }

    /// Two records were associated, or are no longer: each side is told.
    pub(super) fn associated(&mut self, link: Link, (removed, primary): (bool, bool), act: Act<'_>) {
        for (from, to) in [(link.from, link.to), (link.to, link.from)] {
            let name = |object: Object| object.name().to_uppercase();
            let more = json!({
                "associationType": format!("{}_TO_{}", name(from.0), name(to.0)), "fromObjectId": from.1,
                "toObjectId": to.1, "associationRemoved": removed, "isPrimaryAssociation": primary,
                "objectId": null,
            });
            self.tell((from.0, "associationChange"), from.1, act, more);
        }
    }

    fn tell(&mut self, (object, change): (Object, &str), id: u64, act: Act<'_>, more: Json) {
        let kind = format!("{}.{change}", object.name());
        let Act { writer, now } = act;
        if self.target.is_none() {
            return;
        }
        self.last_event += 1;
        let (source, source_id) = writer.source(("AUTO_ASSOCIATE_BY_DOMAIN", ""));
        let mut event = json!({
            "eventId": self.last_event, "subscriptionId": 7_562_680, "portalId": self.portal_id, "appId": self.app_id,
            "occurredAt": now.as_millis(), "subscriptionType": kind, "attemptNumber": 0, "objectId": id,
            "changeSource": source, "sourceId": source_id,
        });
        if let (Json::Object(event), Json::Object(more)) = (&mut event, more) {
            event.extend(more);
            event.retain(|_, value| !value.is_null());
        }
        self.outbox.add(event, now);
    }

    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Outgoing> {
        let Some((url, secret)) = self.target.clone() else { return Vec::new() };
        let groups = self.outbox.take(now, EVENTS_MAX, |_, _| true);
        let outgoing = |(id, items): (u64, Vec<crate::emulator::outbox::Item<Json>>)| {
            let events: Vec<Json> = items
                .into_iter()
                .map(|item| {
                    let mut event = item.what;
                    event["attemptNumber"] = json!(item.attempt);
                    event
                })
                .collect();
            let body = Json::from(events).to_string().into_bytes();
            Outgoing { id, headers: signed_headers(&url, &secret, &body, now), url: url.clone(), body }
        };
        groups.into_iter().map(outgoing).collect()
    }
}

/// Both signatures that HubSpot sends: version 3, and beside it version 1.
fn signed_headers(url: &str, secret: &str, body: &[u8], now: Timestamp) -> Vec<(&'static str, String)> {
    let timestamp = now.as_millis().to_string();
    let version_1 = Sha256::new().chain_update(secret).chain_update(body).finalize();
    let version_1 = version_1.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let version_3 = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mac| {
            let mac = mac.chain_update("POST").chain_update(url).chain_update(body).chain_update(&timestamp);
            STANDARD.encode(mac.finalize().into_bytes())
        },
    );
    vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", "HubSpot Connect 2.0 (emulated)".to_owned()),
        ("x-hubspot-request-timestamp", timestamp),
        ("x-hubspot-signature", version_1),
        ("x-hubspot-signature-v3", version_3),
        ("x-hubspot-signature-version", "v1".to_owned()),
        ("x-hubspot-timeout-millis", "10000".to_owned()),
    ]
}
