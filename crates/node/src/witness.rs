//! `husk-node witness`: says where it runs. The command line starts it in pods of the classes that it proves: it tells the
//! kernel and the marks of confidential hardware that it sees, and asks the guest's own services for evidence.

use crate::container::{Container, say};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The schema of [`Witness`].
pub const SCHEMA: &str = "husk.witness/v1";
/// Where a confidential guest offers its services to containers.
const GUEST_SERVICES: &str = "127.0.0.1:8006";
/// Most bytes of an answer that are read.
const MOST: u64 = 1 << 19;

/// What a container can tell of the place that it runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Witness {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The kernel's release.
    pub kernel: String,
    /// Marks of confidential hardware, such as `tdx` or `snp`.
    pub marks: Vec<String>,
    /// What the guest's attestation agent answered, when evidence was asked for.
    pub evidence: Option<Answer>,
    /// What came of asking for a key broker's resource; the resource itself is not told, only its hash.
    pub resource: Option<Answer>,
}

/// What a service of the guest answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answer {
    /// HTTP's status; 0 when nobody answered.
    pub status: u16,
    /// The answer's text, or for a resource the SHA-256 of it in hexadecimal digits.
    pub body: String,
    /// Why there is none.
    pub trouble: String,
}

/// Looks around. `runtime_data` goes into the evidence, `resource` is a path such as `default/key/1`.
pub fn look(container: &Container, runtime_data: Option<&str>, resource: Option<&str>) -> Witness {
    let text = |path: &str| std::fs::read_to_string(container.path(path)).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let flag = |name: &str| cpu.split_whitespace().any(|word| word == name);
    let exists = |path: &str| container.path(path).exists();
    let marks = [
        ("tdx", exists("/dev/tdx_guest") || flag("tdx_guest")),
        ("snp", exists("/dev/sev-guest")),
        ("se", text("/sys/firmware/uv/prot_virt_guest").trim() == "1"),
    ];
    Witness {
        schema: SCHEMA.to_owned(),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        marks: marks.into_iter().filter(|(_, seen)| *seen).map(|(name, _)| name.to_owned()).collect(),
        evidence: runtime_data.map(|data| get(&format!("/aa/evidence?runtime_data={data}"))),
        resource: resource.map(|path| {
            let answer = get(&format!("/cdh/resource/{path}"));
            let body = if answer.status == 200 { hash(answer.body.as_bytes()) } else { answer.body };
            Answer { body, ..answer }
        }),
    }
}

fn hash(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks a service of the guest. HTTP/1.0, so that the answer ends with the connection.
fn get(path: &str) -> Answer {
    let asked = || -> std::io::Result<Vec<u8>> {
        let address = GUEST_SERVICES.parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match asked() {
        Ok(bytes) => parse(&bytes),
        Err(error) => Answer { trouble: format!("{GUEST_SERVICES}: {error}"), ..Answer::default() },
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    match head.split_whitespace().nth(1).and_then(|status| status.parse().ok()) {
        Some(status) => Answer { status, body: body.to_owned(), trouble: String::new() },
        None => Answer { trouble: "the answer is not HTTP".to_owned(), ..Answer::default() },
    }
}

/// Prints what was seen as one line of JSON.
pub fn tell(witness: &Witness) {
    say(&serde_json::to_string(witness).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_and_marks_are_read_below_the_containers_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.12.0-guest\n").unwrap();
        std::fs::write(root.path().join("dev/sev-guest"), "").unwrap();
        let witness = look(&Container { root: root.path().to_owned() }, None, None);
        assert_eq!((witness.kernel.as_str(), witness.marks.as_slice()), ("6.12.0-guest", &["snp".to_owned()][..]));
        assert_eq!(witness.evidence, None);
    }

    #[test]
    fn answers_are_read_and_nonsense_is_said_to_be_none() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}").body, "{}");
        assert_eq!(parse(b"HTTP/1.1 403 Forbidden\r\n\r\n").status, 403);
        assert!(!parse(b"SSH-2.0").trouble.is_empty());
    }
}
