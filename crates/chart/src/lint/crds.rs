//! Findings about custom resource definitions.

use super::templates::{documents, read_object};
use super::{Findings, Folder, Severity};
use crate::{Log, load};

pub(super) fn check(folder: &Folder, findings: &mut Findings) {
    if !folder.has_directory("crds") {
        return;
    }
    let chart = match load::files(folder.files.clone(), &mut Log::default()) {
        Ok(chart) => chart,
        Err(e) => return findings.add(Severity::Error, "crds/", e.to_string()),
    };
    for crd in chart.crds() {
        let name = crd.file.name.as_str();
        for document in documents(&crd.file.text()) {
            match document.and_then(|text| read_object(&text)) {
                Ok(None) => {}
                Ok(Some(object)) => {
                    if !object.api_version.starts_with("apiextensions.k8s.io") {
                        findings.add(Severity::Error, name, "apiVersion is not in 'apiextensions.k8s.io'");
                    }
                    if object.kind != "CustomResourceDefinition" {
                        findings.add(Severity::Error, name, "object kind is not 'CustomResourceDefinition'");
                    }
                }
                Err(e) => return findings.add(Severity::Error, name, format!("unable to parse YAML: {e}")),
            }
        }
    }
}
