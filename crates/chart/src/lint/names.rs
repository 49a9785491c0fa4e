//! Which names Kubernetes takes for which kinds.

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
    must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
    end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LETTER_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
    is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Whether `name` may name an object of this kind.
pub(super) fn check(kind: &str, name: &str) -> Result<(), String> {
    let problems = match kind.to_lowercase().as_str() {
        "service" => problems(name, 63, is_letter_label(name), LETTER_LABEL),
        "namespace" => problems(name, 63, is_label(name), LABEL),
        "certificatesigningrequest" => Vec::new(),
        "role" | "clusterrole" | "rolebinding" | "clusterrolebinding" => path_segment(name),
        _ => problems(name, 253, name.split('.').all(is_label), SUBDOMAIN),
    };
    let quoted = gotemplate::quote::quoted(name.as_bytes());
    let shown: Vec<String> = problems.iter().map(|p| format!("metadata.name: Invalid value: {quoted}: {p}")).collect();
    let listed = match shown.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    Err(format!("object name does not conform to Kubernetes naming requirements: {quoted}: {listed}"))
}

fn problems(name: &str, longest: usize, well_formed: bool, rule: &str) -> Vec<String> {
    let mut found = Vec::new();
    if name.len() > longest {
        found.push(format!("must be no more than {longest} characters"));
    }
    if !well_formed {
        found.push(rule.to_string());
    }
    found
}

fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

fn is_letter_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_differ_by_kind() {
        assert!(check("ConfigMap", "a.b-c").is_ok() && check("ConfigMap", "Bad_Name").is_err());
        assert!(
            check("Service", "1a").is_err() && check("Namespace", "1a").is_ok() && check("Namespace", "a.b").is_err()
        );
        assert!(check("ClusterRole", "system:x").is_ok() && check("Role", "a/b").is_err());
        assert!(check("ConfigMap", "").is_err());
    }
}
