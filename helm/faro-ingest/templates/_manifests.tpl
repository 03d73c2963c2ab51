{{/* The objects beside the service's own. For a file of its own in templates/. */}}
{{- define "faro-ingest.v1.manifests" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "manifests" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if $faro.enabled -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $faro.fullname }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $faro.labels | nindent 4 }}
data:
  {{- include "faro-ingest.v1.files" . | nindent 2 }}
{{- end }}
{{- if ($faro.proxy).enabled }}
{{- $metrics := $faro.proxy.metrics }}
{{- $pods := dict "app.kubernetes.io/name" .Chart.Name "app.kubernetes.io/instance" .Release.Name }}
{{- $selector := $metrics.selector | default $pods }}
{{- if $faro.gateway }}
{{- $selector = include "faro-ingest.v1.gatewayLabels" $faro | fromYaml }}
{{ include "faro-ingest.v1.gatewayManifests" . }}
{{- end }}
{{- if or $metrics.service $metrics.serviceMonitor }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $faro.fullname }}-metrics
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $faro.labels | nindent 4 }}
spec:
  clusterIP: None
  {{- /* A pod that is not ready tells as well how it fares. */}}
  publishNotReadyAddresses: true
  selector:
    {{- toYaml $selector | nindent 4 }}
  ports:
    - name: faro-metrics
      port: {{ $metrics.port }}
      targetPort: {{ $metrics.port }}
      protocol: TCP
{{- end }}
{{- if $metrics.serviceMonitor }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ $faro.fullname }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml (merge dict $faro.labels $metrics.labels) | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- /* Not the instance: ArgoCD may write its own there. */}}
      {{- pick $faro.labels "app.kubernetes.io/name" "app.kubernetes.io/component" | toYaml | nindent 6 }}
  endpoints:
    - port: faro-metrics
      path: /metrics
      {{- with $metrics.interval }}
      interval: {{ . }}
      {{- end }}
{{- end }}
{{- if $metrics.podMonitor }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ $faro.fullname }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml (merge dict $faro.labels $metrics.labels) | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- toYaml $selector | nindent 6 }}
  podMetricsEndpoints:
    - port: faro-metrics
      path: /metrics
      {{- with $metrics.interval }}
      interval: {{ . }}
      {{- end }}
{{- end }}
{{- if $faro.proxy.helmTest }}
---
{{ include "faro-ingest.v1.testPod" (set $faro "namespace" .Release.Namespace) }}
{{- end }}
{{- end }}
{{- end -}}
