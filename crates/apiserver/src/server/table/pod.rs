//! The Status, Ready and Restarts columns of a pod.

use jiff::Timestamp;
use serde_json::Value;

use super::age;

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Why a container ended: its reason, or its signal or exit code.
fn ended(terminated: &Value, prefix: &str) -> String {
    let reason = text(&terminated["reason"]);
    match (reason.is_empty(), terminated["signal"].as_i64().unwrap_or(0)) {
        (false, _) => format!("{prefix}{reason}"),
        (true, 0) => format!("{prefix}ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        (true, signal) => format!("{prefix}Signal:{signal}"),
    }
}

fn restartable(pod: &Value, name: &Value) -> bool {
    list(&pod["spec"], "initContainers").iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always")
}

/// The state of the init containers, when they are not through yet.
fn initialising(pod: &Value) -> Option<String> {
    let statuses = list(&pod["status"], "initContainerStatuses");
    let total = list(&pod["spec"], "initContainers").len();
    for (i, status) in statuses.iter().enumerate() {
        let state = &status["state"];
        if state["terminated"].is_object() {
            if state["terminated"]["exitCode"].as_i64().unwrap_or(0) == 0 {
                continue;
            }
            return Some(ended(&state["terminated"], "Init:"));
        }
        if restartable(pod, &status["name"]) && status["started"] == true {
            continue;
        }
        let reason = text(&state["waiting"]["reason"]);
        if !reason.is_empty() && reason != "PodInitializing" {
            return Some(format!("Init:{reason}"));
        }
        return Some(format!("Init:{i}/{total}"));
    }
    None
}

/// Ready, Status and Restarts.
pub(super) fn columns(pod: &Value, now: Timestamp) -> (String, String, String) {
    let status = &pod["status"];
    let mut reason = text(&status["phase"]).to_string();
    if let Some(why) = status["reason"].as_str().filter(|r| !r.is_empty()) {
        reason = why.into();
    }
    let gated =
        list(status, "conditions").iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
    if gated {
        reason = "SchedulingGated".into();
    }
    let containers = list(status, "containerStatuses");
    let init = initialising(pod);
    let mut ready = 0;
    let sidecars = list(&pod["spec"], "initContainers").iter().filter(|c| c["restartPolicy"] == "Always").count();
    let init_statuses = list(status, "initContainerStatuses");
    ready += init_statuses.iter().filter(|s| restartable(pod, &s["name"]) && s["ready"] == true).count();
    let count =
        |statuses: &'_ [Value]| -> i64 { statuses.iter().map(|s| s["restartCount"].as_i64().unwrap_or(0)).sum() };
    let finished_at = |statuses: &'_ [Value]| -> Option<String> {
        statuses.iter().filter_map(|s| s["lastState"]["terminated"]["finishedAt"].as_str()).max().map(str::to_string)
    };
    let counted = if init.is_some() { init_statuses } else { containers };
    if let Some(init) = init {
        reason = init;
    } else {
        let mut running = false;
        for container in containers.iter().rev() {
            let state = &container["state"];
            if let Some(why) = state["waiting"]["reason"].as_str().filter(|r| !r.is_empty()) {
                reason = why.into();
            } else if state["terminated"].is_object() {
                reason = ended(&state["terminated"], "");
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            let is_ready = list(status, "conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            reason = if is_ready { "Running" } else { "NotReady" }.into();
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        let over = matches!(text(&status["phase"]), "Succeeded" | "Failed");
        reason = match text(&status["reason"]) {
            "NodeLost" => "Unknown".into(),
            _ if over => reason,
            _ => "Terminating".into(),
        };
    }
    let restarts = match (count(counted), finished_at(counted)) {
        (restarts, Some(time)) if restarts > 0 => format!("{restarts} ({} ago)", age(&time.into(), now)),
        (restarts, _) => restarts.to_string(),
    };
    let total = list(&pod["spec"], "containers").len() + sidecars;
    (format!("{ready}/{total}"), reason, restarts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(pod: Value) -> (String, String, String) {
        columns(&pod, "2026-01-01T00:10:00Z".parse().unwrap())
    }

    #[test]
    fn what_kubectl_prints() {
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let pending = shown(json!({"spec": spec, "status": {"phase": "Pending"}}));
        assert_eq!(pending, ("0/1".into(), "Pending".into(), "0".into()));
        let init =
            json!([{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]);
        let second = shown(json!({"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": init}}));
        assert_eq!(second.1, "Init:1/2");
        let failed = json!([{"name": "i", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]);
        assert_eq!(
            shown(json!({"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": failed}})).1,
            "Init:Error"
        );
        let crash = json!([{"name": "a", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:09:30Z"}}}]);
        let spec = json!({"containers": [{"name": "a"}]});
        let crash = shown(json!({"spec": spec, "status": {"phase": "Running", "containerStatuses": crash}}));
        assert_eq!(crash, ("0/1".into(), "CrashLoopBackOff".into(), "3 (30s ago)".into()));
        let done = json!([{"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]);
        assert_eq!(
            shown(json!({"spec": spec, "status": {"phase": "Succeeded", "containerStatuses": done}})).1,
            "Completed"
        );
        let going = shown(
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec, "status": {"phase": "Running"}}),
        );
        assert_eq!(going.1, "Terminating");
    }
}
