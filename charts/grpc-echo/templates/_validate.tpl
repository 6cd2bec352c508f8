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
{{- if and $envoy.client (not (.Files.Get (printf "files/envoy/%s" $envoy.client))) }}
{{- $messages = append $messages (printf "envoy.client: there is no files/envoy/%s in the chart" $envoy.client) }}
{{- end }}
{{- if and (eq .Values.part "load") (eq .Values.client.target "port-forward") }}
{{- $messages = append $messages "client.target is port-forward: the client runs outside the cluster, so there is no load to install" }}
{{- end }}
{{- if and (eq .Values.part "load") .Values.plan.load.requests .Values.plan.load.duration_s }}
{{- $messages = append $messages "plan.load: set requests or duration_s, not both (--set plan.load.requests=null)" }}
{{- end }}
{{- if or .Values.gateway .Values.controlPlane $envoy.server }}
{{- $messages = append $messages "gateway, controlPlane and envoy.server: this chart has no templates for them; use -e lab_cluster=local" }}
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
