//! `--name-template`: a template that gives a release its name. It may read the environment, which charts may not.

use gotemplate::{Functions, Limits, Run, TemplateSet, Value};
use std::sync::Arc;

/// Renders the template.
pub(super) fn render(text: &str) -> Result<String, String> {
    let functions: Functions = sprig::functions(&sprig::Env::system());
    let mut set = TemplateSet::new(Arc::new(functions));
    set.parse("name-template", text).map_err(|error| error.to_string())?;
    let name = Arc::new(set).execute("name-template", &Value::Nil, &mut Run::new(Limits::default()));
    Ok(name.map_err(|error| error.to_string())?.lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_work() {
        assert_eq!(render("web-{{ lower \"ABC\" }}").unwrap(), "web-abc");
        assert!(render("{{ nope }}").unwrap_err().contains("nope"));
    }
}
