//! Helm 3.8 is the oldest that our charts are for. Its templates are Go 1.17's, and its functions those of Sprig 3.2.

use super::{CHARTS, own};
use chart::Chart;

/// What came later.
const LATER: [&str; 9] = [
    "break",
    "continue",
    "fromToml",
    "mustFromToml",
    "mustToToml",
    "mustToYaml",
    "toYamlPretty",
    "mustToDuration",
    "mustFromYaml",
];

/// The words of the actions in a template, without comments and texts, and `else with`, which is newer too.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for action in text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
        if action.trim_start_matches(['-', ' ']).starts_with("/*") {
            continue;
        }
        let code: String = action.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let found = code.split(|c: char| !c.is_alphanumeric() && !".$_".contains(c)).filter(|word| !word.is_empty());
        let found: Vec<&str> = found.collect();
        words.extend(found.windows(2).filter(|pair| pair == &["else", "with"]).map(|_| "else with".to_owned()));
        words.extend(found.into_iter().map(str::to_owned));
    }
    words
}

fn newer(chart: &Chart) -> Vec<String> {
    let mut found: Vec<String> = chart
        .templates
        .iter()
        .flat_map(|file| words(&String::from_utf8_lossy(&file.data)))
        .filter(|word| LATER.contains(&word.as_str()) || word == "else with")
        .collect();
    found.extend(chart.dependencies.iter().flat_map(newer));
    found
}

#[test]
fn nothing_is_asked_that_helm_3_8_lacks() {
    for name in CHARTS {
        assert_eq!(newer(&own(name)), Vec::<String>::new(), "{name}");
    }
    assert_eq!(
        words("{{- else with .x }}{{ break }}{{/* continue */}}{{ list \"continue\" }}"),
        ["else with", "else", "with", ".x", "break", "list"]
    );
}
