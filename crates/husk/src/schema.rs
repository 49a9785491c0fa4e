//! `husk schema CHART`: a JSON schema for a chart's values.

use crate::error::{Failure, Result};
use crate::{charts, screen};
use chart::RenderOptions;
use serde_json::Value;
use std::time::SystemTime;

/// Infers the schema and prints it.
pub(crate) fn print(name: &str) -> Result<()> {
    let text = serde_json::to_string_pretty(&infer(&charts::load(name)?)?).map_err(Failure::plain)?;
    screen::emit(&format!("{text}\n"));
    Ok(())
}

fn infer(chart: &chart::Chart) -> Result<Value> {
    // The names matter to nothing: no template is executed.
    let options = RenderOptions::new("release", "default", SystemTime::now(), charts::entropy());
    chart::infer::schema(chart, &options).map_err(charts::failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    #[test]
    fn our_charts_satisfy_what_is_inferred_from_them() {
        for name in ["kata-deploy", "confidential-containers"] {
            let mut chart = charts::load(name).unwrap();
            chart.schema = Some(infer(&chart).unwrap().to_string().into_bytes().into());
            let options = RenderOptions::new("release", "default", SystemTime::now(), charts::entropy());
            chart::render(&chart, &Map::new(), &options).unwrap();
            let Value::Object(unknown) = json!({"no-such-key": 1}) else { unreachable!("a map") };
            let refused = chart::render(&chart, &unknown, &options).err();
            assert!(matches!(refused, Some(chart::Error::Schema(_))), "{name}: {refused:?}");
        }
    }
}
