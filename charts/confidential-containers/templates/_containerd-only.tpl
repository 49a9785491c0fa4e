{{/* customContainerd without the runtimes: a DaemonSet that switches containerd on every node, and back when it leaves. */}}

{{/* only .: whether containerd is all that is wanted. */}}
{{- define "confidential-containers.only" -}}
{{- if and .Values.customContainerd.enabled (not (index .Values "kata-as-coco-runtime").enabled) }}true{{ end -}}
{{- end -}}

{{/* only.name (list . "removal"): of its objects. */}}
{{- define "confidential-containers.only.name" -}}
{{- $name := printf "%s-containerd" (index . 0).Release.Name | trunc 50 | trimSuffix "-" -}}
{{- index . 1 | empty | ternary $name (printf "%s-%s" $name (index . 1)) -}}
{{- end -}}

{{/* only.image (dict "image" {reference, tag} "tag" DEFAULT): a reference with @ is complete as it is. */}}
{{- define "confidential-containers.only.image" -}}
{{- if contains "@" .image.reference -}}
{{- .image.reference -}}
{{- else -}}
{{- printf "%s:%v" .image.reference (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{/* present: "true", or nothing when the values ask for the removal. */}}
{{- define "confidential-containers.present" -}}
{{- $state := (.Values.global | default dict).state | default "present" -}}
{{- if eq $state "present" }}true{{ end -}}
{{- end -}}

{{/* only.keep .: pods switch back after the release is gone and need their rights until then; the removal takes those away.
     With global.state: absent they have switched back before. */}}
{{- define "confidential-containers.only.keep" -}}
{{- if include "confidential-containers.present" . }}helm.sh/resource-policy: keep{{ end -}}
{{- end -}}

{{/* only.hook (list . "0"): for the objects of the removal, which follows the pods' own. */}}
{{- define "confidential-containers.only.hook" -}}
helm.sh/hook: {{ include "confidential-containers.present" (index . 0) | empty | ternary "post-install,post-upgrade,post-rollback" "post-delete" }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* only.binding (dict "kind" "RoleBinding" "name" … "namespace" … "annotations" …): of a role to the account of its name. */}}
{{- define "confidential-containers.only.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- if eq .kind "RoleBinding" }}
  namespace: {{ .namespace }}
  {{- end }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ trimSuffix "Binding" .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .namespace }}
{{- end -}}
