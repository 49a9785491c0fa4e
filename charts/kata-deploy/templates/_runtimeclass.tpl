{{/* RuntimeClasses: what pods name to get a sandbox. */}}

{{/* "overhead" and "classNodes" take what "runtimeClass" takes. */}}

{{/* overhead: podFixed of a shim, TEE key included, or nothing. */}}
{{- define "kata-deploy.overhead" -}}
{{- $values := .values -}}
{{- $shim := .shim -}}
{{- $class := $shim.runtimeClass | default dict -}}
{{- $charged := hasKey $class "overheadEnabled" | ternary $class.overheadEnabled $values.runtimeClasses.overheadEnabled -}}
{{- $fixed := dict -}}
{{- if $charged -}}
  {{- $fixed = merge (pick ($class.overhead | default dict) "memory" "cpu") (include "kata-deploy.knownOverhead" (list .overheads $shim.name) | fromJson) -}}
{{- end -}}
{{- if .nfd.keys -}}
  {{- with include "kata-deploy.teeKey" $shim.name }}{{- $_ := set $fixed . "1" -}}{{- end -}}
{{- end -}}
{{- include "kata-deploy.strings" $fixed -}}
{{- end -}}

{{/* knownOverhead (list OVERHEADS "qemu"): {memory, cpu} as JSON; {} for a shim that is not there. OVERHEADS: files/overheads.yaml,
     read once, because there are many classes. */}}
{{- define "kata-deploy.knownOverhead" -}}
{{- $known := dict -}}
{{- with get (index . 0) (index . 1) -}}
  {{- $known = dict "memory" (index . 0) "cpu" (index . 1) -}}
{{- end -}}
{{- $known | toJson -}}
{{- end -}}

{{/* classNodes: labels of the nodes that serve a shim. The two marks of an installation are not the user's. */}}
{{- define "kata-deploy.classNodes" -}}
{{- $shim := .shim -}}
{{- $mark := printf "kata-deploy.katacontainers.io/%s" (include "kata-deploy.install" .root) -}}
{{- $nodes := dict "katacontainers.io/kata-runtime" "true" $mark "true" -}}
{{- $own := ($shim.runtimeClass | default dict).nodeSelector -}}
{{- $label := include "kata-deploy.teeLabel" $shim.name -}}
{{- if and $label (not $own) .nfd.labels -}}
  {{- $own = dict $label "true" -}}
{{- end -}}
{{- include "kata-deploy.strings" (merge $nodes ($own | default dict)) -}}
{{- end -}}

{{/* runtimeClass (dict "root" . "values" VALUES "overheads" OVERHEADS "nfd" NFD "shim" SHIM "name" … "handler" …); NFD: {keys, labels}, whether
     TEE keys are requested and whether nodes carry NFD's labels. */}}
{{- define "kata-deploy.runtimeClass" -}}
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: {{ .name }}
  labels:
    app.kubernetes.io/managed-by: kata-deploy
    kata-deploy/instance: {{ include "kata-deploy.install" .root | quote }}
  annotations:
    katacontainers.io/kata-version: {{ .root.Chart.AppVersion | quote }}
handler: {{ .handler }}
{{- with include "kata-deploy.overhead" . }}
overhead:
  podFixed:
    {{- . | trim | nindent 4 }}
{{- end }}
scheduling:
  nodeSelector:
    {{- include "kata-deploy.classNodes" . | trim | nindent 4 }}
{{- end -}}
