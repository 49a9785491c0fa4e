{{- define "mon.fullname" -}}{{ printf "%s-%s" .Release.Name "mon" | trunc (.Values.cleanPrometheusOperatorObjectNames | ternary 63 26 | int) | trimSuffix "-" }}{{- end }}
{{- define "mon.labels" }}
app.kubernetes.io/part-of: {{ template "mon.fullname" . }}
release: {{ $.Release.Name | quote }}
{{- end }}
