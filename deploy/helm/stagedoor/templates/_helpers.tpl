{{- define "stagedoor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects a service's pods: never changes in the life of a release. Called with a dict of `root` and `component`. */}}
{{- define "stagedoor.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "stagedoor.labels" -}}
{{ include "stagedoor.selector" . }}
app.kubernetes.io/part-of: stagedoor
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "stagedoor.metadata" -}}
name: {{ include "stagedoor.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "stagedoor.labels" . | nindent 2 }}
{{- end -}}

{{- define "stagedoor.image" -}}
{{ .root.Values.image.repository }}-{{ .component }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* The NATS chart names its Service as this one names its own: after the release, with the chart's name unless that is in it. */}}
{{- define "stagedoor.bus.url" -}}
{{- if .Values.bus.url -}}
{{- .Values.bus.url -}}
{{- else if .Values.nats.enabled -}}
{{- $name := .Values.nats.fullnameOverride | default (contains "nats" .Release.Name | ternary .Release.Name (printf "%s-nats" .Release.Name)) -}}
nats://{{ $name }}:{{ .Values.networkPolicy.natsPort }}
{{- else -}}
{{- fail "where is NATS? set bus.url, or nats.enabled" -}}
{{- end -}}
{{- end -}}

{{- define "stagedoor.bus.replicas" -}}
{{- if not (kindIs "invalid" .Values.bus.streamReplicas) -}}
{{- .Values.bus.streamReplicas -}}
{{- else -}}
{{- and .Values.nats.enabled .Values.nats.config.cluster.enabled | ternary .Values.nats.config.cluster.replicas 1 | min 5 -}}
{{- end -}}
{{- end -}}

{{- define "stagedoor.env" -}}
{{- if and .root.Values.bus.token.existingSecret .root.Values.bus.nkeys.existingSecret -}}
{{- fail "bus.token.existingSecret and bus.nkeys.existingSecret: give one of them" -}}
{{- end -}}
- { name: STAGEDOOR_NATS_URL, value: {{ include "stagedoor.bus.url" .root | quote }} }
{{- with .root.Values.bus.token.existingSecret }}
- name: STAGEDOOR_NATS_TOKEN
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $.root.Values.bus.token.key }} } }
{{- end }}
{{- if .root.Values.bus.nkeys.existingSecret }}
- { name: STAGEDOOR_NATS_NKEY_FILE, value: /run/stagedoor/bus/seed }
{{- end }}
{{- if .root.Values.bus.ca.existingSecret }}
- { name: STAGEDOOR_NATS_CA_FILE, value: /run/stagedoor/bus/ca.crt }
{{- end }}
- { name: STAGEDOOR_PORT, value: {{ .values.port | quote }} }
{{- if .root.Values.metrics.enabled }}
# A port of its own, at the pod's own address.
- { name: STAGEDOOR_METRICS_HOST, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
- { name: STAGEDOOR_METRICS_PORT, value: {{ .root.Values.metrics.port | quote }} }
{{- end }}
- { name: STAGEDOOR_LOG_LEVEL, value: {{ .root.Values.logLevel | quote }} }
- { name: STAGEDOOR_STOP_SECONDS, value: {{ .values.stopSeconds | quote }} }
{{- range $name, $value := .values.settings }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end -}}

{{/* How a service knows the apps, or the one app: called with a dict of `root` and `component`. */}}
{{- define "stagedoor.env.apps" -}}
{{- $apps := .root.Values.apps -}}
{{- if eq (empty $apps.existingSecret) (empty $apps.file.existingSecret) -}}
{{- fail "apps.existingSecret is required, the Secret with the app's keys, or apps.file.existingSecret, the one with a file of apps: one of them" -}}
{{- end -}}
{{- if $apps.file.existingSecret }}
- { name: STAGEDOOR_APPS_FILE, value: /run/stagedoor/apps/apps.json }
{{- else }}
{{- $keys := dict "STAGEDOOR_SDK_APP_ID" "sdk-app-id" "STAGEDOOR_SECRET_KEY" "secret-key" -}}
{{- if ne .component "edge-gateway" -}}
{{- $keys = merge $keys (dict "STAGEDOOR_SECRET_ID" "secret-id" "STAGEDOOR_API_SECRET_KEY" "api-secret-key") -}}
{{- end -}}
{{- range $name, $key := $keys }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $apps.existingSecret }}, key: {{ $key }} } }
{{- end }}
{{- end }}
{{- end -}}

{{/* The key of the file of apps that a service sees; nothing where it sees none. */}}
{{- define "stagedoor.apps.key" -}}
{{- $file := .root.Values.apps.file -}}
{{- if and $file.existingSecret (ne .component "room-registry") -}}
{{- and (eq .component "edge-gateway") $file.gatewayKey | default $file.key -}}
{{- end -}}
{{- end -}}

