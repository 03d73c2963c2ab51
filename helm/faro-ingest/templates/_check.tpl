{{/*
  What the schema cannot say, because it depends on other values, or on what a template rendered. Each
  refusal names the value and what to do. All of it would otherwise show only in the cluster, as a
  responder that exits with 2, or an nginx that does not start.
*/}}

{{/* Helm takes the default of a key away that has nothing behind it, as where all below it is a comment. */}}
{{- define "faro-ingest.v1.checkNulls" -}}
{{- range $key, $default := .default -}}
  {{- $value := index $.own $key -}}
  {{- $name := printf "%s.%s" $.name $key -}}
  {{- if and (kindIs "invalid" $value) (not (has $name (list "faro.proxy.resources.limits.cpu" "faro.proxy.gateway.nginxResources.limits.cpu"))) -}}
    {{- fail (printf "\n\nfaro-ingest: %s is not set: a key without a value, or with null, removes the default; write a value, or leave the key out\n" $name) -}}
  {{- else if kindIs "map" $default -}}
    {{- include "faro-ingest.v1.checkNulls" (dict "name" $name "own" $value "default" $default) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "faro-ingest.v1.check" -}}
{{- $faro := . -}}
{{- $problem := "" -}}
{{- if not $faro.serviceName -}}
  {{- $problem = "faro.serviceName is not set: write the service's name, as in OTEL_SERVICE_NAME; it becomes app_name and service.name" -}}
{{- else if and (not $faro.proxy.enabled) (not $faro.collectorUrl) -}}
  {{- $problem = "faro.enabled is true, but nothing would take the beacons: set faro.proxy.enabled: true, or faro.collectorUrl to a public collector, or faro.enabled: false" -}}
{{- else if and $faro.collectorUrl (not (regexMatch "^https?://[^\\s\"'<>\\\\]+$" $faro.collectorUrl)) -}}
  {{- $problem = printf "faro.collectorUrl is %q: write an absolute http or https URL, such as https://faro.example/collect; with a relative one the SDK's tracing traces its own posts" $faro.collectorUrl -}}
{{- else if not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" $faro.fullname) -}}
  {{- $problem = printf "faro.name gives %q, which is not a valid name of a Kubernetes object: write lower case letters, digits and dashes" $faro.fullname -}}
{{- else if not (regexMatch "^(/[A-Za-z0-9._~-]+)+$" $faro.proxy.path) -}}
  {{- $problem = printf "faro.proxy.path is %q: write a path such as /faro that begins with a slash and does not end with one, of letters, digits and ._~-" $faro.proxy.path -}}
{{- else if regexMatch "/[.][.]?(/|$)" $faro.proxy.path -}}
  {{- $problem = printf "faro.proxy.path is %q: leave out the segments . and .., which nginx resolves" $faro.proxy.path -}}
{{- end -}}
{{- $stamped := list (list "faro.serviceName" $faro.serviceName) (list "faro.environment" $faro.environment) (list "faro.version" $faro.version) -}}
{{- range $name := $faro.appNames -}}
  {{- $stamped = append $stamped (list "faro.appNames" $name) -}}
  {{- if or (eq $name "") (contains "," $name) -}}
    {{- $problem = printf "faro.appNames has %q: write one name an item, without commas" $name -}}
  {{- end -}}
{{- end -}}
{{- range $key, $value := $faro.labelAttributes -}}
  {{- $stamped = append $stamped (list (printf "faro.labelAttributes[%s]" $key) $value) -}}
  {{- if regexMatch "^(k8s[.](pod|container|node|replicaset)|container|host|os|process|telemetry)[.]|^service[.]instance[.]id$" $key -}}
    {{- $problem = printf "faro.labelAttributes has %s, which describes a pod, host or process and not the browser: leave it out" $key -}}
  {{- else if has $key (list "service.name" "service.version" "deployment.environment" "deployment.environment.name") -}}
    {{- $problem = printf "faro.labelAttributes has %s: set faro.serviceName, faro.version or faro.environment instead" $key -}}
  {{- else if eq $key "k8s.namespace.name" -}}
    {{- $problem = printf "faro.labelAttributes has %s: leave it out, the pod's own namespace is stamped anyway" $key -}}
  {{- else if not (regexMatch "^[A-Za-z0-9._/-]+$" $key) -}}
    {{- $problem = printf "faro.labelAttributes has %q: write keys of letters, digits and ._/- such as k8s.cluster.name" $key -}}
  {{- end -}}
{{- end -}}
{{- range $stamped -}}
  {{- if or (gt (len (last .)) 255) (regexMatch "[[:cntrl:]]" (last .)) -}}
    {{- $problem = printf "%s has a value of more than 255 bytes, or with a line end or another control character in it: write a shorter one on one line" (first .) -}}
  {{- end -}}
{{- end -}}
{{- if and $faro.serviceEnv.enabled (not $faro.serviceEnv.otlpEndpoint) (not $faro.proxy.upstreamUrl) -}}
  {{- $problem = "faro.serviceEnv.otlpEndpoint is not set, nor faro.proxy.upstreamUrl from which it would be taken: write the OTLP endpoint of the namespace's Alloy, such as http://alloy:4318" -}}
{{- end -}}
{{- with $problem -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" .) -}}
{{- end -}}
{{- end -}}

{{- define "faro-ingest.v1.checkProxy" -}}
{{- $proxy := . -}}
{{- $port := "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])" -}}
{{- $host := printf "(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)(:%s)?" $port -}}
{{- $sidecar := ne $proxy.mode "include" -}}
{{- $metrics := $proxy.metrics -}}
{{- $problem := "" -}}
{{- if not $proxy.upstreamUrl -}}
  {{- $problem = "faro.proxy.upstreamUrl is not set: write the Faro receiver of the namespace's Alloy, such as http://alloy:12347, there or in global.faro.proxy.upstreamUrl" -}}
{{- else if not (regexMatch (printf "^https?://%s(/[^?#\\s]*)?$" $host) $proxy.upstreamUrl) -}}
  {{- $problem = printf "faro.proxy.upstreamUrl is %q: write an http or https URL with a port up to 65535, and without user, query or fragment, such as http://alloy:12347" $proxy.upstreamUrl -}}
{{- else if and $sidecar (not $proxy.image.registry) -}}
  {{- $problem = "faro.proxy.image.registry is not set: write the registry that has your build of the faro-ingest image, there or in global.faro.proxy.image.registry; or set faro.proxy.mode: include where the service's own image has the program" -}}
{{- else if and $sidecar (not (regexMatch "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/?$" $proxy.image.registry)) -}}
  {{- $problem = printf "faro.proxy.image.registry is %q: write the registry's host, with port and path where it has them, and without https://, such as registry.example/base" $proxy.image.registry -}}
{{- else if and $sidecar (not (regexMatch "^[a-z0-9]+([._/-]+[a-z0-9]+)*$" $proxy.image.repository)) -}}
  {{- $problem = printf "faro.proxy.image.repository is %q: write the image's name without registry and tag, of lower case letters, digits and ._/-" $proxy.image.repository -}}
{{- else if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$" $proxy.image.tag) -}}
  {{- $problem = printf "faro.proxy.image.tag is %q: write a tag of letters, digits and ._-, or leave it out" $proxy.image.tag -}}
{{- else if and $proxy.image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $proxy.image.digest)) -}}
  {{- $problem = printf "faro.proxy.image.digest is %q: write sha256: and 64 hexadecimal digits, or leave it out" $proxy.image.digest -}}
{{- else if not (regexMatch "^[ -~]{0,512}$" $proxy.upstream.tenant) -}}
  {{- $problem = printf "faro.proxy.upstream.tenant is %q: write at most 512 printable ASCII characters" $proxy.upstream.tenant -}}
{{- else if not (regexMatch "^[A-Za-z0-9._-]+$" $proxy.upstream.apiKey.key) -}}
  {{- $problem = printf "faro.proxy.upstream.apiKey.key is %q: write the key inside the Secret, of letters, digits and ._-" $proxy.upstream.apiKey.key -}}
{{- else if not (regexMatch "^[A-Za-z0-9._-]+$" $proxy.upstream.ca.key) -}}
  {{- $problem = printf "faro.proxy.upstream.ca.key is %q: write the key inside the ConfigMap or Secret, of letters, digits and ._-" $proxy.upstream.ca.key -}}
{{- else if not (regexMatch "^([0-9.]+|\\[[0-9A-Fa-f:]+\\])?$" $metrics.address) -}}
  {{- $problem = printf "faro.proxy.metrics.address is %q: write an IP address, IPv6 in brackets, such as [::]; or leave it out" $metrics.address -}}
{{- else if not (regexMatch "^([0-9]+(ms|s|m|h))?$" $metrics.interval) -}}
  {{- $problem = printf "faro.proxy.metrics.interval is %q: write a time such as 30s, or leave it out" $metrics.interval -}}
{{- else if and $proxy.upstream.ca.configMapName $proxy.upstream.ca.secretName -}}
  {{- $problem = "faro.proxy.upstream.ca has both configMapName and secretName: leave one of them out" -}}
{{- else if and $proxy.spool.existingClaim (not $proxy.spool.enabled) -}}
  {{- $problem = "faro.proxy.spool.existingClaim is set, but there is no spool: set faro.proxy.spool.enabled: true" -}}
{{- else if and $metrics.podMonitor $metrics.serviceMonitor -}}
  {{- $problem = "faro.proxy.metrics.podMonitor and faro.proxy.metrics.serviceMonitor are both true, and each pod would be scraped twice: set one of them to false" -}}
{{- else if and (not $metrics.port) (or $metrics.podMonitor $metrics.service $metrics.serviceMonitor) -}}
  {{- $problem = "faro.proxy.metrics.port is 0, so there is nothing to scrape: set a port such as 12348, or podMonitor, service and serviceMonitor to false" -}}
{{- end -}}
{{- range $origin := $proxy.allowedOrigins -}}
  {{- if not (include "faro-ingest.v1.isOrigin" $origin) -}}
    {{- $problem = printf "faro.proxy.allowedOrigins has %q: write origins such as https://shop.example, or https://*.preview.example for all names below a domain of at least two labels; without path and never * alone, since any site could write into the logs" $origin -}}
  {{- end -}}
{{- end -}}
{{- if gt (join "," $proxy.allowedOrigins | len) 3900 -}}
  {{- $problem = "faro.proxy.allowedOrigins has more than 3900 characters, too many for nginx: write fewer, such as https://*.preview.example for all names below a domain" -}}
{{- end -}}
{{- range $proxy.allowedHeaders -}}
  {{- if not (regexMatch "^[A-Za-z0-9!#$%&'+.^_`|~-]{1,64}$" .) -}}
    {{- $problem = printf "faro.proxy.allowedHeaders has %q: write names of headers such as baggage, one by one and never *" . -}}
  {{- end -}}
{{- end -}}
{{- if gt (len $proxy.allowedHeaders) 32 -}}
  {{- $problem = printf "faro.proxy.allowedHeaders has %d names: write at most 32" (len $proxy.allowedHeaders) -}}
{{- end -}}
{{- range $kind := list "requests" "limits" -}}
  {{- range $what := list "cpu" "memory" -}}
    {{- $resources := get $proxy.resources $kind -}}
    {{- if and (not (get $resources $what)) (or (ne $kind "limits") (ne $what "cpu") (hasKey $resources $what)) -}}
      {{- $problem = printf "faro.proxy.resources.%s.%s is not set: leave the default, or write another; without it autoscaling and quotas of the service's pods break (limits.cpu alone may be null)" $kind $what -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $mount := $proxy.extraVolumeMounts -}}
  {{- if regexMatch "^(/run/faro-ingest|/var/spool/faro-ingest|/etc/faro-ingest|/etc/nginx/faro)(/|$)" $mount.mountPath -}}
    {{- $problem = printf "faro.proxy.extraVolumeMounts has %s, where this chart mounts its own: mount it elsewhere" $mount.mountPath -}}
  {{- end -}}
{{- end -}}
{{- if and $proxy.upstream.apiKey.file $proxy.upstream.apiKey.secretName -}}
  {{- $problem = "faro.proxy.upstream.apiKey has both secretName and file: leave one of them out" -}}
{{- else if and $proxy.upstream.apiKey.file (not (regexMatch "^(/[^/[:cntrl:]]+)+$" $proxy.upstream.apiKey.file)) -}}
  {{- $problem = printf "faro.proxy.upstream.apiKey.file is %q: write the absolute path of the file in the responder's container, such as /vault/secrets/alloy" $proxy.upstream.apiKey.file -}}
{{- else if eq "0" (get $proxy.securityContext "runAsUser" | toString) -}}
  {{- $problem = "faro.proxy.securityContext.runAsUser is 0: the responder needs no root; write another number, or leave it out" -}}
{{- end -}}
{{- with $problem -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" .) -}}
{{- end -}}
{{- end -}}

{{/* Not empty for an origin that the program takes, which tests/system/origins.json has cases of. */}}
{{- define "faro-ingest.v1.isOrigin" -}}
{{- $port := "(:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?" -}}
{{- $below := "https?://[*]([.][a-z0-9_-]+)+[.][a-z0-9_-]*[a-z_-][a-z0-9_-]*" -}}
{{- if regexMatch (printf "^(%s|[a-z0-9+.-]+://(\\[[0-9a-f:.]{2,}\\]|[a-z0-9._-]+))%s$" $below $port) (lower .) -}}yes{{- end -}}
{{- end -}}

{{/* One beacon of the greatest size must fit, and bodies are not all that the responder keeps. */}}
{{- define "faro-ingest.v1.checkMemory" -}}
{{- $given := .proxy.limits.maxMemoryBytes -}}
{{- $limit := .proxy.resources.limits.memory -}}
{{- $least := add .bytes.body (mul 2 .bytes.decoded) -}}
{{- $needs := "one beacon of the largest size needs faro.proxy.limits.maxBodyBytes and twice maxDecodedBytes" -}}
{{- $problem := "" -}}
{{- if and (not $given) (lt (int64 .bytes.memory) $least) -}}
  {{- $problem = printf "faro.proxy.resources.limits.memory is %v, a third of it is for beacons, and %s: write at least %dMi, or lower those" $limit $needs (div (add (mul 3 $least) 1048575) 1048576) -}}
{{- else if lt (int64 .bytes.memory) $least -}}
  {{- $problem = printf "faro.proxy.limits.maxMemoryBytes is %v, and %s: write at least %d, or lower those" $given $needs $least -}}
{{- else if gt (mul 2 .bytes.memory) (int64 .bytes.limit) -}}
  {{- $problem = printf "faro.proxy.limits.maxMemoryBytes is %v, more than half of faro.proxy.resources.limits.memory, %v, and the container could be killed: lower it, or raise the limit" $given $limit -}}
{{- end -}}
{{- with $problem -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" .) -}}
{{- end -}}
{{- end -}}

{{/* The chart of the service has no include for where its values want the responder. */}}
{{- define "faro-ingest.v1.noResponder" -}}
{{- $value := "faro.proxy.nativeSidecar is false" -}}
{{- $name := "container" -}}
{{- $where := "under containers:" -}}
{{- if .include -}}
  {{- $value = "faro.proxy.mode is include" -}}
  {{- $name = "env" -}}
  {{- $where = "under env: of the container that runs nginx" -}}
{{- else if .proxy.nativeSidecar -}}
  {{- $value = "faro.proxy.nativeSidecar is true" -}}
  {{- $name = "initContainer" -}}
  {{- $where = "under initContainers:" -}}
{{- end -}}
{{- $without := printf "%s, so no responder would run; change the value, or include it above `faro-ingest.v1.volumes`" $value -}}
{{- include "faro-ingest.v1.forgotten" (dict "name" $name "where" $where "without" $without) -}}
{{- end -}}
