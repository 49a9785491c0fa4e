{{/* Runtimes of the user's own, and the ConfigMap that carries them and the drop-ins of shims to the nodes. */}}

{{/* customRuntimes VALUES: [{name, class, baseConfig, …}] as JSON, by name; entries without a runtimeClass say nothing. */}}
{{- define "kata-deploy.customRuntimes" -}}
{{- $found := list -}}
{{- if .customRuntimes.enabled -}}
  {{- range $name, $runtime := .customRuntimes.runtimes -}}
    {{- if ($runtime | default dict).runtimeClass -}}
      {{- $class := fromYaml $runtime.runtimeClass -}}
      {{- if $class.Error -}}
        {{- fail (printf "customRuntimes.runtimes.%s.runtimeClass is not YAML: %s" $name $class.Error) -}}
      {{- end -}}
      {{- if not $class.handler -}}
        {{- fail (printf "customRuntimes.runtimes.%s.runtimeClass has no handler" $name) -}}
      {{- end -}}
      {{- $found = append $found (merge (dict "name" $name "class" $class) $runtime) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* customConfigs VALUES: the data of the ConfigMap; nothing when there is none to make. */}}
{{- define "kata-deploy.customConfigs" -}}
{{- $runtimes := include "kata-deploy.customRuntimes" . | fromJsonArray -}}
{{- if $runtimes }}
custom-runtimes.list: |
  {{- range $runtimes }}
  {{ .class.handler }}:{{ .baseConfig }}:{{ (.containerd | default dict).snapshotter }}:{{ (.crio | default dict).pullType }}
  {{- end }}
{{- end }}
{{- range $runtimes }}
{{- if .dropIn | default "" | trim }}
{{ printf "dropin-%s.toml" .class.handler | quote }}: |
  {{- .dropIn | trim | nindent 2 }}
{{- end }}
{{- end }}
{{- range .enabledShims }}
{{- if .dropIn | default "" | trim }}
{{ printf "dropin-%s.toml" .name | quote }}: |
  {{- .dropIn | trim | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
