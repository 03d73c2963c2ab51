{{/*
  The ways from the service's host to the gateway: faro.proxy.path of each host, beside what the service's own
  Ingress, HTTPRoute or Route takes of it. In all three the longer path wins.
*/}}

{{- define "faro-ingest.v1.gatewayIngress" -}}
{{- $gateway := .faro.proxy.gateway -}}
{{- $ingress := $gateway.ingress -}}
{{- /* ingress-nginx takes 1 MiB otherwise; others do not know the annotation. */ -}}
{{- $annotations := merge (dict) $ingress.annotations (dict "nginx.ingress.kubernetes.io/proxy-body-size" .faro.bytes.body) -}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
{{ include "faro-ingest.v1.gatewayMetadata" (merge (dict "annotations" $annotations) .) }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with $ingress.tlsSecretName }}
  tls:
    - secretName: {{ . | quote }}
      hosts:
        {{- toYaml $gateway.hosts | nindent 8 }}
  {{- end }}
  rules:
    {{- range $gateway.hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: {{ $.faro.proxy.path }}
            pathType: Prefix
            backend:
              service:
                name: {{ $.faro.fullname }}
                port:
                  name: http
    {{- end }}
{{- end -}}

{{- define "faro-ingest.v1.gatewayHttpRoute" -}}
{{- $gateway := .faro.proxy.gateway -}}
{{- /* With what the API server would add: Argo CD compares lists as a whole. */ -}}
{{- $parents := list -}}
{{- range $gateway.httpRoute.parentRefs -}}
  {{- $parents = append $parents (merge (dict) . (dict "group" "gateway.networking.k8s.io" "kind" "Gateway")) -}}
{{- end -}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
{{ include "faro-ingest.v1.gatewayMetadata" (merge (dict "annotations" $gateway.httpRoute.annotations) .) }}
spec:
  parentRefs:
    {{- toYaml $parents | nindent 4 }}
  hostnames:
    {{- toYaml $gateway.hosts | nindent 4 }}
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: {{ .faro.proxy.path }}
      backendRefs:
        - group: ""
          kind: Service
          name: {{ .faro.fullname }}
          port: 80
          weight: 1
{{- end -}}

{{/* A Route has one host, so each host has its own; the first has the name of all other objects. */}}
{{- define "faro-ingest.v1.gatewayRoute" -}}
{{- $route := .faro.proxy.gateway.route -}}
{{- $name := .faro.fullname -}}
{{- if .index -}}
  {{- $name = printf "%s-%d" $name (add 1 .index) -}}
{{- end -}}
---
apiVersion: route.openshift.io/v1
kind: Route
{{ include "faro-ingest.v1.gatewayMetadata" (merge (dict "name" $name "annotations" $route.annotations) .) }}
spec:
  host: {{ .host }}
  path: {{ .faro.proxy.path }}
  to:
    kind: Service
    name: {{ .faro.fullname }}
    weight: 100
  port:
    targetPort: http
  tls:
    termination: edge
    insecureEdgeTerminationPolicy: {{ $route.insecureEdgeTerminationPolicy }}
  wildcardPolicy: None
{{- end -}}
