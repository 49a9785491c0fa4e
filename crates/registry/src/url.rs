//! URLs as Go's `net/url` reads, joins and writes them: nothing is normalised that Go leaves alone.
//!
//! Helm compares, stores and prints URLs as texts, so a reader that tidies them up (lower case, final slashes, escapes)
//! would give other files and messages.

use crate::{Error, Result};

/// A URL in its parts, all as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Url {
    /// What stands before the colon, in lower case; empty for a relative reference.
    pub scheme: String,
    /// `user:password` before the `@`.
    pub user: Option<String>,
    /// Host with port.
    pub host: String,
    /// Whether there was a `//`.
    pub has_authority: bool,
    /// The path, escaped as written.
    pub path: String,
    /// What follows the question mark.
    pub query: Option<String>,
    /// What follows the number sign.
    pub fragment: Option<String>,
}

impl Url {
    /// Reads a URL or a relative reference.
    ///
    /// # Errors
    /// [`Error::Invalid`] with Go's text.
    pub fn parse(text: &str) -> Result<Url> {
        let refuse = |why: &str| Error::Invalid(format!("parse {}: {why}", quoted(text)));
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err(refuse("net/url: invalid control character in URL"));
        }
        let (rest, fragment) = cut(text, '#');
        let (scheme, rest) = scheme(rest).map_err(refuse)?;
        let (rest, query) = cut(rest, '?');
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            query: query.map(String::from),
            fragment: fragment.map(String::from),
            ..Url::default()
        };
        if url.scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(refuse("first path segment in URL cannot contain colon"));
        }
        url.path = match rest.strip_prefix("//") {
            Some(after) => {
                let (authority, path) = after.find('/').map_or((after, ""), |at| after.split_at(at));
                let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
                if let Some(why) = bad_host(host) {
                    return Err(refuse(&why));
                }
                url.user = user.map(String::from);
                url.host = host.into();
                url.has_authority = true;
                path.into()
            }
            None => rest.into(),
        };
        if bad_escape(&url.path) {
            return Err(refuse("invalid URL escape"));
        }
        Ok(url)
    }

    /// Whether there is a scheme.
    pub fn is_absolute(&self) -> bool {
        !self.scheme.is_empty()
    }

    /// The host without its port and without brackets.
    pub fn host_name(&self) -> &str {
        let host = self.host.as_str();
        if let Some(inner) = host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or("");
        }
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    }

    /// Scheme, host and port, with the scheme's own port when none is written: what may share credentials.
    pub fn origin(&self) -> (String, String, String) {
        let host = self.host_name().to_ascii_lowercase();
        let port = self.host[self.host.rfind(']').unwrap_or(0)..].rsplit_once(':').map(|(_, port)| port).unwrap_or("");
        let port = match (port, self.scheme.as_str()) {
            ("", "https") => "443",
            ("", "http") => "80",
            (port, _) => port,
        };
        (self.scheme.clone(), host, port.into())
    }

    /// What `reference` means when it stands in a document at this URL (RFC 3986, section 5).
    pub fn resolve(&self, reference: &Url) -> Url {
        if reference.is_absolute() {
            return Url { path: without_dots(&reference.path), ..reference.clone() };
        }
        let mut url = Url { scheme: self.scheme.clone(), ..reference.clone() };
        if reference.has_authority {
            url.path = without_dots(&url.path);
            return url;
        }
        url.host.clone_from(&self.host);
        url.user.clone_from(&self.user);
        url.has_authority = self.has_authority;
        if reference.path.is_empty() {
            url.path.clone_from(&self.path);
            if reference.query.is_none() {
                url.query.clone_from(&self.query);
            }
            return url;
        }
        let path = if reference.path.starts_with('/') {
            reference.path.clone()
        } else {
            let directory = self.path.rfind('/').map_or("", |at| &self.path[..=at]);
            format!("{directory}{}", reference.path)
        };
        url.path = without_dots(&path);
        if url.has_authority && !url.path.starts_with('/') {
            url.path.insert(0, '/');
        }
        url
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.has_authority {
            f.write_str("//")?;
            if let Some(user) = &self.user {
                write!(f, "{user}@")?;
            }
            f.write_str(&self.host)?;
            if !self.path.is_empty() && !self.path.starts_with('/') {
                f.write_str("/")?;
            }
        }
        escaped(f, &self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        match &self.fragment {
            Some(fragment) => write!(f, "#{fragment}"),
            None => Ok(()),
        }
    }
}

