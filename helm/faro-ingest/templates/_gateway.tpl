{{/*
  faro.proxy.mode: gateway. A Deployment of its own, nginx and the responder in one pod, for services that have no
  nginx; a Service, and the way from the service's host to it. `manifests` includes all of it.
*/}}

{{/*
  The pods' labels. Neither the name nor the instance of the service's chart is among them, by which a service
  finds its own pods: it must not find these.
*/}}
{{- define "faro-ingest.v1.gatewayLabels" -}}
app.kubernetes.io/name: faro-ingest
app.kubernetes.io/component: {{ .fullname }}
{{- end -}}

{{/* nginx.conf, whole, so that nothing depends on what the image of nginx brings along. */}}
{{- define "faro-ingest.v1.gatewayNginxConf" -}}
{{- $address := .proxy.gateway.address -}}
# nginx of the gateway: the two includes and nothing else. It writes below /tmp alone.
worker_processes 2;
worker_shutdown_timeout 10s;
error_log stderr notice;
pid /tmp/nginx.pid;

events {
	worker_connections {{ include "faro-ingest.v1.gatewayConnections" . }};
}

http {
	client_body_temp_path /tmp/client_temp;
	fastcgi_temp_path /tmp/fastcgi_temp;
	proxy_temp_path /tmp/proxy_temp;
	scgi_temp_path /tmp/scgi_temp;
	uwsgi_temp_path /tmp/uwsgi_temp;

	access_log off;
	server_tokens off;
	# The cookies of the service's host come along; they end here.
	large_client_header_buffers 4 32k;

	include /etc/nginx/faro/faro-http*.conf;

	server {
		listen {{ with $address }}{{ . }}:{{ end }}8080;

		include /etc/nginx/faro/faro-location*.conf;

		location / {
			types { }
			default_type application/problem+json;
			return 404 '{"type":"about:blank","title":"Not Found","status":404,"reason":"not_found","detail":"This gateway has {{ .proxy.path }} only. As the operator, check what sends other paths here."}';
		}
	}
}
{{- end -}}

{{/* Of one of nginx's two workers. */}}
{{- define "faro-ingest.v1.gatewayConnections" -}}
512
{{- end -}}

