{{/* Keys of older releases of the upstream charts, translated. Both spellings work; where they contradict each other
     rendering fails. What was translated is told by NOTES. */}}

{{/* decide: puts the values with every old key translated into the root, as .Decided; with them the shims that are on, by name
     (enabledShims), and what the installer is told of them (shimsEnvironment). Everything that decides reads these, not
     .Values. A rendering needs them many times, and works them out once. */}}
{{- define "kata-deploy.decide" -}}
{{- if not (hasKey . "Decided") -}}
{{- $values := .Values | toJson | fromJson -}}
{{- if omit $values.env "installationPrefix" "hostOS" "multiInstallSuffix" -}}
{{- include "kata-deploy.legacy.switches" $values -}}
{{- include "kata-deploy.legacy.shims" $values -}}
{{- include "kata-deploy.legacy.mappings" $values -}}
{{- end -}}
{{- if eq (include "kata-deploy.mode" .) "job" -}}
{{- include "kata-deploy.legacy.selection" $values -}}
{{- end -}}
{{- $values = $values | toJson | fromJson -}}
{{- $enabled := list -}}
{{- range $name := keys (omit $values.shims "disableAll" "enabledByDefault") | sortAlpha -}}
  {{- if include "kata-deploy.shimEnabled" (list $values.shims $name) -}}
    {{- $enabled = append $enabled (set (get $values.shims $name | default dict) "name" $name) -}}
  {{- end -}}
{{- end -}}
{{- $_ := set $values "enabledShims" $enabled -}}
{{- $_ := set $values "shimsEnvironment" (include "kata-deploy.env.shims" $values) -}}
{{- $_ := set . "Decided" $values -}}
{{- end -}}
{{- end -}}

{{/* The old keys that are in use, one a line. */}}
{{- define "kata-deploy.legacy.used" -}}
{{- range $key, $value := omit .Values.env "installationPrefix" "hostOS" "multiInstallSuffix" }}
env.{{ $key }}
{{- end -}}
{{- range $key, $value := pick .Values.job "nodeSelector" "nodeSelectorExpressions" "nodeAffinity" }}
job.{{ $key }}
{{- end -}}
{{- range $key, $value := pick (.Values.job.cleanup | default dict) "nodeSelectorExpressions" }}
job.cleanup.{{ $key }}
{{- end -}}
{{- end -}}

{{/* The architectures: their old names and today's. */}}
{{- define "kata-deploy.legacy.arches" -}}
{"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x", "ppc64le": "ppc64le"}
{{- end -}}

