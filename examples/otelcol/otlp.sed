# Loki by OTLP instead of Alloy: other stream labels, and kind is no label but structured metadata.
#
#	sed -f examples/otelcol/otlp.sed examples/grafana/dashboards/frontends.json > frontends-otlp.json
#	sed -f examples/otelcol/otlp.sed examples/grafana/datasources.yaml > datasources-otlp.yaml

# The dashboard becomes one of its own.
s/"uid": "faro-frontends"/"uid": "faro-frontends-otlp"/
s/"title": "faro-ingest: the frontends"/"title": "faro-ingest: the frontends, by OTLP"/

# A selector takes stream labels only; what filters structured metadata stands behind it.
s/{kind=~\\"\.+\\"/{service_name=~\\".+\\"/g
s/, kind=\\"\([a-z]*\)\\"}/} | kind=\\"\1\\"/g

# It is in no line, but structured metadata as well.
s/| logfmt type, hash/| logfmt type/g

s/app_namespace/service_namespace/g
s/app_name/service_name/g
s/app_environment/deployment_environment/g
