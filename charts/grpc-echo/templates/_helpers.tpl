{{/*
Name of what this release makes. The servers' name is fixed: strategies and Envoy files call them `echo`. What stands
beside them (gateway, lookaside, xds) is a `component`: the root with that key added, as in
`merge (dict "component" "gateway") .`, and has the component's name.
*/}}
{{- define "grpc-echo.name" -}}
{{- if .component }}{{ .component }}{{ else if eq .Values.part "servers" }}echo{{ else }}{{ .Release.Name }}{{ end }}
{{- end }}

{{/* Labels that select pods. */}}
{{- define "grpc-echo.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component | default .Values.part }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "grpc-echo.labels" -}}
{{ include "grpc-echo.selectorLabels" . }}
app.kubernetes.io/part-of: grpc-lb-lab
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
grpc-lb-lab/strategy: {{ .Values.strategy.name }}
{{- end }}

{{/* Not empty: Istio is to inject something into this pod. */}}
{{- define "grpc-echo.inMesh" -}}
{{- $mesh := .Values.mesh | default dict }}
{{- if eq .Values.part "servers" }}
{{- if eq (get $mesh "proxy") "sidecar" }}yes{{ end }}
{{- else if and $mesh (ne (get $mesh "pitfall") "injection-off") }}yes{{ end }}
{{- end }}

{{/* Labels of a pod. The namespace's label asks Istio in, and so this says no where the strategy has no mesh. */}}
{{- define "grpc-echo.podLabels" -}}
{{ include "grpc-echo.labels" . }}
{{- if not (include "grpc-echo.inMesh" .) }}
sidecar.istio.io/inject: "false"
{{- end }}
{{- end }}

{{/*
What a pod in the mesh tells Istio. A sidecar counts, beside what it always does, for the clusters and listeners of the
calls: the report's proof.
*/}}
{{- define "grpc-echo.meshAnnotations" -}}
{{- if include "grpc-echo.inMesh" . }}
{{- if eq .Values.mesh.proxy "sidecar" -}}
proxy.istio.io/config: {{ dict "proxyStatsMatcher" (dict "inclusionRegexps" (list (printf "cluster[.](outbound|inbound)[|]%d[|].*" (int .Values.port)))) | toJson | squote }}
{{- else -}}
inject.istio.io/templates: grpc-agent
proxy.istio.io/config: '{"holdApplicationUntilProxyStarts": true}'
{{- end }}
{{- end }}
{{- end }}

{{/*
The DestinationRule's trafficPolicy. The pitfall ignored-field asks for outlier detection under the name that it had
once: Istio still accepts it and no longer reads it.
*/}}
{{- define "grpc-echo.trafficPolicy" -}}
{{- $rule := deepCopy .Values.mesh.destinationRule }}
{{- if eq (get .Values.mesh "pitfall") "ignored-field" }}
{{- $outliers := $rule.outlierDetection }}
{{- $_ := set $outliers "consecutiveErrors" $outliers.consecutive5xxErrors }}
{{- $_ := unset $outliers "consecutive5xxErrors" }}
{{- end }}
{{- toYaml $rule }}
{{- end }}

{{/* What every pod says about itself beside its containers: no root, and no rights but for who has an `account`. */}}
{{- define "grpc-echo.pod" -}}
serviceAccountName: {{ .account | default (ternary "echo" .Release.Name (eq .Values.part "servers")) }}
automountServiceAccountToken: {{ hasKey . "account" }}
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

{{/* The port of a control plane; app/grpc_lb_lab/places/local/addresses.py has the same. */}}
{{- define "grpc-echo.controlPlanePort" -}}
{{- get (dict "lookaside" "50052" "xds" "50053") .Values.controlPlane }}
{{- end }}

{{/* Where server and client answer Prometheus; app/grpc_lb_lab/places/local/addresses.py has the same. */}}
{{- define "grpc-echo.metricsPort" -}}
{{- if eq (int .Values.port) 9464 }}9465{{ else }}9464{{ end }}
{{- end }}

{{/* What tells a Prometheus with the usual pod discovery to ask, and where. */}}
{{- define "grpc-echo.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ include "grpc-echo.metricsPort" . | quote }}
prometheus.io/path: /metrics
{{- end }}

{{/* The port of a server that has an Envoy beside it; the Envoy has the port of the Services. */}}
{{- define "grpc-echo.portBehind" -}}
{{- if eq (int .Values.port) 50061 }}50062{{ else }}50061{{ end }}
{{- end }}

{{/* The Secret with the token of those who may ask a server for a fault. */}}
{{- define "grpc-echo.faultSecret" -}}
echo-faults
{{- end }}

{{/* That token, for who asks and who is asked; app/grpc_lb_lab/fault_token.py has the same name. */}}
{{- define "grpc-echo.faultToken" -}}
- name: LAB_FAULT_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "grpc-echo.faultSecret" . }}, key: token}}
{{- end }}

