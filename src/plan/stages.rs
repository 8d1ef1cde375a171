//! Stages of deals and opportunities: which is which.
//!
//! What the settings name comes first. A stage they do not name goes with the one in Salesforce that bears the same label, whatever
//! its case: HubSpot's `Closed won` with Salesforce's `Closed Won`. Several stages of HubSpot may be one in Salesforce; on the way
//! back the deal's own pipeline goes first, then the one that is called after the opportunity's record type: `Salesforce - 012...`.

use std::collections::BTreeMap;

use crate::plan::options::StageOptions;

/// What the label of a pipeline begins with that belongs to one record type; its id follows.
const OF_RECORD_TYPE: &str = "Salesforce - ";

/// How many characters of an id tell it; the further three only keep its case.
const ID_LENGTH: usize = 15;

/// A stage of a HubSpot pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineStage {
    /// The pipeline's id.
    pub pipeline: String,
    /// The pipeline's label.
    pub pipeline_label: String,
    /// The stage's id.
    pub stage: String,
    /// The stage's label.
    pub label: String,
}

/// Which stage is which.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages {
    stages: Vec<StageOptions>,
    /// The pipeline of each record type that has one of its own.
    of_record_types: BTreeMap<String, String>,
}

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
        let of_record_type = |known: &PipelineStage| {
            let id = known.pipeline_label.strip_prefix(OF_RECORD_TYPE)?.get(..ID_LENGTH)?;
            Some((id.to_owned(), known.pipeline.clone()))
        };
        Self { stages, of_record_types: pipelines.iter().filter_map(of_record_type).collect() }
    }

    /// Whether any record type has a pipeline of its own.
    pub fn tell_record_types(&self) -> bool {
        !self.of_record_types.is_empty()
    }

    /// The pipeline of a record type, where it has one of its own.
    pub fn pipeline_of(&self, record_type: &str) -> Option<&str> {
        self.of_record_types.get(record_type.get(..ID_LENGTH)?).map(String::as_str)
    }

    /// Those of Salesforce's stages that none of the allowed pipelines has.
    pub fn without_counterpart<'a>(&self, salesforce: &'a [String], allowed: &[String]) -> Vec<&'a str> {
        let lacks = |name: &&String| self.stage_of(name, None, allowed).is_none();
        salesforce.iter().filter(lacks).map(String::as_str).collect()
    }

    /// Salesforce's name of a stage.
    pub fn name_of(&self, pipeline: &str, stage: &str) -> Option<&str> {
        let same = |one: &&StageOptions| one.pipeline == pipeline && one.stage == stage;
        self.stages.iter().find(same).map(|one| one.salesforce.as_str())
    }

    /// The pipeline and stage for one of Salesforce's names: of the preferred pipeline, or else of the first allowed one that has
    /// it. No allowed pipelines means all of them.
    pub fn stage_of(&self, name: &str, preferred: Option<&str>, allowed: &[String]) -> Option<(&str, &str)> {
        let fits = |one: &&StageOptions| {
            one.salesforce == name && (allowed.is_empty() || allowed.contains(&one.pipeline))
        };
        let of_preferred = |one: &&StageOptions| Some(one.pipeline.as_str()) == preferred;
        let mut fitting = self.stages.iter().filter(fits);
        let own = self.stages.iter().filter(fits).find(of_preferred);
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
            pipeline_label: format!("Salesforce - {pipeline}"),
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

    #[test]
    fn r_145_a_pipeline_that_is_called_after_a_record_type_is_that_ones() {
        let id = "012000000000001";
        let known = |pipeline: &str, label: &str| PipelineStage {
            pipeline: pipeline.to_owned(),
            pipeline_label: label.to_owned(),
            stage: "1".to_owned(),
            label: "Closed Won".to_owned(),
        };
        let pipelines = [known("default", "Sales"), known("7", &format!("Salesforce - {id}AAA"))];
        let stages = Stages::new(&[], &pipelines, &["Closed Won".to_owned(), "New".to_owned()]);
        assert_eq!(stages.pipeline_of(&format!("{id}AAA")), Some("7"));
        assert_eq!(stages.pipeline_of(id), Some("7"));
        assert_eq!(stages.pipeline_of("012000000000002"), None);
        assert_eq!(stages.stage_of("Closed Won", stages.pipeline_of(id), &[]), Some(("7", "1")));
        let names = ["Closed Won".to_owned(), "New".to_owned()];
        assert_eq!(stages.without_counterpart(&names, &[]), ["New"]);
        assert_eq!(stages.without_counterpart(&names, &["9".to_owned()]), ["Closed Won", "New"]);
    }
}
