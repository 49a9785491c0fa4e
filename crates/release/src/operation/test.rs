//! Running a release's test hooks.

use crate::engine::Engine;
use crate::error::{Error, PodLog, Result};
use crate::hooks::{self, HookRunner};
use crate::options::Options;
use crate::reason::core;
use crate::record::{Hook, HookEvent, Release};
use serde_json::Value;

/// Which tests to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestFilter {
    /// Only these, when there are any.
    pub only: Vec<String>,
    /// Not these.
    pub not: Vec<String>,
}

impl TestFilter {
    /// Does the filter let a test through?
    pub fn accepts(&self, name: &str) -> bool {
        !self.not.iter().any(|other| other == name) && (self.only.is_empty() || self.only.iter().any(|own| own == name))
    }
}

impl Engine {
    /// Runs the tests of the newest revision and records their results. The release comes back with an error too.
    pub async fn test(
        &self,
        name: &str,
        filter: &TestFilter,
        options: &Options,
    ) -> Result<Release, (Option<Box<Release>>, Error)> {
        let begin = async {
            super::check_name(name)?;
            self.cluster.version().await?;
            self.storage.last(name).await?.ok_or(Error::NotFound)
        };
        let mut release = begin.await.map_err(|error| (None, error))?;
        let accepts = |hook: &Hook| filter.accepts(&hook.name);
        let runner = HookRunner { cluster: &self.cluster, storage: &self.storage, options, filter: &accepts };
        let outcome = runner.run(&mut release, HookEvent::Test).await;
        let stored = self.storage.update(&release).await;
        match outcome.and(stored) {
            Ok(()) => Ok(release),
            Err(error) => Err((Some(Box::new(release)), error)),
        }
    }

    /// Reads the output of the test pods of a release, in the order in which the tests run.
    pub async fn test_logs(&self, release: &Release, filter: &TestFilter) -> Result<Vec<PodLog>> {
        let mut logs = Vec::new();
        for place in hooks::order(&release.hooks, HookEvent::Test) {
            let hook = &release.hooks[place];
            if hook.kind != "Pod" || !filter.accepts(&hook.name) {
                continue;
            }
            let pod = self.cluster.get(&core("pods", "Pod"), &release.namespace, &hook.name).await?;
            let pod = pod.ok_or_else(|| Error::Api {
                code: 404,
                reason: "NotFound".to_owned(),
                message: format!("unable to get pod {}: pods {:?} not found", hook.name, hook.name),
            })?;
            for container in container_names(&pod) {
                let text = self.cluster.logs(&release.namespace, &hook.name, &container, None).await?;
                logs.push(PodLog { pod: hook.name.clone(), container, node: None, outcome: None, text });
            }
        }
        Ok(logs)
    }
}

fn container_names(pod: &Value) -> Vec<String> {
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    let all = list("initContainers").chain(list("containers"));
    all.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_wins() {
        let filter = TestFilter { only: vec!["a".into(), "b".into()], not: vec!["b".into()] };
        assert!(filter.accepts("a"));
        assert!(!filter.accepts("b") && !filter.accepts("c"));
        assert!(TestFilter::default().accepts("anything"));
    }
}
