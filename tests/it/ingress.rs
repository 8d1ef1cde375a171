//! The door: exact answers to good and bad calls, and nothing changed by the bad ones.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use hubforce::domain::Clock;
use hubforce::emulator::Caller;
use hubforce::store::Database;
use tower::ServiceExt;

use rstest::rstest;

use crate::harness::{self, PATH_TOKEN, PUBLIC_URL, SECRET, Setup, TOKEN, TestApp, VIEWER};
use crate::people::linked;

/// A signed request of HubSpot.
pub(crate) fn signed(app: &TestApp, body: &[u8], secret: &str, off_ms: i64) -> Request<Body> {
    let timestamp = (app.clock.now().as_millis() + off_ms).to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in
        [b"POST".as_slice(), format!("{PUBLIC_URL}/webhooks/hubspot").as_bytes(), body, timestamp.as_bytes()]
    {
        mac.update(part);
    }
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    Request::post("/webhooks/hubspot")
        .header("x-hubspot-signature-v3", signature)
        .header("x-hubspot-request-timestamp", timestamp)
        .body(Body::from(body.to_vec()))
        .unwrap()
}

fn event(portal: u64, id: &str) -> String {
    format!(r#"{{"subscriptionType":"contact.creation","portalId":{portal},"occurredAt":1,"objectId":{id}}}"#)
}

#[tokio::test]
async fn i_8_hubspot_is_answered_exactly() {
    let app = TestApp::start().await;
    let good = format!("[{}]", event(1_234_567, "7"));
    let deep = format!("[{}{}]", "[".repeat(50_000), "]".repeat(50_000));
    for (body, secret, off_ms, expected) in [
        (good.as_str(), SECRET, 0, 200),
        (&good, "older-secret", 0, 200),
        (&good, SECRET, 299_999, 200),
        (&good, SECRET, 300_001, 401),
        (&good, SECRET, -300_001, 401),
        (&good, "forged", 0, 401),
        ("{}", SECRET, 0, 400),
        ("[", SECRET, 0, 400),
        ("", SECRET, 0, 400),
        (&deep, SECRET, 0, 400),
        ("[]", SECRET, 0, 200),
    ] {
        let (status, _) = app.send(signed(&app, body.as_bytes(), secret, off_ms)).await;
        assert_eq!(status, expected, "{} {secret} {off_ms}", &body[..body.len().min(60)]);
    }
    let unsigned = Request::post("/webhooks/hubspot").body(Body::from(good.clone())).unwrap();
    assert_eq!(app.send(unsigned).await.0, 401);
    let large = vec![b' '; hubforce::http::BODY_BYTES_MAX + 1];
    assert_eq!(app.send(signed(&app, &large, SECRET, 0)).await.0, 413);
    assert_eq!(app.jobs(None).await.len(), 1, "only the signed ones marked anything");
    app.stop().await;
}

#[tokio::test]
async fn foreign_portals_and_unknown_kinds_are_kept_and_never_acted_on() {
    let app = TestApp::start().await;
    let body = format!(
        r#"[{},{{"subscriptionType":"ticket.creation","portalId":1234567,"occurredAt":1,"objectId":1}}]"#,
        event(999, "7")
    );
    assert_eq!(app.send(signed(&app, body.as_bytes(), SECRET, 0)).await.0, 200);
    assert!(app.jobs(None).await.is_empty());
    app.end().await;
}

#[tokio::test]
async fn the_bad_part_of_a_delivery_is_parked_and_the_rest_is_worked() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&[("email", "a@example.com"), ("lastname", "A")]).unwrap();
    let body = format!("[{},{}]", event(1_234_567, "\"x\""), event(1_234_567, &contact.to_string()));
    assert_eq!(app.send(signed(&app, body.as_bytes(), SECRET, 0)).await.0, 200);
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    let (_, jobs) = app.ask("GET", "/v1/connections/acme/jobs", "").await;
    let job = &jobs["items"][0];
    assert_eq!(
        (job["category"].as_str(), job["part"]["position"].as_u64()),
        (Some("unreadable"), Some(0)),
        "{jobs}"
    );
    let id = job["id"].as_i64().unwrap();
    assert_eq!(app.ask("POST", &format!("/v1/jobs/{id}/retry"), "").await.0, 409);
    assert_eq!(app.ask("DELETE", &format!("/v1/jobs/{id}"), "").await.0, 204);
    app.end().await;
}

#[tokio::test]
async fn an_id_that_does_not_exist_changes_nothing() {
    let app = TestApp::start().await;
    let body = format!("[{}]", event(1_234_567, "404404"));
    assert_eq!(app.send(signed(&app, body.as_bytes(), SECRET, 0)).await.0, 200);
    app.settle().await;
    assert_eq!(app.writes(), 0);
    app.end().await;
}

fn message(organization: &str) -> String {
    format!(
        r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><e:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{organization}</OrganizationId><Notification><Id>04l000000000001</Id><sObject i:type="s:Lead" xmlns:s="urn:sobject.enterprise.soap.sforce.com"><s:Id>00Q000000000001</s:Id></sObject></Notification></notifications></e:Body></e:Envelope>"#
    )
}

