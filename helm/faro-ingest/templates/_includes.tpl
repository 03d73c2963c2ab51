{{/*
  Includes that the service's chart has forgotten. Each include leaves a mark, and a later one misses what
  should have been there. Helm renders the files of templates/ in the reverse order of their names, so the
  file with `manifests` has a fixed name: who is rendered after templates/faro.yaml knows whether it exists.
  Not found is what is forgotten where nothing is rendered behind it.
*/}}

{{/* The line to write for an include. Takes its name. */}}
{{- define "faro-ingest.v1.line" -}}
{{- $indents := dict "annotations" 8 "container" 8 "volumes" 8 "initContainer" 8 "volumeMounts" 12 "env" 12 "ports" 12 "http" 4 "location" 6 -}}
{{- if eq . "manifests" -}}
{{ "{{ include \"faro-ingest.v1.manifests\" . }}" }}
{{- else -}}
{{ printf "{{- with include \"faro-ingest.v1.%s\" . }}{{ . | nindent %d }}{{ end }}" . (get $indents .) }}
{{- end -}}
{{- end -}}

{{/* Takes name, where and what happens without it. */}}
{{- define "faro-ingest.v1.forgotten" -}}
{{- $how := ternary "Write there" "Write there, and set nindent to the column of the lines around it" (eq .name "manifests") -}}
{{- fail (printf "\n\nfaro-ingest: the chart does not include `faro-ingest.v1.%s` %s (%s). %s:\n\n%s\n" .name .where .without $how (include "faro-ingest.v1.line" .name)) -}}
{{- end -}}

{{/* Leaves the mark of an include, and looks for those before it. Takes name and root. */}}
{{- define "faro-ingest.v1.mark" -}}
{{- $faro := include "faro-ingest.v1.settings" .root | fromJson -}}
{{- if and $faro.enabled (not $faro.gateway) -}}
  {{- $library := .root.Subcharts.faro -}}
  {{- $marks := get $library "includes" | default (dict "pod" dict) -}}
  {{- $_ := set $library "includes" $marks -}}
  {{- include "faro-ingest.v1.checkFiles" (dict "name" .name "marks" $marks "template" .root.Template) -}}
  {{- if has .name (list "manifests" "http" "location") -}}
    {{- $_ := set $marks .name true -}}
  {{- else -}}
    {{- $_ := set $marks.pod .name .root.Template.Name -}}
  {{- end -}}
  {{- if and (eq .name "location") $faro.proxy.enabled (not $marks.http) -}}
    {{- include "faro-ingest.v1.forgotten" (dict "name" "http" "where" "above `faro-ingest.v1.location`, in http{}" "without" "nginx would not start") -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* What another file should have had. Takes name, marks, template. */}}
{{- define "faro-ingest.v1.checkFiles" -}}
{{- $faroYaml := printf "%s/faro.yaml" .template.BasePath -}}
{{- $depth := splitList "/" .template.Name | len -}}
{{- $least := splitList "/" $faroYaml | len -}}
{{- if and (ne .name "manifests") (not .marks.manifests) (or (lt $depth $least) (and (eq $depth $least) (lt .template.Name $faroYaml))) -}}
  {{- include "faro-ingest.v1.forgotten" (dict "name" "manifests" "where" "in templates/faro.yaml, whose name is fixed" "without" "the ConfigMap that the pod mounts would not exist") -}}
{{- end -}}
{{- range $name := list "container" "initContainer" "volumeMounts" -}}
  {{- $file := get $.marks.pod $name -}}
  {{- if and $file (ne $file $.template.Name) -}}
    {{- include "faro-ingest.v1.forgotten" (dict "name" "volumes" "where" (printf "under volumes: of the pod in %s, which has `faro-ingest.v1.%s`" $file $name) "without" "Kubernetes would refuse the pod") -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* At the end of a pod, which `volumes` is. Takes root. */}}
{{- define "faro-ingest.v1.checkPod" -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- $marks := .Subcharts.faro.includes -}}
{{- $forgotten := dict -}}
{{- if and $marks.http (not $marks.location) -}}
  {{- $forgotten = dict "name" "location" "where" "in server{} of nginx's configuration" "without" "nginx would not know the path of the beacons" -}}
{{- else if not $marks.pod.annotations -}}
  {{- $forgotten = dict "name" "annotations" "where" "under annotations: of the pod, above `faro-ingest.v1.volumes`" "without" "nginx would keep its old files after an upgrade" -}}
{{- else if not $marks.pod.volumeMounts -}}
  {{- $forgotten = dict "name" "volumeMounts" "where" "under volumeMounts: of the container that runs nginx, above `faro-ingest.v1.volumes`" "without" "nginx would not have its files" -}}
{{- else if and $faro.include $faro.proxy.metrics.podMonitor (not $marks.pod.ports) -}}
  {{- $forgotten = dict "name" "ports" "where" "under ports: of the container that runs nginx, above `faro-ingest.v1.volumes`" "without" "the PodMonitor would find no port" -}}
{{- end -}}
{{- with $forgotten -}}
  {{- include "faro-ingest.v1.forgotten" . -}}
{{- end -}}
{{- $_ := set $marks "pod" dict -}}
{{- end -}}
