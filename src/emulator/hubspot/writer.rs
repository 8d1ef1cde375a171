//! Who writes to a portal, and when.

use crate::domain::Timestamp;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The integration's app.
    App(u64),
    /// Somebody at work.
    Person,
    /// The portal itself.
    Portal,
    /// HubSpot's own connector with Salesforce.
    Connector,
}

impl Writer {
    /// What HubSpot calls the writer and its id; the portal is called otherwise in each place.
    pub(super) fn source(&self, of_portal: (&'static str, &str)) -> (&'static str, String) {
        match self {
            Self::App(app) => ("INTEGRATION", app.to_string()),
            Self::Person => ("CRM_UI", "userId:1001".to_owned()),
            Self::Portal => (of_portal.0, of_portal.1.to_owned()),
            Self::Connector => ("SALESFORCE", String::new()),
        }
    }
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act<'a> {
    pub(super) writer: &'a Writer,
    pub(super) now: Timestamp,
}
