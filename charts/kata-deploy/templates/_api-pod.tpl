{{/* Pods that only talk to the API server: the dispatcher and the other hooks, all of them calls of one binary. */}}

{{/* apiPod (dict "root" . "serviceAccount" NAME): the spec that all pods share which only talk to the API server. */}}
{{- define "kata-deploy.apiPod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: true
restartPolicy: {{ .restartPolicy | default "Never" }}
securityContext:
  {{- include "kata-deploy.restricted.pod" . | nindent 2 }}
{{- with .root.Values.job.dispatcherNodeSelector }}
nodeSelector:
  {{- include "kata-deploy.strings" . | trim | nindent 2 }}
{{- end }}
{{- with .root.Values.job.dispatcherTolerations | default .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* apiContainer (dict "root" . "name" NAME "command" "YAML LIST"): a call of the dispatcher's binary. */}}
{{- define "kata-deploy.apiContainer" -}}
- name: {{ .name }}
  image: {{ include "kata-deploy.dispatcherImage" .root | quote }}
  imagePullPolicy: {{ .root.Values.imagePullPolicy }}
  securityContext:
    {{- include "kata-deploy.restricted.container" . | nindent 4 }}
  command:
    - /usr/bin/husk-dispatcher
    {{- .command | trim | nindent 4 }}
  env:
    {{- include "kata-deploy.env.field" (list "POD_NAMESPACE" "metadata.namespace") | trim | nindent 4 }}
    - name: HUSK_RELEASE
      value: {{ .root.Release.Name | quote }}
  terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* suffixOption .: names the installation to the dispatcher, when it has a suffix. */}}
{{- define "kata-deploy.suffixOption" -}}
{{- with .Values.env.multiInstallSuffix }}
- --multi-install-suffix={{ . }}
{{- end }}
{{- end -}}