/// Writes a path, escaping what must not stand in one.
fn escaped(f: &mut std::fmt::Formatter<'_>, path: &str) -> std::fmt::Result {
    for byte in path.bytes() {
        match byte {
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => write!(f, "%{byte:02X}")?,
            byte => write!(f, "{}", byte as char)?,
        }
    }
    Ok(())
}

/// A chart's URL from an index, made absolute by the repository's URL; the repository's query goes with it.
///
/// # Errors
/// [`Error::Invalid`] when either is no URL.
pub fn resolve_reference(base: &str, reference: &str) -> Result<String> {
    fn failed(text: &str) -> impl FnOnce(Error) -> Error {
        move |e| e.during(format!("failed to parse {text} as URL"))
    }
    let parsed = Url::parse(reference).map_err(failed(reference))?;
    if parsed.is_absolute() {
        return Ok(reference.into());
    }
    let mut base_url = Url::parse(base).map_err(failed(base))?;
    base_url.path = format!("{}/", base_url.path.strip_suffix('/').unwrap_or(&base_url.path));
    let mut resolved = base_url.resolve(&parsed);
    resolved.query = base_url.query;
    Ok(resolved.to_string())
}

/// `base` with `path` behind it, cleaned as a path is.
///
/// # Errors
/// [`Error::Invalid`] when `base` is no URL.
pub fn join(base: &str, path: &str) -> Result<String> {
    let mut url = Url::parse(base)?;
    url.path = clean_join(&[&url.path, path]);
    Ok(url.to_string())
}

/// Whether two texts name the same place: final slashes and dots in the path do not count.
pub fn same(a: &str, b: &str) -> bool {
    let tidy = |text: &str| {
        Url::parse(text).map(|mut url| {
            url.path = if url.path.is_empty() { "/".into() } else { clean(&url.path) };
            url.to_string()
        })
    };
    match (tidy(a), tidy(b)) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), _) => clean(a) == clean(b),
        (Ok(_), Err(_)) => false,
    }
}

/// Go's `path.Join`: the parts that are not empty, joined and cleaned; empty when all are.
pub fn clean_join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { clean(&parts.join("/")) }
}

/// Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            part => kept.push(part),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".into(),
        (false, false) => kept.join("/"),
    }
}

/// The last part of a path, as Go's `path.Base`.
pub fn base_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { "." } else { "/" };
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Percent-encodes a value of a query.
pub fn query_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether a text would do as a request's URL: absolute, or a path from the root.
pub fn is_request_url(text: &str) -> bool {
    !text.is_empty()
        && Url::parse(text).is_ok_and(|url| {
            (url.is_absolute() && (url.has_authority || url.path.starts_with('/'))) || text.starts_with('/')
        })
}

/// A part of a URL with its escapes undone; what is no escape stays.
pub(crate) fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let decoded =
            (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn scheme(text: &str) -> std::result::Result<(&str, &str), &'static str> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme"),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn bad_host(host: &str) -> Option<String> {
    let after_bracket = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, after)) => after,
            None => return Some("missing ']' in host".into()),
        },
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let port_ok = match after_bracket.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()),
        None => after_bracket.is_empty(),
    };
    if !port_ok {
        return Some(format!("invalid port {} after host", quoted(after_bracket)));
    }
    let bad = host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'));
    bad.map(|c| format!("invalid character {} in host name", quoted(&c.to_string())))
}

