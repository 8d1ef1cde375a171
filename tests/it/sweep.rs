//! What no message told, found by the sweep, as stories.

use crate::harness::TestApp;
use crate::people::{ADA, linked};

const ALL: &str = "create_in_salesforce = \"contact\"
    [connections.sync.companies]
    enabled = true
    [connections.sync.deals]
    enabled = true
    [connections.sync.lifecycle]
    opportunity_transitions = true";

#[tokio::test]
async fn r_230_r_240_and_r_241_what_was_edited_on_either_side_is_found() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.salesforce.update("Lead", &lead, &[("Phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "phone"), None, "nobody told");
    app.sweep().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    app.end().await;
}
