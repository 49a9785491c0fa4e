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
  {{- include "kata-deploy.dispatcherRetries" . | nindent 2 }}
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
          {{- include "kata-deploy.jobTemplateMount" . | nindent 10 }}
      volumes:
        {{- include "kata-deploy.jobTemplateVolume" (list .root "job-templates") | nindent 8 }}
{{- end -}}

{{- define "kata-deploy.jobTemplateMount" -}}
volumeMounts:
  - name: job-templates
    mountPath: /etc/kata-job
    readOnly: true
{{- end -}}

{{/* jobTemplateVolume (list . "job-templates"): the Jobs of one node. */}}
{{- define "kata-deploy.jobTemplateVolume" -}}
- name: job-templates
  configMap:
    name: {{ include "kata-deploy.jobName" . }}
{{- end -}}

{{/* What seeing to the Jobs of nodes takes in the release's namespace. */}}
{{- define "kata-deploy.jobRules" -}}
- apiGroups: [batch]
  resources: [jobs]
  # deletecollection: what an earlier run has left on thousands of nodes.
  verbs: [get, list, watch, create, delete, deletecollection]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end -}}

{{/* One that was killed or evicted goes on where it was; one that has seen nodes fail is through. */}}
{{- define "kata-deploy.dispatcherRetries" -}}
backoffLimit: 6
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        operator: In
        values: [1, 2]
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
{{- include "kata-deploy.decide" . -}}
{{- $values := .Decided -}}
- dispatch
{{ include "kata-deploy.dispatcherCommon" (list . "install" "install-dispatcher") }}
- --cleanup-job-template=/etc/kata-job/cleanup.yaml
{{ include "kata-deploy.otherOwners" (list . "cleanup-dispatcher" "removal-dispatcher" "watch") }}
{{- include "kata-deploy.installNodes" (list . $values) }}
- --claim-node-pending
- --wait-node-ready-secs={{ include "kata-deploy.number" (list $values.job "waitNodeReadySeconds" 300) }}
{{- with include "kata-deploy.requiredHandlers" (list . $values) | fromJsonArray }}
- --require-node-handlers={{ join "," . }}
{{- end }}
{{- include "kata-deploy.rollout" $values }}
{{- end -}}

{{/* rollout VALUES: how carefully nodes are begun; nothing by default. */}}
{{- define "kata-deploy.rollout" -}}
{{- $rollout := .job.rollout | default dict -}}
{{- range $option, $key := dict "canary" "canary" "wave-size" "waveSize" "max-unavailable" "maxUnavailable" "max-failures" "maxFailures" }}
{{- $amount := get $rollout $key | default 0 | toString }}
{{- if not (has $amount (list "0" "0%")) }}
- --{{ $option }}={{ kindIs "string" (get $rollout $key) | ternary $amount (get $rollout $key | int64 | toString) }}
{{- end }}
{{- end }}
{{- if $rollout.controlPlaneLast }}
- --control-plane-last
{{- end }}
{{- if $rollout.paused }}
- --paused
{{- end }}
{{- with $rollout.sandboxes | default "allow" }}
{{- if ne . "allow" }}
- --sandboxes={{ . }}
{{- with $rollout.sandboxTimeoutSeconds | int64 }}
- --sandbox-timeout-secs={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* otherOwners (list . "install-dispatcher" …): the names of these, of which Jobs may be at work too. */}}
{{- define "kata-deploy.otherOwners" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range rest . -}}
  {{- $names = append $names (include "kata-deploy.jobName" (list $root .)) -}}
{{- end -}}
- --other-owners={{ join "," $names }}
{{- end -}}

{{- define "kata-deploy.watchCommand" -}}
{{- include "kata-deploy.decide" . -}}
{{- $values := .Decided -}}
- watch
- --job-template=/etc/kata-job/install.yaml
- --name-prefix={{ include "kata-deploy.name" . }}-late
- --owner-job-name={{ include "kata-deploy.jobName" (list . "watch") }}
{{ include "kata-deploy.otherOwners" (list . "install-dispatcher" "cleanup-dispatcher" "removal-dispatcher") }}
- --namespace={{ .Release.Namespace }}
- --parallelism={{ include "kata-deploy.parallelism" . }}
{{- include "kata-deploy.suffixOption" . }}
{{- include "kata-deploy.nodeOptions" (list . $values) }}
- --node-settle-secs={{ include "kata-deploy.number" (list $values.job.watch "settleSeconds" 30) }}
- --claim-node-pending
- --wait-node-ready-secs={{ include "kata-deploy.number" (list $values.job "waitNodeReadySeconds" 300) }}
{{- with include "kata-deploy.requiredHandlers" (list . $values) | fromJsonArray }}
- --require-node-handlers={{ join "," . }}
{{- end }}
{{- include "kata-deploy.rollout" $values }}
{{- end -}}

{{- define "kata-deploy.cleanupCommand" -}}
- cleanup
{{ include "kata-deploy.dispatcherCommon" (list . "cleanup" (include "kata-deploy.present" . | empty | ternary "removal-dispatcher" "cleanup-dispatcher")) }}
{{- include "kata-deploy.decide" . }}
{{- include "kata-deploy.cleanupNodes" .Decided }}
- --ignore-node-taints
{{ include "kata-deploy.otherOwners" (list . "install-dispatcher" "watch") }}
{{- if (.Values.job.watch | default dict).enabled }}
- --stop-watch={{ include "kata-deploy.jobName" (list . "watch") }}
{{- end }}
{{- if include "kata-deploy.present" . }}
- --only-under-helm={{ include "kata-deploy.jobName" (list . "job-templates") }}
{{- end }}
{{- end -}}
