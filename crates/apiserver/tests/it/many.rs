//! Thousands of objects.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{raw, server};

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
