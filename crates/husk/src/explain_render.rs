//! `--explain` on Helm's verbs: what a failed rendering was about.

use crate::charts;
use crate::error::Failure;
use chart::{Chart, Log, RenderOptions, Values};
use contract::Code;
use std::path::Path;
use std::time::SystemTime;

/// Explains a failure with a chart; without its text, that of rendering the chart here. Empty when there is nothing to add.
pub(crate) fn explain(name: &str, user: &Values, failure: Option<&str>) -> String {
    let path = Path::new(name);
    if !path.exists() {
        return format!("--explain looks at charts on disk; {name} is none");
    }
    match chart::load::path(path, &mut Log::default()) {
        Ok(chart) => of_chart(&chart, user, failure),
        // The failure is that of loading, and its text says all there is.
        Err(_) => String::new(),
    }
}

fn of_chart(chart: &Chart, user: &Values, failure: Option<&str>) -> String {
    let options = RenderOptions::new("test-release", "default", SystemTime::now(), charts::entropy());
    let text = match failure {
        Some(text) => text.to_owned(),
        None => match chart::render::render_files(chart, user, &options, &mut Log::default()) {
            Ok(_) => return String::new(),
            Err(error) => error.to_string(),
        },
    };
    let hinted = charts::with_hints(Failure::new(Code::UNKNOWN_VALUE, text.as_str()), chart).message;
    let hints = hinted.strip_prefix(&text).unwrap_or_default();
    format!("{}{}", chart::explain::explain(chart, user, &options, &text), hints.trim_start_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    #[test]
    fn a_misspelt_value_of_ours_is_told_with_the_nearest_one() {
        let chart = charts::load("kata-deploy").unwrap();
        let Value::Object(user) = json!({"imgae": {}}) else { unreachable!("a map") };
        let text = of_chart(&chart, &user, None);
        assert!(text.contains("`imgae`: did you mean `image`?"), "{text}");
        assert_eq!(of_chart(&chart, &Map::new(), None), "");
    }
}
