{{/* The dispatcher's command lines. */}}

{{- define "kata-deploy.installCommand" -}}
{{- $values := include "kata-deploy.values" . | fromJson -}}
- dispatch
{{ include "kata-deploy.dispatcherCommon" (list . "install") }}
- --cleanup-job-template=/etc/kata-job/cleanup.yaml
{{- include "kata-deploy.installNodes" (list . $values) }}
- --claim-node-pending
- --wait-node-ready-secs={{ include "kata-deploy.number" (list $values.job "waitNodeReadySeconds" 300) }}
{{- with include "kata-deploy.requiredHandlers" (list . $values) | fromJsonArray }}
- --require-node-handlers={{ join "," . }}
{{- end }}
{{- with $values.job.canary | int64 }}
- --canary={{ . }}
{{- end }}
{{- with $values.job.haltAfterFailures | int64 }}
- --halt-after-failures={{ . }}
{{- end }}
{{- end -}}

{{- define "kata-deploy.cleanupCommand" -}}
- cleanup
{{ include "kata-deploy.dispatcherCommon" (list . "cleanup") }}
{{- include "kata-deploy.cleanupNodes" (include "kata-deploy.values" . | fromJson) }}
- --ignore-node-taints
{{- end -}}
