{{/* What is told after an install or upgrade; the umbrella chart tells it too. Nothing is on a node yet when it is read
     in DaemonSet mode, so nothing is claimed to be. */}}

{{- define "kata-deploy.notes" -}}
{{- include "kata-deploy.decide" . -}}
{{- $values := .Decided -}}
{{- $mode := include "kata-deploy.mode" . -}}
{{- $mark := printf "kata-deploy.katacontainers.io/%s" (include "kata-deploy.install" .) -}}
{{- $handlers := include "kata-deploy.requiredHandlers" (list . $values) | fromJsonArray -}}
{{- if not (include "kata-deploy.present" .) -}}
{{ include "kata-deploy.notes.absent" . }}
{{- else -}}
Kata runtimes {{ .Chart.AppVersion }}, installation {{ include "kata-deploy.install" . | quote }}, {{ $mode }} mode, namespace {{ .Release.Namespace }}.
{{ range $arch := include "kata-deploy.arches" . | fromJsonArray }}
{{- $names := list }}
{{- range $values.enabledShims }}{{ if has (index $arch 0) .supportedArches }}{{ $names = append $names (include "kata-deploy.handler" (list $ .name)) }}{{ end }}{{ end }}
{{- if $names }}
  {{ printf "%-8s" (index $arch 0) }}{{ join " " $names }}
{{- end }}
{{- end }}
{{- range include "kata-deploy.customRuntimes" $values | fromJsonArray }}
  custom  {{ .class.handler }}
{{- end }}
{{- if not $handlers }}
  Nothing is enabled: no handler will be installed.
{{- end }}
{{- if $values.debug }}
  With debug, each of them also as -debug{{ if $values.devkit }} and -devkit{{ end }}.
{{- end }}
{{- if and $values.runtimeClasses.enabled $values.runtimeClasses.createDefault (not $values.env.multiInstallSuffix) }}
{{- with include "kata-deploy.defaultClassShim" $values }}
  RuntimeClass {{ $values.runtimeClasses.defaultName }} is {{ include "kata-deploy.handler" (list $ .) }}.
{{- else }}
  RuntimeClass {{ $values.runtimeClasses.defaultName }} was not made: no shim of defaultShim is enabled.
{{- end }}
{{- end }}
{{ if eq $mode "job" }}
Each selected node was given a Job. What became of them, and the nodes that serve the runtimes:

  kubectl -n {{ .Release.Namespace }} get configmaps -l husk/node-record=true,husk/install={{ include "kata-deploy.install" . }}
{{- else }}
Pods are installing on the selected nodes now. How far they are, and the nodes that serve the runtimes:

  kubectl -n {{ .Release.Namespace }} rollout status daemonset/{{ include "kata-deploy.name" . }}
{{- end }}
  kubectl get nodes -l {{ $mark }}=true

With the husk command line: husk status.
{{- with first $handlers }}
A pod asks for a sandbox with `runtimeClassName`, for example {{ . }}.
{{- end }}
{{- include "kata-deploy.notices" . }}
{{- end }}
{{- end -}}

{{/* The values ask for the removal. */}}
{{- define "kata-deploy.notes.absent" -}}
state: absent. Installation {{ include "kata-deploy.install" . | quote }} is taken off its nodes. When no node has this label any more, the
release can be removed:

  kubectl get nodes -l kata-deploy.katacontainers.io/{{ include "kata-deploy.install" . }}
{{- end -}}

{{/* Keys that were set and do not mean what they say. */}}
{{- define "kata-deploy.notices" -}}
{{- $legacy := include "kata-deploy.legacy.used" . | trim -}}
{{- if $legacy }}

These keys have older spellings; they were translated where they apply to {{ include "kata-deploy.mode" . }} mode:
{{ $legacy | indent 2 }}
{{- end }}
{{- if (.Values.kubectlImage | default dict).reference }}

kubectlImage is not used: no pod of this chart runs kubectl. Mirror job.dispatcherImage and node.image instead.
{{- end }}
{{- end -}}