{{- define "kata-deploy.legacy.switches" -}}
{{- $values := . -}}
{{- $env := .env -}}
{{- range $old, $new := dict "debug" (list $values "debug" false) "createRuntimeClasses" (list $values.runtimeClasses "enabled" true) "createDefaultRuntimeClass" (list $values.runtimeClasses "createDefault" false) -}}
  {{- if hasKey $env $old -}}
    {{- $wanted := eq (get $env $old | toString) "true" -}}
    {{- $map := index $new 0 -}}
    {{- $key := index $new 1 -}}
    {{- if and (ne (get $map $key) (index $new 2)) (ne (get $map $key) $wanted) -}}
      {{- fail (printf "env.%s says %v, and the key that replaces it says %v: keep one of them" $old $wanted (get $map $key)) -}}
    {{- end -}}
    {{- $_ := set $map $key $wanted -}}
  {{- end -}}
{{- end -}}
{{- if hasKey $env "_experimentalSetupSnapshotter" -}}
  {{- $_ := set $values.snapshotter "setup" (splitList "," ($env._experimentalSetupSnapshotter | toString | nospace) | compact) -}}
{{- end -}}
{{- range $old, $arch := include "kata-deploy.legacy.arches" $values | fromJson -}}
  {{- with get $env (printf "defaultShim_%s" $old) | default $env.defaultShim -}}
    {{- $_ := set $values.defaultShim $arch . -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* env.shims for every architecture that a shim supports; env.shims_ARCH, where present, exactly for that one. */}}
{{- define "kata-deploy.legacy.shims" -}}
{{- $values := . -}}
{{- $env := .env -}}
{{- $all := splitList " " ($env.shims | default "") | compact -}}
{{- $arches := include "kata-deploy.legacy.arches" . | fromJson -}}
{{- $exact := dict -}}
{{- range $old, $arch := $arches -}}
  {{- with splitList " " (get $env (printf "shims_%s" $old) | default "") | compact -}}
    {{- $_ := set $exact $arch . -}}
  {{- end -}}
{{- end -}}
{{- if or $all $exact -}}
  {{- $listed := $all -}}
  {{- range $exact }}{{- $listed = concat $listed . | uniq -}}{{- end -}}
  {{- range $name := $listed -}}
    {{- if not (hasKey $values.shims $name) -}}
      {{- fail (printf "env.shims lists %s, which is not a shim; there are %s" $name (keys (omit $values.shims "disableAll" "enabledByDefault") | sortAlpha | join ", ")) -}}
    {{- end -}}
  {{- end -}}
  {{- range $name := keys (omit $values.shims "disableAll" "enabledByDefault") -}}
    {{- $shim := get $values.shims $name | default dict -}}
    {{- $was := include "kata-deploy.shimEnabled" (list $values.shims $name) -}}
    {{- $supported := $shim.supportedArches | default (values $arches) -}}
    {{- $now := list -}}
    {{- range $arch := values $arches -}}
      {{- if hasKey $exact $arch -}}
        {{- if has $name (get $exact $arch) }}{{- $now = append $now $arch -}}{{- end -}}
      {{- else if has $arch $supported -}}
        {{- if $all | empty | ternary (eq $was "true") (has $name $all) }}{{- $now = append $now $arch -}}{{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if and (eq (toJson $shim.enabled) "true") (not $now) -}}
      {{- fail (printf "shims.%s.enabled is true, but env.shims does not list %s: keep one of them" $name $name) -}}
    {{- end -}}
    {{- if and (eq (toJson $shim.enabled) "false") (has $name $listed) (ne $name "remote") -}}
      {{- fail (printf "shims.%s.enabled is false, but env.shims lists %s: keep one of them" $name $name) -}}
    {{- end -}}
    {{- $_ := set $shim "enabled" (not (empty $now)) -}}
    {{- $_ := set $shim "supportedArches" (sortAlpha $now) -}}
    {{- $_ := set $values.shims $name $shim -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* joined (list env "pullTypeMapping" ","): the old key and its per-architecture forms, as one list of words. */}}
{{- define "kata-deploy.legacy.joined" -}}
{{- $env := index . 0 -}}
{{- $words := list -}}
{{- range $key, $value := $env -}}
  {{- if regexMatch (printf "^%s(_x86_64|_aarch64|_s390x|_ppc64le)?$" (index $ 1)) $key -}}
    {{- $words = concat $words (splitList (index $ 2) ($value | toString)) | compact | uniq -}}
  {{- end -}}
{{- end -}}
{{- $words | toJson -}}
{{- end -}}

{{/* What was said of shims in one line each: snapshotters, pull types, annotations, proxies. */}}
{{- define "kata-deploy.legacy.mappings" -}}
{{- $values := . -}}
{{- $env := .env -}}
{{- $snapshotters := include "kata-deploy.legacy.joined" (list $env "snapshotterHandlerMapping" ",") | fromJsonArray -}}
{{- $pulls := include "kata-deploy.legacy.joined" (list $env "pullTypeMapping" ",") | fromJsonArray -}}
{{- $forced := include "kata-deploy.legacy.joined" (list $env "_experimentalForceGuestPull" ",") | fromJsonArray -}}
{{- $annotations := include "kata-deploy.legacy.joined" (list $env "allowedHypervisorAnnotations" " ") | fromJsonArray -}}
{{- range $name, $shim := omit $values.shims "disableAll" "enabledByDefault" -}}
  {{- $shim = $shim | default dict -}}
  {{- $containerd := $shim.containerd | default dict -}}
  {{- $crio := $shim.crio | default dict -}}
  {{- $agent := $shim.agent | default dict -}}
  {{- if hasKey $env "snapshotterHandlerMapping" -}}
    {{- $_ := unset $containerd "snapshotter" -}}
  {{- end -}}
  {{- range $pair := $snapshotters -}}
    {{- if hasPrefix (printf "%s:" $name) $pair }}{{- $_ := set $containerd "snapshotter" (trimPrefix (printf "%s:" $name) $pair) -}}{{- end -}}
  {{- end -}}
  {{- if hasKey $env "pullTypeMapping" -}}
    {{- $_ := set $crio "guestPull" (has (printf "%s:guest-pull" $name) $pulls) -}}
  {{- end -}}
  {{- if has $name $forced -}}
    {{- $_ := set $containerd "forceGuestPull" true -}}
  {{- end -}}
  {{- range $word := $annotations -}}
    {{- $own := list $word -}}
    {{- if contains ":" $word -}}
      {{- $own = hasPrefix (printf "%s:" $name) $word | ternary (splitList "," (trimPrefix (printf "%s:" $name) $word)) list -}}
    {{- end -}}
    {{- $_ := set $shim "allowedHypervisorAnnotations" (concat ($shim.allowedHypervisorAnnotations | default list) $own | uniq) -}}
  {{- end -}}
  {{- range $old, $key := dict "agentHttpsProxy" "httpsProxy" "agentNoProxy" "noProxy" -}}
    {{- range $word := splitList ";" (get $env $old | default "") | compact -}}
      {{- if not (regexMatch "^[a-z0-9-]+=" $word) -}}
        {{- $_ := set $agent $key (get $agent $key | default $word) -}}
      {{- else if hasPrefix (printf "%s=" $name) $word -}}
        {{- $_ := set $agent $key (trimPrefix (printf "%s=" $name) $word) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $shim "containerd" $containerd -}}
  {{- $_ := set $shim "crio" $crio -}}
  {{- $_ := set $shim "agent" $agent -}}
  {{- $_ := set $values.shims $name $shim -}}
{{- end -}}
{{- end -}}

