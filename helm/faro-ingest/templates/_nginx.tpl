{{/*
  What nginx reads. files/ has copies of the project's own snippets in nginx/, so that the chart is whole
  where somebody copies it out; a test compares them.
*/}}

{{/* For http{} of the service's nginx configuration, where it lies in the chart. */}}
{{- define "faro-ingest.v1.http" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "http" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if or $faro.sidecar $faro.include -}}
include /etc/nginx/faro/faro-http*.conf;
{{- end -}}
{{- end -}}

{{/* For its server{}. */}}
{{- define "faro-ingest.v1.location" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "location" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.enabled (not $faro.gateway) -}}
include /etc/nginx/faro/faro-location*.conf;
{{- end -}}
{{- end -}}

{{/* {"text": …} with `from` replaced by `to`, which must be there: else the snippets have changed. */}}
{{- define "faro-ingest.v1.replaced" -}}
{{- if not (contains .from .text) -}}
  {{- fail (printf "faro-ingest: this chart does not fit its files, which have no %q" .from) -}}
{{- end -}}
{{- toJson (dict "text" (replace .from .to .text)) -}}
{{- end -}}

{{/* The ConfigMap's data. */}}
{{- define "faro-ingest.v1.files" -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- $files := .Subcharts.faro.Files -}}
{{- $proxy := $faro.proxy -}}
{{- $upstream := $proxy.upstream -}}
{{- $texts := dict "config.js" ($files.Get "files/config.js") "faro-location.conf" ($files.Get "files/faro-location.conf") -}}
{{- $names := $faro.appNames | default (list $faro.serviceName) -}}
{{- $edits := list
  (list "config.js" "${FARO_PATH}" $proxy.path)
  (list "config.js" "${FARO_JS_COLLECTOR_URL}" ($faro.collectorUrl | toJson | trimPrefix "\"" | trimSuffix "\""))
  (list "config.js" "${FARO_JS_APP_NAMES}" (join "," $names | toJson | trimPrefix "\"" | trimSuffix "\""))
  (list "config.js" "${FARO_JS_NAMESPACE}" (.Release.Namespace | toJson | trimPrefix "\"" | trimSuffix "\""))
  (list "config.js" "${FARO_JS_ENVIRONMENT}" ($faro.environment | toJson | trimPrefix "\"" | trimSuffix "\""))
  (list "config.js" "${FARO_JS_VERSION}" ($faro.version | toJson | trimPrefix "\"" | trimSuffix "\""))
  (list "faro-location.conf" "${FARO_PATH}" $proxy.path)
  (list "faro-location.conf" "${FARO_CONFIG_JS}" "/etc/nginx/faro/config.js")
-}}
{{- if $proxy.enabled -}}
  {{- $_ := set $texts "faro-http.conf" ($files.Get "files/faro-http.conf") -}}
  {{- /* nginx waits longer than the responder does. */ -}}
  {{- $wait := max 15 (add 5 (div (add $upstream.connectTimeoutMs $upstream.timeoutMs) 1000)) -}}
  {{- /* As browsers write them, without the scheme's own port. */ -}}
  {{- $origins := list -}}
  {{- range $proxy.allowedOrigins -}}
    {{- $origins = append $origins (regexReplaceAll "^(https:.*):443$|^(http:.*):80$" (lower .) "${1}${2}") -}}
  {{- end -}}
  {{- $edits = concat $edits (list
    (list "faro-http.conf" "${FARO_SOCKET}" "/run/faro-ingest/faro.sock")
    (list "faro-http.conf" "${FARO_ALLOWED_ORIGINS}" (join "," $origins))
    (list "faro-location.conf" "client_max_body_size 5m;" (printf "client_max_body_size %s;" $faro.bytes.body))
    (list "faro-location.conf" "fastcgi_read_timeout 15s;" (printf "fastcgi_read_timeout %ds;" $wait))) -}}
{{- else -}}
  {{- /* A public collector takes the beacons: only the first location, that of config.js. */ -}}
  {{- $_ := set $texts "faro-location.conf" (printf "%s\n}\n" (get $texts "faro-location.conf" | splitList "\n}\n" | first)) -}}
{{- end -}}
{{- if $faro.gateway -}}
  {{- $_ := set $texts "nginx.conf" (include "faro-ingest.v1.gatewayNginxConf" $faro) -}}
{{- end -}}
{{- if $proxy.enabled -}}
  {{- $texts = merge $texts (include "faro-ingest.v1.requestFiles" (dict "faro" $faro "files" $files) | fromJson) -}}
{{- end -}}
{{- if and $proxy.enabled $proxy.metrics.port -}}
  {{- $_ := set $texts "faro-status.conf" ($files.Get "files/faro-status.conf") -}}
  {{- $listen := printf "%s%d" ($proxy.metrics.address | empty | ternary "" (printf "%s:" $proxy.metrics.address)) (int64 $proxy.metrics.port) -}}
  {{- $edits = concat $edits (list
    (list "faro-status.conf" "listen 127.0.0.1:12348;" (printf "listen %s;" $listen))
    (list "faro-status.conf" "metrics|health|ready" "metrics")
    (list "faro-status.conf" "This port has /metrics, /health and /ready. Ask for one of them." "This port has /metrics only.")) -}}
{{- end -}}
{{- range $edits -}}
  {{- $name := first . -}}
  {{- $edit := dict "text" (get $texts $name) "from" (index . 1) "to" (last .) -}}
  {{- $_ := set $texts $name (include "faro-ingest.v1.replaced" $edit | fromJson).text -}}
{{- end -}}
{{- range $name, $text := $texts -}}
  {{- if and (hasSuffix ".conf" $name) (ne $name "faro-http-crawlers.conf") -}}
    {{- /* The comment on top tells how the file comes into an image. That of crawlers has a licence. */ -}}
    {{- $_ := set $texts $name (regexReplaceAll "^(#[^\n]*\n)+" $text "# Made by the Helm chart faro-ingest.\n") -}}
  {{- end -}}
{{- end -}}
{{- range $name := keys $texts | sortAlpha -}}
{{ $name }}: |
  {{- get $texts $name | trim | nindent 2 }}
{{ end -}}
{{- end -}}
