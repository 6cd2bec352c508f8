{{/* Name of what this release makes. The servers' name is fixed: strategies and Envoy files call them `echo`. */}}
{{- define "grpc-echo.name" -}}
{{- if eq .Values.part "servers" }}echo{{ else }}{{ .Release.Name }}{{ end }}
{{- end }}

{{/* Labels that select pods. */}}
{{- define "grpc-echo.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "grpc-echo.labels" -}}
{{ include "grpc-echo.selectorLabels" . }}
app.kubernetes.io/component: {{ .Values.part }}
app.kubernetes.io/part-of: grpc-lb-lab
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
grpc-lb-lab/strategy: {{ .Values.strategy.name }}
{{- end }}

{{/* What every pod says about itself beside its containers: no rights, no root. */}}
{{- define "grpc-echo.pod" -}}
serviceAccountName: {{ include "grpc-echo.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Security context of every container, as Pod Security "restricted" asks. */}}
{{- define "grpc-echo.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Who a pod is, for the server and the client alike. */}}
{{- define "grpc-echo.identity" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- end }}

{{/* Arguments of the server that the strategy's `server` asks for. */}}
{{- define "grpc-echo.serverArgs" -}}
{{- $server := .Values.server | default dict }}
{{- $keepalive := $server.keepalive | default dict }}
- server
- --listen=0.0.0.0:{{ int .Values.port }}
- --drain-delay-s=0
{{- with $keepalive.minIntervalMs }}
- --keepalive-min-interval-ms={{ int64 . }}
{{- end }}
{{- if $keepalive.permitWithoutCalls }}
- --keepalive-permit-without-calls
{{- end }}
{{- with $server.maxConnectionAgeMs }}
- --max-connection-age-ms={{ int64 . }}
{{- end }}
{{- with $server.maxConnectionAgeGraceMs }}
- --max-connection-age-grace-ms={{ int64 . }}
{{- end }}
{{- end }}

{{/*
plan.json: the dataclass Plan. Helm drops nulls, and a missing key would mean the default, so they are put back.
What is no value of the chart's own comes from the strategy file.
*/}}
{{- define "grpc-echo.plan" -}}
{{- $load := deepCopy .Values.plan.load }}
{{- range list "requests" "duration_s" "rate_rps" }}
{{- if not (hasKey $load .) }}{{ $_ := set $load . nil }}{{ end }}
{{- end }}
{{- $strategy := omit .Values "part" "replicas" "port" "digest" "images" "resources" "drain" "plan" "loadLimitS" "global" }}
{{- merge (dict "load" $load "strategy" $strategy) .Values.plan | toPrettyJson }}
{{- end }}

{{/* An Envoy bootstrap file of the chart with its placeholders filled. Takes root, file, listen. */}}
{{- define "grpc-echo.envoy" -}}
{{- $keys := .root.Values.client.keys | default dict }}
{{- $text := .root.Files.Get (printf "files/envoy/%s" .file)
  | replace "${LB_POLICY}" .root.Values.envoy.lbPolicy
  | replace "${LISTEN_ADDRESS}" .listen
  | replace "${ADMIN_ADDRESS}" "0.0.0.0"
  | replace "${HASH_HEADER}" ($keys.header | default "${HASH_HEADER}")
  | replace "${ECHO_PORT}" (toString (int .root.Values.port)) }}
{{- if contains "${" $text }}
{{- fail (printf "files/envoy/%s has a placeholder that nobody fills: %s" .file (regexFind "\\$\\{[^}]*\\}" $text)) }}
{{- end }}
{{- $text }}
{{- end }}
