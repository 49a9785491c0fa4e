{{/* DaemonSet mode, after the release is gone: the last rights are taken away when the last pod has cleaned its node. */}}

{{- define "kata-deploy.removalHook" -}}
{{- include "kata-deploy.hook" (dict "on" "post-delete" "weight" . "delete" "before-hook-creation,hook-succeeded") -}}
{{- end -}}

{{/* Node pods have 600 seconds to stop; a minute more, so that the last of them is seen going. */}}
{{- define "kata-deploy.removalCommand" -}}
- finish-removal
- --namespace={{ .Release.Namespace }}
- --pod-selector=name={{ include "kata-deploy.name" . }}
- --timeout-secs=660
{{- include "kata-deploy.suffixOption" . }}
- --delete-cluster-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-cluster-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-role-binding={{ include "kata-deploy.rbacName" (list . "rb") }}
- --delete-role={{ include "kata-deploy.rbacName" (list . "role") }}
- --delete-service-account={{ include "kata-deploy.rbacName" (list . "sa") }}
{{- end -}}