fn bad_escape(path: &str) -> bool {
    let bytes = path.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !(hex(at + 1) && hex(at + 2)))
}

/// Removes `.` and `..` segments; a final one leaves a slash.
fn without_dots(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let mut last_is_dot = false;
    for part in path.trim_start_matches(|c| rooted && c == '/').split('/') {
        last_is_dot = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let mut out = String::from(if rooted { "/" } else { "" });
    out.push_str(&kept.join("/"));
    if last_is_dot && !out.ends_with('/') {
        out.push('/');
    }
    out
}

/// A text in quotes, as Go's `%q`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    goyaml::number::json_string(&mut out, text, false);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_are() {
        for text in [
            "https://user:pw@Example.COM:8443/a//b/../c?x=1&y#frag",
            "http://h",
            "http://h/",
            "file:///a/b",
            "../a/b-1.0.0+1.tgz",
            "oci://h:5000/a/b",
            "http://[::1]:80/x",
            "",
        ] {
            assert_eq!(Url::parse(text).map(|u| u.to_string()), Ok(text.to_string()), "{text}");
        }
    }

    #[test]
    fn what_go_refuses() {
        for (text, why) in [
            (":x", "missing protocol scheme"),
            ("a:b/c", ""),
            ("1:2", "first path segment in URL cannot contain colon"),
            ("http://h:x/", "invalid port \":x\" after host"),
            ("http://h/%zz", "invalid URL escape"),
            ("http://h/\u{1}", "net/url: invalid control character in URL"),
        ] {
            match Url::parse(text) {
                Ok(_) => assert_eq!(why, "", "{text} was taken"),
                Err(e) => assert!(!why.is_empty() && e.to_string().contains(why), "{text}: {e}"),
            }
        }
    }

    #[test]
    fn references_are_resolved_below_the_repository() {
        let cases = [
            ("http://h/charts", "a-1.tgz", "http://h/charts/a-1.tgz"),
            ("http://h/charts/", "sub/a-1.tgz", "http://h/charts/sub/a-1.tgz"),
            ("http://h/charts/", "../a-1.tgz", "http://h/a-1.tgz"),
            ("http://h/charts", "/a-1.tgz", "http://h/a-1.tgz"),
            ("http://h/charts?token=1", "a-1.tgz", "http://h/charts/a-1.tgz?token=1"),
            ("http://h", "index.yaml", "http://h/index.yaml"),
            ("http://h", "https://o/x.tgz", "https://o/x.tgz"),
            ("http://h/c", "//o/x.tgz", "http://o/x.tgz"),
        ];
        for (base, reference, expected) in cases {
            assert_eq!(resolve_reference(base, reference).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn equality_ignores_final_slashes() {
        assert!(same("http://h/a/", "http://h/a"));
        assert!(same("http://h", "http://h/"));
        assert!(!same("http://h/a", "https://h/a"));
        assert!(!same("http://h/a", "http://h/b"));
    }

    #[test]
    fn joins_are_cleaned() {
        assert_eq!(join("http://h/c", "").as_deref(), Ok("http://h/c"));
        assert_eq!(join("http://h/c/", "x.tgz").as_deref(), Ok("http://h/c/x.tgz"));
        assert_eq!(join("", "x.tgz").as_deref(), Ok("x.tgz"));
        assert_eq!(join("", "").as_deref(), Ok(""));
        assert_eq!(clean("a/./b/../../.."), "..");
    }

    #[test]
    fn origins_know_the_usual_ports() {
        let origin = |text: &str| Url::parse(text).map(|u| u.origin());
        assert_eq!(origin("https://H/"), origin("https://h:443/x"));
        assert_ne!(origin("https://h:444/"), origin("https://h/"));
        assert_eq!(origin("http://[::1]/"), origin("http://[::1]:80"));
    }
}
