//! Thousands of objects.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::{raw, server};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[tokio::test]
async fn five_thousand_pods_do_not_slow_down_the_next_one() {
    let (server, _client) = server();
    let path = "/api/v1/namespaces/default/pods";
    let pod = |i: usize| {
        json!({"metadata": {"name": format!("p{i}"), "labels": {"job": format!("j{}", i / 10)}},
        "spec": {"nodeName": format!("n{i}"), "containers": [{"name": "c", "image": "i"}]}})
    };
    let batch = |from: usize, to: usize| {
        let server = server.clone();
        async move {
            let start = Instant::now();
            for i in from..to {
                let (code, _, _) = raw(&server, "POST", path, &[], pod(i)).await;
                assert_eq!(code, 201);
            }
            start.elapsed()
        }
    };
    let first = batch(0, 1000).await;
    batch(1000, 4000).await;
    let last = batch(4000, 5000).await;
    // Generous: a scan of the store for each write would make the last thousand several times slower.
    assert!(last < first * 3 + Duration::from_millis(500), "first thousand {first:?}, last thousand {last:?}");
    let start = Instant::now();
    for i in 0..200 {
        let query = format!("{path}?labelSelector=job%3Dj{i}");
        let (_, _, list) = raw(&server, "GET", &query, &[], Value::Null).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(10));
        let query = format!("/api/v1/pods?fieldSelector=spec.nodeName%3Dn{i}");
        let (_, _, list) = raw(&server, "GET", &query, &[], Value::Null).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    }
    let selected = start.elapsed();
    assert!(selected < Duration::from_secs(8), "400 selective lists took {selected:?}");
}

/// What changed long ago is kept as text: whoever looks sees no difference.
#[tokio::test]
async fn what_changed_long_ago_reads_writes_and_is_watched_as_before() {
    const MANY: usize = 600;
    let (server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut made = Vec::new();
    for number in 0..MANY {
        let map = json!({"metadata": {"name": format!("m{number:03}"), "labels": {"side": (["a", "b"][number % 2])}},
            "data": {"k": number.to_string()}});
        made.push(api.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap());
    }
    assert_eq!(api.get("m000").await.unwrap(), made[0]);
    let side = |term: &str| ListParams::default().labels(term);
    for (term, count) in [("side=a", MANY / 2), ("side in (a)", MANY / 2), ("side,side!=a", MANY / 2), ("side", MANY)] {
        let found = api.list(&side(term)).await.unwrap().items;
        assert_eq!(found.len(), count, "{term}");
    }
    let patch = |value: Value| Patch::Merge(value);
    let patched =
        api.patch("m000", &PatchParams::default(), &patch(json!({"metadata": {"labels": {"side": "b"}}}))).await;
    assert_eq!(patched.unwrap().data, made[0].data);
    assert_eq!(api.list(&side("side=b")).await.unwrap().items.len(), MANY / 2 + 1);
    api.replace("m002", &PostParams::default(), &made[2]).await.unwrap();
    api.delete("m004", &DeleteParams::default()).await.unwrap();

    // A watch from the beginning sees all of it; one with a selector sees what left the selection go.
    let (_, _, table) =
        raw(&server, "GET", "/api/v1/namespaces/default/configmaps/m006", &[("accept", TABLE)], Value::Null).await;
    assert_eq!(table["rows"][0]["cells"][0], "m006");
    let watching = api.watch(&WatchParams::default().labels("side=a"), &start).await.unwrap();
    let events: Vec<WatchEvent<ConfigMap>> = watching.take(MANY / 2 + 2).try_collect().await.unwrap();
    let text = |event: &WatchEvent<ConfigMap>| match event {
        WatchEvent::Added(map) => format!("+{}", map.metadata.name.as_deref().unwrap()),
        WatchEvent::Deleted(map) => format!("-{}", map.metadata.name.as_deref().unwrap()),
        other => panic!("{other:?}"),
    };
    let (added, left) = events.split_at(MANY / 2);
    assert!(added.iter().enumerate().all(|(at, event)| text(event) == format!("+m{:03}", 2 * at)));
    assert_eq!(left.iter().map(text).collect::<Vec<_>>(), ["-m000", "-m004"]);
}

/// `limit` bounds what one request deletes, by label and field.
#[tokio::test]
async fn a_collection_is_deleted_in_parts() {
    let (server, client) = server();
    let path = "/apis/batch/v1/namespaces/default/jobs";
    for number in 0..5 {
        let spec =
            json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
        let metadata =
            json!({"name": format!("j{number}"), "labels": {"run": (["old", "new"][usize::from(number == 0)])}});
        raw(&server, "POST", path, &[], json!({"metadata": metadata, "spec": spec})).await;
        if number != 1 {
            let merge = [("content-type", "application/merge-patch+json")];
            let status = json!({"status": {"succeeded": 1}});
            raw(&server, "PATCH", &format!("{path}/j{number}/status"), &merge, status).await;
        }
    }
    let which = "labelSelector=run!%3Dnew&fieldSelector=status.successful%3D1&limit=2&propagationPolicy=Background";
    let api: Api<Job> = Api::namespaced(client, "default");
    for left in [["j0", "j1", "j4"].as_slice(), &["j0", "j1"], &["j0", "j1"]] {
        let (code, _, _) = raw(&server, "DELETE", &format!("{path}?{which}"), &[], Value::Null).await;
        assert_eq!(code, 200);
        let names: Vec<String> = api
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .into_iter()
            .filter_map(|job| job.metadata.name)
            .collect();
        assert_eq!(names, left);
    }
}