{{/* Arguments of the server that the strategy's `server` asks for. */}}
{{- define "grpc-echo.serverArgs" -}}
{{- $server := .Values.server | default dict }}
{{- $keepalive := $server.keepalive | default dict }}
- server
{{- if (.Values.envoy | default dict).server }}
- --listen=127.0.0.1:{{ include "grpc-echo.portBehind" . }}
{{- else }}
- --listen=0.0.0.0:{{ int .Values.port }}
{{- end }}
- --drain-delay-s={{ $server.drainS | default 0 }}
- --metrics=0.0.0.0:{{ include "grpc-echo.metricsPort" . }}
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
{{- with $server.workMs }}
- --work-ms={{ int64 . }}
{{- end }}
{{- if hasKey $server "graceS" }}
- --grace-s={{ $server.graceS }}
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
{{- $strategy := omit .Values "part" "replicas" "port" "digest" "images" "resources" "drain" "plan" "loadLimitS" "clusterDns" "faultToken" "global" }}
{{- merge (dict "load" $load "strategy" $strategy "course" nil) .Values.plan | toPrettyJson }}
{{- end }}

{{/* A proxy's file of the chart with its placeholders filled. Takes root, file (under files/), listen. */}}
{{- define "grpc-echo.fill" -}}
{{- $values := .root.Values }}
{{- $host := printf "echo-headless.%s.svc.%s" .root.Release.Namespace $values.clusterDns.domain }}
{{- $text := .root.Files.Get (printf "files/%s" .file)
  | replace "${LB_POLICY}" (($values.envoy | default dict).lbPolicy | default "ROUND_ROBIN")
  | replace "${HASH_HEADER}" (($values.client.keys | default dict).header | default "${HASH_HEADER}")
  | replace "${LISTEN_ADDRESS}" .listen
  | replace "${ADMIN_ADDRESS}" "0.0.0.0"
  | replace "${SERVER_ADDRESS}" "127.0.0.1"
  | replace "${SERVER_PORT}" (include "grpc-echo.portBehind" .root)
  | replace "${NGINX_RESOLVER}" $values.clusterDns.server
  | replace "${NGINX_SERVERS}" (printf "server %s:%d resolve;" $host (int $values.port))
  | replace "${HAPROXY_NAMESERVER}" "parse-resolv-conf"
  | replace "${HAPROXY_SLOTS}" (max 250 (int $values.replicas) | toString)
  | replace "${ECHO_HOST}" $host
  | replace "${ECHO_PORT}" (toString (int $values.port)) }}
{{- if contains "${" $text }}
{{- fail (printf "files/%s has a placeholder that nobody fills: %s" .file (regexFind "\\$\\{[^}]*\\}" $text)) }}
{{- end }}
{{- $text }}
{{- end }}

{{/* The file of the Envoy beside every server. */}}
{{- define "grpc-echo.serverEnvoy" -}}
{{- include "grpc-echo.fill" (dict "root" . "file" (printf "envoy/%s" .Values.envoy.server) "listen" "0.0.0.0") }}
{{- end }}

{{/* The file of the proxy at the edge. */}}
{{- define "grpc-echo.gatewayFile" -}}
{{- include "grpc-echo.fill" (dict "root" . "file" (printf "gateway/%s" .Values.gateway.config) "listen" "0.0.0.0") }}
{{- end }}

{{/* Envoy as a native sidecar: it starts before the containers and ends after them. Takes root, admin (its port). */}}
{{- define "grpc-echo.sidecar" -}}
- name: envoy
  image: {{ .root.Values.images.envoy | quote }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  restartPolicy: Always
  command: [envoy]
  args: [-c, /etc/envoy/envoy.yaml, --concurrency, "1", --disable-hot-restart, --log-level, warning]
  ports:
    - name: admin
      containerPort: {{ .admin }}
  startupProbe:
    httpGet: {path: /ready, port: admin}
    periodSeconds: 1
    failureThreshold: 60
  readinessProbe:
    httpGet: {path: /ready, port: admin}
    periodSeconds: 5
  resources:
    {{- toYaml .root.Values.resources.envoy | nindent 4 }}
  securityContext:
    {{- include "grpc-echo.securityContext" .root | nindent 4 }}
  volumeMounts:
    - name: envoy
      mountPath: /etc/envoy
      readOnly: true
{{- end }}

{{/* Command of the proxy at the edge: in the foreground, one worker. nginx keeps its pid and its spool in /tmp. */}}
{{- define "grpc-echo.gatewayCommand" -}}
{{- $file := printf "/etc/gateway/%s" .Values.gateway.config }}
{{- if eq .Values.gateway.proxy "envoy" -}}
[envoy, -c, {{ $file }}, --concurrency, "1", --disable-hot-restart, --log-level, warning]
{{- else if eq .Values.gateway.proxy "nginx" -}}
[nginx, -p, /tmp/, -e, stderr, -c, {{ $file }}]
{{- else -}}
[haproxy, -db, -f, {{ $file }}]
{{- end }}
{{- end }}
