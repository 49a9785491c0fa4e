{{/* customContainerd without the runtimes: a DaemonSet that switches containerd on every node, and back when it leaves. */}}

{{/* only .: whether containerd is all that is wanted. */}}
{{- define "confidential-containers.only" -}}
{{- if and .Values.customContainerd.enabled (not (index .Values "kata-as-coco-runtime").enabled) }}true{{ end -}}
{{- end -}}

{{/* only.name (list . "removal"): of its objects. */}}
{{- define "confidential-containers.only.name" -}}
{{- $name := printf "%s-containerd" (index . 0).Release.Name | trunc 50 | trimSuffix "-" -}}
{{- index . 1 | empty | ternary $name (printf "%s-%s" $name (index . 1)) -}}
{{- end -}}

{{/* only.image (dict "image" {reference, tag} "tag" DEFAULT): a reference with @ is complete as it is. */}}
{{- define "confidential-containers.only.image" -}}
{{- if contains "@" .image.reference -}}
{{- .image.reference -}}
{{- else -}}
{{- printf "%s:%v" .image.reference (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{/* present: "true", or nothing when the values ask for the removal. */}}
{{- define "confidential-containers.present" -}}
{{- $state := (.Values.global | default dict).state | default "present" -}}
{{- if eq $state "present" }}true{{ end -}}
{{- end -}}

{{/* only.keep .: pods switch back after the release is gone and need their rights until then; the removal takes those away.
     With global.state: absent they have switched back before. */}}
{{- define "confidential-containers.only.keep" -}}
{{- if include "confidential-containers.present" . }}helm.sh/resource-policy: keep{{ end -}}
{{- end -}}

{{/* only.hook (list . "0"): for the objects of the removal, which follows the pods' own. */}}
{{- define "confidential-containers.only.hook" -}}
helm.sh/hook: {{ include "confidential-containers.present" (index . 0) | empty | ternary "post-install,post-upgrade,post-rollback" "post-delete" }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* only.binding (dict "kind" "RoleBinding" "name" … "namespace" … "annotations" …): of a role to the account of its name. */}}
{{- define "confidential-containers.only.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- if eq .kind "RoleBinding" }}
  namespace: {{ .namespace }}
  {{- end }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ trimSuffix "Binding" .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .namespace }}
{{- end -}}

{{/* only.container (dict "root" . "name" "revert-cri" "token" false): one that touches the node. Its last key is `env`, so that
     more can follow. */}}
{{- define "confidential-containers.only.container" -}}
{{- $installer := .root.Values.customContainerd.installer -}}
- name: {{ .name }}
  image: {{ include "confidential-containers.only.image" (dict "image" $installer.image "tag" .root.Chart.Version) | quote }}
  imagePullPolicy: {{ $installer.imagePullPolicy }}
  command: ["/usr/bin/husk-node", {{ .name | quote }}]
  envFrom:
    - configMapRef:
        name: {{ .root.Release.Name }}-custom-containerd
        # Gone with the release; a removal does without.
        optional: {{ ne .name "containerd" }}
    {{- with $installer.envFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  securityContext:
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    capabilities:
      drop: [ALL]
      add: [CHOWN, DAC_OVERRIDE, FOWNER]
    seccompProfile:
      type: RuntimeDefault
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: host-etc
      mountPath: /host/etc
      mountPropagation: HostToContainer
    - name: host-var-lib
      mountPath: /host/var/lib
      mountPropagation: HostToContainer
    - name: host-opt
      mountPath: /host/opt
      mountPropagation: HostToContainer
    - name: host-run
      mountPath: /host/run
      mountPropagation: HostToContainer
      readOnly: true
    - name: host-usr
      mountPath: /host/usr
      mountPropagation: HostToContainer
      readOnly: true
    {{- if .token }}
    - name: kube-api-access
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- end }}
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: HUSK_RELEASE
      value: {{ .root.Release.Name | quote }}
    # An installation of its own, which owns nothing but the containerd.
    - name: MULTI_INSTALL_SUFFIX
      value: containerd
{{- end -}}

{{- define "confidential-containers.only.volumes" -}}
- name: host-etc
  hostPath: {path: /etc, type: Directory}
- name: host-var-lib
  hostPath: {path: /var/lib, type: Directory}
- name: host-opt
  hostPath: {path: /opt, type: DirectoryOrCreate}
- name: host-run
  hostPath: {path: /run, type: Directory}
- name: host-usr
  hostPath: {path: /usr, type: Directory}
{{- end -}}

{{/* only.removalJob .: the Job that switches back a node which its pod left as it was. */}}
{{- define "confidential-containers.only.removalJob" -}}
{{- $custom := .Values.customContainerd -}}
apiVersion: batch/v1
kind: Job
metadata:
  labels:
    app.kubernetes.io/name: {{ include "confidential-containers.only.name" (list . "") }}
spec:
  backoffLimit: 3
  # The installer's exit status for what another attempt cannot cure.
  podFailurePolicy:
    rules:
      - action: FailJob
        onExitCodes:
          operator: In
          values: [78]
  ttlSecondsAfterFinished: 600
  activeDeadlineSeconds: 3600
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ include "confidential-containers.only.name" (list . "") }}
    spec:
      {{- with $custom.installer.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      automountServiceAccountToken: false
      restartPolicy: Never
      tolerations:
        - operator: Exists
      priorityClassName: system-node-critical
      initContainers:
        {{- include "confidential-containers.only.container" (dict "root" . "name" "revert-cri") | nindent 8 }}
      containers:
        {{- include "confidential-containers.only.container" (dict "root" . "name" "remove-artifacts") | nindent 8 }}
      volumes:
        {{- include "confidential-containers.only.volumes" . | nindent 8 }}
{{- end -}}
