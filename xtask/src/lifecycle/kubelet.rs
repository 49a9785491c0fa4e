//! A kubelet that only says how pods fare: their images' names tell it. The API and the controllers are the real ones.

use super::world::World;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Answers for the pods of a namespace until it is dropped.
pub(super) async fn serve(world: World) {
    loop {
        // A server that is busy or gone is asked again: the steps notice what does not go on.
        let _ = round(&world).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

async fn round(world: &World) -> Result<(), String> {
    let pods = format!("/api/v1/namespaces/{}/pods", world.namespace);
    let Some(list) = world.find(&pods).await? else { return Ok(()) };
    for pod in list["items"].as_array().into_iter().flatten() {
        let path = format!("{pods}/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let now = json!({"gracePeriodSeconds": 0});
            world.ask(Method::DELETE, &path, Some(&now)).await?;
        } else if pod["status"]["containerStatuses"].is_null() {
            let body = json!({"status": status(pod)});
            world.send(Method::PATCH, &format!("{path}/status"), "application/merge-patch+json", Some(&body)).await?;
        }
    }
    Ok(())
}

fn status(pod: &Value) -> Value {
    let container = &pod["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    let once = pod["spec"]["restartPolicy"] == "Never";
    let (phase, ready, state) = match (image, once) {
        ("missing", _) => {
            let message = "Back-off pulling image \"missing\"";
            ("Pending", false, json!({"waiting": {"reason": "ImagePullBackOff", "message": message}}))
        }
        ("broken", true) => ("Failed", false, json!({"terminated": {"exitCode": 1, "reason": "Error"}})),
        (_, true) => ("Succeeded", false, json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
        (_, false) => ("Running", true, json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})),
    };
    let answer = if ready { "True" } else { "False" };
    json!({
        "phase": phase,
        "conditions": [{"type": "Ready", "status": answer}, {"type": "ContainersReady", "status": answer}],
        "containerStatuses": [{
            "name": container["name"], "image": image, "imageID": "", "ready": ready, "started": ready,
            "restartCount": 0, "state": state,
        }],
    })
}
