//! Versions behind tags: listing, and choosing by constraint.

use super::answer::failure;
use super::client::{Call, MAX_METADATA, pull_scope};
use super::{Client, Reference};
use crate::url::{Url, quoted};
use crate::{Error, Result};
use bytes::Bytes;
use http::header::LINK;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use sprig::semver::{Constraint, Version};

/// A registry that has more pages than this is not listed to the end.
const MAX_PAGES: usize = 1000;
/// As many tags as are looked at.
const MAX_TAGS: usize = 1_000_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The tags that are versions (`_` turned back into `+`), newest first.
pub fn version_tags(tags: &[String]) -> Vec<String> {
    let mut versions: Vec<Version> =
        tags.iter().filter_map(|tag| Version::parse_strict(&tag.replace('_', "+")).ok()).collect();
    versions.sort_by(|a, b| b.compare(a));
    versions.into_iter().map(|version| version.to_string()).collect()
}

/// The tag for a version or constraint: the same text, else the first that fits. An empty text means any release.
///
/// # Errors
/// [`Error::Invalid`] when the text is no constraint, [`Error::NotFound`] when nothing fits.
pub fn matching_tag(tags: &[String], version: &str) -> Result<String> {
    if !version.is_empty() && tags.iter().any(|tag| tag == version) {
        return Ok(version.into());
    }
    let constraint =
        Constraint::parse(if version.is_empty() { "*" } else { version }).map_err(|e| Error::Invalid(e.to_string()))?;
    let fits = |tag: &&String| Version::parse(tag).is_ok_and(|version| constraint.check(&version));
    tags.iter().find(fits).cloned().ok_or_else(|| {
        Error::NotFound(format!("could not locate a version matching provided version string {version}"))
    })
}

impl Client {
    /// All tags of a repository that are versions, newest first.
    ///
    /// # Errors
    /// What the registry answers; a `Link` to another host.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        let mut url = format!("{}{}/tags/list", self.base(reference.host()), reference.repository);
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let call = Call {
                method: Method::GET,
                url,
                headers: HeaderMap::new(),
                body: Bytes::new(),
                scope: &pull_scope(reference),
                limit: MAX_METADATA,
            };
            let answer = self.call(call).await?;
            if answer.status != StatusCode::OK {
                return Err(failure(&Method::GET, &answer));
            }
            let at = quoted(&answer.url.to_string());
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|e| Error::Network(format!("GET {at}: failed to decode response: {e}")))?;
            all.extend(page.tags.unwrap_or_default());
            let link = answer.headers.get(LINK).and_then(|value| value.to_str().ok());
            match link {
                Some(link) if all.len() < MAX_TAGS => url = next_page(&answer.url, link)?,
                _ => return Ok(version_tags(&all)),
            }
        }
        Ok(version_tags(&all))
    }
}

/// The URL in `<...>; rel="next"`, on the same host as `current`.
fn next_page(current: &Url, link: &str) -> Result<String> {
    let invalid = |why: &str| Error::Network(format!("invalid next link {}: {why}", quoted(link)));
    let inner = link.strip_prefix('<').ok_or_else(|| invalid("missing '<'"))?;
    let (target, _) = inner.split_once('>').ok_or_else(|| invalid("missing '>'"))?;
    let next = current.resolve(&Url::parse(target)?);
    if next.origin() != current.origin() {
        return Err(invalid(&format!("not the same origin as {}", quoted(&current.to_string()))));
    }
    Ok(next.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Vec<String> {
        ["1.0.0", "latest", "v2.0.0", "1.10.0", "1.2.0_b.1", "2.0.0-rc.1"].map(String::from).into()
    }

    #[test]
    fn only_strict_versions_count() {
        assert_eq!(version_tags(&tags()), ["2.0.0-rc.1", "1.10.0", "1.2.0+b.1", "1.0.0"]);
    }

    #[test]
    fn the_newest_that_fits() {
        let tags = version_tags(&tags());
        for (version, expected) in
            [("", "1.10.0"), ("1.2.0+b.1", "1.2.0+b.1"), ("~1.2", "1.2.0+b.1"), (">1-0", "2.0.0-rc.1")]
        {
            assert_eq!(matching_tag(&tags, version).as_deref(), Ok(expected), "{version}");
        }
        let none = matching_tag(&tags, "^3").unwrap_err();
        assert_eq!(none.to_string(), "could not locate a version matching provided version string ^3");
        assert!(matches!(matching_tag(&tags, "what?"), Err(Error::Invalid(_))));
    }

    #[test]
    fn pages_stay_on_the_host() {
        let current = Url::parse("https://h/v2/a/tags/list").unwrap();
        let next = next_page(&current, "</v2/a/tags/list?last=x&n=2>; rel=\"next\"");
        assert_eq!(next.as_deref(), Ok("https://h/v2/a/tags/list?last=x&n=2"));
        assert!(next_page(&current, "<https://evil/v2/>").is_err());
        assert!(next_page(&current, "x").is_err());
    }
}