{{/* job.nodeSelector, job.nodeSelectorExpressions, job.nodeAffinity, job.cleanup.nodeSelectorExpressions. */}}
{{- define "kata-deploy.legacy.selection" -}}
{{- $job := .job -}}
{{- with $job.nodeSelector -}}
  {{- if and $.nodeSelector (ne (toJson .) (toJson $.nodeSelector)) -}}
    {{- fail "job.nodeSelector and nodeSelector name different nodes: keep nodeSelector" -}}
  {{- end -}}
  {{- $_ := set $ "nodeSelector" . -}}
{{- end -}}
{{- if and $job.nodeSelectorExpressions $job.nodeAffinity -}}
  {{- fail "job.nodeSelectorExpressions and job.nodeAffinity are both set: keep affinity.nodeAffinity instead of either" -}}
{{- end -}}
{{- $old := $job.nodeAffinity -}}
{{- with $job.nodeSelectorExpressions }}{{- $old = include "kata-deploy.legacy.affinity" . | fromJson -}}{{- end -}}
{{- with $old -}}
  {{- $affinity := $.affinity | default dict -}}
  {{- if and $affinity.nodeAffinity (ne (toJson .) (toJson $affinity.nodeAffinity)) -}}
    {{- fail "job.nodeSelectorExpressions (or job.nodeAffinity) and affinity.nodeAffinity name different nodes: keep affinity.nodeAffinity" -}}
  {{- end -}}
  {{- $_ := set $ "affinity" (set $affinity "nodeAffinity" .) -}}
{{- end -}}
{{- $cleanup := $job.cleanup | default dict -}}
{{- if hasKey $cleanup "nodeSelectorExpressions" -}}
  {{- $default := include "kata-deploy.legacy.affinity" (list (dict "key" "katacontainers.io/kata-runtime" "operator" "Exists")) | fromJson -}}
  {{- $wanted := $cleanup.nodeSelectorExpressions | empty | ternary dict (include "kata-deploy.legacy.affinity" $cleanup.nodeSelectorExpressions | fromJson) -}}
  {{- if and $cleanup.nodeAffinity (ne (toJson $cleanup.nodeAffinity) (toJson $default)) (ne (toJson $cleanup.nodeAffinity) (toJson $wanted)) -}}
    {{- fail "job.cleanup.nodeSelectorExpressions and job.cleanup.nodeAffinity name different nodes: keep job.cleanup.nodeAffinity" -}}
  {{- end -}}
  {{- $_ := set $cleanup "nodeAffinity" $wanted -}}
{{- end -}}
{{- end -}}

{{/* A list of match expressions as a nodeAffinity. */}}
{{- define "kata-deploy.legacy.affinity" -}}
{{- dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list (dict "matchExpressions" .))) | toJson -}}
{{- end -}}
