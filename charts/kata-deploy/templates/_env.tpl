{{/* The environment of the containers that touch a node: the installer's input, in upstream's variables. */}}

{{/* env.item (list "NAME" VALUE): nothing when the value is empty. */}}
{{- define "kata-deploy.env.item" -}}
{{- with index . 1 }}
- name: {{ index $ 0 }}
  value: {{ . | toString | quote }}
{{- end }}
{{- end -}}

{{/* env.field (list "NAME" "spec.nodeName") */}}
{{- define "kata-deploy.env.field" }}
- name: {{ index . 0 }}
  valueFrom:
    fieldRef:
      fieldPath: {{ index . 1 }}
{{- end -}}

{{/* env (list . VALUES): those that both deployment modes share. Every container of a node's pods has them: worked out once. */}}
{{- define "kata-deploy.env" -}}
{{- $values := index . 1 -}}
{{- if not (hasKey $values "environment") -}}
{{- $_ := set $values "environment" (include "kata-deploy.env.shared" .) -}}
{{- end -}}
{{- $values.environment -}}
{{- end -}}

{{- define "kata-deploy.env.shared" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- include "kata-deploy.env.field" (list "NODE_NAME" "spec.nodeName") }}
{{- include "kata-deploy.env.field" (list "POD_NAMESPACE" "metadata.namespace") }}
{{- include "kata-deploy.env.field" (list "POD_NAME" "metadata.name") }}
{{- include "kata-deploy.env.field" (list "POD_IP" "status.podIP") }}
- name: HUSK_RELEASE
  value: {{ $root.Release.Name | quote }}
- name: DAEMONSET_NAME
  value: {{ include "kata-deploy.name" $root | quote }}
- name: DEBUG
  value: {{ $values.debug | empty | ternary "false" "true" | quote }}
{{- $values.shimsEnvironment }}
- name: INSTALLATION_PREFIX
  value: {{ $values.env.installationPrefix | default "" | quote }}
- name: MULTI_INSTALL_SUFFIX
  value: {{ $values.env.multiInstallSuffix | default "" | toString | quote }}
{{- include "kata-deploy.env.item" (list "EXPERIMENTAL_SETUP_SNAPSHOTTER" ($values.snapshotter.setup | default list | join ",")) }}
{{- include "kata-deploy.env.item" (list "EROFS_MERGE_MODE" $values.snapshotter.erofsMergeMode) }}
{{- include "kata-deploy.env.item" (list "EROFS_SNAPSHOTTER_MODE" ($values.snapshotter.erofsSnapshotterMode | default "" | trim)) }}
{{- include "kata-deploy.env.item" (list "EROFS_DMVERITY" ($values.snapshotter.erofsDmverity | empty | ternary "" "dmverity")) }}
{{- include "kata-deploy.env.item" (list "CONTAINERD_CONFIG_FILE_NAME" ($values.containerd.configFileName | default "" | trim)) }}
{{- if $values.containerd.configDir | default "" | trim }}
{{- include "kata-deploy.env.item" (list "CONTAINERD_CONFIG_DIR" ($values.containerd.configDir | trim)) }}
{{- else }}
{{- include "kata-deploy.env.item" (list "K8S_DISTRIBUTION" (include "kata-deploy.distribution" $root)) }}
{{- end }}
{{- if include "kata-deploy.userDropIn" $root }}
{{- include "kata-deploy.env.item" (list "CONTAINERD_USER_DROP_IN_SOURCE_FILE" "/custom-containerd-config/containerd-user-dropin.toml") }}
{{- end }}
{{- include "kata-deploy.env.item" (list "HOST_OS" $values.env.hostOS) }}
{{- include "kata-deploy.env.item" (list "CUSTOM_RUNTIMES_ENABLED" (and $values.customRuntimes.enabled $values.customRuntimes.runtimes | empty | ternary "" "true")) }}
{{- include "kata-deploy.env.item" (list "DEVKIT" (and $values.debug $values.devkit | empty | ternary "" "true")) }}
{{- include "kata-deploy.env.item" (list "HUSK_RESTART_TIMEOUT" ($values.node.restartTimeoutSeconds | int64)) }}
{{- include "kata-deploy.env.item" (list "STARTUP_TAINTS" ($values.startupTaints | default list | join ",")) }}
{{- end -}}

