//! Stages of deals and opportunities: which is which.
//!
//! What the settings name comes first. A stage they do not name goes with the one in Salesforce that bears the same label, whatever
//! its case: HubSpot's `Closed won` with Salesforce's `Closed Won`. Several stages of HubSpot may be one in Salesforce; on the way
//! back the deal's own pipeline goes first.

use crate::plan::options::StageOptions;

/// A stage of a HubSpot pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineStage {
    /// The pipeline's id.
    pub pipeline: String,
    /// The stage's id.
    pub stage: String,
    /// The stage's label.
    pub label: String,
}

/// Which stage is which.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages(Vec<StageOptions>);

impl Stages {
    /// From the settings, HubSpot's pipelines, and Salesforce's stages.
    pub fn new(settings: &[StageOptions], pipelines: &[PipelineStage], salesforce: &[String]) -> Self {
        let mut stages = settings.to_vec();
        for known in pipelines {
            let named = settings.iter().any(|one| one.pipeline == known.pipeline && one.stage == known.stage);
            let same = salesforce.iter().find(|name| name.to_lowercase() == known.label.to_lowercase());
            if let Some(name) = same.filter(|_| !named) {
                stages.push(StageOptions {
                    pipeline: known.pipeline.clone(),
                    stage: known.stage.clone(),
                    salesforce: name.clone(),
                });
            }
        }
        Self(stages)
    }

    /// Salesforce's name of a stage.
    pub fn name_of(&self, pipeline: &str, stage: &str) -> Option<&str> {
        let same = |one: &&StageOptions| one.pipeline == pipeline && one.stage == stage;
        self.0.iter().find(same).map(|one| one.salesforce.as_str())
    }

    /// The pipeline and stage for one of Salesforce's names: of the preferred pipeline, or else of the first allowed one that has
    /// it. No allowed pipelines means all of them.
    pub fn stage_of(&self, name: &str, preferred: Option<&str>, allowed: &[String]) -> Option<(&str, &str)> {
        let fits = |one: &&StageOptions| {
            one.salesforce == name && (allowed.is_empty() || allowed.contains(&one.pipeline))
        };
        let of_preferred = |one: &&StageOptions| Some(one.pipeline.as_str()) == preferred;
        let mut fitting = self.0.iter().filter(fits);
        let own = self.0.iter().filter(fits).find(of_preferred);
        own.or_else(|| fitting.next()).map(|one| (one.pipeline.as_str(), one.stage.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages() -> Stages {
        let named = |pipeline: &str, stage: &str, salesforce: &str| StageOptions {
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            salesforce: salesforce.to_owned(),
        };
        let known = |pipeline: &str, stage: &str, label: &str| PipelineStage {
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            label: label.to_owned(),
        };
        Stages::new(
            &[named("default", "talks", "Qualification"), named("renewal", "9", "Qualification")],
            &[
                known("default", "closedwon", "Closed won"),
                known("default", "talks", "Closed Lost"),
                known("renewal", "8", "Odd"),
            ],
            &["Qualification".to_owned(), "Closed Won".to_owned(), "Closed Lost".to_owned()],
        )
    }

    #[test]
    fn r_145_settings_go_before_labels() {
        assert_eq!(stages().name_of("default", "talks"), Some("Qualification"));
        assert_eq!(stages().name_of("default", "closedwon"), Some("Closed Won"));
        assert_eq!(stages().name_of("renewal", "8"), None);
    }

    #[test]
    fn r_145_the_deals_own_pipeline_goes_first_on_the_way_back() {
        assert_eq!(stages().stage_of("Qualification", Some("renewal"), &[]), Some(("renewal", "9")));
        assert_eq!(stages().stage_of("Qualification", None, &[]), Some(("default", "talks")));
        assert_eq!(stages().stage_of("Qualification", None, &["renewal".to_owned()]), Some(("renewal", "9")));
        assert_eq!(stages().stage_of("Closed Lost", None, &[]), None);
    }
}
