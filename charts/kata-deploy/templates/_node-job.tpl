{{/* Job mode: the Job of one node, to which the dispatcher adds a name and the node. */}}

{{/* Conditions of a node that do not keep an installation away. The dispatcher holds a node's taints against these. */}}
{{- define "kata-deploy.installTolerations" -}}
{{- if .job.nodes }}
- operator: Exists
{{- else }}
{{- range list "not-ready" "unreachable" }}
- {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute}
{{- end }}
{{- range list "disk-pressure" "memory-pressure" "pid-pressure" "unschedulable" }}
- {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoSchedule}
{{- end }}
{{- end }}
{{- with .tolerations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* nodeJob (dict "root" . "values" VALUES "direction" "install"): a batch/v1 Job without a name. */}}
{{- define "kata-deploy.nodeJob" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $labels := merge (include "kata-deploy.labels" $root | fromYaml) (dict "kata-deploy/stage" .direction) -}}
{{- $installing := eq .direction "install" -}}
apiVersion: batch/v1
kind: Job
metadata:
  labels:
    {{- include "kata-deploy.strings" $labels | trim | nindent 4 }}
spec:
  backoffLimit: {{ include "kata-deploy.number" (list $values.job "backoffLimit" 3) }}
  # The installer's exit status for what another attempt cannot cure.
  podFailurePolicy:
    rules:
      - action: FailJob
        onExitCodes:
          operator: In
          values: [78]
  ttlSecondsAfterFinished: {{ $values.job.ttlSecondsAfterFinished | int64 }}
  {{- $deadline := include "kata-deploy.number" (list $values.job "activeDeadlineSeconds" 3600) }}
  {{- if ne $deadline "0" }}
  activeDeadlineSeconds: {{ $deadline }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "kata-deploy.strings" (merge $labels ($values.podLabels | default dict)) | trim | nindent 8 }}
      {{- with include "kata-deploy.podAnnotations" (list $root $values) }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      serviceAccountName: {{ include "kata-deploy.rbacName" (list $root "sa") }}
      automountServiceAccountToken: false
      restartPolicy: Never
      tolerations:
        {{- $installing | ternary (include "kata-deploy.installTolerations" $values) "- operator: Exists" | trim | nindent 8 }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- if $installing }}
      initContainers:
        {{- include "kata-deploy.prepare" $root | nindent 8 }}
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "host-check" "stage" "host-check" "payload" true) | nindent 8 }}
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "artifacts" "stage" "artifacts" "payload" true) | nindent 8 }}
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "cri" "stage" "cri" "payload" false) | nindent 8 }}
      containers:
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "label" "stage" "label" "payload" false "token" true) | nindent 8 }}
      {{- else }}
      initContainers:
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "unlabel" "stage" "unlabel" "payload" false "token" true) | nindent 8 }}
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "revert-cri" "stage" "revert-cri" "payload" false) | nindent 8 }}
      containers:
        {{- include "kata-deploy.stage" (dict "root" $root "values" $values "name" "remove-artifacts" "stage" "remove-artifacts" "payload" false) | nindent 8 }}
      {{- end }}
      volumes:
        {{- include "kata-deploy.volumes" (list $root $values) | nindent 8 }}
        {{- include "kata-deploy.tokenVolume" . | nindent 8 }}
{{- end -}}

{{/* jobTemplates .: the data of the ConfigMap that the dispatcher reads. */}}
{{- define "kata-deploy.jobTemplates" -}}
{{ include "kata-deploy.jobTemplate" (list . "install") }}
{{ include "kata-deploy.jobTemplate" (list . "cleanup") }}
{{- end -}}

{{/* jobTemplate (list . "cleanup"): one of them. */}}
{{- define "kata-deploy.jobTemplate" -}}
{{- $root := index . 0 -}}
{{- $direction := index . 1 -}}
{{ $direction }}.yaml: |
  {{- include "kata-deploy.decide" $root }}
  {{- include "kata-deploy.nodeJob" (dict "root" $root "values" $root.Decided "direction" $direction) | nindent 2 }}
{{- end -}}
