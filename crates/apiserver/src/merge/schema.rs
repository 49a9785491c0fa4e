//! How lists and maps of each type merge: which lists have keys, which are sets, which fields change only as a whole.
//!
//! Built-in types come from a table that names only what differs from the default (objects merge field by field, lists are
//! replaced as a whole); custom resources from the `x-kubernetes-*` marks of their schema. Server-side apply and strategic
//! merge disagree about a few lists, so both answers are kept.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

/// `Type.field = how [Type]`. `how` is one of
/// `-` (merge field by field), `atomic`, `map` (free keys, merged), `set` (list of scalars), `keys:a,b=default` (list with
/// keys). A suffix `/x` gives the strategic merge key (`/replace` when strategic merge replaces the list, `/set` when it
/// merges scalars); without suffix it is the only key. `!` before the type: strategic merge obeys `$retainKeys`.
const TABLE: &str = "
ObjectMeta.labels = map
ObjectMeta.annotations = map
ObjectMeta.finalizers = set
ObjectMeta.ownerReferences = keys:uid OwnerReference
PodTemplateSpec.metadata = - ObjectMeta
PodTemplateSpec.spec = - PodSpec
Pod.spec = - PodSpec
Pod.status = - PodStatus
PodTemplate.template = - PodTemplateSpec
PodSpec.containers = keys:name Container
PodSpec.initContainers = keys:name Container
PodSpec.ephemeralContainers = keys:name Container
PodSpec.hostAliases = keys:ip HostAlias
PodSpec.imagePullSecrets = keys:name LocalObjectReference
PodSpec.nodeSelector = atomic/merge
PodSpec.overhead = map
PodSpec.resourceClaims = keys:name PodResourceClaim
PodSpec.schedulingGates = keys:name PodSchedulingGate
PodSpec.topologySpreadConstraints = keys:topologyKey,whenUnsatisfiable/topologyKey TopologySpreadConstraint
PodSpec.volumes = keys:name !Volume
PodSpec.affinity = - Affinity
TopologySpreadConstraint.labelSelector = atomic/merge
Affinity.nodeAffinity = - NodeAffinity
NodeAffinity.requiredDuringSchedulingIgnoredDuringExecution = atomic/merge
Container.env = keys:name EnvVar
Container.ports = keys:containerPort,protocol=TCP/containerPort ContainerPort
Container.volumeDevices = keys:devicePath VolumeDevice
Container.volumeMounts = keys:mountPath VolumeMount
Container.resources = - ResourceRequirements
ResourceRequirements.claims = keys:name/replace ResourceClaim
ResourceRequirements.limits = map
ResourceRequirements.requests = map
EnvVar.valueFrom = - EnvVarSource
EnvVarSource.configMapKeyRef = atomic/merge
EnvVarSource.fieldRef = atomic/merge
EnvVarSource.resourceFieldRef = atomic/merge
EnvVarSource.secretKeyRef = atomic/merge
Volume.csi = - CSIVolumeSource
CSIVolumeSource.nodePublishSecretRef = atomic/merge
CSIVolumeSource.volumeAttributes = map
PodStatus.conditions = keys:type PodCondition
PodStatus.podIPs = keys:ip PodIP
PodStatus.hostIPs = atomic/ip HostIP
PodStatus.resourceClaimStatuses = keys:name PodResourceClaimStatus
Service.spec = - ServiceSpec
Service.status = - ServiceStatus
ServiceSpec.ports = keys:port,protocol=TCP/port ServicePort
ServiceSpec.selector = atomic/merge
ServiceStatus.conditions = keys:type Condition
ServiceAccount.secrets = keys:name ObjectReference
ServiceAccount.imagePullSecrets = atomic/replace
ConfigMap.data = map
ConfigMap.binaryData = map
Secret.data = map
Secret.stringData = map
Node.spec = - NodeSpec
Node.status = - NodeStatus
NodeSpec.podCIDRs = set
NodeStatus.capacity = map
NodeStatus.allocatable = map
NodeStatus.conditions = keys:type NodeCondition
NodeStatus.addresses = keys:type NodeAddress
Namespace.status = - NamespaceStatus
NamespaceStatus.conditions = keys:type NamespaceCondition
PersistentVolumeClaim.spec = - PersistentVolumeClaimSpec
PersistentVolumeClaim.status = - PersistentVolumeClaimStatus
PersistentVolumeClaimSpec.selector = atomic/merge
PersistentVolumeClaimStatus.conditions = keys:type PersistentVolumeClaimCondition
PersistentVolume.spec = - PersistentVolumeSpec
PersistentVolumeSpec.claimRef = -
ResourceQuota.spec = - ResourceQuotaSpec
ResourceQuotaSpec.hard = map
DaemonSet.spec = - DaemonSetSpec
DaemonSet.status = - DaemonSetStatus
DaemonSetSpec.selector = atomic/merge
DaemonSetSpec.template = - PodTemplateSpec
DaemonSetStatus.conditions = keys:type DaemonSetCondition
Deployment.spec = - DeploymentSpec
Deployment.status = - DeploymentStatus
DeploymentSpec.selector = atomic/merge
DeploymentSpec.strategy = - !DeploymentStrategy
DeploymentSpec.template = - PodTemplateSpec
DeploymentStatus.conditions = keys:type DeploymentCondition
ReplicaSet.spec = - ReplicaSetSpec
ReplicaSet.status = - ReplicaSetStatus
ReplicaSetSpec.selector = atomic/merge
ReplicaSetSpec.template = - PodTemplateSpec
ReplicaSetStatus.conditions = keys:type ReplicaSetCondition
StatefulSet.spec = - StatefulSetSpec
StatefulSet.status = - StatefulSetStatus
StatefulSetSpec.selector = atomic/merge
StatefulSetSpec.template = - PodTemplateSpec
StatefulSetStatus.conditions = keys:type StatefulSetCondition
ReplicationController.spec = - ReplicationControllerSpec
ReplicationControllerSpec.selector = atomic/merge
ReplicationControllerSpec.template = - PodTemplateSpec
Job.spec = - JobSpec
Job.status = - JobStatus
JobSpec.selector = atomic/merge
JobSpec.template = - PodTemplateSpec
JobStatus.conditions = atomic/type JobCondition
JobStatus.uncountedTerminatedPods = - UncountedTerminatedPods
UncountedTerminatedPods.failed = set/replace
UncountedTerminatedPods.succeeded = set/replace
CronJob.spec = - CronJobSpec
CronJob.status = - CronJobStatus
CronJobSpec.jobTemplate = - JobTemplateSpec
JobTemplateSpec.metadata = - ObjectMeta
JobTemplateSpec.spec = - JobSpec
RoleBinding.roleRef = atomic/merge
ClusterRoleBinding.roleRef = atomic/merge
RuntimeClass.overhead = - Overhead
RuntimeClass.scheduling = - Scheduling
Overhead.podFixed = map
Scheduling.nodeSelector = atomic/merge
PodDisruptionBudget.spec = - PodDisruptionBudgetSpec
PodDisruptionBudget.status = - PodDisruptionBudgetStatus
PodDisruptionBudgetSpec.selector = atomic/replace
PodDisruptionBudgetStatus.conditions = keys:type Condition
PodDisruptionBudgetStatus.disruptedPods = map
MutatingWebhookConfiguration.webhooks = keys:name MutatingWebhook
ValidatingWebhookConfiguration.webhooks = keys:name ValidatingWebhook
MutatingWebhook.namespaceSelector = atomic/merge
MutatingWebhook.objectSelector = atomic/merge
MutatingWebhook.matchConditions = keys:name MatchCondition
ValidatingWebhook.namespaceSelector = atomic/merge
ValidatingWebhook.objectSelector = atomic/merge
ValidatingWebhook.matchConditions = keys:name MatchCondition
CustomResourceDefinition.status = - CustomResourceDefinitionStatus
CustomResourceDefinitionStatus.conditions = keys:type/replace CustomResourceDefinitionCondition
NetworkPolicy.spec = - NetworkPolicySpec
NetworkPolicySpec.podSelector = atomic/merge
HorizontalPodAutoscaler.status = - HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerStatus.conditions = keys:type HorizontalPodAutoscalerCondition
CSINode.spec = - CSINodeSpec
CSINodeSpec.drivers = keys:name CSINodeDriver
StorageClass.parameters = map
";

