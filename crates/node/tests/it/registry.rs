//! A registry in this process: one image, with a token or a password, and faults.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Layers end early.
    Truncated,
    /// Layers have other bytes.
    Swapped,
    /// Layers stop in the middle and the connection stays open.
    Stalled,
    /// Every answer is an error of the server.
    Broken,
}

struct State {
    blobs: BTreeMap<String, (String, Vec<u8>)>,
    tag: String,
    fault: Mutex<Fault>,
    password: Option<String>,
    blobs_served: AtomicUsize,
    requests: AtomicUsize,
    address: String,
}

#[derive(Clone)]
pub(crate) struct Registry(Arc<State>);

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Registry {
    /// Serves `payload` in an image of these layers (tar archives, gzipped or not) under the tag `v1`, for amd64 only.
    /// `password` is `user:password` in base64; with one, a token is handed out for it.
    pub(crate) fn start(layers: Vec<Vec<u8>>, password: Option<&str>) -> Registry {
        let mut blobs = BTreeMap::new();
        let mut list = Vec::new();
        for layer in layers {
            let name = digest(&layer);
            let (kind, size) = ("application/vnd.oci.image.layer.v1.tar+gzip", layer.len());
            list.push(serde_json::json!({"mediaType": kind, "digest": name, "size": size}));
            blobs.insert(name, (String::new(), layer));
        }
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2},
            "layers": list,
        }))
        .unwrap();
        let inner = digest(&manifest);
        let index = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": inner, "size": manifest.len(),
                           "platform": {"os": "linux", "architecture": "amd64"}}],
        }))
        .unwrap();
        let tag = digest(&index);
        blobs.insert(inner, ("application/vnd.oci.image.manifest.v1+json".into(), manifest));
        blobs.insert(tag.clone(), ("application/vnd.oci.image.index.v1+json".into(), index));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            blobs,
            tag,
            fault: Mutex::new(Fault::None),
            password: password.map(str::to_owned),
            blobs_served: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            address: listener.local_addr().unwrap().to_string(),
        });
        let registry = Registry(Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.serve(stream));
            }
        });
        registry
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// The digest of what the tag names.
    pub(crate) fn digest(&self) -> &str {
        &self.0.tag
    }

    pub(crate) fn inject(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// How many layers were asked for.
    pub(crate) fn served(&self) -> usize {
        self.0.blobs_served.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let shown = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
        });
        let fault = *self.fault.lock().unwrap();
        let plain = |status: &str, more: &str, body: &[u8]| {
            let mut answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n", body.len())
                    .into_bytes();
            answer.extend_from_slice(body);
            answer
        };
        let answer = if fault == Fault::Broken {
            plain("503 Service Unavailable", "", b"")
        } else if path.starts_with("/token") {
            match &self.password {
                Some(password) if shown != Some(format!("Basic {password}")) => plain("401 Unauthorized", "", b""),
                _ if !path.contains("scope=repository%3Akata%2Fpayload%3Apull") => plain("400 Bad Request", "", b""),
                _ => plain("200 OK", "", br#"{"token": "let-me-in"}"#),
            }
        } else if self.password.is_some() && shown.as_deref() != Some("Bearer let-me-in") {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"here\",scope=\"repository:kata/payload:pull\"\r\n",
                self.address
            );
            plain("401 Unauthorized", &challenge, b"")
        } else {
            let name = path.rsplit('/').next().unwrap_or_default();
            let name = if name == "v1" { &self.tag } else { name };
            match self.blobs.get(name) {
                Some((kind, bytes)) if path.contains("/blobs/") => {
                    self.blobs_served.fetch_add(1, Ordering::SeqCst);
                    assert!(kind.is_empty());
                    let mut answer = plain("200 OK", "", bytes);
                    match fault {
                        Fault::Truncated => answer.truncate(answer.len() - 20),
                        Fault::Swapped => *answer.last_mut().unwrap() ^= 1,
                        Fault::Stalled => {
                            answer.truncate(answer.len() - 20);
                            let _ = stream.write_all(&answer);
                            // until the other side gives up
                            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                            let _ = stream.read(&mut [0]);
                            return;
                        }
                        _ => {}
                    }
                    answer
                }
                Some((kind, bytes)) => plain("200 OK", &format!("Content-Type: {kind}\r\n"), bytes),
                None => plain("404 Not Found", "", b""),
            }
        };
        let _ = stream.write_all(&answer);
    }
}
