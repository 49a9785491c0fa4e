//! URLs as Go's net/url parses and writes them.

use gotemplate::{CallResult, FuncError, Functions, Map, Type, Value, quote};

use crate::args::{NIL_DEREFERENCE, map, utf8};

pub(crate) fn register(table: &mut Functions) {
    table.fixed("urlParse", &[Type::Str], |_, args| {
        let text = utf8(args, 0);
        let url = Url::parse(&text).map_err(|error| format!("unable to parse url: {error}"))?;
        let hostname = hostname(&url.host).to_owned();
        let userinfo = url.user.as_ref().map(User::written).unwrap_or_default();
        Ok(Value::Map(Map::from_iter([
            ("scheme", url.scheme),
            ("host", url.host),
            ("hostname", hostname),
            ("path", url.path),
            ("query", url.query),
            ("opaque", url.opaque),
            ("fragment", url.fragment),
            ("userinfo", userinfo),
        ])))
    });
    table.fixed("urlJoin", &[Type::ANY_MAP], |_, args| join(map(args, 0).unwrap_or(&Map::new())));
}

fn join(parts: &Map) -> CallResult {
    let part = |key: &str| -> Result<String, FuncError> {
        match parts.get(key) {
            None => Ok(String::new()),
            Some(Value::Nil) => Err(NIL_DEREFERENCE.into()),
            Some(value) => value.as_str().map(|text| text.lossy().into_owned()).ok_or_else(|| {
                let kind = value.kind().name();
                format!("unable to parse {key} key, must be of type string, but {kind} found").into()
            }),
        }
    };
    let mut url = Url {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let userinfo = part("userinfo")?;
    if !userinfo.is_empty() {
        let example = format!("proto://{userinfo}@host");
        let parsed = Url::parse(&example).map_err(|error| format!("unable to parse userinfo in dict: {error}"))?;
        url.user = parsed.user;
    }
    Ok(url.written().into())
}

/// A URL in its parts, unescaped except for the query.
#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<User>,
    host: String,
    path: String,
    query: String,
    force_query: bool,
    fragment: String,
}

struct User {
    name: String,
    password: Option<String>,
}

/// Where a text stands, which decides what must be escaped.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Path,
    User,
    Host,
    Fragment,
}

impl User {
    fn written(&self) -> String {
        let name = escape(&self.name, Place::User);
        match &self.password {
            Some(password) => format!("{name}:{}", escape(password, Place::User)),
            None => name,
        }
    }
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        let failed = |message: String| format!("parse {}: {message}", quote::quoted(text.as_bytes()));
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let failed_rest = |message: String| format!("parse {}: {message}", quote::quoted(rest.as_bytes()));
        let mut url = Url::parse_without_fragment(rest).map_err(failed_rest)?;
        url.fragment = unescape(fragment, Place::Fragment).map_err(failed)?;
        Ok(url)
    }

    fn parse_without_fragment(text: &str) -> Result<Url, String> {
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let mut url = Url::default();
        if text == "*" {
            url.path = "*".to_owned();
            return Ok(url);
        }
        let (scheme, mut rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        if rest.ends_with('?') && rest.matches('?').count() == 1 {
            url.force_query = true;
            rest = &rest[..rest.len() - 1];
        } else if let Some((path, query)) = rest.split_once('?') {
            url.query = query.to_owned();
            rest = path;
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        if rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///")) {
            let authority = &rest[2..];
            let end = authority.find('/').unwrap_or(authority.len());
            rest = &authority[end..];
            url.authority(&authority[..end])?;
        }
        url.path = unescape(rest, Place::Path)?;
        Ok(url)
    }

    fn authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = parse_host(host)?;
        if let Some(user) = user {
            let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
            if !user.bytes().all(valid) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            let (name, password) = match user.split_once(':') {
                Some((name, password)) => (name, Some(unescape(password, Place::User)?)),
                None => (user, None),
            };
            self.user = Some(User { name: unescape(name, Place::User)?, password });
        }
        Ok(())
    }

    fn written(&self) -> String {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&self.scheme);
            out.push(':');
        }
        if self.opaque.is_empty() {
            self.write_hierarchy(&mut out);
        } else {
            out.push_str(&self.opaque);
        }
        if self.force_query || !self.query.is_empty() {
            out.push('?');
            out.push_str(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push('#');
            out.push_str(&escape(&self.fragment, Place::Fragment));
        }
        out
    }

    fn write_hierarchy(&self, out: &mut String) {
        let located = !self.host.is_empty() || self.user.is_some();
        if located || (!self.scheme.is_empty() && !self.path.is_empty()) {
            out.push_str("//");
            if let Some(user) = &self.user {
                out.push_str(&user.written());
                out.push('@');
            }
            out.push_str(&escape(&self.host, Place::Host));
        }
        let path = if self.path == "*" { "*".to_owned() } else { escape(&self.path, Place::Path) };
        if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
            out.push('/');
        }
        if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            out.push_str("./");
        }
        out.push_str(&path);
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..i], &text[i + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn parse_host(host: &str) -> Result<String, String> {
    let port = match (host.starts_with('['), host.rfind(']'), host.find(':')) {
        (true, None, _) => return Err("missing ']' in host".to_owned()),
        (true, Some(end), _) => &host[end + 1..],
        (false, _, Some(colon)) => &host[colon..],
        (false, _, None) => "",
    };
    let valid = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    if !valid {
        return Err(format!("invalid port {} after host", quote::quoted(port.as_bytes())));
    }
    unescape(host, Place::Host)
}

/// The host without port and brackets.
fn hostname(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn stays(b: u8, place: Place) -> bool {
    match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => true,
        _ if place == Place::Host && b"!$&'()*+,;=:[]<>\"".contains(&b) => true,
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match place {
            Place::Path => b != b'?',
            Place::User => !b"@/?:".contains(&b),
            Place::Fragment => true,
            Place::Host => false,
        },
        b'!' | b'(' | b')' | b'*' => place == Place::Fragment,
        _ => false,
    }
}

fn escape(text: &str, place: Place) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if stays(b, place) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn unescape(text: &str, place: Place) -> Result<String, String> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(b) = bytes.get(at) {
        if *b == b'%' {
            let digits = text.get(at + 1..at + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            // Hosts may only escape what is beyond ASCII, and the percent sign of a zone.
            let code = code.filter(|code| place != Place::Host || *code >= 0x80 || *code == b'%');
            let Some(code) = code else {
                let shown = String::from_utf8_lossy(&bytes[at..(at + 3).min(bytes.len())]).into_owned();
                return Err(format!("invalid URL escape {}", quote::quoted(shown.as_bytes())));
            };
            out.push(code);
            at += 3;
            continue;
        }
        if place == Place::Host && *b < 0x80 && !stays(*b, place) {
            let shown = quote::quoted(&[*b]);
            return Err(format!("invalid character {shown} in host name"));
        }
        out.push(*b);
        at += 1;
    }
    Ok(gotemplate::lossy(&out).into_owned())
}
