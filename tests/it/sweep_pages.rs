//! Paging through what changed: every trace once, however many share an instant, at true size.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use hubforce::crm::hubspot::{self, HubspotClient};
use hubforce::crm::limiter::Allowance;
use hubforce::crm::salesforce::{self, ClientCredentials, SalesforceClient};
use hubforce::crm::transport::{NoObserver, Transport};
use hubforce::crm::{Asked, Crm, Error, FieldsByKind, Place, Stream};
use hubforce::domain::{Clock, Kind, RecordKey, SalesforceId, Secret, Timestamp, Value};

use hubforce::worker::SharedPurse;

use crate::harness::TestApp;

const PLENTY: Allowance = Allowance { per_10s: None, per_day: u32::MAX };

fn purse(app: &TestApp) -> Arc<SharedPurse> {
    Arc::new(SharedPurse::new(Arc::clone(&app.store), app.name.clone()))
}

fn transport() -> Transport {
    Transport::new(Arc::new(NoObserver)).unwrap()
}

pub(crate) fn portal(app: &TestApp) -> HubspotClient {
    let options = hubspot::Options {
        api_url: app.hubspot_url.clone(),
        api_version: "2026-09".to_owned(),
        portal_id: 1_234_567,
        app_id: 998_877,
        access_token: Secret::new("pat-integration"),
        allowance: PLENTY,
        calls_in_flight: 4,
    };
    HubspotClient::new(options, transport(), Arc::new(app.clock.clone()), purse(app))
}

fn organization(app: &TestApp) -> SalesforceClient {
    let options = salesforce::Options {
        login_url: app.salesforce_url.clone(),
        organization: SalesforceId::parse_organization("00D000000000001").unwrap(),
        api_version: "66.0".to_owned(),
        credentials: ClientCredentials {
            client_id: Secret::new("integration-client"),
            client_secret: Secret::new("integration-secret"),
        },
        allowance: PLENTY,
        calls_in_flight: 4,
    };
    SalesforceClient::new(options, transport(), Arc::new(app.clock.clone()), purse(app))
}

/// How often each record is on a page of what changed since then, and how many pages there were.
async fn walk(app: &TestApp, crm: &dyn Crm, kind: Kind, since: Timestamp) -> (BTreeMap<RecordKey, u32>, u32) {
    let (mut found, mut pages) = (BTreeMap::new(), 0);
    let mut place = Some(Place::since(since));
    while let Some(here) = place {
        let asked = Asked { stream: Stream::Changed(kind), place: here };
        let page = crm.changes(&[asked], &FieldsByKind::new()).await.remove(0).unwrap();
        for trace in page.traces {
            *found.entry(trace.record.key).or_default() += 1;
        }
        place = page.next;
        pages += 1;
        // Searches have an allowance for each second.
        app.clock.advance_millis(250);
    }
    (found, pages)
}

fn once(found: &BTreeMap<RecordKey, u32>) -> bool {
    found.values().all(|times| *times == 1)
}

#[tokio::test]
async fn ten_thousand_contacts_that_changed_at_one_instant_are_all_found() {
    let app = TestApp::start().await;
    let since = app.clock.now();
    let create = |n: usize| app.hubspot.create(&[("firstname", &n.to_string())]).unwrap();
    create(0);
    app.clock.advance_millis(1);
    for n in 0..10_050 {
        create(n);
    }
    app.clock.advance_millis(1);
    create(1);
    app.forget_calls();
    let (found, pages) = walk(&app, &portal(&app), Kind::HubspotContact, since).await;
    assert_eq!((found.len(), once(&found)), (10_052, true));
    assert!(pages <= 10_050 / 200 + 4, "{pages}");
    app.stop().await;
}

