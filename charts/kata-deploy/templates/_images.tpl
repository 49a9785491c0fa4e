{{/* image (dict "image" {reference, tag} "tag" DEFAULT): a reference with @ is complete as it is. */}}
{{- define "kata-deploy.image" -}}
{{- if contains "@" .image.reference -}}
{{- .image.reference -}}
{{- else -}}
{{- printf "%s:%v" .image.reference (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{- define "kata-deploy.payloadImage" -}}
{{- include "kata-deploy.image" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "kata-deploy.nodeImage" -}}
{{- include "kata-deploy.image" (dict "image" .Values.node.image "tag" .Chart.Version) -}}
{{- end -}}

{{- define "kata-deploy.dispatcherImage" -}}
{{- include "kata-deploy.image" (dict "image" .Values.job.dispatcherImage "tag" "") -}}
{{- end -}}

{{- define "kata-deploy.monitorImage" -}}
{{- include "kata-deploy.image" (dict "image" .Values.monitor.image "tag" .Chart.AppVersion) -}}
{{- end -}}
