//! `Chart.lock`: digests that Helm wrote.

use crate::place::data;
use registry::dependency::{digest, legacy_digest};

fn wanted(directory: &str) -> (Vec<chart::Dependency>, chart::Lock) {
    let chart = chart::load::path(&data(directory), &mut chart::Log::default()).unwrap();
    let mut dependencies = chart.metadata.dependencies;
    for dependency in &mut dependencies {
        if dependency.repository == "@charts" {
            dependency.repository = "http://127.0.0.1:5554".into();
        }
    }
    (dependencies, chart.lock.unwrap())
}

#[test]
fn digests_are_helms() {
    for directory in ["locked", "locked-v1"] {
        let (dependencies, lock) = wanted(directory);
        assert_eq!(digest(&dependencies, &lock.dependencies), lock.digest, "{directory}");
        assert_ne!(legacy_digest(&dependencies), lock.digest);
    }
}

#[test]
fn any_change_shows() {
    let (dependencies, lock) = wanted("locked");
    for change in [
        |d: &mut chart::Dependency| d.version.push('0'),
        |d: &mut chart::Dependency| d.alias.push('x'),
        |d: &mut chart::Dependency| d.tags.push("c".into()),
        |d: &mut chart::Dependency| d.import_values.push(1.into()),
    ] {
        let mut changed = dependencies.clone();
        change(&mut changed[0]);
        assert_ne!(digest(&changed, &lock.dependencies), lock.digest);
    }
}
