name: {{ .Release.Name }}
list:
{{- range .Values.settings.nested.a }}
- {{ . | toJson }}
{{- end }}
