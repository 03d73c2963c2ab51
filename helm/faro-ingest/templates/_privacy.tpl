{{/*
  What is redacted and what is left out, as the program would refuse it at its start. Tells all that is wrong
  at once. Takes the settings.
*/}}
{{- define "faro-ingest.v1.checkPrivacy" -}}
{{- $proxy := .proxy -}}
{{- $problems := list -}}
{{- range $proxy.redact -}}
  {{- if not (has . (list "secrets" "query" "fragment" "userinfo" "email")) -}}
    {{- $problems = append $problems (printf "faro.proxy.redact has %q: write some of secrets, query, fragment, userinfo and email, or [] for none" .) -}}
  {{- end -}}
{{- end -}}
{{- range $name := list "redactKeep" "dropErrors" -}}
  {{- range get $proxy $name -}}
    {{- if or (not (trim .)) (gt (len .) 255) (regexMatch "[,[:cntrl:]]" .) -}}
      {{- $problems = append $problems (printf "faro.proxy.%s has %q: write texts of at most 255 bytes on one line, without commas" $name .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $proxy.dropFields -}}
  {{- if or (gt (len .) 255) (not (regexMatch "(?i)^(meta|logs|exceptions|events|measurements|traces)((\\[\\])*[.][^,.[:cntrl:]]+)*$" .)) (hasSuffix "[]" .) -}}
    {{- $problems = append $problems (printf "faro.proxy.dropFields has %q: write paths such as meta.user.email or logs[].context.token, which begin with meta, logs, exceptions, events, measurements or traces, and do not end with []" .) -}}
  {{- else if regexMatch "(?i)^(meta([.](app|session|session[.]attributes|app[.](name|namespace|environment|version)([.[].*)?))?|traces[.]resource_?spans\\[\\][.]resource([.]attributes([.[].*)?)?)$" . -}}
    {{- $problems = append $problems (printf "faro.proxy.dropFields has %q, where labels are stamped: leave it out" .) -}}
  {{- end -}}
{{- end -}}
{{- with $problems -}}
  {{- fail (printf "\n\nfaro-ingest: %s\n" (join "\nfaro-ingest: " .)) -}}
{{- end -}}
{{- end -}}
