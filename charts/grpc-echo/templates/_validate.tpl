{{/* Rules between fields, which the schema cannot express. All messages at once, each with the remedy. */}}
{{- define "grpc-echo.validate" -}}
{{- $envoy := .Values.envoy | default dict }}
{{- $messages := list }}
{{- if and (eq .Values.client.target "sidecar") (not $envoy.client) }}
{{- $messages = append $messages "client.target is sidecar, so envoy.client must name a file under files/envoy/" }}
{{- end }}
{{- if and $envoy.client (ne .Values.client.target "sidecar") }}
{{- $messages = append $messages (printf "envoy.client is set, so client.target must be sidecar, not %s" .Values.client.target) }}
{{- end }}
{{- if and $envoy.client (not $envoy.lbPolicy) }}
{{- $messages = append $messages "envoy.client is set, so envoy.lbPolicy must be set, for example to ROUND_ROBIN" }}
{{- end }}
{{- range $key := list "client" "server" }}
{{- $file := get $envoy $key }}
{{- if and $file (not ($.Files.Get (printf "files/envoy/%s" $file))) }}
{{- $messages = append $messages (printf "envoy.%s: there is no files/envoy/%s in the chart" $key $file) }}
{{- end }}
{{- end }}
{{- with .Values.gateway }}
{{- if not ($.Files.Get (printf "files/gateway/%s" .config)) }}
{{- $messages = append $messages (printf "gateway.config: there is no files/gateway/%s in the chart" .config) }}
{{- end }}
{{- if ne $.Values.client.target "gateway" }}
{{- $messages = append $messages (printf "gateway is set, so client.target must be gateway, not %s" $.Values.client.target) }}
{{- end }}
{{- end }}
{{- if and (eq .Values.client.target "gateway") (not .Values.gateway) }}
{{- $messages = append $messages "client.target is gateway, so gateway must name a proxy and its file" }}
{{- end }}
{{- $plane := .Values.controlPlane | default "" }}
{{- if and (or $plane (has .Values.client.target (list "lookaside" "xds"))) (ne $plane .Values.client.target) }}
{{- $messages = append $messages (printf "controlPlane and client.target must be the same, not %q and %s" $plane .Values.client.target) }}
{{- end }}
{{- $mesh := .Values.mesh | default dict }}
{{- if ne (eq .Values.client.target "mesh") (eq (get $mesh "proxy") "grpc-agent") }}
{{- $messages = append $messages (printf "client.target mesh and mesh.proxy grpc-agent go together, not %s and %q" .Values.client.target (get $mesh "proxy")) }}
{{- end }}
{{- if and $mesh.pitfall (not (has $mesh.pitfall ($mesh.pitfalls | default list))) }}
{{- $messages = append $messages (printf "mesh.pitfall: %s is none of mesh.pitfalls" $mesh.pitfall) }}
{{- end }}
{{- if and (has "ignored-field" ($mesh.pitfalls | default list)) (not (dig "outlierDetection" "consecutive5xxErrors" "" ($mesh.destinationRule | default dict))) }}
{{- $messages = append $messages "mesh.pitfalls: ignored-field needs destinationRule.outlierDetection.consecutive5xxErrors" }}
{{- end }}
{{- if and (eq .Values.part "load") (has .Values.client.target (list "gateway" "port-forward")) }}
{{- $messages = append $messages (printf "client.target is %s: the client runs outside the cluster, so there is no load to install" .Values.client.target) }}
{{- end }}
{{- if and (eq .Values.part "load") .Values.plan.load.requests .Values.plan.load.duration_s }}
{{- $messages = append $messages "plan.load: set requests or duration_s, not both (--set plan.load.requests=null)" }}
{{- end }}
{{- with .Values.strategy.replicas }}
{{- if and (eq $.Values.part "servers") (ne (int .) (int $.Values.replicas)) }}
{{- $messages = append $messages (printf "strategy.replicas insists on %d replicas: --set replicas=%d" (int .) (int .)) }}
{{- end }}
{{- end }}
{{- if $messages }}
{{- fail (printf "\n- %s" (join "\n- " $messages)) }}
{{- end }}
{{- end }}