/// How a field merges.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// An object, merged field by field. `free` when its keys are data (labels) rather than declared fields.
    Object {
        /// Whether keys are data.
        free: bool,
    },
    /// Changes only as a whole.
    Atomic,
    /// A list of scalars without order.
    Set,
    /// A list whose elements are found by these keys; a key may have a default.
    Keyed(Vec<(String, Option<Value>)>),
}

/// How strategic merge treats a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategic {
    /// The patch's list replaces the object's.
    Replace,
    /// Elements merge by this key.
    Key(String),
    /// Scalars are added.
    Set,
}

#[derive(Debug, Clone)]
struct Field {
    shape: Option<Shape>,
    strategic: Option<Strategic>,
    retain_keys: bool,
    of: Option<&'static str>,
}

fn table() -> &'static HashMap<&'static str, HashMap<&'static str, Field>> {
    static PARSED: OnceLock<HashMap<&'static str, HashMap<&'static str, Field>>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut types: HashMap<&'static str, HashMap<&'static str, Field>> = HashMap::new();
        for line in TABLE.lines().filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(path), Some("="), Some(how)) = (words.next(), words.next(), words.next()) else { continue };
            let Some((owner, name)) = path.split_once('.') else { continue };
            let of = words.next();
            let (how, suffix) = how.split_once('/').map_or((how, None), |(h, s)| (h, Some(s)));
            let mut strategic = None;
            let shape = match how {
                "atomic" => Some(Shape::Atomic),
                "map" => Some(Shape::Object { free: true }),
                "set" => {
                    strategic = Some(Strategic::Set);
                    Some(Shape::Set)
                }
                keys => keys.strip_prefix("keys:").map(|keys| {
                    let keys: Vec<(String, Option<Value>)> = keys
                        .split(',')
                        .map(|k| match k.split_once('=') {
                            Some((k, default)) => (k.to_string(), Some(default.into())),
                            None => (k.to_string(), None),
                        })
                        .collect();
                    strategic = keys.first().map(|k| Strategic::Key(k.0.clone()));
                    Shape::Keyed(keys)
                }),
            };
            match suffix {
                // An object that is atomic for apply but merged field by field by strategic merge.
                Some("merge") | None => {}
                Some("replace") => strategic = Some(Strategic::Replace),
                Some("set") => strategic = Some(Strategic::Set),
                Some(key) => strategic = Some(Strategic::Key(key.into())),
            }
            let retain_keys = of.is_some_and(|t| t.starts_with('!'));
            let field = Field { shape, strategic, retain_keys, of: of.map(|t| t.trim_start_matches('!')) };
            types.entry(owner).or_default().insert(name, field);
        }
        types
    })
}

