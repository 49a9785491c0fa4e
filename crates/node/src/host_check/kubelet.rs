//! The kubelet's patience.

use super::{Finding, found};
use crate::session::Session;
use contract::{Code, Verdict};

/// Pulling and unpacking inside a guest takes longer than the kubelet's default patience of two minutes.
pub(super) fn timeout(session: &Session) -> Finding {
    let (verdict, detail) = judge(session);
    found("kubelet timeout", verdict, Code::KUBELET_TIMEOUT, detail)
}

fn judge(session: &Session) -> (Verdict, String) {
    let asked = session.asked;
    if asked.force_guest_pull.is_empty() && asked.guest_pull.is_empty() && asked.setup_snapshotters.is_empty() {
        return (Verdict::Skip, "no shim pulls images in the guest".to_owned());
    }
    let Some(text) = session.host.text("/var/lib/kubelet/config.yaml") else {
        return (Verdict::Unknown, "the kubelet has no /var/lib/kubelet/config.yaml that would tell".to_owned());
    };
    let value = text.lines().find_map(|line| line.trim().strip_prefix("runtimeRequestTimeout:"));
    let value = value.map(|value| value.trim().trim_matches('"')).filter(|value| *value != "0s");
    let shown = value.map_or_else(|| "2m, the default".to_owned(), str::to_owned);
    match value.map_or(Some(120), seconds) {
        Some(600..) => (Verdict::Pass, shown),
        _ => (Verdict::Warn, format!("runtimeRequestTimeout is {shown}; images pulled in the guest may need 10m")),
    }
}

/// Reads a duration as Go writes it: `1h2m3s`.
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut number = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' => number.push(c),
            'h' | 'm' | 's' => {
                let value: f64 = number.parse().ok()?;
                total += (value
                    * match c {
                        'h' => 3600.0,
                        'm' => 60.0,
                        _ => 1.0,
                    }) as u64;
                number.clear();
            }
            _ => return None,
        }
    }
    number.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(seconds("2m0s"), Some(120));
        assert_eq!(seconds("1h10m"), Some(4200));
        assert_eq!(seconds("600s"), Some(600));
        assert_eq!(seconds("ten"), None);
        assert_eq!(seconds("10"), None);
    }
}
