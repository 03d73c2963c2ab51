{{/*
  From values to settings. Private to this chart; the templates that services include are in
  _pod.tpl, _nginx.tpl and _manifests.tpl.
*/}}

{{/*
  One block of values as JSON: strings rendered as templates; what is still the chart's default is taken
  from global.faro where that has it. Takes own, global, default (the same block of each) and root.
*/}}
{{- define "faro-ingest.v1.merged" -}}
{{- $root := .root -}}
{{- $out := dict -}}
{{- range $key := concat (keys .own) (keys .global) | uniq -}}
  {{- $default := get $.default $key -}}
  {{- $value := get $.own $key -}}
  {{- $global := get $.global $key -}}
  {{- if and (kindIs "map" $value) (or (kindIs "map" $global) (kindIs "invalid" $global)) -}}
    {{- $default = ternary $default (dict) (kindIs "map" $default) -}}
    {{- $block := dict "own" $value "global" (default (dict) $global) "default" $default "root" $root -}}
    {{- $value = include "faro-ingest.v1.merged" $block | fromJson -}}
  {{- else -}}
    {{- if and (hasKey $.global $key) (eq (toJson $value) (toJson $default)) -}}
      {{- $value = $global -}}
    {{- end -}}
    {{- $value = include "faro-ingest.v1.rendered" (dict "value" $value "root" $root) | fromJson -}}
    {{- $value = $value.value -}}
  {{- end -}}
  {{- $_ := set $out $key $value -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{/* {"value": …}: every string in it rendered as a template. */}}
{{- define "faro-ingest.v1.rendered" -}}
{{- $value := .value -}}
{{- if and (kindIs "string" $value) (contains "{{" $value) -}}
  {{- $value = tpl $value .root | trim -}}
{{- else if kindIs "slice" $value -}}
  {{- $items := list -}}
  {{- range $item := $value -}}
    {{- $rendered := include "faro-ingest.v1.rendered" (dict "value" $item "root" $.root) | fromJson -}}
    {{- $items = append $items $rendered.value -}}
  {{- end -}}
  {{- $value = $items -}}
{{- else if kindIs "map" $value -}}
  {{- $block := dict "own" $value "global" (dict) "default" (dict) "root" .root -}}
  {{- $value = include "faro-ingest.v1.merged" $block | fromJson -}}
{{- end -}}
{{- toJson (dict "value" $value) -}}
{{- end -}}

{{/* The items of a list as the program reads it: with commas between them, trimmed, and not empty. */}}
{{- define "faro-ingest.v1.items" -}}
{{- $items := list -}}
{{- range join "," . | splitList "," -}}
  {{- with trim . -}}
    {{- $items = append $items . -}}
  {{- end -}}
{{- end -}}
{{- toJson $items -}}
{{- end -}}

{{/*
  A number of bytes as the program takes it: a whole number, or one with KiB, MiB or GiB, within its range.
  Takes value, least, most; empty where it is refused. tests/system/sizes.json has cases for both.
*/}}
{{- define "faro-ingest.v1.parsedBytes" -}}
{{- $text := kindIs "string" .value | ternary .value (printf "%.0f" (float64 .value)) -}}
{{- /* Fifteen digits are more than any range, and fit; a leading zero would make it octal. */ -}}
{{- if regexMatch "^0*[0-9]{1,15}([KMG]iB)?$" $text -}}
  {{- $factor := get (dict "" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824) (regexFind "[A-Za-z]*$" $text) -}}
  {{- $number := regexReplaceAll "^0+" (regexFind "^[0-9]+" $text) "" | default "0" | int64 -}}
  {{- /* Divided, since multiplied it could wrap around. */ -}}
  {{- if and (le $number (div .most $factor)) (ge (mul $number $factor) (int64 .least)) -}}
    {{- mul $number $factor -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The same, or the refusal. Takes name, value, least, most and range, the last two in words. */}}
{{- define "faro-ingest.v1.bytes" -}}
{{- $bytes := include "faro-ingest.v1.parsedBytes" . -}}
{{- if not $bytes -}}
  {{- fail (printf "\n\nfaro-ingest: %s is %q: write a number of bytes from %s, such as 65536, 512KiB or 5MiB\n" .name (toString .value) .range) -}}
{{- end -}}
{{- $bytes -}}
{{- end -}}

{{/* A quantity of memory as Kubernetes writes it, in bytes. */}}
{{- define "faro-ingest.v1.quantity" -}}
{{- $text := kindIs "string" .value | ternary .value (printf "%.0f" (float64 .value)) -}}
{{- if not (regexMatch "^[0-9]{1,12}([.][0-9]{1,9})?([kMGT]|[KMGT]i)?$" $text) -}}
  {{- fail (printf "\n\nfaro-ingest: %s is %q: write a quantity of memory such as 64Mi\n" .name $text) -}}
{{- end -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors (regexFind "[A-Za-z]*$" $text)) | int64 -}}
{{- end -}}