/// The schema at one place of an object: of the value itself for objects, of the elements for lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schema<'a> {
    /// A built-in type by name; `free` for maps with data keys.
    Builtin(&'static str),
    /// A node of a CRD's OpenAPI schema (of the object or the element).
    Custom(&'a Value),
    /// The root of a custom object: its metadata is the built-in one.
    CustomRoot(&'a Value),
    /// Nothing is known: objects merge, lists are atomic.
    Unknown,
}

/// A field as seen from its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSchema<'a> {
    /// How server-side apply merges it; `None` means by the kind of value (objects merge, lists are atomic).
    pub shape: Option<Shape>,
    /// How strategic merge treats a list or (for `Replace`) an object here.
    pub strategic: Option<Strategic>,
    /// Whether strategic merge obeys `$retainKeys` in the value or its elements.
    pub retain_keys: bool,
    /// Schema of the value, or of the elements of a list.
    pub of: Schema<'a>,
}

impl FieldSchema<'_> {
    /// The shape, with the default for this value filled in.
    pub fn shape_of(&self, value: &Value) -> Shape {
        match (&self.shape, value) {
            (Some(Shape::Object { free }), Value::Object(_)) => Shape::Object { free: *free },
            (Some(Shape::Keyed(keys)), Value::Array(_)) => Shape::Keyed(keys.clone()),
            (Some(Shape::Set), Value::Array(_)) => Shape::Set,
            (None, Value::Object(_)) => Shape::Object { free: false },
            _ => Shape::Atomic,
        }
    }
}

