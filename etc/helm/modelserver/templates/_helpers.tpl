{{/* The name of every object. */}}
{{- define "modelserver.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the pods are known by; it stays as it is when the chart changes. */}}
{{- define "modelserver.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "modelserver.labels" -}}
{{ include "modelserver.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "modelserver.serviceAccountName" -}}
{{- default (ternary (include "modelserver.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The claim of the model store, or nothing. */}}
{{- define "modelserver.claim" -}}
{{- if .Values.models.existingClaim -}}
{{- .Values.models.existingClaim -}}
{{- else if .Values.models.claim.create -}}
{{- include "modelserver.fullname" . }}-models
{{- end -}}
{{- end -}}

{{/* config.properties. Whole numbers of a file come as floats, and would be written as 6.5535e+06. */}}
{{- define "modelserver.properties" -}}
{{- $ports := .Values.ports -}}
{{- $management := ternary "0.0.0.0" "127.0.0.1" .Values.management.expose -}}
enable_envvars_config=true
inference_address=http://0.0.0.0:{{ $ports.http }}
management_address=http://{{ $management }}:{{ $ports.management }}
metrics_address=http://0.0.0.0:{{ $ports.metrics }}
grpc_inference_address=0.0.0.0
grpc_inference_port={{ $ports.grpc }}
grpc_management_address={{ $management }}
grpc_management_port={{ $ports.grpcManagement }}
drain_timeout={{ .Values.drain.timeoutSeconds }}
{{- if .Values.tokens.existingSecret }}
disable_token_authorization=false
token_file=/run/modelserver/tokens
{{- else }}
disable_token_authorization=true
{{- end }}
{{- range $key, $value := .Values.config }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{- $value = int64 $value }}
{{- end }}
{{ $key }}={{ $value | toString | replace "\\" "\\\\" | replace "\n" "\\n" }}
{{- end }}
{{- end -}}
