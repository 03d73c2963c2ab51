{{/* What the schema cannot say of faro.proxy.gateway. Takes the settings. */}}
{{- define "faro-ingest.v1.checkGateway" -}}
{{- $proxy := .proxy -}}
{{- $gateway := $proxy.gateway -}}
{{- $routed := or $gateway.ingress.enabled $gateway.httpRoute.enabled $gateway.route.enabled -}}
{{- $problem := "" -}}
{{- if not (regexMatch "^[a-z]" .fullname) -}}
  {{- $problem = printf "faro.name gives %q, which is no name of a Service: write one that begins with a letter" .fullname -}}
{{- else if not (or $routed $gateway.ownRouting) -}}
  {{- $problem = "nothing would send beacons to the gateway: set faro.proxy.gateway.ingress.enabled, httpRoute.enabled or route.enabled: true; or ownRouting: true where an Ingress, HTTPRoute or other rule of your own sends faro.proxy.path to its Service" -}}
{{- else if and $routed (not $gateway.hosts) -}}
  {{- $problem = "faro.proxy.gateway.hosts is not set: write the hosts of the service's pages, such as [shop.example]; without a host the path would be taken from every service" -}}
{{- else if and $gateway.httpRoute.enabled (not $gateway.httpRoute.parentRefs) -}}
  {{- $problem = "faro.proxy.gateway.httpRoute.parentRefs is not set: write the Gateway that the service's own HTTPRoute names, such as [{name: gateway, namespace: infra}]" -}}
{{- else if not (regexMatch "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$" $gateway.nginxImage) -}}
  {{- $problem = printf "faro.proxy.gateway.nginxImage is %q: write an image of nginx that runs without root, with its tag, such as nginxinc/nginx-unprivileged:1.30" $gateway.nginxImage -}}
{{- else if not (regexMatch "^([0-9.]+|\\[[0-9A-Fa-f:]+\\])?$" $gateway.address) -}}
  {{- $problem = printf "faro.proxy.gateway.address is %q: write an IP address, IPv6 in brackets, such as [::]; or leave it out" $gateway.address -}}
{{- else if eq (int64 $proxy.metrics.port) 8080 -}}
  {{- $problem = "faro.proxy.metrics.port is 8080, where the gateway's nginx takes beacons: write another, such as 12348" -}}
{{- else if and $proxy.spool.existingClaim $gateway.hpa.enabled -}}
  {{- $problem = "faro.proxy.spool.existingClaim is set, and one pod at a time may use it: set faro.proxy.gateway.hpa.enabled: false and replicas: 1, or leave existingClaim out" -}}
{{- else if and $proxy.spool.existingClaim (gt (int64 $gateway.replicas) 1) -}}
  {{- $problem = printf "faro.proxy.gateway.replicas is %d, and one pod at a time may use faro.proxy.spool.existingClaim: set replicas: 1, or leave existingClaim out" (int64 $gateway.replicas) -}}
{{- else if gt (int64 $gateway.hpa.minReplicas) (int64 $gateway.hpa.maxReplicas) -}}
  {{- $problem = printf "faro.proxy.gateway.hpa.minReplicas is %d, more than maxReplicas, %d: write them the other way round" (int64 $gateway.hpa.minReplicas) (int64 $gateway.hpa.maxReplicas) -}}
{{- else if and $gateway.hpa.enabled (not (dig "requests" "cpu" "" $gateway.nginxResources)) -}}
  {{- $problem = "faro.proxy.gateway.nginxResources.requests.cpu is not set, and autoscaling measures by it: leave the default, or write another" -}}
{{- end -}}
{{- range list "containers" "initContainers" -}}
  {{- if hasKey $gateway.podSpec . -}}
    {{- $problem = printf "faro.proxy.gateway.podSpec has %s: leave it out, the containers are this chart's" . -}}
  {{- end -}}
{{- end -}}
{{- range $host := $gateway.hosts -}}
  {{- if not (regexMatch "^([*][.])?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$" $host) -}}
    {{- $problem = printf "faro.proxy.gateway.hosts has %q: write host names of lower case letters, digits, dashes and dots, without scheme, port and path, such as shop.example" $host -}}
  {{- else if and $gateway.route.enabled (hasPrefix "*" $host) -}}
    {{- $problem = printf "faro.proxy.gateway.hosts has %q, which a Route of OpenShift does not take: write each host" $host -}}
  {{- end -}}
{{- end -}}
{{- with $problem -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" .) -}}
{{- end -}}
{{- end -}}
