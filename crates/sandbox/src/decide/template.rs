//! What the controllers that make pods from a template share: the pod itself, its hash, its readiness, percentages.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;

/// Returns a short hash of a pod template; equal templates have equal hashes in every version of the program.
pub fn template_hash(template: &PodTemplateSpec) -> String {
    let text = serde_json::to_string(template).unwrap_or_default();
    let mut hash = crate::fnv::fnv64(text.as_bytes());
    // The characters that Kubernetes uses for generated names: no vowels, so no words.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..10)
        .map(|_| {
            let letter = LETTERS[(hash % LETTERS.len() as u64) as usize];
            hash /= LETTERS.len() as u64;
            char::from(letter)
        })
        .collect()
}

/// Returns a new pod of a template, owned and controlled by `owner`, with a generated name.
pub fn pod_of<K>(owner: &K, template: &PodTemplateSpec) -> Pod
where
    K: Resource<DynamicType = ()>,
{
    let from = template.metadata.clone().unwrap_or_default();
    let name = owner.meta().name.clone().unwrap_or_default();
    // A generated name has five more characters and a name at most 63 where it becomes a host name.
    let prefix: String = name.chars().take(57).collect();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{prefix}-")),
        namespace: owner.meta().namespace.clone(),
        labels: from.labels,
        annotations: from.annotations,
        finalizers: from.finalizers,
        owner_references: Some(vec![controller_reference(owner)]),
        ..Default::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

/// Returns the reference that makes `owner` the controller of an object.
pub fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Tells whether a pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    available_since(pod, 0).is_some()
}

/// Returns the moment from which a ready pod counts as available.
pub fn available_since(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let since = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some(since + SignedDuration::from_secs(i64::from(min_ready_seconds.max(0))))
}

/// Returns a count given as a number or a percentage of `total`; `default` when it is not given or not understood.
pub fn portion(value: Option<&IntOrString>, total: i32, round_up: bool, default: i32) -> i32 {
    match value {
        None => default,
        Some(IntOrString::Int(count)) => (*count).max(0),
        Some(IntOrString::String(text)) => match text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok()) {
            Some(percent) => {
                let hundredfold = i64::from(total) * percent.max(0);
                let rounded = if round_up { (hundredfold + 99) / 100 } else { hundredfold / 100 };
                i32::try_from(rounded).unwrap_or(i32::MAX)
            }
            None => default,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let percent = |text: &str| Some(IntOrString::String(text.to_owned()));
        assert_eq!(portion(percent("25%").as_ref(), 10, true, 1), 3);
        assert_eq!(portion(percent("25%").as_ref(), 10, false, 1), 2);
        assert_eq!(portion(Some(&IntOrString::Int(4)), 10, true, 1), 4);
        assert_eq!(portion(percent("many").as_ref(), 10, true, 7), 7);
        assert_eq!(portion(None, 10, true, 1), 1);
    }

    #[test]
    fn the_hash_tells_templates_apart() {
        let template = |image: &str| -> PodTemplateSpec {
            let spec = serde_json::json!({"spec": {"containers": [{"name": "c", "image": image}]}});
            serde_json::from_value(spec).unwrap()
        };
        assert_eq!(template_hash(&template("a")), template_hash(&template("a")));
        assert_ne!(template_hash(&template("a")), template_hash(&template("b")));
        assert_eq!(template_hash(&template("a")).len(), 10);
    }
}
