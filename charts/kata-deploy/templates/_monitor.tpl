{{/* kata-monitor reads the metrics of running sandboxes and asks the container runtime which ones there are. */}}

{{/* monitorSocket .: the runtime's endpoint. Without a declared distribution it is containerd's own. */}}
{{- define "kata-deploy.monitorSocket" -}}
{{- $sockets := dict
      "k3s" "unix:///run/k3s/containerd/containerd.sock"
      "rke2" "unix:///run/k3s/containerd/containerd.sock"
      "k0s" "unix:///run/k0s/containerd.sock"
      "microk8s" "unix:///var/snap/microk8s/common/run/containerd.sock" -}}
{{- $usual := get $sockets (include "kata-deploy.distribution" .) | default "unix:///run/containerd/containerd.sock" -}}
{{- coalesce .Values.monitor.runtimeEndpoint .Values.containerd.runtimeSocket $usual -}}
{{- end -}}

{{- define "kata-deploy.monitorLogLevel" -}}
{{- include "kata-deploy.decide" . -}}
{{- coalesce (.Values.monitor.logLevel | default "" | trim) (include "kata-deploy.logLevel" .Decided) "info" -}}
{{- end -}}

{{- define "kata-deploy.monitorLabels" -}}
app.kubernetes.io/name: kata-monitor{{ include "kata-deploy.dash" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}
