{{/* Which nodes: Kubernetes' nodeSelector and nodeAffinity, kept for the DaemonSet, compiled to label selectors for Jobs. */}}

{{/* selector (dict "nodeSelector" … "expressions" … "key" …): one label selector. `key` is named when it cannot be made. */}}
{{- define "kata-deploy.selector" -}}
{{- $parts := list -}}
{{- range $label, $value := .nodeSelector -}}
  {{- $parts = append $parts (printf "%s=%s" $label (include "kata-deploy.text" $value)) -}}
{{- end -}}
{{- range .expressions -}}
  {{- $values := list -}}
  {{- range .values }}{{- $values = append $values (include "kata-deploy.text" .) -}}{{- end -}}
  {{- if eq .operator "Exists" -}}
    {{- $parts = append $parts .key -}}
  {{- else if eq .operator "DoesNotExist" -}}
    {{- $parts = append $parts (printf "!%s" .key) -}}
  {{- else if not (has .operator (list "In" "NotIn")) -}}
    {{- fail (printf "%s: operator %q of key %q is not supported: nodes are chosen by a label selector, which knows In, NotIn, Exists and DoesNotExist" $.key .operator .key) -}}
  {{- else if not $values -}}
    {{- fail (printf "%s: operator %s of key %q needs values" $.key .operator .key) -}}
  {{- else -}}
    {{- $parts = append $parts (printf "%s %s (%s)" .key (lower .operator) (join "," $values)) -}}
  {{- end -}}
{{- end -}}
{{- join "," $parts -}}
{{- end -}}

{{/* selectors (dict "nodeSelector" … "nodeAffinity" … "key" … "instead" …): the union of selectors, as a JSON array;
     empty: every node. `instead` is the key that takes nodes by name. */}}
{{- define "kata-deploy.selectors" -}}
{{- $required := (.nodeAffinity | default dict).requiredDuringSchedulingIgnoredDuringExecution -}}
{{- $selectors := list -}}
{{- if kindIs "invalid" $required -}}
  {{- $selectors = list (include "kata-deploy.selector" (dict "nodeSelector" .nodeSelector "expressions" list "key" .key)) -}}
{{- else -}}
  {{- if not $required.nodeSelectorTerms -}}
    {{- fail (printf "%s.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms must not be empty: for Kubernetes an empty list matches no node. Remove the key to take every node" .key) -}}
  {{- end -}}
  {{- range $required.nodeSelectorTerms -}}
    {{- if .matchFields -}}
      {{- fail (printf "%s: matchFields cannot be used in job mode, nodes are chosen by labels: name them in %s" $.key $.instead) -}}
    {{- end -}}
    {{- if not .matchExpressions -}}
      {{- fail (printf "%s: an empty nodeSelectorTerm matches no node: remove it or give it matchExpressions" $.key) -}}
    {{- end -}}
    {{- $selectors = append $selectors (include "kata-deploy.selector" (dict "nodeSelector" $.nodeSelector "expressions" .matchExpressions "key" $.key)) -}}
  {{- end -}}
{{- end -}}
{{- $selectors | uniq | has "" | ternary (list) ($selectors | uniq) | toJson -}}
{{- end -}}

{{/* installAffinity (list . VALUES): the affinity, narrowed to nodes that Node Feature Discovery finds able to run virtual
     machines when this release installs it. Terms are alternatives, so the narrowing is a product. JSON. */}}
{{- define "kata-deploy.installAffinity" -}}
{{- $root := index . 0 -}}
{{- $affinity := (index . 1).affinity | default dict -}}
{{- if include "kata-deploy.nfd.installed" $root -}}
  {{- $nodeAffinity := $affinity.nodeAffinity | default dict -}}
  {{- $wanted := ($nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution | default dict).nodeSelectorTerms -}}
  {{- $able := include "kata-deploy.nfd.terms" $root | fromYamlArray -}}
  {{- $terms := list -}}
  {{- range $term := $able -}}
    {{- range $own := $wanted | default (list dict) -}}
      {{- $expressions := concat $term.matchExpressions ($own.matchExpressions | default list) -}}
      {{- $terms = append $terms (merge (dict "matchExpressions" $expressions) $own) -}}
    {{- end -}}
  {{- end -}}
  {{- $nodeAffinity = merge (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms)) (omit $nodeAffinity "requiredDuringSchedulingIgnoredDuringExecution") -}}
  {{- $affinity = merge (dict "nodeAffinity" $nodeAffinity) (omit $affinity "nodeAffinity") -}}
{{- end -}}
{{- $affinity | toJson -}}
{{- end -}}

{{/* nodeOptions (list . VALUES): the dispatcher's options that say where to install, one a line. */}}
{{- define "kata-deploy.nodeOptions" -}}
{{- $values := index . 1 -}}
{{- $affinity := include "kata-deploy.installAffinity" . | fromJson -}}
{{- $selectors := include "kata-deploy.selectors" (dict "nodeSelector" $values.nodeSelector "nodeAffinity" $affinity.nodeAffinity "key" "affinity.nodeAffinity" "instead" "job.nodes") | fromJsonArray -}}
{{- with $values.startupTaints }}
- {{ printf "--startup-taints=%s" (kindIs "string" . | ternary . (join "," .)) | quote }}
{{- end }}
{{- if $values.job.nodes }}
- {{ printf "--nodes=%s" (join "," $values.job.nodes) | quote }}
{{- else }}
{{- range $selectors }}
- {{ printf "--node-selector=%s" . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* installNodes (list . VALUES): the same, and how long they are waited for. */}}
{{- define "kata-deploy.installNodes" -}}
{{- $values := index . 1 -}}
{{- include "kata-deploy.nodeOptions" . }}
{{- if not $values.job.nodes }}
- --wait-for-nodes-secs={{ $values.job.waitForNodesSeconds | int64 }}
- --node-settle-secs={{ include "kata-deploy.number" (list $values.job "nodeSettleSeconds" 15) }}
{{- end }}
{{- end -}}

{{/* cleanupNodes VALUES: the same for the removal; the top-level selection has no say in it. */}}
{{- define "kata-deploy.cleanupNodes" -}}
{{- $cleanup := .job.cleanup | default dict -}}
{{- $selectors := include "kata-deploy.selectors" (dict "nodeSelector" $cleanup.nodeSelector "nodeAffinity" $cleanup.nodeAffinity "key" "job.cleanup.nodeAffinity" "instead" "job.cleanup.nodes") | fromJsonArray -}}
{{- if $cleanup.nodes }}
- {{ printf "--nodes=%s" (join "," $cleanup.nodes) | quote }}
{{- else }}
{{- range $selectors }}
- {{ printf "--node-selector=%s" . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* number (list map "key" DEFAULT): an integer in full digits; null takes the default, 0 stays 0. */}}
{{- define "kata-deploy.number" -}}
{{- $value := get (index . 0) (index . 1) -}}
{{- kindIs "invalid" $value | ternary (index . 2) $value | int64 -}}
{{- end -}}
