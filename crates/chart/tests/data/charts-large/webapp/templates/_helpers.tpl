{{- define "webapp.image" -}}{{ include "kit.image" (dict "image" .Values.image "global" .Values.global "chart" .Chart) }}{{- end -}}
{{- define "webapp.sa" -}}
{{- if .Values.serviceAccount.create -}}{{ default (include "kit.fullname" .) .Values.serviceAccount.name }}{{- else -}}{{ default "default" .Values.serviceAccount.name }}{{- end -}}
{{- end -}}
{{- define "webapp.validate" -}}
{{- $messages := list -}}
{{- $messages = append $messages (include "webapp.validate.replicas" .) -}}
{{- $messages = without $messages "" -}}
{{- $message := join "\n" $messages -}}
{{- if $message -}}{{- printf "\nVALUES VALIDATION:\n%s" $message | fail -}}{{- end -}}
{{- end -}}
{{- define "webapp.validate.replicas" -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.replicaCount)) }}
webapp: autoscaling.maxReplicas
    {{ .Values.autoscaling.maxReplicas }} is less than replicaCount ({{ .Values.replicaCount }})
{{- end }}
{{- end -}}
