{{/* The end of a removal in DaemonSet mode. After the release is gone: when the last pod has cleaned its node, nodes that their
     pods left as they were are cleaned by a Job each, and the rights that were needed for that are taken away. With state: absent
     the release is still there, and so are they. */}}

{{- define "kata-deploy.removalHook" -}}
{{- $on := include "kata-deploy.present" (index . 0) | empty | ternary (include "kata-deploy.appliedHooks" .) "post-delete" -}}
{{- include "kata-deploy.hook" (dict "on" $on "weight" (index . 1) "delete" "before-hook-creation,hook-succeeded") -}}
{{- end -}}

{{/* Two names: a Job cannot change, and one that was applied beside the pods is still there when they shall go. */}}
{{- define "kata-deploy.removalName" -}}
{{- include "kata-deploy.rbacName" (list . (include "kata-deploy.present" . | empty | ternary "removal" "rb-cleanup")) -}}
{{- end -}}

{{/* Node pods have 600 seconds to stop; a minute more, so that the last of them is seen going. */}}
{{- define "kata-deploy.removalCommand" -}}
- finish-removal
- --job-template=/etc/kata-job/cleanup.yaml
- --name-prefix={{ include "kata-deploy.name" . }}-cleanup
- --owner-job-name={{ include "kata-deploy.removalName" . }}
- --namespace={{ .Release.Namespace }}
- --parallelism={{ include "kata-deploy.parallelism" . }}
- --ignore-node-taints
{{- include "kata-deploy.suffixOption" . }}
- --pod-selector=name={{ include "kata-deploy.name" . }}
- --timeout-secs=660
{{- if include "kata-deploy.present" . }}
- --unless-daemonset={{ include "kata-deploy.name" . }}
- --delete-cluster-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-cluster-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-service-account={{ include "kata-deploy.rbacName" (list . "sa") }}
{{- end }}
{{- end -}}

{{/* The Job of one node. When it is needed, the ConfigMaps of the release are gone; a removal reads the host's ledger instead. */}}
{{- define "kata-deploy.removalTemplate" -}}
{{- $values := deepCopy .Values -}}
{{- $_ := set $values.containerd "userDropIn" "" -}}
{{- $_ := set $values "customRuntimes" (dict "enabled" false) -}}
{{- include "kata-deploy.decide" . -}}
{{- $decided := omit (deepCopy .Decided) "environment" -}}
{{- $_ := set $decided "containerd" $values.containerd -}}
{{- $_ := set $decided "customRuntimes" $values.customRuntimes -}}
{{- range $shim := $decided.enabledShims -}}
  {{- $_ := set $shim "dropIn" "" -}}
{{- end -}}
{{- $root := omit . "Values" "Decided" -}}
{{- $_ := set $root "Values" $values -}}
{{- $_ := set $root "Decided" $decided -}}
{{- include "kata-deploy.jobTemplate" (list $root "cleanup") -}}
{{- end -}}
