{{/* The containers of node pods and the security of all pods. */}}

{{/* Pods that only talk to the API server: Pod Security `restricted`. */}}
{{- define "kata-deploy.restricted.pod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "kata-deploy.restricted.container" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* node.securityContext .: root, but only with what writing other owners' files takes. */}}
{{- define "kata-deploy.node.securityContext" -}}
{{- $own := .Values.node.securityContext | default dict -}}
{{- $context := dict "privileged" false "readOnlyRootFilesystem" true "runAsNonRoot" false "runAsUser" 0 "runAsGroup" 0 -}}
{{- if not $own.privileged -}}
  {{- $_ := set $context "allowPrivilegeEscalation" false -}}
  {{- $_ := set $context "capabilities" (dict "drop" (list "ALL") "add" (list "CHOWN" "DAC_OVERRIDE" "FOWNER")) -}}
  {{- $_ := set $context "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- end -}}
{{- mergeOverwrite $context $own | toYaml -}}
{{- end -}}

{{/* logLevel VALUES: of the installer; nothing for its own default. */}}
{{- define "kata-deploy.logLevel" -}}
{{- .logLevel | default "" | trim | default (.debug | empty | ternary "" "debug") -}}
{{- end -}}

{{/* prepare .: copies the installer, one static binary, to where containers of the payload's image can start it. */}}
{{- define "kata-deploy.prepare" -}}
- name: prepare
  image: {{ include "kata-deploy.nodeImage" . | quote }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  command: ["/usr/bin/husk-node", "copy-to", "/husk/husk-node"]
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
    {{- include "kata-deploy.restricted.container" . | nindent 4 }}
  volumeMounts:
    - name: husk
      mountPath: /husk
{{- end -}}

{{/* stage (dict "root" . "values" VALUES "name" "cri" "stage" "cri" "payload" false "token" false): one container that
     touches the node. `payload`: it needs the payload, so it runs in its image with the copied installer, or fetches it. */}}
{{- define "kata-deploy.stage" -}}
{{- $fetches := and .payload (ne .values.payload.source "image") -}}
{{- $inside := and .payload (not $fetches) -}}
- name: {{ .name }}
  image: {{ include ($inside | ternary "kata-deploy.payloadImage" "kata-deploy.nodeImage") .root | quote }}
  imagePullPolicy: {{ .values.imagePullPolicy }}
  command:
    - {{ $inside | ternary "/husk/husk-node" "/usr/bin/husk-node" }}
    {{- with include "kata-deploy.logLevel" .values }}
    - --log-level={{ . }}
    {{- end }}
    - {{ .stage }}
  env:
    {{- include "kata-deploy.env" (list .root .values) | trim | nindent 4 }}
    {{- if $fetches }}
    {{- include "kata-deploy.env.payload" (list .root .values) | trim | nindent 4 }}
    {{- end }}
    {{- with .healthPort }}
    - name: HEALTH_PORT
      value: {{ . | quote }}
    {{- end }}
  {{- with .values.node.envFrom }}
  envFrom:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "kata-deploy.node.securityContext" .root | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    {{- include "kata-deploy.mounts" (list .root .values) | nindent 4 }}
    {{- if .token }}
    {{- include "kata-deploy.tokenMount" . | nindent 4 }}
    {{- end }}
{{- end -}}
