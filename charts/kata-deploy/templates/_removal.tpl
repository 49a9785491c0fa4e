{{/* The end of a removal in DaemonSet mode. After the release is gone: when the last pod has cleaned its node, the rights that
     pods needed for that are taken away. With state: absent the release is still there and only waits for the last pod. */}}

{{- define "kata-deploy.removalHook" -}}
{{- $on := include "kata-deploy.present" (index . 0) | empty | ternary (include "kata-deploy.appliedHooks" .) "post-delete" -}}
{{- include "kata-deploy.hook" (dict "on" $on "weight" (index . 1) "delete" "before-hook-creation,hook-succeeded") -}}
{{- end -}}

{{/* Node pods have 600 seconds to stop; a minute more, so that the last of them is seen going. */}}
{{- define "kata-deploy.removalCommand" -}}
- finish-removal
- --namespace={{ .Release.Namespace }}
- --pod-selector=name={{ include "kata-deploy.name" . }}
- --timeout-secs=660
{{- include "kata-deploy.suffixOption" . }}
{{- if include "kata-deploy.present" . }}
- --unless-daemonset={{ include "kata-deploy.name" . }}
- --delete-cluster-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-cluster-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-service-account={{ include "kata-deploy.rbacName" (list . "sa") }}
{{- end }}
{{- end -}}
