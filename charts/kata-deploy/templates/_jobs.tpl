{{/* Job mode: the Job of one node, as a template for the dispatcher, which adds a name and the node; and the
     dispatcher's own Jobs. */}}

{{/* Conditions of a node that do not keep an installation away. The dispatcher holds a node's taints against these. */}}
{{- define "kata-deploy.installTolerations" -}}
{{- if .job.nodes }}
- operator: Exists
{{- else }}
{{- range $condition, $effect := dict "not-ready" "NoExecute" "unreachable" "NoExecute" "disk-pressure" "NoSchedule" "memory-pressure" "NoSchedule" "pid-pressure" "NoSchedule" "unschedulable" "NoSchedule" }}
- key: node.kubernetes.io/{{ $condition }}
  operator: Exists
  effect: {{ $effect }}
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

{{/* apiPod (dict "root" . "serviceAccount" NAME): the spec that all pods share which only talk to the API server. */}}
{{- define "kata-deploy.apiPod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: true
restartPolicy: Never
securityContext:
  {{- include "kata-deploy.restricted.pod" . | nindent 2 }}
{{- with .root.Values.job.dispatcherNodeSelector }}
nodeSelector:
  {{- include "kata-deploy.strings" . | trim | nindent 2 }}
{{- end }}
{{- with .root.Values.job.dispatcherTolerations | default .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* apiContainer (dict "root" . "name" NAME "command" "YAML LIST"): a call of the dispatcher's binary. */}}
{{- define "kata-deploy.apiContainer" -}}
- name: {{ .name }}
  image: {{ include "kata-deploy.dispatcherImage" .root | quote }}
  imagePullPolicy: {{ .root.Values.imagePullPolicy }}
  securityContext:
    {{- include "kata-deploy.restricted.container" . | nindent 4 }}
  command:
    - /usr/bin/husk-dispatcher
    {{- .command | trim | nindent 4 }}
  env:
    {{- include "kata-deploy.env.field" (list "POD_NAMESPACE" "metadata.namespace") | trim | nindent 4 }}
    - name: HUSK_RELEASE
      value: {{ .root.Release.Name | quote }}
  terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* suffixOption .: names the installation to the dispatcher, when it has a suffix. */}}
{{- define "kata-deploy.suffixOption" -}}
{{- with .Values.env.multiInstallSuffix }}
- --multi-install-suffix={{ . }}
{{- end }}
{{- end -}}

{{/* dispatcherJob (dict "root" . "direction" "install" "on" … "delete" … "command" …) */}}
{{- define "kata-deploy.dispatcherJob" -}}
{{- $name := include "kata-deploy.jobName" (list .root (printf "%s-dispatcher" .direction)) -}}
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

{{/* dispatcherCommon (list . "install"): the options of both directions. */}}
{{- define "kata-deploy.dispatcherCommon" -}}
{{- $root := index . 0 -}}
{{- $direction := index . 1 -}}
- --job-template=/etc/kata-job/{{ $direction }}.yaml
- --name-prefix={{ include "kata-deploy.name" $root }}-{{ $direction }}
- --owner-job-name={{ include "kata-deploy.jobName" (list $root (printf "%s-dispatcher" $direction)) }}
- --namespace={{ $root.Release.Namespace }}
- --parallelism={{ include "kata-deploy.parallelism" $root }}
{{- include "kata-deploy.suffixOption" $root }}
{{- end -}}

{{/* A number in full digits, or a percentage as it is. */}}
{{- define "kata-deploy.parallelism" -}}
{{- kindIs "string" .Values.job.parallelism | ternary .Values.job.parallelism (include "kata-deploy.number" (list .Values.job "parallelism" 100)) -}}
{{- end -}}

{{/* jobTemplates .: the data of the ConfigMap that the dispatcher reads. */}}
{{- define "kata-deploy.jobTemplates" -}}
{{- $values := include "kata-deploy.values" . | fromJson -}}
install.yaml: |
  {{- include "kata-deploy.nodeJob" (dict "root" . "values" $values "direction" "install") | nindent 2 }}
cleanup.yaml: |
  {{- include "kata-deploy.nodeJob" (dict "root" . "values" $values "direction" "cleanup") | nindent 2 }}
{{- end -}}
