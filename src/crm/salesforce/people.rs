//! Who belongs to what in Salesforce: an account's contacts, the leads that became a contact, the contacts with a role on an opportunity and
//! the other way round, users and queues, and the names of stages.

use std::collections::HashMap;

use futures::try_join;
use serde_json::Value as Json;

use crate::crm::Error;
use crate::crm::salesforce::client::SalesforceClient;
use crate::crm::salesforce::soql::{LIST_MAX, is_in};
use crate::crm::salesforce::wire::Row;
use crate::domain::{Kind, RecordKey};
use crate::plan::owners::Owner;
use crate::plan::stages::PipelineStage;

/// The types of users that count as owners.
const OWNING_USERS: [&str; 3] = ["Standard", "PowerPartner", "Guest"];

impl SalesforceClient {
    pub(super) async fn belonging_to(
        &self,
        kind: Kind,
        keys: &[RecordKey],
    ) -> Vec<Result<Vec<RecordKey>, Error>> {
        let Some(of) = keys.first().map(RecordKey::kind) else { return Vec::new() };
        // The object to ask, its field that names the one asked about, and the one that names who belongs to it.
        let (object, owner, member) = match (of, kind) {
            (Kind::Contact, Kind::Lead) => ("Lead", "ConvertedContactId", "Id"),
            (Kind::Opportunity, _) => ("OpportunityContactRole", "OpportunityId", "ContactId"),
            (Kind::Contact, Kind::Opportunity) => ("OpportunityContactRole", "ContactId", "OpportunityId"),
            (_, Kind::Opportunity) => ("Opportunity", "AccountId", "Id"),
            _ => ("Contact", "AccountId", "Id"),
        };
        let mut told = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(LIST_MAX) {
            let ids: Vec<String> = chunk.iter().map(|key| key.id().to_string()).collect();
            let soql = format!(
                "SELECT {owner}, {member} FROM {object} WHERE {} ORDER BY {member}",
                is_in(owner, &ids)
            );
            let found = self.rows(&soql).await.map(|rows| by_owner(&rows, (owner, member), kind));
            told.extend(ids.iter().map(|id| match &found {
                Ok(found) => Ok(found.get(id).cloned().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            }));
        }
        told
    }

    /// Active users and those who left, and the queues that leads can belong to.
    pub(super) async fn users_and_queues(&self) -> Result<Vec<Owner>, Error> {
        let (users, queues) = try_join!(
            self.rows("SELECT Id, Email, FirstName, LastName, IsActive, UserType FROM User"),
            self.rows("SELECT Id, Name FROM Group WHERE Type = 'Queue'"),
        )?;
        let text =
            |row: &Row, name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let user = |row: &Row| {
            // A portal user may bear the name and address of somebody who owns records. It is known, and matched with nobody.
            let counts = OWNING_USERS.contains(&text(row, "UserType").as_str());
            let active = row.get("IsActive").and_then(Json::as_bool).unwrap_or_default();
            Owner {
                id: text(row, "Id"),
                email: if counts { text(row, "Email") } else { String::new() },
                name: format!("{} {}", text(row, "FirstName"), text(row, "LastName")).trim().to_owned(),
                active: counts && active,
            }
        };
        let queue = |row: &Row| Owner {
            id: text(row, "Id"),
            email: String::new(),
            name: text(row, "Name"),
            active: true,
        };
        Ok(users.iter().map(user).chain(queues.iter().map(queue)).collect())
    }

    pub(super) async fn stage_names(&self) -> Result<Vec<PipelineStage>, Error> {
        let rows = self.rows("SELECT ApiName FROM OpportunityStage WHERE IsActive = true").await?;
        let name = |row: &Row| row.get("ApiName").and_then(Json::as_str).map(str::to_owned);
        let stage = |name: String| PipelineStage {
            pipeline: String::new(),
            pipeline_label: String::new(),
            stage: name.clone(),
            label: name,
        };
        Ok(rows.iter().filter_map(name).map(stage).collect())
    }
}

fn by_owner(rows: &[Row], (owner, member): (&str, &str), kind: Kind) -> HashMap<String, Vec<RecordKey>> {
    let mut found: HashMap<String, Vec<RecordKey>> = HashMap::new();
    for row in rows {
        let id = |name: &str| row.get(name).and_then(Json::as_str);
        let key = id(member).and_then(|id| RecordKey::parse(kind, id).ok());
        if let (Some(owner), Some(key)) = (id(owner), key) {
            found.entry(owner.to_owned()).or_default().push(key);
        }
    }
    found
}
