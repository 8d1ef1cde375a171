//! What the harness itself promises: persons act between two calls, and no test leaves anything behind unsaid.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::Request;
use hubforce::emulator::router;
use tower::ServiceExt;

use crate::harness::TestApp;
use crate::people::{ADA, linked};

#[tokio::test]
async fn somebody_acts_once_right_before_a_call_is_carried_out() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let (hubspot, times) = (Arc::clone(&app.hubspot), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&times);
    app.hubspot.control().before_next_call("/contacts/batch/update", move || {
        assert_eq!(hubspot.property(contact, "phone"), None, "it is not carried out yet");
        hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        counted.fetch_add(1, Ordering::Relaxed);
    });
    for phone in ["7", "8"] {
        app.clock.advance_millis(1_000);
        app.salesforce.update("Lead", &lead, &[("Phone", phone)]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some(phone));
    }
    assert_eq!(times.load(Ordering::Relaxed), 1);
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
#[should_panic(expected = "calls that no emulator knows: [\"GET /crm/v3/nowhere\"]")]
async fn a_call_that_no_emulator_knows_fails_the_test_that_led_to_it() {
    let app = TestApp::start().await;
    let call = Request::get("/crm/v3/nowhere").header("authorization", "Bearer pat-integration");
    let portal = router(Arc::clone(&app.hubspot) as _);
    let answer = portal.oneshot(call.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 404);
    app.forget_calls();
    app.stop().await;
}

#[tokio::test]
#[should_panic(expected = "left over: Ok([Job")]
async fn work_that_is_left_fails_a_test_that_does_not_say_so() {
    let app = TestApp::start().await;
    app.hubspot.create(&ADA).unwrap();
    app.deliver().await;
}

#[tokio::test]
async fn work_may_be_left_on_purpose() {
    let app = TestApp::start().await;
    app.hubspot.create(&ADA).unwrap();
    app.deliver().await;
    app.leaves_work();
}
