//! The example files, and the profiles that the umbrella carries: each renders, and to the classes that its text promises.

use super::{charts, first, name, objects, own, read};
use std::collections::BTreeSet;
use std::path::Path;

fn classes(chart: &str, file: &Path) -> BTreeSet<String> {
    let objects =
        objects(&own(chart), &read(file), &first(chart)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let classes = objects.iter().filter(|object| object["kind"] == "RuntimeClass");
    classes.map(|class| name(class).trim_start_matches("kata-").to_owned()).collect()
}

const COCO: &[&str] = &["qemu-coco-dev", "qemu-nvidia-gpu-snp", "qemu-nvidia-gpu-tdx", "qemu-snp", "qemu-tdx"];

const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("examples/aarch64.yaml", "kata-deploy", &["qemu", "qemu-coco-dev-runtime-rs"]),
    ("examples/custom-containerd.yaml", "confidential-containers", COCO),
    (
        "examples/nvidia-gpu-job.yaml",
        "kata-deploy",
        &[
            "qemu-nvidia-gpu",
            "qemu-nvidia-gpu-runtime-rs",
            "qemu-nvidia-gpu-snp",
            "qemu-nvidia-gpu-snp-runtime-rs",
            "qemu-nvidia-gpu-tdx",
            "qemu-nvidia-gpu-tdx-runtime-rs",
        ],
    ),
    ("examples/peer-pods.yaml", "kata-deploy", &["kata", "remote"]),
    ("examples/removal.yaml", "kata-deploy", &[]),
    ("examples/s390x.yaml", "kata-deploy", &["qemu-coco-dev", "qemu-se", "qemu-se-runtime-rs"]),
    (
        "examples/tee-only.yaml",
        "kata-deploy",
        &[
            "qemu-coco-dev",
            "qemu-coco-dev-runtime-rs",
            "qemu-se",
            "qemu-se-runtime-rs",
            "qemu-snp",
            "qemu-snp-runtime-rs",
            "qemu-tdx",
            "qemu-tdx-runtime-rs",
        ],
    ),
    ("confidential-containers/values/kata-aarch64.yaml", "confidential-containers", &["qemu-coco-dev-runtime-rs"]),
    ("confidential-containers/values/kata-remote.yaml", "confidential-containers", &["remote"]),
    ("confidential-containers/values/kata-s390x.yaml", "confidential-containers", &["qemu-coco-dev", "qemu-se"]),
];

#[test]
fn every_example_installs_what_it_says() {
    for (file, chart, wanted) in EXAMPLES {
        let wanted: BTreeSet<String> = wanted.iter().map(|shim| (*shim).to_owned()).collect();
        assert_eq!(classes(chart, &charts().join(file)), wanted, "{file}");
    }
    let mut files = 0;
    for folder in ["examples", "confidential-containers/values"] {
        files += std::fs::read_dir(charts().join(folder)).unwrap().count();
    }
    assert_eq!(files, EXAMPLES.len(), "every example is in the list");
}
