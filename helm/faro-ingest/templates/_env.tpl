{{/*
  The responder's environment as {"env": […]}: a list, so that the service's container can have it
  without what is there already. Takes the settings.
*/}}
{{- define "faro-ingest.v1.responderEnv" -}}
{{- $proxy := .proxy -}}
{{- $upstream := $proxy.upstream -}}
{{- $spool := $proxy.spool -}}
{{- $attributes := list "k8s.namespace.name=$(POD_NAMESPACE)" -}}
{{- $labels := list -}}
{{- $given := dict "deployment.environment.name" .environment "service.version" .version -}}
{{- range $key, $value := merge $given .labelAttributes -}}
  {{- with $value | toString -}}
    {{- /* urlquery writes a space as +, which OpenTelemetry reads as a plus sign. */ -}}
    {{- $attributes = append $attributes (printf "%s=%s" $key (urlquery . | replace "+" "%20")) -}}
    {{- if hasKey $.labelAttributes $key -}}
      {{- $labels = append $labels $key -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $values := list
  (list "OTEL_SERVICE_NAME" .serviceName)
  (list "OTEL_RESOURCE_ATTRIBUTES" (join "," $attributes))
  (list "FARO_UPSTREAM_URL" $proxy.upstreamUrl)
  (list "FARO_SOCKET" (and .include "/run/faro-ingest/faro.sock"))
  (list "FARO_APP_NAMES" (join "," .appNames))
  (list "FARO_LABEL_ATTRIBUTES" (join "," $labels))
  (list "FARO_PATH" $proxy.path)
  (list "FARO_ALLOWED_ORIGINS" (join "," $proxy.allowedOrigins))
  (list "FARO_ALLOWED_HEADERS" (join "," $proxy.allowedHeaders))
  (list "FARO_CLIENT_ADDRESS" (has $proxy.clientAddress (list "masked" "full") | ternary $proxy.clientAddress ""))
  (list "FARO_REQUEST_ATTRIBUTES" (keys $proxy.requestAttributes | sortAlpha | join ","))
  (list "FARO_REDACT" (join "," $proxy.redact))
  (list "FARO_REDACT_KEEP" (join "," $proxy.redactKeep))
  (list "FARO_DROP_FIELDS" (join "," $proxy.dropFields))
  (list "FARO_DROP_EXTENSION_ERRORS" ($proxy.dropExtensionErrors | ternary "on" ""))
  (list "FARO_DROP_ERRORS" (join "," $proxy.dropErrors | replace "$(" "$$("))
  (list "FARO_MAX_BODY_BYTES" .bytes.body)
  (list "FARO_MAX_DECODED_BYTES" .bytes.decoded)
  (list "FARO_MAX_MEMORY_BYTES" .bytes.memory)
  (list "FARO_UPSTREAM_CONNECT_TIMEOUT_MS" ($upstream.connectTimeoutMs | int64 | toString))
  (list "FARO_UPSTREAM_TIMEOUT_MS" ($upstream.timeoutMs | int64 | toString))
  (list "FARO_UPSTREAM_MAX_INFLIGHT" ($upstream.maxInflight | int64 | toString))
  (list "FARO_UPSTREAM_TENANT" $upstream.tenant)
  (list "FARO_UPSTREAM_API_KEY_FILE" (ternary (printf "/etc/faro-ingest/api-key/%s" $upstream.apiKey.key) $upstream.apiKey.file (not (empty $upstream.apiKey.secretName))))
  (list "FARO_UPSTREAM_CA_FILE" (and (or $upstream.ca.configMapName $upstream.ca.secretName) (printf "/etc/faro-ingest/ca/%s" $upstream.ca.key)))
  (list "FARO_DRAIN_DELAY_MS" (and (or .sidecar .gateway) (not $proxy.nativeSidecar) .preStop (add 1 .preStop | mul 1000 | toString)))
  (list "FARO_SPOOL_DIR" (and $spool.enabled "/var/spool/faro-ingest/spool"))
  (list "FARO_SPOOL_MAX_BYTES" (and $spool.enabled .bytes.spool))
  (list "FARO_SPOOL_MAX_AGE_S" (and $spool.enabled ($spool.maxAgeSeconds | int64 | toString)))
  (list "FARO_SPOOL_SYNC" (and $spool.enabled $spool.sync))
  (list "FARO_REPLAY_RATE" (and $spool.enabled ($spool.replayRate | int64 | toString)))
-}}

{{- $namespace := dict "fieldRef" (dict "fieldPath" "metadata.namespace") -}}
{{- $env := list (dict "name" "POD_NAMESPACE" "valueFrom" $namespace) -}}
{{- $names := list "POD_NAMESPACE" -}}
{{- range $values -}}
  {{- $names = append $names (first .) -}}
  {{- if last . -}}
    {{- $env = append $env (dict "name" (first .) "value" (last .)) -}}
  {{- end -}}
{{- end -}}
{{- range $proxy.extraEnv -}}
  {{- if has .name $names -}}
    {{- fail (printf "\n\nfaro-ingest: faro.proxy.extraEnv has %s, which this chart sets from a value of its own or which comes twice: set that value, and leave it out of extraEnv\n" .name) -}}
  {{- end -}}
  {{- $names = append $names .name -}}
  {{- $env = append $env . -}}
{{- end -}}
{{- toJson (dict "env" $env) -}}
{{- end -}}

{{/*
  For `env:` of the service's own container: in include mode the responder's environment, with
  faro.serviceEnv.enabled what the service's SDKs read. No name comes twice, and none of
  faro.existingEnv: a second entry of one name makes server-side apply fail.
*/}}
{{- define "faro-ingest.v1.env" -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- $env := list -}}
{{- if $faro.include -}}
  {{- $_ := set .Subcharts.faro "responder" true -}}
  {{- $env = (include "faro-ingest.v1.responderEnv" $faro | fromJson).env -}}
{{- end -}}
{{- if ($faro.serviceEnv).enabled -}}
  {{- $endpoint := $faro.serviceEnv.otlpEndpoint -}}
  {{- if not $endpoint -}}
    {{- $url := urlParse $faro.proxy.upstreamUrl -}}
    {{- $endpoint = printf "http://%s:4318" (regexReplaceAll ":[0-9]+$" $url.host "") -}}
  {{- end -}}
  {{- $env = concat $env (list
    (dict "name" "OTEL_SERVICE_NAME" "value" $faro.serviceName)
    (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" $endpoint)) -}}
  {{- with $faro.serviceEnv.pyroscopeAddress -}}
    {{- $env = append $env (dict "name" "PYROSCOPE_SERVER_ADDRESS" "value" .) -}}
  {{- end -}}
{{- end -}}
{{- $names := $faro.existingEnv | default list -}}
{{- $ours := list -}}
{{- range $env -}}
  {{- if not (has .name $names) -}}
    {{- $names = append $names .name -}}
    {{- $ours = append $ours . -}}
  {{- end -}}
{{- end -}}
{{- with $ours -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
