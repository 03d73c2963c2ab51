{{/*
  The parts of the service's pod. Each renders nothing where it has nothing to say, so a service chart
  includes it in one line that leaves no trace while faro.enabled is false:

    {{- with include "faro-ingest.v1.container" . }}{{ . | nindent 8 }}{{ end }}
*/}}

{{/* For `containers:`. */}}
{{- define "faro-ingest.v1.container" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "container" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.sidecar (not $faro.proxy.nativeSidecar) -}}
{{- $_ := set .Subcharts.faro "responder" true -}}
{{- include "faro-ingest.v1.responder" $faro -}}
{{- end -}}
{{- end -}}

{{/* For `initContainers:`, where faro.proxy.nativeSidecar is set. */}}
{{- define "faro-ingest.v1.initContainer" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "initContainer" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.sidecar $faro.proxy.nativeSidecar -}}
{{- $_ := set .Subcharts.faro "responder" true -}}
{{- include "faro-ingest.v1.responder" $faro -}}
{{- end -}}
{{- end -}}

{{/*
  No readiness probe, unless asked for, and no startup probe: whatever becomes of telemetry, the service's
  pod is ready. Liveness asks the responder itself, never the receiver.
*/}}
{{- define "faro-ingest.v1.responder" -}}
- name: faro-ingest
  image: {{ .image | quote }}
  imagePullPolicy: {{ .proxy.image.pullPolicy }}
  {{- if .proxy.nativeSidecar }}
  restartPolicy: Always
  {{- end }}
  {{- /* 0666, because nginx may run as another user, and drops the pod's groups where it starts as root.
    Nobody else mounts the directory. */}}
  command: [faro-ingest, --listen, "unix:/run/faro-ingest/faro.sock", --listen-mode, "0666"]
  env:
    {{- (include "faro-ingest.v1.responderEnv" . | fromJson).env | toYaml | nindent 4 }}
  {{- with .proxy.metrics.port }}
  {{- /* It is the pod's nginx that listens there. */}}
  ports:
    - name: faro-metrics
      containerPort: {{ . }}
      protocol: TCP
  {{- end }}
  livenessProbe:
    exec:
      command: [faro-ingest, --ping, /run/faro-ingest/faro.sock]
    {{- toYaml .proxy.livenessProbe | nindent 4 }}
  {{- /* A gateway's pods are its own: a rollout waits for it, and another pod takes over. */}}
  {{- if or .proxy.readinessProbe.enabled .gateway }}
  readinessProbe:
    exec:
      command: [faro-ingest, --ping, /run/faro-ingest/faro.sock]
    {{- omit .proxy.readinessProbe "enabled" | toYaml | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .proxy.resources | nindent 4 }}
  securityContext:
    {{- include "faro-ingest.v1.securityContext" . | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: faro-socket
      mountPath: /run/faro-ingest
    {{- with include "faro-ingest.v1.responderMounts" . }}{{ . | nindent 4 }}{{ end }}
{{- end -}}

{{/* Fit for the pod security standard `restricted`; the service's wins, key by key. */}}
{{- define "faro-ingest.v1.securityContext" -}}
{{- $context := dict
  "allowPrivilegeEscalation" false
  "capabilities" (dict "drop" (list "ALL"))
  "readOnlyRootFilesystem" true
  "runAsNonRoot" true
  "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- range $key, $value := .proxy.securityContext -}}
  {{- $_ := set $context $key $value -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* What the responder reads and writes besides the socket. */}}
{{- define "faro-ingest.v1.responderMounts" -}}
{{- $mounts := list -}}
{{- if .proxy.spool.enabled -}}
  {{- $mounts = append $mounts (dict "name" "faro-spool" "mountPath" "/var/spool/faro-ingest") -}}
{{- end -}}
{{- $mounts = concat $mounts (include "faro-ingest.v1.credentialMounts" . | fromJsonArray) -}}
{{- with concat $mounts .proxy.extraVolumeMounts -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* What it needs to reach the receiver, as a JSON array. */}}
{{- define "faro-ingest.v1.credentialMounts" -}}
{{- $mounts := list -}}
{{- if .proxy.upstream.apiKey.secretName -}}
  {{- $mounts = append $mounts (dict "name" "faro-api-key" "mountPath" "/etc/faro-ingest/api-key" "readOnly" true) -}}
{{- end -}}
{{- if or .proxy.upstream.ca.configMapName .proxy.upstream.ca.secretName -}}
  {{- $mounts = append $mounts (dict "name" "faro-ca" "mountPath" "/etc/faro-ingest/ca" "readOnly" true) -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

{{/* For `volumeMounts:` of the service's nginx. */}}
{{- define "faro-ingest.v1.volumeMounts" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "volumeMounts" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.enabled (not $faro.gateway) -}}
- name: faro-config
  mountPath: /etc/nginx/faro
  readOnly: true
{{- if $faro.sidecar }}
- name: faro-socket
  mountPath: /run/faro-ingest
  readOnly: true
{{- else if $faro.include }}
- name: faro-socket
  mountPath: /run/faro-ingest
{{- with include "faro-ingest.v1.responderMounts" $faro }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
  For `volumes:`, the last part of a pod, so here it shows whether a part before it has rendered the
  responder, and a value that needs another include does not silently leave the pod without one.
*/}}
{{- define "faro-ingest.v1.volumes" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "volumes" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if or $faro.sidecar $faro.include -}}
  {{- if not (get .Subcharts.faro "responder") -}}
    {{- include "faro-ingest.v1.noResponder" $faro -}}
  {{- end -}}
  {{- $_ := unset .Subcharts.faro "responder" -}}
{{- end -}}
{{- if and $faro.enabled (not $faro.gateway) -}}
  {{- include "faro-ingest.v1.checkPod" . -}}
{{- include "faro-ingest.v1.volumeList" $faro -}}
{{- end -}}
{{- end -}}

{{/* The volumes of the pod that has the responder, or only config.js. Takes the settings. */}}
{{- define "faro-ingest.v1.volumeList" -}}
{{- $faro := . -}}
{{- if $faro.enabled -}}
- name: faro-config
  configMap:
    name: {{ $faro.fullname }}
    {{- if not $faro.gateway }}
    {{- /* Without it nginx starts as well: its includes are wildcards. */}}
    optional: true
    {{- end }}
{{- end }}
{{- if ($faro.proxy).enabled }}
- name: faro-socket
  {{- /* In memory the limit is a file system's, and nobody is evicted for it. */}}
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- if $faro.proxy.spool.enabled }}
- name: faro-spool
  {{- with $faro.proxy.spool.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ . | quote }}
  {{- else }}
  {{- /* A damaged database is kept beside the fresh one, hence twice; and what SQLite needs besides. A
    pod that is over this limit is evicted. */}}
  emptyDir:
    sizeLimit: {{ add (mul 2 $faro.bytes.spool) 16777216 | quote }}
  {{- end }}
{{- end }}
{{- with include "faro-ingest.v1.credentialVolumes" $faro | trim }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The volumes of credentialMounts. Takes the settings. */}}
{{- define "faro-ingest.v1.credentialVolumes" -}}
{{- with .proxy.upstream.apiKey }}
{{- if .secretName }}
- name: faro-api-key
  secret:
    secretName: {{ .secretName | quote }}
    items:
      - key: {{ .key | quote }}
        path: {{ .key | quote }}
{{- end }}
{{- end }}
{{- with .proxy.upstream.ca }}
{{- if or .configMapName .secretName }}
- name: faro-ca
  {{- if .configMapName }}
  configMap:
    name: {{ .configMapName | quote }}
  {{- else }}
  secret:
    secretName: {{ .secretName | quote }}
  {{- end }}
    items:
      - key: {{ .key | quote }}
        path: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* For `annotations:` of the pod: nginx reads its files only when it starts. */}}
{{- define "faro-ingest.v1.annotations" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "annotations" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.enabled (not $faro.gateway) -}}
faro-ingest/checksum: {{ include "faro-ingest.v1.files" . | sha256sum }}
{{- end -}}
{{- end -}}

{{/* For `ports:` of the service's container in include mode; the sidecar declares the port itself. */}}
{{- define "faro-ingest.v1.ports" -}}
{{- include "faro-ingest.v1.mark" (dict "name" "ports" "root" .) -}}
{{- $faro := include "faro-ingest.v1.settings" . | fromJson -}}
{{- if and $faro.include $faro.proxy.metrics.port -}}
- name: faro-metrics
  containerPort: {{ $faro.proxy.metrics.port }}
  protocol: TCP
{{- end -}}
{{- end -}}