{{- define "faro-ingest.v1.gatewayNginx" -}}
{{- $gateway := .proxy.gateway -}}
- name: nginx
  image: {{ $gateway.nginxImage | quote }}
  imagePullPolicy: {{ .proxy.image.pullPolicy }}
  {{- /* Not the image's entry point, which would write its own configuration. */}}
  command: [nginx, -e, stderr, -c, /etc/nginx/faro/nginx.conf, -g, "daemon off;"]
  ports:
    - name: http
      containerPort: 8080
      protocol: TCP
  readinessProbe:
    httpGet:
      path: {{ .proxy.path }}/config.js
      port: http
    periodSeconds: 5
    timeoutSeconds: 2
  {{- with $gateway.preStopSeconds }}
  {{- /* So long the Ingress may take to send nothing here any more. */}}
  lifecycle:
    preStop:
      exec:
        command: [sleep, {{ . | int64 | toString | quote }}]
  {{- end }}
  resources:
    {{- toYaml $gateway.nginxResources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: faro-config
      mountPath: /etc/nginx/faro
      readOnly: true
    - name: faro-socket
      mountPath: /run/faro-ingest
      readOnly: true
    - name: faro-tmp
      mountPath: /tmp
{{- end -}}

{{/* The pod's spec, with what faro.proxy.gateway.podSpec has besides. Takes the settings. */}}
{{- define "faro-ingest.v1.gatewayPod" -}}
{{- $gateway := .proxy.gateway -}}
{{- $nginx := include "faro-ingest.v1.gatewayNginx" . | fromYamlArray -}}
{{- $responder := include "faro-ingest.v1.responder" . | fromYamlArray -}}
{{- $volumes := include "faro-ingest.v1.volumeList" . | fromYamlArray -}}
{{- /* As large as it can become: a body on each connection. */ -}}
{{- $temporary := mul 2 (include "faro-ingest.v1.gatewayConnections" . | int64) .bytes.body -}}
{{- $volumes = append $volumes (dict "name" "faro-tmp" "emptyDir" (dict "sizeLimit" ($temporary | toString))) -}}
{{- $pod := dict
  "automountServiceAccountToken" false
  "enableServiceLinks" false
  "securityContext" (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault"))
  "terminationGracePeriodSeconds" (add 25 $gateway.preStopSeconds) -}}
{{- $pod = mergeOverwrite $pod (deepCopy $gateway.podSpec) -}}
{{- $_ := set $pod "volumes" (concat $volumes ($gateway.podSpec.volumes | default list)) -}}
{{- if .proxy.nativeSidecar -}}
  {{- $_ := set $pod "initContainers" $responder -}}
  {{- $_ := set $pod "containers" $nginx -}}
{{- else -}}
  {{- $_ := set $pod "containers" (concat $nginx $responder) -}}
{{- end -}}
{{- toYaml $pod -}}
{{- end -}}

{{/* The objects' metadata. Takes root, faro and, where they have some, annotations and name. */}}
{{- define "faro-ingest.v1.gatewayMetadata" -}}
metadata:
  name: {{ .name | default .faro.fullname }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- toYaml .faro.labels | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "faro-ingest.v1.gatewayManifests" -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- $gateway := $faro.proxy.gateway -}}
{{- $plain := dict "root" . "faro" $faro -}}
---
apiVersion: apps/v1
kind: Deployment
{{ include "faro-ingest.v1.gatewayMetadata" $plain }}
spec:
  {{- if not $gateway.hpa.enabled }}
  replicas: {{ $gateway.replicas }}
  {{- end }}
  {{- if $faro.proxy.spool.existingClaim }}
  {{- /* One process a spool: the new pod waits for the end of the old one. */}}
  strategy:
    type: Recreate
  {{- end }}
  selector:
    matchLabels:
      {{- include "faro-ingest.v1.gatewayLabels" $faro | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "faro-ingest.v1.gatewayLabels" $faro | nindent 8 }}
      annotations:
        faro-ingest/checksum: {{ include "faro-ingest.v1.files" . | sha256sum }}
        {{- with $gateway.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "faro-ingest.v1.gatewayPod" $faro | nindent 6 }}
---
apiVersion: v1
kind: Service
{{ include "faro-ingest.v1.gatewayMetadata" $plain }}
spec:
  selector:
    {{- include "faro-ingest.v1.gatewayLabels" $faro | nindent 4 }}
  ports:
    - name: http
      port: 80
      targetPort: http
      protocol: TCP
{{- if $gateway.hpa.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
{{ include "faro-ingest.v1.gatewayMetadata" $plain }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $faro.fullname }}
  minReplicas: {{ $gateway.hpa.minReplicas }}
  maxReplicas: {{ $gateway.hpa.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $gateway.hpa.targetCPUUtilizationPercentage }}
{{- end }}
{{- if $gateway.pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
{{ include "faro-ingest.v1.gatewayMetadata" $plain }}
spec:
  maxUnavailable: {{ $gateway.pdb.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "faro-ingest.v1.gatewayLabels" $faro | nindent 6 }}
{{- end }}
{{- if $gateway.ingress.enabled }}
{{ include "faro-ingest.v1.gatewayIngress" $plain }}
{{- end }}
{{- if $gateway.httpRoute.enabled }}
{{ include "faro-ingest.v1.gatewayHttpRoute" $plain }}
{{- end }}
{{- if $gateway.route.enabled }}
{{- range $index, $host := $gateway.hosts }}
{{ include "faro-ingest.v1.gatewayRoute" (dict "root" $ "faro" $faro "host" $host "index" $index) }}
{{- end }}
{{- end }}
{{- end -}}
