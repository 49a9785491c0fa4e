{{/* Names and labels. */}}

{{- define "nfd.name" -}}
{{- .Values.nameOverride | default "node-feature-discovery" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "nfd.fullname" -}}
{{- $name := include "nfd.name" . -}}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $whole | trunc 55 | trimSuffix "-" -}}
{{- end -}}

{{- define "nfd.selector" -}}
app.kubernetes.io/name: {{ include "nfd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "nfd.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "nfd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "nfd.pruneHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
