//! Takes secrets out of text that leaves a host or a cluster: line by line, by what a line calls its value.

/// What stands in a secret's place.
pub const REMOVED: &str = "(removed)";

const WORDS: [&str; 11] = [
    "password",
    "passwd",
    "secret",
    "token",
    "auth",
    "credential",
    "apikey",
    "api_key",
    "privatekey",
    "private_key",
    "client-key-data",
];

/// Returns the text without secrets: values whose names say what they are, private keys, credentials in URLs.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.lines() {
        if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
            in_key = !line.contains("-----END");
            out.push_str(REMOVED);
            out.push('\n');
            continue;
        }
        if in_key {
            in_key = !line.contains("-----END");
            continue;
        }
        out.push_str(&line_without_secrets(line));
        out.push('\n');
    }
    out
}

fn line_without_secrets(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let named = WORDS.iter().filter_map(|word| lower.find(word).map(|at| at + word.len())).min();
    if let Some(end) = named {
        // The value begins after the first sign that separates a name from its value.
        let separator = line.get(end..).and_then(|rest| rest.find(['=', ':']));
        if let Some(at) = separator.map(|at| end + at + 1)
            && !line[at..].trim().is_empty()
            // `secrets:` with a list below, or an opening bracket alone, holds nothing yet.
            && !matches!(line[at..].trim(), "{" | "[" | "|" | "\"\"" | "''" | "null" | "true" | "false")
        {
            return format!("{} {REMOVED}", &line[..at]);
        }
    }
    without_credentials(line)
}

/// Takes `user:password@` out of URLs.
fn without_credentials(line: &str) -> String {
    let Some(scheme) = line.find("://") else { return line.to_owned() };
    let rest = &line[scheme + 3..];
    let end = rest.find(|c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace()).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{}{REMOVED}{}", &line[..scheme + 3], without_credentials(&rest[at..])),
        None => format!("{}{}", &line[..scheme + 3], without_credentials(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (line, expected) in [
            ("password = \"hunter2\"", "password = (removed)"),
            ("  authToken: abc", "  authToken: (removed)"),
            ("\"secret\": \"x\",", "\"secret\": (removed)"),
            ("imagePullSecrets:", "imagePullSecrets:"),
            ("runtime_type = \"io.containerd.kata.v2\"", "runtime_type = \"io.containerd.kata.v2\""),
            ("proxy = \"http://u:p@proxy:3128/\"", "proxy = \"http://(removed)@proxy:3128/\""),
            ("url: https://example.org/a@b", "url: https://example.org/a@b"),
            ("automountServiceAccountToken: false", "automountServiceAccountToken: false"),
        ] {
            assert_eq!(redact(line).trim_end_matches('\n'), expected);
        }
        let key = "a\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(redact(key), format!("a\n{REMOVED}\nb\n"));
    }
}
