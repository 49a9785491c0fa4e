{{- define "m.component" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $spec := index . 2 -}}
{{- $base := deepCopy $root.Values.defaults -}}
{{- $overlay := dig $root.Values.env "components" $name (dict) $root.Values.overlays -}}
{{- $_ := mustMergeOverwrite $base (deepCopy $spec) (deepCopy $overlay) (dig $root.Values.env "defaults" (dict) $root.Values.overlays) -}}
{{- $_ := set $base "name" $name -}}
{{- $_ := unset $base "enabled" -}}
{{- toYaml $base -}}
{{- end -}}
{{- define "m.tree" -}}
{{- $indent := .indent -}}
{{- range $k, $v := .node }}
{{ repeat $indent "  " }}{{ $k }}:{{ if kindIs "map" $v }}{{ include "m.tree" (dict "node" $v "indent" (add1 $indent | int)) }}{{ else }} {{ $v | toJson }}{{ end }}
{{- end }}
{{- end -}}
