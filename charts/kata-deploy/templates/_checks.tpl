{{/* What the schema cannot say: values that are well formed and still cannot work. Each refusal names its key. */}}

{{- define "kata-deploy.checks" -}}
{{- $mode := include "kata-deploy.mode" . -}}
{{- if not (has $mode (list "daemonset" "job")) -}}
  {{- fail (printf "deploymentMode must be one of daemonset or job, got %q" $mode) -}}
{{- end -}}
{{- with .Values.env.multiInstallSuffix | default "" | toString -}}
  {{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$" .) -}}
    {{- fail (printf "env.multiInstallSuffix must be lower-case letters, digits and dashes, at most 20 characters: it becomes part of object, label and handler names (got %q)" .) -}}
  {{- end -}}
{{- end -}}
{{- $image := .Values.job.dispatcherImage -}}
{{- if not (or $image.tag (contains "@" $image.reference)) -}}
  {{- fail "job.dispatcherImage.tag is required when job.dispatcherImage.reference is not a digest" -}}
{{- end -}}
{{- if hasSuffix "/k8s-job-dispatcher" $image.reference -}}
  {{- fail (printf "job.dispatcherImage.reference is upstream's dispatcher (%s), which does not know this chart's command line: remove the key" $image.reference) -}}
{{- end -}}
{{- if eq $mode "job" -}}
  {{- $ttl := .Values.job.ttlSecondsAfterFinished | int64 -}}
  {{- if lt $ttl 60 -}}
    {{- fail (printf "job.ttlSecondsAfterFinished is %d, which is too short for the dispatcher to see how a node's Job ended: use 60 or more" $ttl) -}}
  {{- end -}}
{{- end -}}
{{- $level := .Values.logLevel | default "" | trim -}}
{{- if not (has $level (list "" "error" "warn" "info" "debug" "trace")) -}}
  {{- fail (printf "logLevel must be one of error, warn, info, debug, trace (got %q)" $level) -}}
{{- end -}}
{{- with .Values.verification.pod -}}
  {{- $pod := fromYaml . -}}
  {{- if $pod.Error -}}
    {{- fail (printf "verification.pod is not YAML: %s" $pod.Error) -}}
  {{- else if ne ($pod.kind | default "Pod") "Pod" -}}
    {{- fail (printf "verification.pod must be a Pod (got kind %s)" $pod.kind) -}}
  {{- end -}}
{{- end -}}
{{- if not (has (include "kata-deploy.state" .) (list "present" "absent")) -}}
  {{- fail (printf "state must be one of present or absent, got %q" (include "kata-deploy.state" .)) -}}
{{- end -}}
{{- include "kata-deploy.checks.payload" . -}}
{{- include "kata-deploy.checks.shims" . -}}
{{- end -}}

{{/* What a source of the payload cannot have, or has to. */}}
{{- define "kata-deploy.checks.payload" -}}
{{- $payload := .Values.payload -}}
{{- $set := list -}}
{{- range $key := list "digest" "mirrors" "pullSecret" -}}
  {{- if get $payload $key }}{{- $set = append $set (printf "payload.%s" $key) -}}{{- end -}}
{{- end -}}
{{- if and $set (eq $payload.source "image") -}}
  {{- fail (printf "%s is for a payload that the installer fetches: set payload.source to registry or a URL. What the node's container runtime pulls is pinned with image.reference: name@sha256:…, and opened with imagePullSecrets" (join ", " $set)) -}}
{{- end -}}
{{- if and (hasPrefix "http://" $payload.source) (not $payload.digest) -}}
  {{- fail (printf "payload.source is %s, which anybody on the way can change: payload.digest is needed too" $payload.source) -}}
{{- end -}}
{{- if and (eq $payload.source "registry") $payload.digest (contains "@" .Values.image.reference) -}}
  {{- fail "payload.digest and image.reference both name a digest: remove one" -}}
{{- end -}}
{{- end -}}

{{/* A shim that is on but on no architecture: most often a name with a typing error. */}}
{{- define "kata-deploy.checks.shims" -}}
{{- $known := .Files.Get "files/overheads.yaml" | fromYaml | keys | sortAlpha -}}
{{- include "kata-deploy.decide" . -}}
{{- range .Decided.enabledShims -}}
  {{- if not .supportedArches -}}
    {{- fail (printf "shims.%s is enabled, but has no supportedArches. Shims that are known here: %s" .name (join ", " $known)) -}}
  {{- end -}}
{{- end -}}
{{- range .Values.shims.enabledByDefault -}}
  {{- if not (hasKey $.Values.shims .) -}}
    {{- fail (printf "shims.enabledByDefault lists %s, which is not a shim. Shims that are known here: %s" . (join ", " $known)) -}}
  {{- end -}}
{{- end -}}
{{- range $arch, $shim := pick .Values.defaultShim "amd64" "arm64" "s390x" "ppc64le" -}}
  {{- if and $shim (not (hasKey $.Values.shims ($shim | default ""))) -}}
    {{- fail (printf "defaultShim.%s is %s, which is not a shim. Shims that are known here: %s" $arch $shim (join ", " $known)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
