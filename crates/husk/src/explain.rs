//! `husk explain CODE`: an entry of the error catalogue; or a topic.

use crate::error::{Failure, Result};
use contract::Code;
use contract::code::{CATALOGUE, Entry, entry};
use serde_json::{Value, json};

/// Returns what `husk explain -o json` prints: one entry or all of them; or a topic's text.
pub(crate) fn json(code: Option<&str>) -> Result<Value> {
    let entry_json = |entry: &Entry| json!({"code": entry.code, "title": entry.title, "meaning": entry.meaning, "done": entry.done, "next": entry.next});
    let entries: Vec<Value> = match code {
        None => CATALOGUE.iter().map(entry_json).collect(),
        Some("autoscaling") => {
            return Ok(json!({"schema": SCHEMA, "topic": "autoscaling", "text": crate::autoscaling::explain()}));
        }
        Some(code) => vec![entry_json(find(code)?)],
    };
    Ok(json!({"schema": SCHEMA, "codes": entries}))
}

const SCHEMA: &str = "husk.explain/v1";

fn find(code: &str) -> Result<&'static Entry> {
    let parsed: Code = code.parse().map_err(Failure::plain)?;
    entry(parsed).ok_or_else(|| Failure::plain(format!("there is no {parsed}; `husk explain` lists every code")))
}

/// Returns the text of one entry, or the list of all.
pub(crate) fn explain(code: Option<&str>) -> Result<String> {
    let Some(code) = code else {
        let lines = CATALOGUE.iter().map(|entry| format!("{}  {}\n", entry.code, entry.title));
        return Ok(lines.collect());
    };
    if code == "autoscaling" {
        return Ok(crate::autoscaling::explain());
    }
    let entry = find(code)?;
    Ok(format!(
        "{} {}\n\n{}\n\nWhat Husk did: {}\nWhat to do:    {}\n",
        entry.code, entry.title, entry.meaning, entry.done, entry.next
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_and_an_unknown_one_is_not() {
        assert!(explain(Some("HUSK-2202")).unwrap().contains("put back, byte for byte"));
        assert!(explain(Some("husk-2202")).is_ok());
        assert!(explain(Some("HUSK-9999")).unwrap_err().message.contains("no HUSK-9999"));
        assert!(explain(None).unwrap().lines().count() > 10);
        let one = json(Some("HUSK-2202")).unwrap();
        assert_eq!((&one["schema"], &one["codes"][0]["code"]), (&"husk.explain/v1".into(), &"HUSK-2202".into()));
        assert_eq!(json(None).unwrap()["codes"].as_array().unwrap().len(), CATALOGUE.len());
        assert!(json(Some("HUSK-9999")).is_err() && json(Some("autoscaling")).unwrap()["text"].is_string());
    }
}
