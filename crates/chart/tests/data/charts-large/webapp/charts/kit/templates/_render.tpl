{{- define "kit.render" -}}
{{- $value := typeIs "string" .value | ternary .value (.value | toYaml) }}
{{- if contains "{{" (toJson .value) }}
  {{- if .scope }}
      {{- tpl (cat "{{- with $.RelativeScope -}}" $value "{{- end }}") (merge (dict "RelativeScope" .scope) .context) }}
  {{- else }}
    {{- tpl $value .context }}
  {{- end }}
{{- else }}
    {{- $value }}
{{- end }}
{{- end -}}

{{- define "kit.merge" -}}
{{- $dst := dict -}}
{{- range .values -}}
{{- $dst = include "kit.render" (dict "value" . "context" $.context "scope" $.scope) | fromYaml | merge $dst -}}
{{- end -}}
{{ $dst | toYaml }}
{{- end -}}

{{- define "kit.labels" -}}
{{- if and (hasKey . "customLabels") (hasKey . "context") -}}
{{- $default := dict "app.kubernetes.io/name" (include "kit.name" .context) "helm.sh/chart" (include "kit.chart" .context) "app.kubernetes.io/instance" .context.Release.Name "app.kubernetes.io/managed-by" .context.Release.Service -}}
{{- with .context.Chart.AppVersion -}}
{{- $_ := set $default "app.kubernetes.io/version" (. | replace "+" "_") -}}
{{- end -}}
{{ template "kit.merge" (dict "values" (list .customLabels $default) "context" .context) }}
{{- else -}}
app.kubernetes.io/name: {{ include "kit.name" . }}
helm.sh/chart: {{ include "kit.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Chart.AppVersion }}
app.kubernetes.io/version: {{ . | replace "+" "_" | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kit.image" -}}
{{- $registry := default .image.registry ((.global).imageRegistry) -}}
{{- $repository := required "image.repository is required" .image.repository -}}
{{- $separator := ":" -}}
{{- $termination := .image.tag | default .chart.AppVersion | toString -}}
{{- if .image.digest }}{{ $separator = "@" }}{{ $termination = .image.digest | toString }}{{ end -}}
{{- if $registry }}{{- printf "%s/%s%s%s" $registry $repository $separator $termination -}}
{{- else -}}{{- printf "%s%s%s" $repository $separator $termination -}}{{- end -}}
{{- end -}}

{{- define "kit.pullSecrets" -}}
{{- $secrets := list }}
{{- range ((.global).imagePullSecrets) }}
  {{- if kindIs "map" . }}{{ $secrets = append $secrets .name }}{{ else }}{{ $secrets = append $secrets . }}{{ end }}
{{- end }}
{{- range .images }}{{- range .pullSecrets }}
  {{- if kindIs "map" . }}{{ $secrets = append $secrets (tpl .name $.context) }}{{ else }}{{ $secrets = append $secrets (tpl . $.context) }}{{ end }}
{{- end }}{{- end }}
{{- if (not (empty $secrets)) }}
imagePullSecrets:
  {{- range $secrets | uniq }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "kit.api.ingress" -}}
{{- if semverCompare "<1.19-0" .Capabilities.KubeVersion.Version -}}networking.k8s.io/v1beta1{{- else -}}networking.k8s.io/v1{{- end -}}
{{- end -}}

{{- define "kit.api.hpa" -}}
{{- if .Capabilities.APIVersions.Has "autoscaling/v2" -}}autoscaling/v2{{- else -}}autoscaling/v2beta1{{- end -}}
{{- end -}}

{{- define "kit.affinity" -}}
{{- if eq .type "soft" }}
preferredDuringSchedulingIgnoredDuringExecution:
  - podAffinityTerm:
      labelSelector:
        matchLabels: {{- (include "kit.match" .context) | nindent 10 }}
      topologyKey: {{ .key | default "kubernetes.io/hostname" }}
    weight: 1
{{- else if eq .type "hard" }}
requiredDuringSchedulingIgnoredDuringExecution:
  - labelSelector:
      matchLabels: {{- (include "kit.match" .context) | nindent 8 }}
    topologyKey: {{ .key | default "kubernetes.io/hostname" }}
{{- end -}}
{{- end -}}

{{- define "kit.match" -}}
{{ pick (include "kit.labels" . | fromYaml) "app.kubernetes.io/name" "app.kubernetes.io/instance" | toYaml }}
{{- end -}}

{{- define "kit.resources" -}}
{{- $presets := dict
  "nano" (dict "requests" (dict "cpu" "100m" "memory" "128Mi") "limits" (dict "cpu" "150m" "memory" "192Mi"))
  "small" (dict "requests" (dict "cpu" "500m" "memory" "512Mi") "limits" (dict "cpu" "750m" "memory" "768Mi"))
}}
{{- if hasKey $presets .type -}}
{{- index $presets .type | toYaml -}}
{{- else -}}
{{- printf "ERROR: Preset key '%s' invalid. Allowed values are %s" .type (join "," (keys $presets | sortAlpha)) | fail -}}
{{- end -}}
{{- end -}}

{{- define "kit.secretValue" -}}
{{- $found := (lookup "v1" "Secret" .context.Release.Namespace .name) -}}
{{- if and $found (hasKey ($found.data | default dict) .key) -}}{{ index $found.data .key | b64dec }}{{- else -}}{{ .fallback }}{{- end -}}
{{- end -}}
