//! Values that cannot work are refused with a message that names the key. Upstream refuses these too; where it does so by
//! accident (a nil pointer, a type error of Go), the message here is one for people.

use super::{first, objects, own, read, values_files};

/// The case and what its message names.
const REFUSED: &[(&str, &[&str])] = &[
    ("kata-deploy-08-nodefeaturerules-invalid", &["nodeFeatureRules/create", "auto"]),
    ("kata-deploy-37-deploymentmode-invalid", &["deploymentMode", "daemonset", "job"]),
    ("kata-deploy-41-job-matchfields", &["affinity.nodeAffinity", "matchFields", "job.nodes"]),
    ("kata-deploy-42-job-gt-operator", &["affinity.nodeAffinity", "Gt", "cores"]),
    ("kata-deploy-43-job-empty-terms", &["affinity.nodeAffinity", "nodeSelectorTerms"]),
    ("kata-deploy-44-job-empty-term", &["affinity.nodeAffinity", "empty nodeSelectorTerm"]),
    ("kata-deploy-45-job-ttl-too-short", &["job.ttlSecondsAfterFinished", "59", "60"]),
    ("kata-deploy-46-job-dispatcher-no-tag", &["job.dispatcherImage.tag"]),
    ("kata-deploy-47-job-cleanup-matchfields", &["job.cleanup.nodeAffinity", "matchFields", "job.cleanup.nodes"]),
    ("kata-deploy-63-shim-enabled-as-string", &["/shims/qemu/enabled", "boolean"]),
    ("umbrella-error-01-customcontainerd-null", &["customContainerd"]),
    ("umbrella-error-02-installer-image-null", &["/customContainerd", "image"]),
    ("umbrella-error-03-tarballurls-string", &["/customContainerd/tarballUrls", "object"]),
    ("umbrella-error-04-bad-deployment-mode", &["deploymentMode", "daemonset"]),
    ("umbrella-error-05-bad-nfr-create", &["nodeFeatureRules/create"]),
    ("umbrella-error-07-short-ttl", &["job.ttlSecondsAfterFinished", "60"]),
    ("umbrella-error-08-env-null", &["env"]),
    ("umbrella-error-09-job-matchfields", &["matchFields", "job.nodes"]),
    ("umbrella-error-10-dispatcher-no-tag", &["job.dispatcherImage.tag"]),
];

/// Refused upstream, works here.
const WORKS: &[(&str, &str)] = &[
    ("kata-deploy-38-job-removed-nodeselector", "the older key is translated"),
    ("kata-deploy-39-job-removed-expressions", "the older key is translated"),
    ("kata-deploy-40-job-cleanup-expressions-renamed", "the older key is translated"),
    ("kata-deploy-52-upgrade-unverifiable", "the cluster itself refuses another identity"),
    ("kata-deploy-65-job-nodeselector-null-still-fails", "a key without a value says nothing"),
    ("umbrella-error-06-removed-job-selector", "the older key is translated"),
];

fn render(case: &str) -> Result<usize, String> {
    let chart = if case.starts_with("kata-deploy") { "kata-deploy" } else { "confidential-containers" };
    let mut options = first(chart);
    if case.contains("upgrade") {
        (options.is_install, options.is_upgrade, options.revision) = (false, true, 2);
    }
    let values = read(&values_files().join("refused").join(format!("{case}.yaml")));
    objects(&own(chart), &values, &options).map(|objects| objects.len()).map_err(|error| error.to_string())
}

#[test]
fn every_case_that_fails_upstream_names_its_key_or_works() {
    let mut wrong = Vec::new();
    for (case, parts) in REFUSED {
        match render(case) {
            Ok(_) => wrong.push(format!("{case} is not refused")),
            Err(error) if error.contains("nil pointer") => wrong.push(format!("{case}: {error}")),
            Err(error) => wrong.extend(
                parts.iter().filter(|part| !error.contains(**part)).map(|part| format!("{case}: {part}: {error}")),
            ),
        }
    }
    for (case, why) in WORKS {
        if let Err(error) = render(case) {
            wrong.push(format!("{case} ({why}): {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let files = std::fs::read_dir(values_files().join("refused")).unwrap().count();
    assert_eq!(files, REFUSED.len() + WORKS.len(), "every file of values is in one of the lists");
}
