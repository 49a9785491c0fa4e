//! A registry in memory: just enough of the distribution protocol to be pushed to and pulled from.

use crate::server::{Answer, Seen, Server, answer, with};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Who is let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Nobody,
    /// User `me`, password `secret`.
    Basic,
    /// A token that names the scopes it is for, given to `me` with `secret`.
    Bearer,
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) blobs: HashMap<String, Bytes>,
    /// By `repository:tag` and `repository@digest`: media type and bytes.
    pub(crate) manifests: BTreeMap<String, (String, Bytes)>,
    /// Answer so often with 503 before anything else.
    pub(crate) busy: u32,
    /// Tags a page of a listing has.
    pub(crate) page: usize,
}

#[derive(Clone)]
pub(crate) struct FakeRegistry {
    pub(crate) store: Arc<Mutex<Store>>,
    guard: Guard,
}

const USER: &str = "me:secret";

impl FakeRegistry {
    pub(crate) async fn start(guard: Guard) -> (FakeRegistry, Server) {
        let store = Store { page: 2, ..Store::default() };
        let registry = FakeRegistry { store: Arc::new(Mutex::new(store)), guard };
        let handler = registry.clone();
        (registry, Server::start(move |seen| handler.answer(seen)).await)
    }

    pub(crate) fn put_manifest(&self, name: &str, media_type: &str, data: impl Into<Bytes>) -> String {
        let data = data.into();
        let digest = registry::oci::digest(&data);
        let repository = name.split(':').next().unwrap();
        let mut store = self.store.lock().unwrap();
        store.manifests.insert(format!("{repository}@{digest}"), (media_type.into(), data.clone()));
        store.manifests.insert(name.into(), (media_type.into(), data));
        digest
    }

    pub(crate) fn put_blob(&self, data: impl Into<Bytes>) -> String {
        let data = data.into();
        let digest = registry::oci::digest(&data);
        self.store.lock().unwrap().blobs.insert(digest.clone(), data);
        digest
    }

    pub(crate) fn answer(&self, seen: &Seen) -> Answer {
        let mut store = self.store.lock().unwrap();
        if store.busy > 0 {
            store.busy -= 1;
            return answer(503, "busy");
        }
        if seen.path == "/token" {
            return self.token(seen);
        }
        if let Some(refused) = self.refuse(seen) {
            return refused;
        }
        drop(store);
        let Some(rest) = seen.path.strip_prefix("/v2/") else { return answer(404, "") };
        if rest.is_empty() {
            return answer(200, "{}");
        }
        for kind in ["/manifests/", "/blobs/", "/tags/"] {
            if let Some((repository, name)) = rest.split_once(kind) {
                return match kind {
                    "/manifests/" => self.manifest(seen, repository, name),
                    "/blobs/" => self.blob(seen, repository, name),
                    _ => self.tags(seen, repository),
                };
            }
        }
        answer(404, "")
    }

    fn token(&self, seen: &Seen) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(USER));
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        let known = seen.header("authorization") == basic
            || (form.contains("username=me") && form.contains("password=secret"))
            || form.contains("refresh_token=refresh");
        if !known {
            return answer(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad credentials"}]}"#);
        }
        let asked = if form.is_empty() { &seen.query } else { &form };
        let scope = asked.split('&').find_map(|part| part.strip_prefix("scope=")).unwrap_or("");
        let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
        answer(200, format!(r#"{{"token":"for {scope}","access_token":"for {scope}"}}"#))
    }

    fn refuse(&self, seen: &Seen) -> Option<Answer> {
        let shown = seen.header("authorization");
        let host = seen.header("host");
        let writes = !matches!(seen.method.as_str(), "GET" | "HEAD");
        let (good, challenge) = match self.guard {
            Guard::Nobody => return None,
            Guard::Basic => (shown == format!("Basic {}", STANDARD.encode(USER)), "Basic realm=\"here\"".to_owned()),
            Guard::Bearer => {
                let repository = seen.path.trim_start_matches("/v2/").split(['/']).next().unwrap_or("");
                let needed = if writes { "pull,push" } else { "pull" };
                let scope = format!("repository:{repository}");
                let fits = shown.starts_with(&format!("Bearer for {scope}")) && shown.contains(needed);
                let good = fits || (repository.is_empty() && shown.starts_with("Bearer for"));
                let asked =
                    if repository.is_empty() { String::new() } else { format!(",scope=\"{scope}/app:{needed}\"") };
                (good, format!("Bearer realm=\"http://{host}/token\",service=\"fake\"{asked}"))
            }
        };
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        (!good).then(|| with(answer(401, body), "www-authenticate", &challenge))
    }

    fn manifest(&self, seen: &Seen, repository: &str, name: &str) -> Answer {
        let joint = if name.contains(':') { '@' } else { ':' };
        if seen.method == "PUT" {
            let digest = self.put_manifest(
                &format!("{repository}{joint}{name}"),
                seen.header("content-type"),
                seen.body.clone(),
            );
            return with(answer(201, ""), "docker-content-digest", &digest);
        }
        let store = self.store.lock().unwrap();
        match store.manifests.get(&format!("{repository}{joint}{name}")) {
            Some((media_type, data)) => {
                let digest = registry::oci::digest(data);
                let found = with(answer(200, data.clone()), "content-type", media_type);
                with(found, "docker-content-digest", &digest)
            }
            None => answer(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
        }
    }

    fn blob(&self, seen: &Seen, repository: &str, name: &str) -> Answer {
        match seen.method.as_str() {
            "POST" => with(answer(202, ""), "location", &format!("/v2/{repository}/blobs/uploads/1?state=x")),
            "PUT" => {
                let digest = seen.query.split("digest=").nth(1).unwrap_or("").replace("%3A", ":");
                if !seen.query.contains("state=x") || registry::oci::digest(&seen.body) != digest {
                    return answer(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                self.put_blob(seen.body.clone());
                answer(201, "")
            }
            _ => match self.store.lock().unwrap().blobs.get(name) {
                Some(data) => answer(200, data.clone()),
                None => answer(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
            },
        }
    }

    fn tags(&self, seen: &Seen, repository: &str) -> Answer {
        let store = self.store.lock().unwrap();
        let prefix = format!("{repository}:");
        let tags: Vec<&str> = store.manifests.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
        if tags.is_empty() {
            return answer(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"unknown","detail":{"name":"x"}}]}"#);
        }
        let after = seen.query.strip_prefix("last=").unwrap_or("");
        let rest: Vec<&str> = tags.into_iter().filter(|tag| *tag > after).collect();
        let page: Vec<&str> = rest.iter().copied().take(store.page).collect();
        let body = serde_json::json!({"name": repository, "tags": page}).to_string();
        match page.last() {
            Some(last) if page.len() < rest.len() => {
                with(answer(200, body), "link", &format!("</v2/{repository}/tags/list?last={last}>; rel=\"next\""))
            }
            _ => answer(200, body),
        }
    }
}