#[tokio::test]
async fn i_8_salesforce_is_answered_exactly() {
    let app = TestApp::start().await;
    let good = message("00D000000000001AAA");
    for (token, body, expected, says) in [
        (PATH_TOKEN, good.as_str(), 200, "<Ack>true</Ack>"),
        ("wrong", &good, 404, "soapenv:Fault"),
        (PATH_TOKEN, &message("00D000000000002"), 403, "soapenv:Fault"),
        (PATH_TOKEN, "<a/>", 400, "soapenv:Client"),
        (PATH_TOKEN, "", 400, "soapenv:Client"),
        (PATH_TOKEN, &format!("<!DOCTYPE a>{good}"), 400, "soapenv:Client"),
    ] {
        let request =
            Request::post(format!("/webhooks/salesforce/{token}")).body(Body::from(body.to_owned())).unwrap();
        let (status, answer) = app.send(request).await;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(status, expected, "{token} {body}");
        assert!(answer.starts_with("<?xml") && answer.contains(says), "{answer}");
    }
    assert_eq!(app.jobs(None).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn i_1_a_store_that_cannot_write_answers_503() {
    let app = TestApp::start().await;
    app.store.close().await;
    let body = format!("[{}]", event(1_234_567, "7"));
    assert_eq!(app.send(signed(&app, body.as_bytes(), SECRET, 0)).await.0, 503);
    let request = Request::post(format!("/webhooks/salesforce/{PATH_TOKEN}"));
    let (status, answer) = app.send(request.body(Body::from(message("00D000000000001"))).unwrap()).await;
    assert_eq!(status, 503);
    assert!(String::from_utf8(answer.to_vec()).unwrap().contains("soapenv:Server"));
    let ready = Request::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(app.send(ready).await.0, 503);
    let lives = Request::get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(app.send(lives).await.0, 200);
    app.stop().await;
}

#[rstest]
#[case("queue", 2, Setup { server: "backlog_max = 1", ..Setup::default() })]
#[case("disk", 0, Setup { free_mb_min: 1_000_000_000_000, ..Setup::default() })]
#[tokio::test]
async fn i_1_what_there_is_no_room_for_is_turned_away_and_taken_later(
    #[case] part: &str,
    #[case] waiting: usize,
    #[case] setup: Setup,
) {
    let app = TestApp::set_up(setup).await;
    for n in 0..waiting {
        app.hubspot.create(&[("email", &format!("{n}@example.com")), ("lastname", "A")]).unwrap();
    }
    app.deliver().await;
    // What is known of the room is a second old at most.
    app.clock.advance_millis(1_000);
    let body = format!("[{}]", event(1_234_567, "7"));
    let answer = app.router.clone().oneshot(signed(&app, body.as_bytes(), SECRET, 0)).await.unwrap();
    if part == "disk" && harness::chosen() == Database::Postgres {
        assert_eq!(answer.status().as_u16(), 200, "a server looks after its own disk");
        return app.stop().await;
    }
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    let (status, ready) = app.send(Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 503);
    assert!(
        String::from_utf8(ready.to_vec()).unwrap().contains(&format!(r#""failing":"{part}""#)),
        "{ready:?}"
    );
    if part == "disk" {
        assert_eq!(app.jobs(None).await, []);
        return app.stop().await;
    }
    app.worker.drain().await.unwrap();
    app.clock.advance_millis(1_000);
    assert_eq!(app.send(signed(&app, body.as_bytes(), SECRET, 0)).await.0, 200);
    assert_eq!(app.send(Request::get("/readyz").body(Body::empty()).unwrap()).await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn i_8_the_api_wants_a_token_and_acting_wants_an_operator() {
    let app = TestApp::start().await;
    let bare = Request::get("/v1/connections").body(Body::empty()).unwrap();
    assert_eq!(app.send(bare).await.0, 401);
    assert_eq!(app.ask_as("wrong", "GET", "/v1/connections", "").await.0, 401);
    assert_eq!(app.ask_as(VIEWER, "GET", "/v1/connections", "").await.0, 200);
    let (status, problem) = app.ask_as(VIEWER, "POST", "/v1/connections/acme/pause", "").await;
    assert_eq!((status.as_u16(), &problem["type"]), (403, &"/problems/forbidden".into()));
    assert_eq!(app.ask_as(TOKEN, "POST", "/v1/connections/acme/pause", "").await.0, 200);
    let (_, connections) = app.ask("GET", "/v1/connections", "").await;
    assert_eq!(connections["items"][0]["state"], "paused");
    app.hubspot.create(&[("email", "a@example.com"), ("lastname", "A")]).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty(), "ingress goes on storing, work rests");
    app.ask("POST", "/v1/connections/acme/resume", "").await;
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.end().await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_told_so() {
    let app = TestApp::start().await;
    for (method, path, body, status) in [
        ("GET", "/v1/nothing", "", 404),
        ("PUT", "/v1/connections", "", 405),
        ("GET", "/v1/connections/other/jobs", "", 404),
        ("GET", "/v1/connections/acme/jobs?state=x", "", 400),
        ("GET", "/v1/connections/acme/jobs?colour=red", "", 400),
        ("GET", "/v1/connections/acme/jobs?limit=0", "", 400),
        ("GET", "/v1/jobs/77", "", 404),
        ("GET", "/v1/connections/acme/records/hubspot/Lead/7", "", 400),
        ("GET", "/v1/connections/acme/records/hubspot/contact/x", "", 400),
        ("GET", "/v1/connections/acme/records/hubspot/contact/7", "", 404),
        ("GET", "/v1/connections/acme/audit?kind=Lead", "", 400),
        ("POST", "/v1/connections/acme/resync", "{}", 400),
        ("POST", "/v1/connections/acme/resync", r#"{"kind":"contact","ids":["1"],"list_id":"3"}"#, 400),
        ("POST", "/v1/connections/acme/resync", r#"{"kind":"contact"}"#, 400),
        ("GET", "/v1/connections/acme/resyncs/x", "", 404),
    ] {
        let (found, problem) = app.ask(method, path, body).await;
        assert_eq!(found, status, "{method} {path} {body}: {problem}");
        assert!(
            problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")),
            "{method} {path}: {problem}"
        );
    }
    app.end().await;
}

/// The answer's status, its type of content, and the type of problem in it.
async fn problem_of(app: &TestApp, request: Request<Body>) -> (u16, String, serde_json::Value) {
    let response = app.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let content = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, content, body["type"].clone())
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_as_well() {
    let app = TestApp::start().await;
    let large = "x".repeat(hubforce::http::BODY_BYTES_MAX + 1);
    for (method, path, body, status, problem) in [
        ("GET", "/v1/jobs/abc", "", 400, "bad-request"),
        ("DELETE", "/v1/jobs/abc", "", 400, "bad-request"),
        ("POST", "/v1/jobs/99999999999999999999/retry", "", 400, "bad-request"),
        ("GET", "/v1/connections/%ff/jobs", "", 400, "bad-request"),
        ("POST", "/v1/connections/acme/resync", large.as_str(), 413, "too-large"),
    ] {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
        let answer = problem_of(&app, request.body(Body::from(body.to_owned())).unwrap()).await;
        let expected = (status, "application/problem+json".to_owned(), format!("/problems/{problem}").into());
        assert_eq!(answer, expected, "{method} {path}");
    }
    app.end().await;
}

#[tokio::test]
async fn a_path_that_is_no_text_is_an_unknown_one_to_salesforce() {
    let app = TestApp::start().await;
    let request =
        Request::post("/webhooks/salesforce/%ff").body(Body::from(message("00D000000000001"))).unwrap();
    let (status, body) = app.send(request).await;
    assert_eq!(status, 404);
    assert!(String::from_utf8(body.to_vec()).unwrap().contains("soapenv:Fault"));
    app.end().await;
}

#[tokio::test]
async fn echoes_are_counted_for_their_connection() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let app = TestApp::start().await;
    let echo = event(1_234_567, "7")
        .replace("creation", "propertyChange")
        .replace('}', ",\"propertyName\":\"city\",\"changeSource\":\"INTEGRATION\",\"sourceId\":\"998877\"}");
    {
        let _guard = metrics::set_default_local_recorder(&recorder);
        assert_eq!(app.send(signed(&app, format!("[{echo},{echo}]").as_bytes(), SECRET, 0)).await.0, 200);
    }
    let shown = recorder.handle().render();
    assert!(shown.contains("hubforce_echoes_total{connection=\"acme\"} 2"), "{shown}");
    app.end().await;
}

#[tokio::test]
async fn r_280_a_connection_tells_what_it_uses_of_the_daily_calls() {
    let app = TestApp::start().await;
    linked(&app).await;
    let (_, connections) = app.ask("GET", "/v1/connections", "").await;
    let api_use = connections["items"][0]["api_use"].as_array().unwrap();
    let made = [
        app.hubspot.control().total(Caller::Integration),
        app.salesforce.control().total(Caller::Integration),
    ];
    for (told, (system, made)) in api_use.iter().zip(["hubspot", "salesforce"].into_iter().zip(made)) {
        assert_eq!(told["system"], system);
        let used = told["used_today"].as_u64().unwrap();
        // Some are taken ahead; getting a token is no call of the allowance.
        assert!((made.saturating_sub(1)..=made + 20).contains(&used), "{used} of {made}");
        assert_eq!(told["per_day"], 1_000_000, "{told}");
    }
    // The allowance is a day's.
    app.clock.advance_millis(24 * 3_600_000);
    let (_, connections) = app.ask("GET", "/v1/connections", "").await;
    assert_eq!(connections["items"][0]["api_use"][0]["used_today"], 0);
    app.end().await;
}
