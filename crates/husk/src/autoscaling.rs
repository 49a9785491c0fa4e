//! `husk explain autoscaling`: what an autoscaler has to be told about nodes that are not ready for sandboxes yet.

/// Returns the text.
pub(crate) fn explain() -> String {
    TEXT.to_owned()
}

const TEXT: &str = r#"Nodes that an autoscaler adds

A new node carries a startup taint, so that nothing lands on it before its runtimes are there. The watcher of the chart sees the
node, runs the installer's Job on it, and the installer takes the taint off when the handlers are served and the node is labelled.

1. Values of kata-deploy (for confidential-containers below the key of the dependency, kata-as-coco-runtime):

deploymentMode: job
startupTaints:
  - startup-taint.cluster-autoscaler.kubernetes.io/kata:NoSchedule
job:
  watch:
    enabled: true

2a. Cluster Autoscaler takes every taint with that prefix for one that goes away by itself, and counts the node as coming. Let the
    node group register its nodes with it, and tell the autoscaler the label that Kata pods select, so that it can start from zero:

kubelet            --register-with-taints=startup-taint.cluster-autoscaler.kubernetes.io/kata=:NoSchedule
AWS, tags          k8s.io/cluster-autoscaler/node-template/label/katacontainers.io/kata-runtime: "true"
GKE, AKS           node pool with that taint and that label
other taint names  cluster-autoscaler --startup-taint=KEY

2b. Karpenter:

apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: kata
spec:
  template:
    metadata:
      labels:
        katacontainers.io/kata-runtime: "false"   # the installer makes it "true"
    spec:
      startupTaints:
        - key: startup-taint.cluster-autoscaler.kubernetes.io/kata
          effect: NoSchedule
      requirements:
        - key: karpenter.k8s.aws/instance-hypervisor   # on AWS: /dev/kvm exists on metal instances
          operator: DoesNotExist
      nodeClassRef:
        group: karpenter.k8s.aws
        kind: EC2NodeClass
        name: kata

    Karpenter plans with the labels of the NodePool. RuntimeClasses of this chart select the label with the value "true": give pods
    that should make Karpenter add a node a nodeSelector of the pool's own instead, or set that label to "true" here.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_values_and_both_autoscalers() {
        let text = explain();
        for word in ["startupTaints:", "watch:", "--register-with-taints", "karpenter.sh/v1", "NodePool"] {
            assert!(text.contains(word), "{word}");
        }
    }
}
