{{/* The dispatcher: its two Jobs and their command lines. */}}

{{/* dispatcherJob (dict "root" . "direction" "install" "name" "install-dispatcher" "on" … "delete" … "command" …) */}}
{{- define "kata-deploy.dispatcherJob" -}}
{{- $name := include "kata-deploy.jobName" (list .root .name) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kata-deploy.labels" .root | nindent 4 }}
    kata-deploy/dispatcher: {{ .direction }}
  annotations:
    {{- include "kata-deploy.hook" (dict "on" .on "weight" "5" "delete" .delete) | nindent 4 }}
spec:
  backoffLimit: 0
  ttlSecondsAfterFinished: {{ .root.Values.job.ttlSecondsAfterFinished | int64 }}
  template:
    metadata:
      labels:
        {{- include "kata-deploy.labels" .root | nindent 8 }}
        kata-deploy/dispatcher: {{ .direction }}
    spec:
      {{- include "kata-deploy.apiPod" (dict "root" .root "serviceAccount" (include "kata-deploy.rbacName" (list .root "dispatcher-sa"))) | trim | nindent 6 }}
      containers:
        {{- include "kata-deploy.apiContainer" (dict "root" .root "name" "dispatcher" "command" .command) | nindent 8 }}
          volumeMounts:
            - name: job-templates
              mountPath: /etc/kata-job
              readOnly: true
      volumes:
        - name: job-templates
          configMap:
            name: {{ include "kata-deploy.jobName" (list .root "job-templates") }}
{{- end -}}

{{/* dispatcherCommon (list . "install" "install-dispatcher"): the options of both directions. */}}
{{- define "kata-deploy.dispatcherCommon" -}}
{{- $root := index . 0 -}}
{{- $direction := index . 1 -}}
- --job-template=/etc/kata-job/{{ $direction }}.yaml
- --name-prefix={{ include "kata-deploy.name" $root }}-{{ $direction }}
- --owner-job-name={{ include "kata-deploy.jobName" (list $root (index . 2)) }}
- --namespace={{ $root.Release.Namespace }}
- --parallelism={{ include "kata-deploy.parallelism" $root }}
{{- include "kata-deploy.suffixOption" $root }}
{{- end -}}

{{/* A number in full digits, or a percentage as it is. */}}
{{- define "kata-deploy.parallelism" -}}
{{- kindIs "string" .Values.job.parallelism | ternary .Values.job.parallelism (include "kata-deploy.number" (list .Values.job "parallelism" 100)) -}}
{{- end -}}

{{- define "kata-deploy.installCommand" -}}
{{- $values := include "kata-deploy.values" . | fromJson -}}
- dispatch
{{ include "kata-deploy.dispatcherCommon" (list . "install" "install-dispatcher") }}
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
{{ include "kata-deploy.dispatcherCommon" (list . "cleanup" (include "kata-deploy.present" . | empty | ternary "removal-dispatcher" "cleanup-dispatcher")) }}
{{- include "kata-deploy.cleanupNodes" (include "kata-deploy.values" . | fromJson) }}
- --ignore-node-taints
{{- if include "kata-deploy.present" . }}
- --only-under-helm={{ include "kata-deploy.jobName" (list . "job-templates") }}
{{- end }}
{{- end -}}
