{{/* Which shims are on, and what each is. */}}

{{/* state: `present` or `absent`; global.state is for this chart and those beside it. */}}
{{- define "kata-deploy.state" -}}
{{- (.Values.global | default dict).state | default .Values.state | default "present" -}}
{{- end -}}

{{/* present: "true", or nothing when the values ask for the removal. */}}
{{- define "kata-deploy.present" -}}
{{- if eq (include "kata-deploy.state" .) "present" }}true{{ end -}}
{{- end -}}

{{/* mode: `daemonset` or `job`. */}}
{{- define "kata-deploy.mode" -}}
{{- .Values.deploymentMode | default "daemonset" -}}
{{- end -}}

{{/* shimEnabled (list shims "qemu"): "true" or nothing. true and false are final; null asks disableAll and enabledByDefault. */}}
{{- define "kata-deploy.shimEnabled" -}}
{{- $shims := index . 0 -}}
{{- $name := index . 1 -}}
{{- $enabled := (get $shims $name | default dict).enabled -}}
{{- if kindIs "bool" $enabled -}}
{{- $enabled | ternary "true" "" -}}
{{- else if and (not $shims.disableAll) (or (not $shims.enabledByDefault) (has $name $shims.enabledByDefault)) -}}
true
{{- end -}}
{{- end -}}

{{/* Architectures as Kubernetes and as the installer's variables call them, in the order in which they are listed. */}}
{{- define "kata-deploy.arches" -}}
[["amd64", "X86_64"], ["arm64", "AARCH64"], ["s390x", "S390X"], ["ppc64le", "PPC64LE"]]
{{- end -}}

{{/* handler (list . "qemu"): also the name of the RuntimeClass. */}}
{{- define "kata-deploy.handler" -}}
kata-{{ index . 1 }}{{ include "kata-deploy.dash" (index . 0) }}
{{- end -}}

{{/* defaultClassShim VALUES: the first default shim that is enabled, or nothing. */}}
{{- define "kata-deploy.defaultClassShim" -}}
{{- $found := "" -}}
{{- range include "kata-deploy.arches" . | fromJsonArray -}}
  {{- $shim := get $.defaultShim (index . 0) | default "" -}}
  {{- if and $shim (not $found) (hasKey $.shims $shim) (include "kata-deploy.shimEnabled" (list $.shims $shim)) }}{{- $found = $shim -}}{{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{/* requiredHandlers (list . VALUES): what a node should serve: shims by architecture, then custom runtimes. JSON array. */}}
{{- define "kata-deploy.requiredHandlers" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- $handlers := list -}}
{{- range $arch := include "kata-deploy.arches" $root | fromJsonArray -}}
  {{- range $values.enabledShims -}}
    {{- if has (index $arch 0) (.supportedArches | default list) -}}
      {{- $handlers = append $handlers (include "kata-deploy.handler" (list $root .name)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range include "kata-deploy.customRuntimes" $values | fromJsonArray -}}
  {{- $handlers = append $handlers .class.handler -}}
{{- end -}}
{{- $handlers | uniq | toJson -}}
{{- end -}}
