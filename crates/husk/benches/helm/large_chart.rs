//! A chart of five megabytes, made up for measuring: an umbrella over nine charts in the style of real ones.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// Charts below the umbrella.
const CHARTS: usize = 9;
/// Templates of each chart, the umbrella's included.
const TEMPLATES: usize = 24;
/// Documents of each template; one has about two kilobytes of text.
const DOCUMENTS: usize = 10;

const HELPERS: &str = r#"{{/* NAME helpers */}}
{{- define "NAME.fullname" -}}
{{- printf "%s-%s" .Release.Name (.Values.nameOverride | default "NAME") | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "NAME.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "NAME.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
{{- define "NAME.selector" -}}
app.kubernetes.io/name: NAME
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "NAME.image" -}}
{{- $image := mergeOverwrite (dict "registry" "docker.io" "tag" .root.Chart.AppVersion) .image -}}
{{ printf "%s/%s:%s" $image.registry $image.repository $image.tag }}
{{- end -}}
"#;

const DOCUMENT: &str = r#"{{- with index .Values.services NUMBER }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "NAME.fullname" $ }}-FILE-NUMBER
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "NAME.labels" $ | nindent 4 }}
    tier: {{ .tier | default "backend" | quote }}
  {{- with .annotations }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key }}: {{ tpl $value $ | quote }}
    {{- end }}
  {{- end }}
spec:
  {{- if not .autoscaling.enabled }}
  replicas: {{ .replicas | int }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "NAME.selector" $ | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "NAME.labels" $ | nindent 8 }}
    spec:
      # The account that all of them share unless a service names its own.
      serviceAccountName: {{ .serviceAccount | default (include "NAME.fullname" $) }}
      containers:
        - name: {{ .name }}
          image: {{ include "NAME.image" (dict "root" $ "image" .image) | quote }}
          imagePullPolicy: {{ $.Values.global.pullPolicy | default "IfNotPresent" }}
          ports:
            {{- range .ports }}
            - name: {{ .name | lower }}
              containerPort: {{ .port | int }}
              protocol: {{ .protocol | default "TCP" | upper }}
            {{- end }}
          env:
            {{- range $name, $value := .env }}
            - name: {{ $name | upper | replace "-" "_" }}
              value: {{ $value | toString | quote }}
            {{- end }}
          resources:
            {{- toYaml .resources | nindent 12 }}
          livenessProbe:
            httpGet: {path: {{ .probe.path }}, port: {{ (first .ports).name }}}
            initialDelaySeconds: {{ add 5 NUMBER }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "NAME.fullname" $ }}-FILE-NUMBER
  labels: {{- include "NAME.labels" $ | nindent 4 }}
data:
  checksum: {{ toJson . | sha256sum }}
  application.properties: |
    server.name={{ .name }}
    server.tier={{ .tier | default "backend" }}
    {{- range $i, $port := .ports }}
    server.ports.{{ $i }}={{ $port.port }}
    {{- end }}
    # What follows is the same for all of them and only here to be carried along, as it is in so many charts.
    logging.pattern=%d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %-5level %logger{36} - %msg%n
    management.endpoints.web.exposure.include=health,info,metrics,prometheus
{{- end }}
"#;

const SERVICE: &str = "  - name: service-NUMBER
    tier: backend
    replicas: 2
    image: {repository: example/service-NUMBER}
    annotations:
      checked-by: 'release {{ .Release.Name }}'
    autoscaling: {enabled: false, minReplicas: 1, maxReplicas: 5}
    ports:
      - {name: HTTP, port: 8080}
      - {name: metrics, port: 9090, protocol: tcp}
    env:
      log-level: info
      cache-size: 128
      feature-x: true
      upstream-url: http://upstream.example.svc:8080/v1
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {cpu: '1', memory: 512Mi}
    probe: {path: /healthz}
";

/// Writes the chart into a directory and gives the bytes of its files.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(directory: &Path) -> io::Result<u64> {
    let mut written = chart(directory, "umbrella", true)?;
    for number in 0..CHARTS {
        let name = format!("part-{number}");
        written += chart(&directory.join("charts").join(&name), &name, false)?;
    }
    Ok(written)
}

fn chart(directory: &Path, name: &str, umbrella: bool) -> io::Result<u64> {
    fs::create_dir_all(directory.join("templates"))?;
    let mut metadata =
        format!("apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: '4.5.6'\ndescription: Made up.\n");
    let mut values = String::from("nameOverride: ''\nglobal:\n  pullPolicy: Always\nservices:\n");
    for number in 0..DOCUMENTS {
        values.push_str(&SERVICE.replace("NUMBER", &number.to_string()));
    }
    if umbrella {
        metadata.push_str("dependencies:\n");
        for number in 0..CHARTS {
            let _ = writeln!(metadata, "  - {{name: part-{number}, version: 1.2.3, condition: part-{number}.enabled}}");
            let _ = writeln!(values, "part-{number}:\n  enabled: true\n  nameOverride: part{number}");
        }
    }
    let mut files = vec![
        ("Chart.yaml".to_owned(), metadata),
        ("values.yaml".to_owned(), values),
        ("templates/_helpers.tpl".to_owned(), HELPERS.replace("NAME", name)),
    ];
    for file in 0..TEMPLATES {
        let document = DOCUMENT.replace("NAME", name).replace("FILE", &file.to_string());
        let documents = (0..DOCUMENTS).map(|number| document.replace("NUMBER", &number.to_string()));
        files.push((format!("templates/workloads-{file:02}.yaml"), documents.collect()));
    }
    let mut written = 0;
    for (name, text) in files {
        fs::write(directory.join(name), &text)?;
        written += text.len() as u64;
    }
    Ok(written)
}
