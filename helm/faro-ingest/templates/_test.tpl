{{/*
  A pod for `helm test`, with the responder's settings, key and certificates. Its labels are in no selector
  of the service. Takes the settings.
*/}}
{{- define "faro-ingest.v1.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ .fullname }}-check
  namespace: {{ .namespace }}
  labels:
    app.kubernetes.io/name: faro-ingest-check
    app.kubernetes.io/component: {{ .fullname }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers:
    - name: faro-ingest
      image: {{ .image | quote }}
      imagePullPolicy: {{ .proxy.image.pullPolicy }}
      command: [faro-ingest, --check]
      env:
        {{- (include "faro-ingest.v1.responderEnv" . | fromJson).env | toYaml | nindent 8 }}
      resources:
        {{- toYaml .proxy.resources | nindent 8 }}
      securityContext:
        {{- include "faro-ingest.v1.securityContext" . | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      {{- with include "faro-ingest.v1.credentialMounts" . | fromJsonArray }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with include "faro-ingest.v1.credentialVolumes" . | trim }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Takes the proxy's settings. */}}
{{- define "faro-ingest.v1.checkTest" -}}
{{- if and .helmTest (not .image.registry) -}}
  {{- fail "\n\nfaro-ingest: faro.proxy.helmTest is true, and its pod runs the faro-ingest image: set faro.proxy.image.registry as well\n" -}}
{{- else if and .helmTest .upstream.apiKey.file -}}
  {{- fail "\n\nfaro-ingest: faro.proxy.helmTest is true, and its pod would not have faro.proxy.upstream.apiKey.file: set helmTest to false, and run `faro-ingest --check` in the responder's container by kubectl exec\n" -}}
{{- end -}}
{{- end -}}
