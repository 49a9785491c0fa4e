//! Probes: HTTP and TCP against the pod's address.
//!
//! A kubelet asks once in `periodSeconds`. To be quick, the sandbox asks more often until the answer first is what is
//! waited for; failures still count once in a period, so thresholds last as long as they should.

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Until it succeeds the other two wait.
    Startup,
    /// A container that fails it is restarted.
    Liveness,
    /// A container that fails it gets no traffic.
    Readiness,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which probe.
    pub kind: Kind,
    /// Whether the threshold of successes (or of failures) has been reached.
    pub healthy: bool,
    /// What was answered.
    pub message: String,
}

/// How often a probe asks that has not succeeded yet.
const EAGER: Duration = Duration::from_millis(50);

/// Asks for ever and reports when the verdict changes, and each single failure through `failed`.
pub async fn watch(
    kind: Kind,
    probe: Probe,
    container: Container,
    address: IpAddr,
    findings: mpsc::UnboundedSender<Finding>,
) {
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
    };
    let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
    let timeout = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
    let (up, down) = (probe.success_threshold.unwrap_or(1).max(1), probe.failure_threshold.unwrap_or(3).max(1));
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0).min(EAGER)).await;
    let initial = Instant::now() + seconds(probe.initial_delay_seconds, 0);
    let (mut successes, mut failures) = (0, 0);
    let mut verdict: Option<bool> = None;
    let mut counted = initial;
    loop {
        let result = match tokio::time::timeout(timeout, ask(&probe, &container, address)).await {
            Ok(result) => result,
            Err(_) => Err("context deadline exceeded".to_owned()),
        };
        match &result {
            Ok(()) => {
                successes += 1;
                failures = 0;
            }
            // Before its time, and within one period, a failure does not count.
            Err(_) if Instant::now() < counted => {}
            Err(_) => {
                counted = Instant::now() + period;
                failures += 1;
                successes = 0;
            }
        }
        let now = match &result {
            Ok(()) if successes >= up => Some(true),
            Err(_) if failures >= down => Some(false),
            _ => None,
        };
        if let Some(healthy) = now
            && (verdict != now || !healthy)
        {
            verdict = now;
            let message = result.err().unwrap_or_default();
            if findings.send(Finding { kind, healthy, message }).is_err() {
                return;
            }
            if kind == Kind::Startup && healthy {
                return;
            }
            if !healthy {
                failures = 0;
            }
        }
        let pause = if verdict == Some(true) || kind == Kind::Liveness { period } else { EAGER.min(period) };
        tokio::time::sleep(pause).await;
    }
}

fn port_of(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                container.ports.iter().flatten().find(|it| it.name.as_ref() == Some(name)).map(|it| it.container_port)
            }
        },
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("no port {port:?}"))
}

async fn ask(probe: &Probe, container: &Container, address: IpAddr) -> Result<(), String> {
    if let Some(action) = &probe.http_get {
        if action.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
            return Err("the sandbox has no HTTPS probes".to_owned());
        }
        let host = action.host.clone().unwrap_or_else(|| address.to_string());
        let port = port_of(&action.port, container)?;
        let path = action.path.as_deref().unwrap_or("/");
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\n");
        for header in action.http_headers.iter().flatten() {
            request.push_str(&format!("{}: {}\r\n", header.name, header.value));
        }
        request.push_str("Connection: close\r\n\r\n");
        let failed = |error: std::io::Error| format!("Get \"http://{host}:{port}{path}\": {error}");
        let mut stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut answer = Vec::new();
        // The status line is in the first bytes; the rest does not matter.
        while !answer.contains(&b'\n') && answer.len() < 1024 {
            let mut piece = [0; 512];
            match stream.read(&mut piece).await.map_err(failed)? {
                0 => break,
                length => answer.extend(&piece[..length]),
            }
        }
        let line = String::from_utf8_lossy(&answer);
        let code = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        return match code {
            Some(200..400) => Ok(()),
            Some(code) => Err(format!("HTTP probe failed with statuscode: {code}")),
            None => Err("HTTP probe failed: not an HTTP answer".to_owned()),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.clone().unwrap_or_else(|| address.to_string());
        let port = port_of(&action.port, container)?;
        return TcpStream::connect((host.as_str(), port)).await.map(drop).map_err(|error| error.to_string());
    }
    Err("the sandbox has only HTTP and TCP probes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    #[tokio::test]
    async fn a_probe_notices_that_the_server_comes_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let code = Arc::new(AtomicU16::new(503));
        let served = code.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", served.load(Ordering::SeqCst));
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let probe: Probe = serde_json::from_value(json!({"httpGet": {"port": "web", "path": "/readyz"}})).unwrap();
        let container = json!({"name": "c", "ports": [{"name": "web", "containerPort": port}]});
        let container: Container = serde_json::from_value(container).unwrap();
        let (sender, mut findings) = mpsc::unbounded_channel();
        let address = "127.0.0.1".parse().unwrap();
        let task = tokio::spawn(watch(Kind::Readiness, probe, container, address, sender));
        assert!(tokio::time::timeout(Duration::from_millis(150), findings.recv()).await.is_err());
        code.store(200, Ordering::SeqCst);
        let finding = tokio::time::timeout(Duration::from_secs(5), findings.recv()).await.unwrap().unwrap();
        assert_eq!((finding.kind, finding.healthy), (Kind::Readiness, true));
        task.abort();
    }
}
