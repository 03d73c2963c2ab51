{{/*
  Keys that this chart does not know. They are looked for here and not by the schema, which could not say
  what was meant, and also while faro.enabled is false: it may be the misspelt one. Below a map that is
  empty in values.yaml, and below those that Kubernetes defines, every key is right.
*/}}

{{/* Fails where faro: or global.faro: has such keys. Takes own, global, default. */}}
{{- define "faro-ingest.v1.checkKnown" -}}
{{- $problems := list -}}
{{- range $name, $own := dict "faro" (omit .own "global") "global.faro" .global -}}
  {{- $unknown := include "faro-ingest.v1.unknown" (dict "name" $name "own" $own "default" $.default) | fromJsonArray -}}
  {{- range $unknown -}}
    {{- $problems = append $problems (include "faro-ingest.v1.unknownText" (dict "path" . "name" $name "default" $.default)) -}}
  {{- end -}}
{{- end -}}
{{- with $problems -}}
  {{- fail (printf "\n\n%s\n" (join "\n" .)) -}}
{{- end -}}
{{- end -}}

{{/* Is the map at this path open? Takes path and default, what values.yaml has there. */}}
{{- define "faro-ingest.v1.isOpen" -}}
{{- if or (empty .default) (regexMatch "faro[.]proxy[.](resources|gateway[.]nginxResources)[.](requests|limits)$" .path) -}}yes{{- end -}}
{{- end -}}

{{/* The paths of the keys that are not in values.yaml, as a JSON array. Takes name, own, default. */}}
{{- define "faro-ingest.v1.unknown" -}}
{{- $paths := list -}}
{{- range $key, $value := .own -}}
  {{- $path := printf "%s.%s" $.name $key -}}
  {{- $default := get $.default $key -}}
  {{- if not (hasKey $.default $key) -}}
    {{- $paths = append $paths $path -}}
  {{- else if and (kindIs "map" $value) (kindIs "map" $default) -}}
    {{- if not (include "faro-ingest.v1.isOpen" (dict "path" $path "default" $default)) -}}
      {{- $paths = concat $paths (include "faro-ingest.v1.unknown" (dict "name" $path "own" $value "default" $default) | fromJsonArray) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $paths -}}
{{- end -}}

{{/* The paths that values.yaml has, blocks included, as a JSON array. Takes name, default. */}}
{{- define "faro-ingest.v1.known" -}}
{{- $paths := list -}}
{{- range $key, $value := .default -}}
  {{- $path := printf "%s.%s" $.name $key -}}
  {{- $paths = append $paths $path -}}
  {{- if kindIs "map" $value -}}
    {{- $paths = concat $paths (include "faro-ingest.v1.known" (dict "name" $path "default" $value) | fromJsonArray) -}}
  {{- end -}}
{{- end -}}
{{- toJson $paths -}}
{{- end -}}

{{/* What to say about one unknown path. Takes path, name, default. */}}
{{- define "faro-ingest.v1.unknownText" -}}
{{- $known := include "faro-ingest.v1.known" . | fromJsonArray -}}
{{- $parent := regexReplaceAll "[.][^.]*$" .path "" -}}
{{- $key := .path | splitList "." | last -}}
{{- $nearest := include "faro-ingest.v1.nearest" (dict "path" .path "known" $known) -}}
{{- if $nearest -}}
faro-ingest: {{ .path }} is not a value of this chart: did you mean {{ $nearest }}? A key of your own goes below {{ .name }}.extra
{{- else -}}
  {{- $beside := list -}}
  {{- range $known -}}
    {{- if eq (regexReplaceAll "[.][^.]*$" . "") $parent -}}
      {{- $beside = append $beside (splitList "." . | last) -}}
    {{- end -}}
  {{- end -}}
faro-ingest: {{ .path }} is not a value of this chart: {{ $parent }} has {{ join ", " $beside }}; write a key of your own as {{ .name }}.extra.{{ $key }}
{{- end -}}
{{- end -}}

{{/*
  The known path whose last part is written most like that of `path`; of several that are equally near the
  one in the same block. Empty where none is near: a third of the letters may differ, as in enabeld, and at most three.
*/}}
{{- define "faro-ingest.v1.nearest" -}}
{{- $wanted := include "faro-ingest.v1.lastPart" .path -}}
{{- $parent := regexReplaceAll "[.][^.]*$" .path "" -}}
{{- $most := max 1 (min 3 (div (len $wanted) 3)) | int -}}
{{- $nearest := "" -}}
{{- $least := mul 2 $most | add 2 | int -}}
{{- range .known -}}
  {{- $name := include "faro-ingest.v1.lastPart" . -}}
  {{- $longer := sub (len $name) (len $wanted) | int -}}
  {{- if and (le $longer $most) (ge $longer (mul -1 $most | int)) -}}
    {{- $distance := include "faro-ingest.v1.distance" (dict "a" $wanted "b" $name) | int | mul 2 | int -}}
    {{- if ne (regexReplaceAll "[.][^.]*$" . "") $parent -}}
      {{- $distance = add1 $distance | int -}}
    {{- end -}}
    {{- if lt $distance $least -}}
      {{- $least = $distance -}}
      {{- $nearest = . -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $nearest -}}
{{- end -}}

{{/* enviro_ment of faro.Enviro_Ment. */}}
{{- define "faro-ingest.v1.lastPart" -}}
{{- splitList "." . | last | lower | replace "_" "" | replace "-" "" -}}
{{- end -}}

{{/* How many letters have to be written, left out or exchanged to make b of a. */}}
{{- define "faro-ingest.v1.distance" -}}
{{- $b := splitList "" .b -}}
{{- $row := untilStep 0 (len $b | add1 | int) 1 -}}
{{- range $i, $letter := splitList "" .a -}}
  {{- $above := $row -}}
  {{- $left := add1 $i | int -}}
  {{- $row = list $left -}}
  {{- range $j, $other := $b -}}
    {{- $left = min (add1 $left) (index $above (add1 $j | int) | add1) (index $above $j | add (ternary 0 1 (eq $letter $other))) | int -}}
    {{- $row = append $row $left -}}
  {{- end -}}
{{- end -}}
{{- last $row -}}
{{- end -}}