{{/*
  What is in force for the service, as JSON: its values, merged and checked, and what is derived from
  them. {} where faro.enabled is false. All that the other templates render comes from here.
    fullname    of the objects; without the suffix of the metrics Service
    labels      of the objects
    image       the whole reference, as a string
    sidecar     the proxy is on, in a container of its own; include: in the service's container; gateway: in
                pods of its own
    preStop     the seconds of the preStop of the container with nginx
    bytes       limit, body, decoded, memory, spool: the sizes as numbers, written as strings
  It is the same for all templates of a chart, so it is made once.
*/}}
{{- define "faro-ingest.v1.settings" -}}
{{- $library := get .Subcharts "faro" | default dict -}}
{{- if not (hasKey $library "settings") -}}
  {{- $_ := set $library "settings" (include "faro-ingest.v1.makeSettings" .) -}}
{{- end -}}
{{- get $library "settings" -}}
{{- end -}}

{{- define "faro-ingest.v1.makeSettings" -}}
{{- $out := dict -}}
{{- $library := get .Subcharts "faro" -}}
{{- $default := dict -}}
{{- if $library -}}
  {{- $default = $library.Files.Get "files/defaults.yaml" | fromYaml -}}
  {{- include "faro-ingest.v1.checkKnown" (dict "own" (.Values.faro | default dict) "global" ((.Values.global).faro | default dict) "default" $default) -}}
{{- end -}}
{{- if (.Values.faro).enabled -}}
  {{- if not $library -}}
    {{- fail "faro-ingest: the dependency has no alias; in Chart.yaml write `alias: faro` beside `name: faro-ingest`" -}}
  {{- end -}}
  {{- $default = omit $default "extra" -}}
  {{- $own := omit .Values.faro "extra" "global" -}}
  {{- include "faro-ingest.v1.checkNulls" (dict "name" "faro" "own" $own "default" $default) -}}
  {{- /* The two switches are the service's own. */ -}}
  {{- $global := omit ((.Values.global).faro | default dict | deepCopy) "enabled" "extra" -}}
  {{- with $global.proxy -}}
    {{- $_ := unset . "enabled" -}}
  {{- end -}}
  {{- $block := dict "own" $own "global" $global "default" $default "root" $ -}}
  {{- $out = include "faro-ingest.v1.merged" $block | fromJson -}}
  {{- /* No limit of CPU is a choice. Helm has taken the key away where the service has null behind it. */ -}}
  {{- if or (not (hasKey $own.proxy.resources.limits "cpu")) (kindIs "invalid" $out.proxy.resources.limits.cpu) -}}
    {{- $_ := unset $out.proxy.resources.limits "cpu" -}}
  {{- end -}}

  {{- /* Each may be a list with commas, as the program's setting is. */ -}}
  {{- $_ := set $out.proxy "allowedOrigins" (include "faro-ingest.v1.items" $out.proxy.allowedOrigins | fromJsonArray) -}}
  {{- $name := $out.name | default (list .Release.Name .Chart.Name "faro" | uniq | join "-") -}}
  {{- if gt (len $name) 55 -}}
    {{- $name = printf "%s-%s" ($name | trunc 46 | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
  {{- end -}}
  {{- $_ := set $out "fullname" $name -}}
  {{- $_ := set $out "labels" (dict
    "app.kubernetes.io/name" "faro-ingest"
    "app.kubernetes.io/instance" .Release.Name
    "app.kubernetes.io/component" $name
    "app.kubernetes.io/managed-by" .Release.Service) -}}
  {{- $_ := set $out "sidecar" (and $out.proxy.enabled (eq $out.proxy.mode "sidecar")) -}}
  {{- $_ := set $out "include" (and $out.proxy.enabled (eq $out.proxy.mode "include")) -}}
  {{- $_ := set $out "gateway" (and $out.proxy.enabled (eq $out.proxy.mode "gateway")) -}}
  {{- $_ := set $out "preStop" (ternary $out.proxy.gateway.preStopSeconds $out.proxy.preStopSeconds $out.gateway) -}}
  {{- include "faro-ingest.v1.check" $out -}}
  {{- if $out.proxy.enabled -}}
    {{- include "faro-ingest.v1.checkProxy" $out.proxy -}}
    {{- include "faro-ingest.v1.checkRequest" $out -}}
    {{- include "faro-ingest.v1.checkPrivacy" $out -}}
    {{- include "faro-ingest.v1.checkTest" $out.proxy -}}
    {{- $limits := $out.proxy.limits -}}
    {{- $sizes := dict
      "body" (dict "name" "faro.proxy.limits.maxBodyBytes" "value" $limits.maxBodyBytes "least" 1 "most" 1073741824 "range" "1 to 1GiB")
      "decoded" (dict "name" "faro.proxy.limits.maxDecodedBytes" "value" $limits.maxDecodedBytes "least" 1 "most" 1073741824 "range" "1 to 1GiB")
      "memory" (dict "name" "faro.proxy.limits.maxMemoryBytes" "value" $limits.maxMemoryBytes "least" 1 "most" 2147483648 "range" "1 to 2GiB")
      "spool" (dict "name" "faro.proxy.spool.maxBytes" "value" $out.proxy.spool.maxBytes "least" 1048576 "most" 1099511627776 "range" "1MiB to 1024GiB") -}}
    {{- $limit := include "faro-ingest.v1.quantity" (dict "name" "faro.proxy.resources.limits.memory" "value" $out.proxy.resources.limits.memory) -}}
    {{- if eq (toString $limits.maxMemoryBytes) "" -}}
      {{- $_ := set $sizes.memory "value" (min 2147483648 (div $limit 3) | toString) -}}
    {{- end -}}
    {{- range $what, $size := $sizes -}}
      {{- $_ := set $sizes $what (include "faro-ingest.v1.bytes" $size) -}}
    {{- end -}}
    {{- $_ := set $sizes "limit" $limit -}}
    {{- $_ := set $out "bytes" $sizes -}}
    {{- include "faro-ingest.v1.checkMemory" $out -}}
  {{- end -}}
  {{- if $out.gateway -}}
    {{- include "faro-ingest.v1.checkGateway" $out -}}
  {{- end -}}
  {{- if and $out.proxy.enabled $out.proxy.image.registry -}}
    {{- $image := $out.proxy.image -}}
    {{- $version := printf ":%s" ($image.tag | default $library.Chart.AppVersion) -}}
    {{- with $image.digest -}}
      {{- $version = printf "@%s" . -}}
    {{- end -}}
    {{- $_ := set $out "image" (printf "%s/%s%s" (trimSuffix "/" $image.registry) $image.repository $version) -}}
  {{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
