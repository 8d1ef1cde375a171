//! The portal's owners and pipelines.

use futures::try_join;
use serde::Deserialize;

use crate::crm::Error;
use crate::crm::hubspot::client::HubspotClient;
use crate::crm::hubspot::wire::Paging;
use crate::plan::owners::Owner;
use crate::plan::stages::PipelineStage;

/// The most owners in one page.
const OWNERS_MAX: usize = 100;

#[derive(Deserialize)]
struct Owners {
    results: Vec<OwnerAnswer>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerAnswer {
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
    #[serde(default)]
    archived: bool,
}

impl OwnerAnswer {
    fn into_owner(self) -> Owner {
        let name = [self.first_name, self.last_name].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Owner { id: self.id, email: self.email.unwrap_or_default(), name, active: !self.archived }
    }
}

impl HubspotClient {
    /// Everybody who owns or owned records: archived owners come by calls of their own.
    pub(super) async fn all_owners(&self) -> Result<Vec<Owner>, Error> {
        let (mut owners, archived) = try_join!(self.owners_who_are(false), self.owners_who_are(true))?;
        owners.extend(archived);
        Ok(owners)
    }

    async fn owners_who_are(&self, archived: bool) -> Result<Vec<Owner>, Error> {
        let (mut owners, mut after) = (Vec::new(), String::new());
        loop {
            let rest = format!("?limit={OWNERS_MAX}&archived={archived}{after}");
            let page: Owners = self.get("owners", self.path("owners", &rest)).await?;
            owners.extend(page.results.into_iter().map(OwnerAnswer::into_owner));
            let Some(next) = page.paging.and_then(|paging| paging.next) else { return Ok(owners) };
            after = next.parameter();
        }
    }
}

/// `GET .../pipelines/deals`.
#[derive(Deserialize)]
pub(super) struct Pipelines {
    results: Vec<Pipeline>,
}

#[derive(Deserialize)]
struct Pipeline {
    id: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    archived: bool,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    id: String,
    label: String,
    #[serde(default)]
    archived: bool,
}

impl Pipelines {
    pub(super) fn into_stages(self) -> Vec<PipelineStage> {
        let of = |pipeline: Pipeline| {
            let (id, pipeline_label) = (pipeline.id, pipeline.label);
            let live = pipeline.stages.into_iter().filter(|stage| !stage.archived);
            live.map(move |stage| PipelineStage {
                pipeline: id.clone(),
                pipeline_label: pipeline_label.clone(),
                stage: stage.id,
                label: stage.label,
            })
        };
        self.results.into_iter().filter(|pipeline| !pipeline.archived).flat_map(of).collect()
    }
}