{{/* env.payload (list . VALUES): where the installer fetches the payload. */}}
{{- define "kata-deploy.env.payload" -}}
{{- $payload := (index . 1).payload -}}
{{- $digest := $payload.digest | default "" -}}
{{- if eq $payload.source "registry" }}
{{- $image := include "kata-deploy.payloadImage" (index . 0) }}
{{- include "kata-deploy.env.item" (list "PAYLOAD_SOURCE" (printf "oci://%s%s" $image ($digest | empty | ternary "" (printf "@%s" $digest)))) }}
{{- else }}
{{- include "kata-deploy.env.item" (list "PAYLOAD_SOURCE" $payload.source) }}
{{- include "kata-deploy.env.item" (list "PAYLOAD_SHA256" $digest) }}
{{- end }}
{{- $mirrors := list -}}
{{- range $registry, $list := $payload.mirrors | default dict -}}
  {{- with $list }}{{- $mirrors = append $mirrors (printf "%s=%s" $registry (join "," .)) -}}{{- end -}}
{{- end -}}
{{- include "kata-deploy.env.item" (list "PAYLOAD_MIRRORS" (join ";" $mirrors)) }}
{{- with $payload.pullSecret }}
- name: PAYLOAD_PULL_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: .dockerconfigjson
{{- end }}
{{- end -}}

{{/* env.shims VALUES: the shims of each architecture and what belongs to them, then the guests' proxies. */}}
{{- define "kata-deploy.env.shims" -}}
{{- $values := . -}}
{{- range $arch := include "kata-deploy.arches" . | fromJsonArray -}}
  {{- $names := list -}}
  {{- $annotations := list -}}
  {{- $snapshotters := list -}}
  {{- $pulls := list -}}
  {{- $forced := list -}}
  {{- range $shim := $values.enabledShims -}}
    {{- if has (index $arch 0) ($shim.supportedArches | default list) -}}
      {{- $containerd := $shim.containerd | default dict -}}
      {{- $names = append $names $shim.name -}}
      {{- with $shim.allowedHypervisorAnnotations }}{{- $annotations = append $annotations (printf "%s:%s" $shim.name (join "," .)) -}}{{- end -}}
      {{- with $containerd.snapshotter }}{{- $snapshotters = append $snapshotters (printf "%s:%s" $shim.name .) -}}{{- end -}}
      {{- if or $containerd.forceGuestPull ($shim.crio | default dict).guestPull }}{{- $pulls = append $pulls (printf "%s:guest-pull" $shim.name) -}}{{- end -}}
      {{- if $containerd.forceGuestPull }}{{- $forced = append $forced $shim.name -}}{{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $default := get $values.defaultShim (index $arch 0) -}}
  {{- range $item := list
        (list "SHIMS" (join " " $names))
        (list "DEFAULT_SHIM" (has $default $names | ternary $default ""))
        (list "ALLOWED_HYPERVISOR_ANNOTATIONS" (join " " $annotations))
        (list "SNAPSHOTTER_HANDLER_MAPPING" (join "," $snapshotters))
        (list "PULL_TYPE_MAPPING" (join "," $pulls))
        (list "EXPERIMENTAL_FORCE_GUEST_PULL" (join "," $forced)) -}}
    {{- include "kata-deploy.env.item" (list (printf "%s_%s" (index $item 0) (index $arch 1)) (index $item 1)) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $key := dict "AGENT_HTTPS_PROXY" "httpsProxy" "AGENT_NO_PROXY" "noProxy" -}}
  {{- $pairs := list -}}
  {{- range $shim := $values.enabledShims -}}
    {{- with get ($shim.agent | default dict) $key }}{{- $pairs = append $pairs (printf "%s=%s" $shim.name .) -}}{{- end -}}
  {{- end -}}
  {{- include "kata-deploy.env.item" (list $name (join ";" $pairs)) -}}
{{- end -}}
{{- end -}}
