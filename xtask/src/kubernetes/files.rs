//! Files that nodes fetch over http, in the control plane's network.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

type Content = Arc<Mutex<BTreeMap<String, Arc<Vec<u8>>>>>;

/// A server of files; it ends with this program.
pub(crate) struct Files {
    content: Content,
    address: String,
}

impl Files {
    /// Starts one without files at `address`, which is one of the network namespace's.
    pub(crate) fn serve(namespace: &str, address: &str) -> Result<Files, String> {
        let content = Content::default();
        let bound = {
            let address = address.to_owned();
            inside(namespace, move || TcpListener::bind(&address).map_err(|error| format!("{address}: {error}")))?
        };
        let served = Arc::clone(&content);
        std::thread::spawn(move || {
            for stream in bound.incoming().flatten() {
                let served = Arc::clone(&served);
                // A client that goes away in the middle is its own business.
                std::thread::spawn(move || drop(answer(stream, &served)));
            }
        });
        Ok(Files { content, address: address.to_owned() })
    }

    /// Serves a file from now on; returns its URL.
    pub(crate) fn publish(&self, name: &str, content: Vec<u8>) -> String {
        let mut all = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(format!("/{name}"), Arc::new(content));
        format!("http://{}/{name}", self.address)
    }
}

fn answer(mut stream: TcpStream, content: &Content) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let found = content.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    let (status, body) = match &found {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b"not found\n"[..]),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Does something in a network namespace, which one thread can enter.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            let place = PathBuf::from("/run/netns").join(namespace);
            let network = std::fs::File::open(&place).map_err(|error| format!("{}: {error}", place.display()))?;
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(network.as_fd(), kind)
                .map_err(|error| format!("{namespace}: {error}"))?;
            work()
        });
        done.join().map_err(|_| "a thread panicked".to_owned())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_is_served_and_another_is_not_found() {
        let content = Content::default();
        let files = Files { content: Arc::clone(&content), address: "h:1".into() };
        assert_eq!(files.publish("a.tar.gz", b"text".to_vec()), "http://h:1/a.tar.gz");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let ask = |path: &str| {
            let mut client = TcpStream::connect(place).unwrap();
            write!(client, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            answer(listener.accept().unwrap().0, &content).unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask("/a.tar.gz").ends_with("Content-Length: 4\r\nConnection: close\r\n\r\ntext"));
        assert!(ask("/b").starts_with("HTTP/1.1 404 "));
    }
}
