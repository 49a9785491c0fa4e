{{/* What the pods have in common. */}}

{{/* pod (dict "root" . "account" NAME "component" .Values.master) */}}
{{- define "nfd.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ .account }}
securityContext:
  seccompProfile:
    type: RuntimeDefault
enableServiceLinks: false
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- range $key := list "nodeSelector" "affinity" "tolerations" }}
{{- with get $.component $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* container (dict "root" . "name" "worker" "command" "nfd-worker" "args" LIST "resources" … "serve" true) */}}
{{- define "nfd.container" -}}
- name: {{ .name }}
  image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [{{ .command }}]
  args: {{ toJson .args }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    capabilities:
      drop: [ALL]
  {{- with .resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .serve }}
  ports:
    - name: http
      containerPort: 8080
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_UID
      valueFrom:
        fieldRef:
          fieldPath: metadata.uid
  startupProbe: {{ include "nfd.probe" 30 }}
  livenessProbe: {{ include "nfd.probe" 3 }}
  readinessProbe: {{ include "nfd.probe" 10 }}
  {{- end }}
{{- end -}}

{{- define "nfd.probe" -}}
{httpGet: {path: /healthz, port: http}, failureThreshold: {{ . }}}
{{- end -}}

{{/* configMount "master": the mount of a component's configuration file, and its volume. */}}
{{- define "nfd.configMount" -}}
- name: nfd-{{ . }}-conf
  mountPath: /etc/kubernetes/node-feature-discovery
  readOnly: true
{{- end -}}

{{- define "nfd.configVolume" -}}
- name: nfd-{{ index . 1 }}-conf
  configMap:
    name: {{ include "nfd.fullname" (index . 0) }}-{{ index . 1 }}-conf
    items:
      - key: nfd-{{ index . 1 }}.conf
        path: nfd-{{ index . 1 }}.conf
{{- end -}}
