{{/* A pod of the user's that must run before the release counts as installed. */}}

{{/* verifies .: "true" when there is a pod to run. */}}
{{- define "kata-deploy.verifies" -}}
{{- if and .Values.verification.pod (include "kata-deploy.present" .) }}true{{ end -}}
{{- end -}}

{{- define "kata-deploy.verificationHook" -}}
{{- include "kata-deploy.hook" (dict "on" "post-install,post-upgrade" "weight" "-10" "delete" "before-hook-creation,hook-succeeded,hook-failed") -}}
{{- end -}}

{{/* verificationBinding (list . "RoleBinding" "verification" NAMESPACE) */}}
{{- define "kata-deploy.verificationBinding" -}}
{{- $root := index . 0 -}}
{{- $name := include "kata-deploy.verificationName" (list $root (index . 2)) -}}
{{ include "kata-deploy.binding" (dict "root" $root "kind" (index . 1) "name" $name "role" $name "namespace" (index . 3) "account" (include "kata-deploy.verificationName" (list $root "verification")) "annotations" (include "kata-deploy.verificationHook" $root) "labels" (include "kata-deploy.standardLabels" $root)) }}
{{- end -}}

{{- define "kata-deploy.verifyCommand" -}}
- verify
- --pod-manifest=/config/pod-spec.yaml
- --pod-namespace={{ .Values.verification.namespace }}
- --namespace={{ .Release.Namespace }}
{{- if eq (include "kata-deploy.mode" .) "job" }}
- --install-job={{ include "kata-deploy.jobName" (list . "install-dispatcher") }}
{{- else }}
- --daemonset={{ include "kata-deploy.name" . }}
{{- end }}
- --rollout-timeout-secs={{ .Values.verification.daemonsetTimeout | int64 }}
- --timeout-secs={{ .Values.verification.timeout | int64 }}
{{- include "kata-deploy.suffixOption" . }}
{{- end -}}
