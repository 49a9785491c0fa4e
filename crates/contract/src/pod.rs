//! How a container of ours finds its files.
//!
//! Every absolute path that `husk-node` and `husk-dispatcher` open inside their container is taken below
//! [`ROOT_VARIABLE`] (default `/`). A kubelet leaves it unset; the sandbox, which runs containers as plain child
//! processes, points it at the directory that plays the container's root. The host's files are below [`HOST_MOUNT`] at
//! their own paths: the host's `/etc/containerd` is `/host/etc/containerd`.

/// Environment variable naming the directory that stands for the container's `/`.
pub const ROOT_VARIABLE: &str = "HUSK_ROOT";
/// Where the charts mount the host's directories.
pub const HOST_MOUNT: &str = "/host";
/// Where the payload image keeps its archives. Upstream's layout.
pub const PAYLOAD: &str = "/opt/kata-artifacts";
/// Where the installer is copied so that it can run inside the payload's image.
pub const INSTALLER: &str = "/husk/husk-node";
/// The file whose content becomes the container's termination message; Kubernetes keeps 4096 bytes.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// The ConfigMap with custom runtimes and drop-ins. Upstream's path.
pub const CUSTOM_CONFIGS: &str = "/custom-configs";
/// Where the dispatcher finds its Job templates. Upstream's path.
pub const JOB_TEMPLATES: &str = "/etc/kata-job";
/// Where Kubernetes mounts a ServiceAccount's token, CA and namespace.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Exit status of a stage whose failure another attempt cannot cure (sysexits' `EX_CONFIG`). The Job's `podFailurePolicy`
/// ends the Job on it instead of spending the backoff limit.
pub const EXIT_PERMANENT: u8 = 78;
