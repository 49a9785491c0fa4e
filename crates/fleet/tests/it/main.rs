//! Whole runs of the dispatcher against the API server in process.

mod cluster;

use cluster::{Cluster, HANDLER, installation, names};
use contract::{Stage, State};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_rollout_makes_one_job_a_node_and_keeps_its_pace() {
    let cluster = Cluster::start(12, BTreeMap::new()).await;
    let report = cluster.perform(&installation()).await.unwrap();
    assert_eq!((report.selected, report.done, report.failures, report.code), (12, 12, 0, None));

    let jobs = cluster.jobs().await;
    assert_eq!(jobs.len(), 12);
    assert!(jobs.iter().all(|job| job["metadata"]["ownerReferences"][0]["uid"] == "owner-1"));
    let once: BTreeMap<String, usize> = names(12).into_iter().map(|name| (name, 1)).collect();
    assert_eq!(cluster.jobs_a_node(), once);
    assert_eq!(cluster.seen.lock().unwrap().most_unfinished, 4);

    let records = cluster.records().await;
    assert_eq!(records.keys().cloned().collect::<Vec<_>>(), names(12));
    for record in records.values() {
        assert_eq!((record.stage, record.state, record.code), (Stage::Label, State::Done, None));
        assert_eq!(record.handlers, [HANDLER]);
    }
    let installed: Vec<_> = names(12).into_iter().map(|name| (name, "HuskInstalled".to_owned())).collect();
    assert_eq!(cluster.events().await, installed);
}
