{{/* RBAC: who may do what. One ServiceAccount for each duty, none with a token where it is not used. */}}

{{/* binding (dict "root" . "kind" "ClusterRoleBinding" "name" … "role" … "account" … "annotations" … "labels" … "namespace" …):
     a ClusterRole or Role, by the kind of the binding, to a ServiceAccount of the release's namespace. */}}
{{- define "kata-deploy.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- if eq .kind "RoleBinding" }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  {{- end }}
  {{- with .labels }}
  labels:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ trimSuffix "Binding" .kind }}
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* DaemonSet pods clean up after the release is gone and need their rights until then; finish-removal takes them away.
     With state: absent they have cleaned up before it goes. */}}
{{- define "kata-deploy.keep" -}}
{{- if and (eq (include "kata-deploy.mode" .) "daemonset") (include "kata-deploy.present" .) }}helm.sh/resource-policy: keep{{ end -}}
{{- end -}}
