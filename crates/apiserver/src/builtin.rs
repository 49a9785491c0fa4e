//! The table of built-in resources.

use crate::resource::Resource;

/// Group version, plural name, kind, scope (`n` namespaced, `c` cluster, `r` namespaced review, `R` cluster review),
/// short names, categories, subresources (comma-separated).
type Row = (&'static str, &'static str, &'static str, char, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("v1", "configmaps", "ConfigMap", 'n', "cm", "", ""),
    ("v1", "endpoints", "Endpoints", 'n', "ep", "", ""),
    ("v1", "events", "Event", 'n', "ev", "", ""),
    ("v1", "limitranges", "LimitRange", 'n', "limits", "", ""),
    ("v1", "namespaces", "Namespace", 'c', "ns", "", "status,finalize"),
    ("v1", "nodes", "Node", 'c', "no", "", "status,proxy"),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", 'n', "pvc", "", "status"),
    ("v1", "persistentvolumes", "PersistentVolume", 'c', "pv", "", "status"),
    (
        "v1",
        "pods",
        "Pod",
        'n',
        "po",
        "all",
        "status,attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize",
    ),
    ("v1", "podtemplates", "PodTemplate", 'n', "", "", ""),
    ("v1", "replicationcontrollers", "ReplicationController", 'n', "rc", "all", "status,scale"),
    ("v1", "resourcequotas", "ResourceQuota", 'n', "quota", "", "status"),
    ("v1", "secrets", "Secret", 'n', "", "", ""),
    ("v1", "serviceaccounts", "ServiceAccount", 'n', "sa", "", "token"),
    ("v1", "services", "Service", 'n', "svc", "all", "status,proxy"),
    ("apps/v1", "controllerrevisions", "ControllerRevision", 'n', "", "", ""),
    ("apps/v1", "daemonsets", "DaemonSet", 'n', "ds", "all", "status"),
    ("apps/v1", "deployments", "Deployment", 'n', "deploy", "all", "status,scale"),
    ("apps/v1", "replicasets", "ReplicaSet", 'n', "rs", "all", "status,scale"),
    ("apps/v1", "statefulsets", "StatefulSet", 'n', "sts", "all", "status,scale"),
    ("events.k8s.io/v1", "events", "Event", 'n', "ev", "", ""),
    ("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", 'R', "", "", ""),
    ("authentication.k8s.io/v1", "tokenreviews", "TokenReview", 'R', "", "", ""),
    ("authorization.k8s.io/v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", 'r', "", "", ""),
    ("authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", 'R', "", "", ""),
    ("authorization.k8s.io/v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", 'R', "", "", ""),
    ("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", 'R', "", "", ""),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", 'n', "hpa", "all", "status"),
    ("batch/v1", "cronjobs", "CronJob", 'n', "cj", "all", "status"),
    ("batch/v1", "jobs", "Job", 'n', "", "all", "status"),
    (
        "certificates.k8s.io/v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        'c',
        "csr",
        "",
        "status,approval",
    ),
    ("networking.k8s.io/v1", "ingressclasses", "IngressClass", 'c', "", "", ""),
    ("networking.k8s.io/v1", "ingresses", "Ingress", 'n', "ing", "", "status"),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", 'n', "netpol", "", ""),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", 'n', "pdb", "", "status"),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", 'c', "", "", ""),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", 'c', "", "", ""),
    ("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", 'n', "", "", ""),
    ("rbac.authorization.k8s.io/v1", "roles", "Role", 'n', "", "", ""),
    ("storage.k8s.io/v1", "csidrivers", "CSIDriver", 'c', "", "", ""),
    ("storage.k8s.io/v1", "csinodes", "CSINode", 'c', "", "", ""),
    ("storage.k8s.io/v1", "storageclasses", "StorageClass", 'c', "sc", "", ""),
    ("storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", 'c', "", "", "status"),
    (
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        'c',
        "",
        "api-extensions",
        "",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        'c',
        "",
        "api-extensions",
        "status",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        'c',
        "",
        "api-extensions",
        "",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        'c',
        "",
        "api-extensions",
        "",
    ),
    (
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        'c',
        "crd,crds",
        "api-extensions",
        "status",
    ),
    ("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", 'c', "pc", "", ""),
    ("coordination.k8s.io/v1", "leases", "Lease", 'n', "", "", ""),
    ("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", 'c', "", "", ""),
    ("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", 'n', "", "", ""),
    ("apiregistration.k8s.io/v1", "apiservices", "APIService", 'c', "", "api-extensions", "status"),
];

fn words(text: &str) -> Vec<String> {
    text.split(',').filter(|w| !w.is_empty()).map(str::to_string).collect()
}

/// The built-in resources, in the order in which discovery lists them.
pub(crate) fn resources() -> Vec<Resource> {
    ROWS.iter()
        .map(|&(group_version, plural, kind, scope, short, categories, subresources)| {
            let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
            Resource {
                group: group.into(),
                version: version.into(),
                plural: plural.into(),
                singular: kind.to_lowercase(),
                kind: kind.into(),
                list_kind: format!("{kind}List"),
                namespaced: matches!(scope, 'n' | 'r'),
                short_names: words(short),
                categories: words(categories),
                subresources: words(subresources),
                stored: matches!(scope, 'n' | 'c'),
                custom: None,
            }
        })
        .collect()
}
