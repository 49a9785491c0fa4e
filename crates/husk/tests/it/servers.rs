//! Servers on the loopback: files as a web server has them, and charts as a registry has them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

/// What is served.
pub(crate) enum Serve {
    /// The files of a directory.
    Files(PathBuf),
    /// A registry, in memory.
    Charts,
    /// A registry for the user `me` with the password `secret`.
    GuardedCharts,
}

/// What a registry keeps: content by its path.
type Kept = BTreeMap<String, Vec<u8>>;

struct Request {
    method: String,
    path: String,
    query: String,
    authorization: String,
    body: Vec<u8>,
}

/// Starts a server that lives as long as the tests; returns host and port.
pub(crate) fn serve(what: Serve) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut kept = Kept::new();
        for stream in listener.incoming() {
            // A client that goes away is no failure of the server.
            let _ = stream.and_then(|stream| answer(stream, &what, &mut kept));
        }
    });
    address
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, what: &Serve, kept: &mut Kept) -> std::io::Result<()> {
    let request = read(&mut stream)?;
    let (status, headers, body) = match what {
        Serve::Files(directory) => match std::fs::read(directory.join(request.path.trim_start_matches('/'))) {
            Ok(data) => ("200 OK", String::new(), data),
            Err(_) => ("404 File not found", String::new(), Vec::new()),
        },
        // `me:secret`
        Serve::GuardedCharts if request.authorization != "Basic bWU6c2VjcmV0" => {
            let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n".to_owned(), body.to_vec())
        }
        Serve::Charts | Serve::GuardedCharts => registry(&request, kept),
    };
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if request.method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

fn read(stream: &mut TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.replace("%3A", ":"),
        authorization: String::new(),
        body: Vec::new(),
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => request.authorization = value.to_owned(),
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(request)
}

/// The distribution protocol, as far as charts need it. Manifests are kept under their tags.
fn registry(request: &Request, kept: &mut Kept) -> (&'static str, String, Vec<u8>) {
    let Request { method, path, .. } = request;
    let plain = String::new;
    match method.as_str() {
        "POST" => ("202 Accepted", format!("Location: {path}one\r\n"), Vec::new()),
        "PUT" if path.contains("/uploads/") => {
            let digest = request.query.split("digest=").nth(1).unwrap_or_default();
            let at = path.replace("uploads/one", digest);
            kept.insert(at, request.body.clone());
            ("201 Created", plain(), Vec::new())
        }
        "PUT" => {
            kept.insert(path.clone(), request.body.clone());
            ("201 Created", plain(), Vec::new())
        }
        _ if path == "/v2/" => ("200 OK", plain(), b"{}".to_vec()),
        _ if path.ends_with("/tags/list") => {
            let manifests = path.replace("tags/list", "manifests/");
            let tags: Vec<&str> = kept.keys().filter_map(|at| at.strip_prefix(manifests.as_str())).collect();
            let name = path.trim_start_matches("/v2/").trim_end_matches("/tags/list");
            if tags.is_empty() {
                let error = serde_json::json!({"code": "NAME_UNKNOWN",
                    "message": "repository name not known to registry", "detail": {"name": name}});
                return ("404 Not Found", plain(), serde_json::json!({"errors": [error]}).to_string().into_bytes());
            }
            ("200 OK", plain(), serde_json::json!({"name": name, "tags": tags}).to_string().into_bytes())
        }
        _ => match kept.get(path) {
            Some(data) => {
                let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
                ("200 OK", if path.contains("/manifests/") { kind.to_owned() } else { plain() }, data.clone())
            }
            None => ("404 Not Found", plain(), Vec::new()),
        },
    }
}