impl<'a> Schema<'a> {
    /// The schema of a built-in kind (kinds not in the table merge by default rules).
    pub fn of_kind(kind: &str) -> Schema<'static> {
        match table().get_key_value(kind) {
            Some((name, _)) => Schema::Builtin(name),
            None => Schema::Builtin("Object"),
        }
    }

    /// The schema of a field.
    pub fn field(&self, name: &str) -> FieldSchema<'a> {
        let unknown = FieldSchema { shape: None, strategic: None, retain_keys: false, of: Schema::Unknown };
        match *self {
            Schema::Unknown => unknown,
            Schema::CustomRoot(node) => match name {
                "metadata" => FieldSchema { of: Schema::Builtin("ObjectMeta"), ..unknown },
                _ => Schema::Custom(node).field(name),
            },
            Schema::Builtin(owner) => match table().get(owner).and_then(|fields| fields.get(name)) {
                Some(field) => FieldSchema {
                    shape: field.shape.clone(),
                    strategic: field.strategic.clone(),
                    retain_keys: field.retain_keys,
                    of: field.of.map_or(Schema::Unknown, Schema::Builtin),
                },
                None if name == "metadata" => FieldSchema { of: Schema::Builtin("ObjectMeta"), ..unknown },
                None => unknown,
            },
            Schema::Custom(node) => {
                let (child, free) = match node["properties"].get(name) {
                    Some(child) => (child, false),
                    None => (&node["additionalProperties"], true),
                };
                if child.is_null() || free && !child.is_object() {
                    return unknown;
                }
                custom_field(child)
            }
        }
    }
}

fn custom_field(node: &Value) -> FieldSchema<'_> {
    let text = |k: &str| node[k].as_str().unwrap_or_default();
    let mut field = FieldSchema { shape: None, strategic: None, retain_keys: false, of: Schema::Custom(node) };
    match (text("x-kubernetes-list-type"), text("x-kubernetes-map-type")) {
        ("map", _) => {
            let properties = &node["items"]["properties"];
            let keys = node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let default = |k: &str| properties[k].get("default").cloned();
            field.shape = Some(Shape::Keyed(keys.map(|k| (k.to_string(), default(k))).collect()));
        }
        ("set", _) => field.shape = Some(Shape::Set),
        (_, "atomic") => field.shape = Some(Shape::Atomic),
        _ if node["properties"].is_null() && node["additionalProperties"].is_object() => {
            field.shape = Some(Shape::Object { free: true });
        }
        _ => {}
    }
    if let Some(items) = node.get("items") {
        field.of = Schema::Custom(items);
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let lines = TABLE.lines().filter(|l| !l.is_empty()).count();
        let fields: usize = table().values().map(HashMap::len).sum();
        assert_eq!(fields, lines);
    }

    #[test]
    fn ports_have_two_keys_for_apply_and_one_for_strategic_merge() {
        let field = Schema::of_kind("Service").field("spec").of.field("ports");
        let keys = vec![("port".to_string(), None), ("protocol".to_string(), Some(json!("TCP")))];
        assert_eq!(field.shape, Some(Shape::Keyed(keys)));
        assert_eq!(field.strategic, Some(Strategic::Key("port".into())));
    }

    #[test]
    fn a_custom_schema_says_how_its_lists_merge() {
        let schema = json!({"properties": {"spec": {"properties": {
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"], "items": {"properties": {}}},
            "plain": {"type": "array"},
        }}}});
        let spec = Schema::CustomRoot(&schema).field("spec").of;
        assert_eq!(spec.field("list").shape, Some(Shape::Keyed(vec![("id".into(), None)])));
        assert_eq!(spec.field("plain").shape_of(&json!([])), Shape::Atomic);
    }
}
