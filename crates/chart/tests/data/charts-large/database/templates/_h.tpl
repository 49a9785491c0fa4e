{{- define "db.secret" -}}{{ if .Values.auth.existingSecret }}{{ tpl .Values.auth.existingSecret $ }}{{ else }}{{ .Release.Name }}-db{{ end }}{{- end -}}
{{- define "db.storageClass" -}}
{{- $sc := default .persistence.storageClass ((.global).storageClass) -}}
{{- if $sc -}}{{- if eq "-" $sc }}storageClassName: ""{{- else }}storageClassName: {{ $sc }}{{- end -}}{{- end -}}
{{- end -}}
{{- define "db.check" -}}
{{- if and .Values.auth.enabled (eq .Values.architecture "replication") }}{{ $_ := required "auth.password is needed with replication" .Values.auth.password }}{{ end -}}
{{- if not (has .Values.architecture (list "standalone" "replication")) }}{{ fail (printf "architecture %q is not one of %v" .Values.architecture (list "standalone" "replication")) }}{{ end -}}
{{- end -}}