{{/* What a service sees of Secrets as files: called with a dict of `root`, `component` and whether it is on the bus, `bus`. */}}
{{- define "stagedoor.volumes" -}}
{{- $bus := .root.Values.bus }}
{{- if and .bus (or $bus.nkeys.existingSecret $bus.ca.existingSecret) }}
- name: bus
  projected:
    defaultMode: 0440
    sources:
      {{- with $bus.nkeys.existingSecret }}
      - secret: { name: {{ . }}, items: [{ key: {{ index $bus.nkeys (camelcase $.component | untitle) }}, path: seed }] }
      {{- end }}
      {{- with $bus.ca.existingSecret }}
      - secret: { name: {{ . }}, items: [{ key: {{ $bus.ca.key }}, path: ca.crt }] }
      {{- end }}
{{- end }}
{{- with include "stagedoor.apps.key" . }}
- name: apps
  secret: { secretName: {{ $.root.Values.apps.file.existingSecret }}, defaultMode: 0440, items: [{ key: {{ . }}, path: apps.json }] }
{{- end }}
{{- end -}}

{{/* Where it sees them. A whole directory: of a single file a pod would never see the next content. */}}
{{- define "stagedoor.volumeMounts" -}}
{{- if and .bus (or .root.Values.bus.nkeys.existingSecret .root.Values.bus.ca.existingSecret) }}
- { name: bus, mountPath: /run/stagedoor/bus, readOnly: true }
{{- end }}
{{- if include "stagedoor.apps.key" . }}
- { name: apps, mountPath: /run/stagedoor/apps, readOnly: true }
{{- end }}
{{- end -}}

{{/* Of pods: what was asked for, and what has them scraped. */}}
{{- define "stagedoor.annotations" -}}
{{- $annotations := dict -}}
{{- $metrics := .root.Values.metrics -}}
{{- if and $metrics.enabled (eq $metrics.discovery "annotations") -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString $metrics.port) "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- with merge (deepCopy .values.podAnnotations) $annotations -}}
annotations: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Seconds between a pod's removal and SIGTERM: whoever leads requests here has to hear of it. */}}
{{- define "stagedoor.preStopSeconds" -}}5{{- end -}}

{{- define "stagedoor.gateway.drainSeconds" -}}
{{- $gateway := .Values.edgeGateway -}}
{{- $alone := and (eq (int $gateway.replicas) 1) (not $gateway.autoscaling.enabled) -}}
{{- if not (kindIs "invalid" $gateway.drainSeconds) -}}
{{- $gateway.drainSeconds -}}
{{- else -}}
{{- $alone | ternary 0 10 -}}
{{- end -}}
{{- end -}}

{{/* The first of the UDP ports. */}}
{{- define "stagedoor.gateway.mediaPort" -}}
{{- $media := .Values.edgeGateway.media -}}
{{- eq $media.mode "nodePort" | ternary $media.nodePort $media.port -}}
{{- end -}}

{{/* What pods of all services have in common. Called with a dict of `root`, `component`, `values` and `drain` (seconds). */}}
{{- define "stagedoor.pod" -}}
serviceAccountName: {{ include "stagedoor.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
# After this the process is killed: the sleep before SIGTERM, what the process gives itself, and some seconds for a slow node.
terminationGracePeriodSeconds: {{ add (include "stagedoor.preStopSeconds" .root) (.drain | default 0) .values.stopSeconds 10 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "stagedoor.volumes" (merge (dict "bus" true) .) | trim }}
volumes: {{- . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "stagedoor.selector" . | nindent 8 }}
{{- end -}}

{{/* Of containers of all services; called as `stagedoor.pod`. */}}
{{- define "stagedoor.container" -}}
image: {{ include "stagedoor.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
resources: {{- toYaml .values.resources | nindent 2 }}
{{- with include "stagedoor.volumeMounts" (merge (dict "bus" true) .) | trim }}
volumeMounts: {{- . | nindent 2 }}
{{- end }}
lifecycle:
  preStop: { sleep: { seconds: {{ include "stagedoor.preStopSeconds" .root }} } }
# Alive is a process that turns, with NATS or without; ready is one that has heard NATS, and can work.
startupProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Beside HTTP: the port that metrics are read from. */}}
{{- define "stagedoor.ports.metrics" -}}
{{- if .Values.metrics.enabled }}
- { name: metrics, containerPort: {{ .Values.metrics.port }}, protocol: TCP }
{{- end }}
{{- end -}}

{{/* No two pods of a service on one node, as far as there are nodes; called with a dict of `root`, `component` and `required`. */}}
{{- define "stagedoor.antiAffinity" -}}
affinity:
  podAntiAffinity:
    {{- if .required }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "stagedoor.selector" . | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "stagedoor.selector" . | nindent 14 }}
    {{- end }}
{{- end -}}

{{/* Of a Service for HTTP; called with a dict of `service` and `port`. */}}
{{- define "stagedoor.service" -}}
type: {{ .service.type }}
{{- if ne .service.type "ClusterIP" }}
# The address that requests come from is kept: limits are counted by it.
externalTrafficPolicy: Local
{{- end }}
ports:
  - { name: http, port: {{ .port }}, targetPort: http, protocol: TCP{{ if and (ne .service.type "ClusterIP") .service.nodePort }}, nodePort: {{ .service.nodePort }}{{ end }} }
{{- end -}}

{{- define "stagedoor.ingress" -}}
{{- with .className }}
ingressClassName: {{ . }}
{{- end }}
{{- with .tlsSecret }}
tls:
  - hosts: [{{ $.host }}]
    secretName: {{ . }}
{{- end }}
{{- end -}}
