//! Whether HubSpot's own connector with Salesforce is at work in the portal: two engines that sync the same records undo each other.

use crate::crm::Error;
use crate::crm::hubspot::changes::{Filter, Group, Search, Sort, modified_property};
use crate::crm::hubspot::client::HubspotClient;
use crate::crm::hubspot::history::HISTORY_BATCH_MAX;
use crate::crm::hubspot::wire::ListAnswer;
use crate::domain::{Kind, RecordKey, Timestamp};
use crate::plan::rules::NATIVE_CONNECTOR_PROPERTY;

/// What HubSpot calls the source of a value that its own connector wrote.
const NATIVE_SOURCE: &str = "SALESFORCE";

/// Ordinary properties whose history tells of the connector as well.
const ORDINARY: [&str; 6] = ["email", "firstname", "lastname", "phone", "company", "lifecyclestage"];

impl HubspotClient {
    /// When HubSpot's own connector last wrote one of the contacts that were modified last, of those that hold one of these properties of its.
    pub(super) async fn native_write(&self, signs: &[&str]) -> Result<Option<Timestamp>, Error> {
        self.pace().take(self.now())?;
        let kind = Kind::HubspotContact;
        let filters = signs.iter().map(|sign| Filter {
            property_name: sign,
            operator: "HAS_PROPERTY",
            value: String::new(),
        });
        let search = Search {
            filter_groups: filters.map(|filter| Group { filters: vec![filter] }).collect(),
            sorts: [Sort { property_name: modified_property(kind), direction: "DESCENDING" }],
            properties: vec![NATIVE_CONNECTOR_PROPERTY],
            limit: HISTORY_BATCH_MAX,
        };
        let answer: ListAnswer = self.post("search", self.objects(kind, "/search"), &search).await?;
        let told = answer
            .results
            .iter()
            .filter_map(|object| object.properties.get(NATIVE_CONNECTOR_PROPERTY)?.as_deref());
        // Some portals write instants as milliseconds.
        let read =
            |text: &str| Timestamp::parse(text).or_else(|| Some(Timestamp::from_millis(text.parse().ok()?)));
        let synced_at = told.filter_map(read).max();
        let keys: Vec<RecordKey> =
            answer.results.iter().filter_map(|object| RecordKey::parse(kind, &object.id).ok()).collect();
        if keys.is_empty() {
            return Ok(synced_at);
        }
        let names: Vec<String> = signs.iter().copied().chain(ORDINARY).map(str::to_owned).collect();
        let wrote_at = self.last_written_by(NATIVE_SOURCE, kind, (&keys, &names)).await?;
        Ok(synced_at.max(wrote_at))
    }
}
