{{/*
  What nginx does with a request before the responder gets it, and what it tells about it. The snippets
  include these files by wildcards, and each is there only where a value asks for it:
    faro-request.conf        in our location
    faro-http-limits.conf    in http{}: the zone of the rate limit
    faro-http-crawlers.conf  in http{}: the map of crawlers
*/}}

{{/* The parameter that has the value of a request attribute. Takes its key. */}}
{{- define "faro-ingest.v1.parameter" -}}
FARO_ATTR_{{ regexReplaceAll "[^A-Z0-9]" (upper .) "_" }}
{{- end -}}

{{/* {"faro-request.conf": …}. Takes faro, the settings, and files, of this chart. */}}
{{- define "faro-ingest.v1.requestFiles" -}}
{{- $proxy := .faro.proxy -}}
{{- $texts := dict -}}
{{- with include "faro-ingest.v1.requestLines" $proxy -}}
  {{- $_ := set $texts "faro-request.conf" . -}}
{{- end -}}
{{- with $proxy.rateLimit.requestsPerSecond -}}
  {{- $_ := set $texts "faro-http-limits.conf" (printf "limit_req_zone $binary_remote_addr zone=faro_clients:1m rate=%dr/s;" (int64 .)) -}}
{{- end -}}
{{- if or $proxy.ignoreCrawlers (regexMatch "[$]faro_(crawler|synthetic_type)\\b" (toJson $proxy.requestAttributes)) -}}
  {{- $_ := set $texts "faro-http-crawlers.conf" (.files.Get "files/faro-crawlers.conf") -}}
{{- end -}}
{{- toJson $texts -}}
{{- end -}}

{{- define "faro-ingest.v1.requestLines" -}}
{{- $lines := list -}}
{{- range .realIp.from -}}
  {{- $lines = append $lines (printf "set_real_ip_from %s;" .) -}}
{{- end -}}
{{- if .realIp.from -}}
  {{- $lines = concat $lines (list (printf "real_ip_header %s;" .realIp.header) "real_ip_recursive on;") -}}
{{- end -}}
{{- if .rateLimit.requestsPerSecond -}}
  {{- $burst := ternary (printf " burst=%d" (int64 .rateLimit.burst)) "" (gt (int64 .rateLimit.burst) 0) -}}
  {{- $lines = append $lines (printf "limit_req zone=faro_clients%s nodelay;" $burst) -}}
{{- end -}}
{{- range $key, $expression := .requestAttributes -}}
  {{- $lines = append $lines (printf "fastcgi_param %s \"%s\";" (include "faro-ingest.v1.parameter" $key) $expression) -}}
{{- end -}}
{{- if .ignoreCrawlers -}}
  {{- $lines = append $lines "fastcgi_param FARO_IGNORE $faro_crawler;" -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{/* Tells all that is wrong at once. Takes the settings. */}}
{{- define "faro-ingest.v1.checkRequest" -}}
{{- $problems := list -}}
{{- range .proxy.realIp.from -}}
  {{- if not (include "faro-ingest.v1.isNetwork" .) -}}
    {{- $problems = append $problems (printf "faro.proxy.realIp.from has %q: write the addresses of your proxies, such as 10.0.0.0/8 or fd00::/8, and not the whole internet (at least /8, for IPv6 /7), since whoever is in them may pretend to be any client" .) -}}
  {{- end -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z][A-Za-z0-9_-]{0,63}$" .proxy.realIp.header) -}}
  {{- $problems = append $problems (printf "faro.proxy.realIp.header is %q: write the name of the header in which your proxy names the client, such as X-Forwarded-For" .proxy.realIp.header) -}}
{{- end -}}
{{- if gt (len .proxy.requestAttributes) 32 -}}
  {{- $problems = append $problems (printf "faro.proxy.requestAttributes has %d keys: write at most 32" (len .proxy.requestAttributes)) -}}
{{- end -}}
{{- $parameters := dict -}}
{{- range $key, $value := .labelAttributes -}}
  {{- $_ := set $parameters (include "faro-ingest.v1.parameter" $key) (printf "faro.labelAttributes[%s]" $key) -}}
{{- end -}}
{{- if has .proxy.clientAddress (list "masked" "full") -}}
  {{- $_ := set $parameters "FARO_ATTR_CLIENT_ADDRESS" "what faro.proxy.clientAddress stamps" -}}
{{- end -}}
{{- range $key, $expression := .proxy.requestAttributes -}}
  {{- $name := printf "faro.proxy.requestAttributes[%s]" $key -}}
  {{- $parameter := include "faro-ingest.v1.parameter" $key -}}
  {{- if not (regexMatch "^[A-Za-z0-9._-]{1,64}$" $key) -}}
    {{- $problems = append $problems (printf "faro.proxy.requestAttributes has the key %q: write keys of at most 64 letters, digits and ._- such as geo.country.iso_code" $key) -}}
  {{- else if regexMatch "^(service[.](name|namespace)|deployment[.]environment([.]name)?|k8s[.].*)$" $key -}}
    {{- $problems = append $problems (printf "%s is a label of the service and the same for every request: leave it out" $name) -}}
  {{- else if hasPrefix "http.request.header." $key -}}
    {{- $problems = append $problems (printf "%s is an array in OpenTelemetry's conventions, and faro-ingest stamps single values: choose another key" $name) -}}
  {{- else if hasKey $parameters $parameter -}}
    {{- $problems = append $problems (printf "a query cannot tell %s from %s: leave one of them out" $name (get $parameters $parameter)) -}}
  {{- else if not (include "faro-ingest.v1.isExpression" $expression) -}}
    {{- $problems = append $problems (printf "%s is %q: write variables of nginx and text, such as $geoip2_data_country_code, without ; { } quotes, backslashes and line ends, which could end the directive" $name $expression) -}}
  {{- end -}}
  {{- $_ := set $parameters $parameter $name -}}
{{- end -}}
{{- with $problems -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" (join "\nfaro-ingest: " .)) -}}
{{- end -}}
{{- end -}}

{{/* Not empty for text in which each $ begins a variable, and which ends neither a string nor a directive. */}}
{{- define "faro-ingest.v1.isExpression" -}}
{{- if regexMatch "^([^$;{}\"'\\\\[:cntrl:]]|[$][A-Za-z_][A-Za-z0-9_]*){1,255}$" . -}}yes{{- end -}}
{{- end -}}

{{/* Not empty for an address, or a network that is not most of the internet; nginx would look up a name. */}}
{{- define "faro-ingest.v1.isNetwork" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $groups := "([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)" -}}
{{- $address := splitList "/" . | first -}}
{{- $parts := regexFindAll "[0-9A-Fa-f]+" $address -1 | len -}}
{{- if regexMatch (printf "^%s([.]%s){3}(/([89]|[12][0-9]|3[0-2]))?$" $byte $byte) . -}}
yes
{{- else if not (regexMatch "^[0-9A-Fa-f:]+(/([789]|[1-9][0-9]|1[01][0-9]|12[0-8]))?$" .) -}}
{{- else if or (and (eq $parts 8) (regexMatch (printf "^%s$" $groups) $address)) (and (lt $parts 8) (regexMatch (printf "^%s?::%s?$" $groups $groups) $address)) -}}
yes
{{- end -}}
{{- end -}}
