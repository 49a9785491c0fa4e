{{/* What the installer has to know to run another containerd, as environment variables. */}}

{{- define "confidential-containers.arches" -}}
{"amd64": "X86_64", "arm64": "AARCH64", "s390x": "S390X", "ppc64le": "PPC64LE"}
{{- end -}}

{{/* check .: refuses what cannot work before anything is on a node. */}}
{{- define "confidential-containers.check" -}}
{{- $custom := .Values.customContainerd -}}
{{- if $custom.enabled -}}
  {{- $runtime := index .Values "kata-as-coco-runtime" -}}
  {{- if not (has ($runtime.k8sDistribution | default "auto") (list "auto" "k8s" "kubeadm")) -}}
    {{- fail (printf "customContainerd cannot be used with k8sDistribution %q, which brings its own containerd; only hosts that run containerd as a unit of their own (k8s) can switch" $runtime.k8sDistribution) -}}
  {{- end -}}
  {{- if and $runtime.enabled (not (contains "-custom-containerd" (toJson $runtime.node.envFrom))) -}}
    {{- fail "customContainerd.enabled needs the entry of kata-as-coco-runtime.node.envFrom that this chart's values.yaml has: it was replaced, add it to your list" -}}
  {{- end -}}
  {{- $urls := list -}}
  {{- range $arch := prepend (keys (include "confidential-containers.arches" . | fromJson)) "" -}}
    {{- $url := $arch | empty | ternary $custom.tarballUrl (get $custom.tarballUrls $arch) -}}
    {{- $sum := $arch | empty | ternary $custom.sha256 (get $custom.sha256s $arch) -}}
    {{- $key := $arch | empty | ternary "customContainerd.tarballUrl" (printf "customContainerd.tarballUrls.%s" $arch) -}}
    {{- with $url -}}
      {{- $urls = append $urls . -}}
      {{- if not (regexMatch "^https?://[^\\s]+$" .) -}}
        {{- fail (printf "%s must be an http or https URL (got %q)" $key .) -}}
      {{- end -}}
      {{- if and (hasPrefix "http://" .) (not $sum) -}}
        {{- fail (printf "%s is not fetched over https (%s): give its sha256 too" $key .) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if not $urls -}}
    {{- fail "customContainerd.enabled needs customContainerd.tarballUrl or one of customContainerd.tarballUrls" -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* environment .: NAME: "value", one a line. */}}
{{- define "confidential-containers.customContainerdEnvironment" -}}
{{- $custom := .Values.customContainerd -}}
{{- with $custom.tarballUrl }}
CUSTOM_CONTAINERD_URL: {{ . | quote }}
{{- end }}
{{- with $custom.sha256 }}
CUSTOM_CONTAINERD_SHA256: {{ . | lower | quote }}
{{- end }}
{{- range $arch, $name := include "confidential-containers.arches" . | fromJson }}
{{- with get $custom.tarballUrls $arch }}
CUSTOM_CONTAINERD_URL_{{ $name }}: {{ . | quote }}
{{- end }}
{{- with get $custom.sha256s $arch }}
CUSTOM_CONTAINERD_SHA256_{{ $name }}: {{ . | lower | quote }}
{{- end }}
{{- end }}
{{- /* Without the runtimes the DaemonSet itself selects the nodes. */ -}}
{{- with (index .Values "kata-as-coco-runtime").enabled | ternary $custom.nodeSelector dict }}
{{- $labels := list }}
{{- range $label, $value := . }}
{{- $labels = append $labels (printf "%s=%v" $label $value) }}
{{- end }}
CUSTOM_CONTAINERD_NODE_SELECTOR: {{ join "," $labels | quote }}
{{- end }}
{{- end -}}
