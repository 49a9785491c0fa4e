{{ define "many.labels" }}{{ toYaml .Values.labels }}
n: {{ .n | quote }}{{ end }}