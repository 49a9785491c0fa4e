{{/* How things are called. The chart's name (its alias, as a dependency) and the suffix of a second installation make
     every name; nameOverride and fullnameOverride reach labels and the objects of the verification only. */}}

{{/* "-SUFFIX", or nothing. */}}
{{- define "kata-deploy.dash" -}}
{{- with .Values.env.multiInstallSuffix | default "" | toString }}-{{ . }}{{ end -}}
{{- end -}}

{{/* The installation: its suffix, or `default`. */}}
{{- define "kata-deploy.install" -}}
{{- .Values.env.multiInstallSuffix | default "default" | toString -}}
{{- end -}}

{{/* The DaemonSet, and the stem of Jobs and ConfigMaps. */}}
{{- define "kata-deploy.name" -}}
{{- .Chart.Name }}{{ include "kata-deploy.dash" . -}}
{{- end -}}

{{/* name.of (list . "dispatcher-sa"): RBAC objects carry the suffix last. */}}
{{- define "kata-deploy.rbacName" -}}
{{- $root := index . 0 -}}
{{- $root.Chart.Name }}-{{ index . 1 }}{{ include "kata-deploy.dash" $root -}}
{{- end -}}

{{/* jobName (list . "install-dispatcher"): Jobs and their ConfigMap carry it in the middle; 63 characters at most. */}}
{{- define "kata-deploy.jobName" -}}
{{- printf "%s-%s" (include "kata-deploy.name" (index . 0)) (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "kata-deploy.stateName" -}}
{{- printf "%s-kata-deploy-state" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* verificationName (list . "verify"): cut so that the whole fits into 63 characters. */}}
{{- define "kata-deploy.verificationName" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
{{- $chart := $values.nameOverride | default $root.Chart.Name -}}
{{- $stem := $values.fullnameOverride | default (contains $chart $root.Release.Name | ternary $root.Release.Name (printf "%s-%s" $root.Release.Name $chart)) -}}
{{- $tail := index . 1 -}}
{{- printf "%s-%s" ($stem | trunc (sub 62 (len $tail) | int) | trimSuffix "-") $tail -}}
{{- end -}}

{{/* Labels by which objects of this release are found. */}}
{{- define "kata-deploy.labels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The same with what Helm users expect beside them. */}}
{{- define "kata-deploy.standardLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{ include "kata-deploy.labels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end -}}

{{/* hook (dict "on" … "weight" … "delete" …): the annotations of a Helm hook. */}}
{{- define "kata-deploy.hook" -}}
helm.sh/hook: {{ .on | quote }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: {{ .delete | quote }}
{{- end -}}

{{/* Hooks that follow whatever brought the release into force. */}}
{{- define "kata-deploy.appliedHooks" -}}post-install,post-upgrade,post-rollback{{- end -}}

{{/* strings MAP: labels, annotations, selectors: their values are text, whatever YAML made of them. */}}
{{- define "kata-deploy.strings" -}}
{{- range $key, $value := . }}
{{ $key | quote }}: {{ include "kata-deploy.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* text VALUE: a scalar as it was written; numbers in full digits. */}}
{{- define "kata-deploy.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}
