//! `--template`: Go templates over what a command knows.

use gotemplate::{Functions, Limits, Map, MissingKey, Run, TemplateSet, Value};
use release::Release;
use std::sync::Arc;

/// Renders a template with Go's own functions.
pub(super) fn render(text: &str, data: &Value) -> Result<String, String> {
    let mut set = TemplateSet::new(Arc::new(Functions::new())).with_missing_key(MissingKey::Error);
    set.parse("_", text).map_err(|error| error.to_string())?;
    let rendered = Arc::new(set).execute("_", data, &mut Run::new(Limits::default()));
    rendered.map(|text| text.lossy().into_owned()).map_err(|error| error.to_string())
}

/// A release with the names that Go's structures have: the JSON members of a record with capital letters.
pub(super) fn release(release: &Release) -> Result<Value, String> {
    let mut record = serde_json::to_value(release).map_err(|error| error.to_string())?;
    let map = Map::new();
    for (key, value) in record.as_object_mut().into_iter().flatten() {
        // Values, labels and manifests are the user's own; their keys stay.
        let value = match key.as_str() {
            "config" | "labels" => chart::convert::to_go(value),
            _ => capital(value),
        };
        map.insert(go_name(key), value);
    }
    for name in ["Config", "Labels"] {
        if map.get(name).is_none() {
            map.insert(name, Value::Map(Map::new()));
        }
    }
    for name in ["Manifest", "ApplyMethod"] {
        if map.get(name).is_none() {
            map.insert(name, Value::from(""));
        }
    }
    Ok(Value::Map(map))
}

fn capital(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Object(members) => {
            let member = |(key, value): (&String, &serde_json::Value)| {
                let is_own = matches!(key.as_str(), "values" | "annotations");
                (go_name(key), if is_own { chart::convert::to_go(value) } else { capital(value) })
            };
            Value::Map(members.iter().map(member).collect())
        }
        serde_json::Value::Array(items) => Value::from(items.iter().map(capital).collect::<Vec<_>>()),
        plain => chart::convert::to_go(plain),
    }
}

/// `first_deployed` is `FirstDeployed`, `apiVersion` is `APIVersion`.
fn go_name(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("api") {
        return format!("API{rest}");
    }
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    key.split('_').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let mut one = Release { name: "web".to_owned(), version: 3, ..Release::default() };
        one.config.insert("lower".to_owned(), "kept".into());
        one.chart = serde_json::json!({"metadata": {"apiVersion": "v2", "appVersion": "1"}});
        let data = release(&one).unwrap();
        let text =
            "{{.Name}} {{.Version}} {{.Config.lower}} {{.Chart.Metadata.APIVersion}}{{.Chart.Metadata.AppVersion}}";
        assert_eq!(render(text, &data).unwrap(), "web 3 kept v21");
        assert!(render("{{.Nope}}", &data).is_err());
        assert!(render("{{", &data).is_err());
        assert_eq!(go_name("first_deployed"), "FirstDeployed");
    }
}
