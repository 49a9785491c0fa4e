{{/* What the node's containers see of the host: whole directories, below /host at their own paths. The installer opens
     everything from there, so that nothing is created on the host that it does not know of. */}}

{{- define "kata-deploy.distribution" -}}
{{- $name := .Values.k8sDistribution | default "auto" -}}
{{- $name | eq "kubeadm" | ternary "k8s" $name -}}
{{- end -}}

{{/* hostDirectories .: [{name, path, readOnly, type}] as JSON. */}}
{{- define "kata-deploy.hostDirectories" -}}
{{- $prefix := .Values.env.installationPrefix | default "/opt" -}}
{{- if not (and (hasPrefix "/" $prefix) (not (regexMatch "(^|/)\\.\\.(/|$)|[^A-Za-z0-9/._+-]" $prefix))) -}}
  {{- fail (printf "env.installationPrefix must be an absolute path without `..` (got %q)" $prefix) -}}
{{- end -}}
{{- $top := printf "/%s" (index (splitList "/" (clean $prefix)) 1 | default "opt") -}}
{{- if has $top (list "/boot" "/dev" "/proc" "/run" "/sys" "/tmp") -}}
  {{- fail (printf "env.installationPrefix %q is not a place that survives a restart of the host" $prefix) -}}
{{- end -}}
{{- $distribution := include "kata-deploy.distribution" . -}}
{{- /* MicroK8s is in /var/snap, which other hosts do not have and must not get: what every host has is /var */ -}}
{{- $var := $distribution | eq "auto" | ternary "/var" "/var/lib" -}}
{{- $directories := list
      (dict "path" "/etc" "type" "Directory")
      (dict "path" $var "type" "Directory")
      (dict "path" "/run" "readOnly" true "type" "Directory")
      (dict "path" "/dev" "readOnly" true "type" "Directory")
      (dict "path" "/usr" "readOnly" (ne $top "/usr") "type" "Directory")
      (dict "path" "/boot" "readOnly" true) -}}
{{- if not (or (has $top (list "/etc" "/usr" $var)) (hasPrefix "/var/lib/" $prefix)) -}}
  {{- $directories = append $directories (dict "path" $top "type" "DirectoryOrCreate") -}}
{{- end -}}
{{- if eq $distribution "microk8s" -}}
  {{- $directories = append $directories (dict "path" "/var/snap/microk8s" "type" "Directory") -}}
{{- end -}}
{{- with .Values.containerd.configDir | default "" | trim -}}
  {{- if not (or (hasPrefix "/etc/" .) (hasPrefix (printf "%s/" $var) .) (hasPrefix (printf "%s/" $top) .)) -}}
    {{- $directories = append $directories (dict "path" (clean .) "type" "Directory") -}}
  {{- end -}}
{{- end -}}
{{- $directories | toJson -}}
{{- end -}}

{{- define "kata-deploy.hostVolumeName" -}}
host{{ . | replace "/" "-" | replace "." "-" | replace "_" "-" | lower | trunc 58 | trimSuffix "-" }}
{{- end -}}

{{/* volumes (list . VALUES): of every pod that touches a node, but for the token. */}}
{{- define "kata-deploy.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {}
- name: husk
  emptyDir: {}
{{- range include "kata-deploy.hostDirectories" $root | fromJsonArray }}
- name: {{ include "kata-deploy.hostVolumeName" .path }}
  hostPath:
    path: {{ .path }}
    {{- with .type }}
    type: {{ . }}
    {{- end }}
{{- end }}
{{- if include "kata-deploy.userDropIn" $root }}
- name: custom-containerd-config
  configMap:
    name: {{ include "kata-deploy.rbacName" (list $root "containerd-user-dropin") }}
{{- end }}
{{- if include "kata-deploy.customConfigs" (index . 1) }}
- name: custom-configs
  configMap:
    name: {{ include "kata-deploy.rbacName" (list $root "custom-configs") }}
{{- end }}
{{- end -}}

{{/* mounts (list . VALUES): the same volumes inside a container. HostToContainer: below /var/lib are the volumes of all pods,
     and what the host unmounts must not stay busy in here. */}}
{{- define "kata-deploy.mounts" -}}
{{- $root := index . 0 -}}
- name: tmp
  mountPath: /tmp
- name: husk
  mountPath: /husk
  readOnly: true
{{- range include "kata-deploy.hostDirectories" $root | fromJsonArray }}
- name: {{ include "kata-deploy.hostVolumeName" .path }}
  mountPath: /host{{ .path }}
  mountPropagation: HostToContainer
  {{- if .readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- if include "kata-deploy.userDropIn" $root }}
- name: custom-containerd-config
  mountPath: /custom-containerd-config/
  readOnly: true
{{- end }}
{{- if include "kata-deploy.customConfigs" (index . 1) }}
- name: custom-configs
  mountPath: /custom-configs/
  readOnly: true
{{- end }}
{{- end -}}

{{/* The credentials of the one container that writes to the API server, and where it looks for them. */}}
{{- define "kata-deploy.tokenVolume" -}}
- name: kube-api-access
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{- define "kata-deploy.tokenMount" -}}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{/* userDropIn .: the administrator's TOML, or nothing. */}}
{{- define "kata-deploy.userDropIn" -}}
{{- .Values.containerd.userDropIn | default "" | trim -}}
{{- end -}}

{{/* checksums (list . VALUES): annotations that make pods follow their ConfigMaps. */}}
{{- define "kata-deploy.checksums" -}}
{{- with include "kata-deploy.userDropIn" (index . 0) }}
checksum/containerd-user-dropin: {{ sha256sum . }}
{{- end }}
{{- with include "kata-deploy.customConfigs" (index . 1) }}
checksum/custom-configs: {{ sha256sum . }}
{{- end }}
{{- end -}}

{{/* podAnnotations (list . VALUES): the user's, then ours, which win. */}}
{{- define "kata-deploy.podAnnotations" -}}
{{- $own := include "kata-deploy.checksums" . | fromYaml -}}
{{- include "kata-deploy.strings" (merge $own ((index . 1).podAnnotations | default dict)) | trim -}}
{{- end -}}
