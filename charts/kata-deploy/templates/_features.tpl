{{/* Node Feature Discovery (NFD) and what depends on it: TEE keys as resources, labels of TEE nodes. */}}

{{/* nfd.installed: "true" when this release installs NFD. */}}
{{- define "kata-deploy.nfd.installed" -}}
{{- if eq (toJson (index .Values "node-feature-discovery" | default dict).enabled) "true" }}true{{ end -}}
{{- end -}}

{{/* nfd.there: "true" when NFD runs in the cluster: installed by this release, or its API is served already. */}}
{{- define "kata-deploy.nfd.there" -}}
{{- if or (include "kata-deploy.nfd.installed" .) (.Capabilities.APIVersions.Has "nfd.k8s-sigs.io/v1alpha1") }}true{{ end -}}
{{- end -}}

{{/* nfd.keys: "true" when TEE keys are requested and the rule that provides them is made. */}}
{{- define "kata-deploy.nfd.keys" -}}
{{- $create := (.Values.nodeFeatureRules | default dict).create -}}
{{- $create = kindIs "invalid" $create | ternary "auto" (toString $create) -}}
{{- if eq $create "true" -}}
true
{{- else if eq $create "auto" -}}
{{- include "kata-deploy.nfd.there" . -}}
{{- else if ne $create "false" -}}
{{- fail (printf "nodeFeatureRules.create must be one of auto, true, false (got %q)" $create) -}}
{{- end -}}
{{- end -}}

{{/* nfd.terms: nodes that can run virtual machines, as alternatives. */}}
{{- define "kata-deploy.nfd.terms" -}}
{{- range list "VMX" "SVM" }}
- matchExpressions:
    - {key: feature.node.kubernetes.io/cpu-cpuid.{{ . }}, operator: In, values: ["true"]}
    - {key: kubernetes.io/arch, operator: In, values: [amd64]}
{{- end }}
{{- range list "arm64, aarch64" "s390x" "ppc64le" "riscv64" }}
- matchExpressions:
    - {key: kubernetes.io/arch, operator: In, values: [{{ . }}]}
{{- end }}
{{- end -}}

{{/* tee "qemu-snp": the TEE that a shim's name tells, or nothing. */}}
{{- define "kata-deploy.tee" -}}
{{- if contains "snp" . }}snp{{ else if contains "tdx" . }}tdx{{ else if regexMatch "-se(-runtime-rs)?$" . }}se{{ end -}}
{{- end -}}

{{/* teeKey "qemu-snp": the resource that one sandbox takes, or nothing. */}}
{{- define "kata-deploy.teeKey" -}}
{{- get (dict "snp" "sev-snp.amd.com/esids" "tdx" "tdx.intel.com/keys") (include "kata-deploy.tee" .) -}}
{{- end -}}

{{/* teeLabel "qemu-snp": the label that NFD puts on nodes with that TEE, or nothing. GPU shims carry theirs in the values. */}}
{{- define "kata-deploy.teeLabel" -}}
{{- if not (contains "nvidia-gpu" .) -}}
{{- get (dict "snp" "amd.feature.node.kubernetes.io/snp" "tdx" "intel.feature.node.kubernetes.io/tdx" "se" "feature.node.kubernetes.io/cpu-security.se.enabled") (include "kata-deploy.tee" .) -}}
{{- end -}}
{{- end -}}
