//! `husk explain CODE`: an entry of the error catalogue; or a topic.

use crate::error::{Failure, Result};
use contract::Code;
use contract::code::{CATALOGUE, entry};

/// Returns the text of one entry, or the list of all.
pub(crate) fn explain(code: Option<&str>) -> Result<String> {
    let Some(code) = code else {
        let lines = CATALOGUE.iter().map(|entry| format!("{}  {}\n", entry.code, entry.title));
        return Ok(lines.collect());
    };
    if code == "autoscaling" {
        return Ok(crate::autoscaling::explain());
    }
    let parsed: Code = code.parse().map_err(Failure::plain)?;
    let entry = entry(parsed)
        .ok_or_else(|| Failure::plain(format!("there is no {parsed}; `husk explain` lists every code")))?;
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
    }
}