#[tokio::test]
async fn thousands_of_leads_that_changed_in_one_second_are_all_found() {
    let app = TestApp::start().await;
    let since = app.clock.now();
    let lead = [("LastName", "L"), ("Company", "C")];
    (0..4_500).for_each(|_| drop(app.salesforce.create("Lead", &lead).unwrap()));
    app.clock.advance_millis(1_000);
    app.salesforce.create("Lead", &lead).unwrap();
    let (found, pages) = walk(&app, &organization(&app), Kind::Lead, since).await;
    assert_eq!((found.len(), once(&found), pages), (4_501, true, 3));
    app.stop().await;
}

#[tokio::test]
async fn whatever_shares_an_instant_with_whatever_is_found_once() {
    for seed in 0..6 {
        let app = TestApp::start().await;
        let (mut rng, since) = (Rng::with_seed(seed), app.clock.now());
        let n = rng.usize(150..900);
        for n in 0..n {
            app.hubspot.create(&[("firstname", &n.to_string())]).unwrap();
            // From hundreds at an instant to one or two.
            if rng.u64(..1_000) < [2, 40, 600][(seed % 3) as usize] {
                app.clock.advance_millis(rng.i64(1..4));
            }
        }
        let (found, _) = walk(&app, &portal(&app), Kind::HubspotContact, since).await;
        assert_eq!((found.len(), once(&found)), (n, true), "seed {seed}");
        app.stop().await;
    }
}

#[tokio::test]
async fn i_6_searches_keep_to_an_allowance_of_their_own() {
    let app = TestApp::start().await;
    let (portal, since) = (portal(&app), app.clock.now());
    let asked = || [Asked { stream: Stream::Changed(Kind::Deal), place: Place::since(since) }];
    for n in 0..12 {
        let answer = portal.changes(&asked(), &FieldsByKind::new()).await.remove(0);
        match (n % 4, answer) {
            (3, Err(Error::Quota { until: Some(until), .. })) => {
                app.clock.advance_millis(until.millis_since(app.clock.now()));
            }
            (_, answer) => drop(answer.unwrap()),
        }
        if n % 4 == 2 {
            // The fourth in one second is the last.
            portal.changes(&asked(), &FieldsByKind::new()).await.remove(0).unwrap();
        }
    }
    assert_eq!(app.hubspot.control().calls_to("search"), 12, "none of them was refused by HubSpot");
    app.stop().await;
}

#[tokio::test]
async fn a_search_with_more_properties_than_it_can_carry_goes_without() {
    let app = TestApp::start().await;
    app.hubspot.create(&[("firstname", "Ada")]).unwrap();
    let many: Vec<String> = (0..200).map(|n| format!("a_property_of_their_own_{n}")).collect();
    let fields = FieldsByKind::from([(Kind::HubspotContact, many)]);
    let asked = Asked {
        stream: Stream::Changed(Kind::HubspotContact),
        place: Place::since(app.clock.now().plus_millis(-1)),
    };
    let page = portal(&app).changes(&[asked], &fields).await.remove(0).unwrap();
    assert_eq!(page.traces.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn r_070_it_still_tells_of_records_that_were_merged() {
    let app = TestApp::start().await;
    let both = ["Ada", "Augusta"].map(|name| app.hubspot.create(&[("firstname", name)]).unwrap());
    let survivor = app.hubspot.merge(both[0], both[1]).unwrap();
    let many = (0..200).map(|n| format!("a_property_of_their_own_{n}"));
    let many: Vec<String> = many.chain(["hs_merged_object_ids".to_owned()]).collect();
    let fields = FieldsByKind::from([(Kind::HubspotContact, many)]);
    let asked = Asked {
        stream: Stream::Changed(Kind::HubspotContact),
        place: Place::since(app.clock.now().plus_millis(-1)),
    };
    let page = portal(&app).changes(&[asked], &fields).await.remove(0).unwrap();
    let record = &page.traces.iter().find(|trace| trace.record.key.id().to_string() == survivor.to_string());
    let merged = record.unwrap().record.fields.get("hs_merged_object_ids").and_then(Value::as_text);
    assert_eq!(merged.as_deref(), Some(format!("{};{}", both[0], both[1]).as_str()));
    app.stop().await;
}
