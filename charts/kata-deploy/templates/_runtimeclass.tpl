{{/* RuntimeClasses: what pods name to get a sandbox. */}}

{{/* overhead (list . VALUES SHIM): podFixed of a shim, TEE key included, or nothing. */}}
{{- define "kata-deploy.overhead" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- $shim := index . 2 -}}
{{- $class := $shim.runtimeClass | default dict -}}
{{- $charged := hasKey $class "overheadEnabled" | ternary $class.overheadEnabled $values.runtimeClasses.overheadEnabled -}}
{{- $fixed := dict -}}
{{- if $charged -}}
  {{- $fixed = merge (pick ($class.overhead | default dict) "memory" "cpu") (include "kata-deploy.knownOverhead" (list $root $shim.name) | fromJson) -}}
{{- end -}}
{{- if include "kata-deploy.nfd.keys" $root -}}
  {{- with include "kata-deploy.teeKey" $shim.name }}{{- $_ := set $fixed . "1" -}}{{- end -}}
{{- end -}}
{{- range $resource, $amount := $fixed }}
{{ $resource }}: {{ $amount | toString | quote }}
{{- end -}}
{{- end -}}

{{/* knownOverhead (list . "qemu"): {memory, cpu} from files/overheads.yaml as JSON; {} for a shim that is not there. */}}
{{- define "kata-deploy.knownOverhead" -}}
{{- $known := dict -}}
{{- with get ((index . 0).Files.Get "files/overheads.yaml" | fromYaml) (index . 1) -}}
  {{- $known = dict "memory" (index . 0) "cpu" (index . 1) -}}
{{- end -}}
{{- $known | toJson -}}
{{- end -}}

{{/* classNodes (list . SHIM): labels of the nodes that serve a shim. The two marks of an installation are not the user's. */}}
{{- define "kata-deploy.classNodes" -}}
{{- $root := index . 0 -}}
{{- $shim := index . 1 -}}
{{- $mark := printf "kata-deploy.katacontainers.io/%s" (include "kata-deploy.install" $root) -}}
{{- $nodes := dict "katacontainers.io/kata-runtime" "true" $mark "true" -}}
{{- $own := ($shim.runtimeClass | default dict).nodeSelector -}}
{{- $label := include "kata-deploy.teeLabel" $shim.name -}}
{{- if and $label (not $own) (or (include "kata-deploy.nfd.installed" $root) (include "kata-deploy.nfd.foreign" $root)) -}}
  {{- $own = dict $label "true" -}}
{{- end -}}
{{- range $label, $value := merge $nodes ($own | default dict) }}
{{ $label }}: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}

{{/* runtimeClass (dict "root" . "values" VALUES "shim" SHIM "name" … "handler" …) */}}
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
{{- with include "kata-deploy.overhead" (list .root .values .shim) }}
overhead:
  podFixed:
    {{- . | trim | nindent 4 }}
{{- end }}
scheduling:
  nodeSelector:
    {{- include "kata-deploy.classNodes" (list .root .shim) | trim | nindent 4 }}
{{- end -}}
