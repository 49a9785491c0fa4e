//! Templates of k3s, RKE2 and MicroK8s, as far as configuration files use them.
//!
//! k3s takes any Go template. Here a template may include its base (`{{ template "base" . }}`), hold comments, and trim
//! white space; another action is refused with a message that says so, instead of being rendered wrongly.

/// Renders a template of k3s or RKE2.
///
/// # Errors
/// The action that is not understood, or what is malformed.
pub(crate) fn rancher(template: &str, base: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    let mut trim_next = false;
    loop {
        let (text, action) = match rest.split_once("{{") {
            Some((text, action)) => (text, Some(action)),
            None => (rest, None),
        };
        let text = if trim_next { text.trim_start() } else { text };
        let trims_before = action.is_some_and(|action| action.starts_with("- "));
        out.push_str(if trims_before { text.trim_end() } else { text });
        let Some(action) = action else { return Ok(out) };
        let Some((body, after)) = action.split_once("}}") else {
            return Err("template: compiled_template: unclosed action".to_owned());
        };
        trim_next = body.ends_with(" -");
        let body = body.strip_prefix('-').unwrap_or(body);
        let body = body.strip_suffix('-').unwrap_or(body).trim();
        let words: Vec<&str> = body.split_whitespace().collect();
        match words.as_slice() {
            ["template", "\"base\"" | "`base`", "."] => out.push_str(base),
            _ if body.starts_with("/*") && body.ends_with("*/") => {}
            ["template", name, ..] => {
                return Err(format!("template: compiled_template: no template {name} is defined"));
            }
            _ => return Err(format!("a simulated host does not render the template action {{{{ {body} }}}}")),
        }
        rest = after;
    }
}

/// Fills `${NAME}` in, as MicroK8s' start script does; unknown names stay.
pub(crate) fn shell(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_included_where_it_is_named() {
        let rendered = rancher("{{ template \"base\" . }}\n[x]\n", "version = 3\n").unwrap();
        assert_eq!(rendered, "version = 3\n\n[x]\n");
        let trimmed = rancher("a\n{{- /* note */ -}}\nb {{template `base` .}}", "B").unwrap();
        assert_eq!(trimmed, "ab B");
    }

    proptest::proptest! {
        #[test]
        fn no_template_is_a_panic_and_text_stays_text(text in "[ a{}\"\\-/*\\n.]{0,40}|.{0,40}") {
            let rendered = rancher(&text, "BASE");
            if !text.contains("{{") {
                proptest::prop_assert_eq!(rendered, Ok(text));
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for template in ["{{ .NodeConfig.X }}", "{{ template \"other\" . }}", "{{ if", "{{ range . }}"] {
            assert!(rancher(template, "").is_err(), "{template}");
        }
        assert_eq!(rancher("no action }} here", "").unwrap(), "no action }} here");
    }
}
