{{/*
Names and labels of every object. `libs/kube/names.py` has the same names for the services; a test compares them.
All templates here take a dict with `root` (the caller's $), so the subchart uses them as well.
*/}}

{{/* Labels of an object: (dict "root" $ "component" "destination") */}}
{{- define "weft.labels" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "weft.selector" . }}
{{- end }}

{{/* The one label that selects a component's pods: (dict "component" "destination") */}}
{{- define "weft.selector" -}}
weft.dev/component: {{ .component }}
{{- end }}

{{/* metadata of a namespaced object: (dict "root" $ "component" "destination" "name" "destination") */}}
{{- define "weft.metadata" -}}
name: {{ .name | default .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "weft.labels" . | nindent 2 }}
{{- end }}

{{/* metadata of a cluster-scoped object, named weft-<component>: (dict "root" $ "component" "destination") */}}
{{- define "weft.clusterMetadata" -}}
name: {{ .name | default (printf "weft-%s" .component) }}
labels:
  {{- include "weft.labels" . | nindent 2 }}
{{- end }}

{{/* A reference to an image: (dict "root" $ "name" "destination" "values" .Values.destination), of which `tag` and `digest` */}}
{{- define "weft.image" -}}
{{ .root.Values.global.image.prefix }}{{ .name }}:{{ .values.tag }}{{ with .values.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* SPIFFE ID of a service account of the control plane: (dict "root" $ "account" "identity") */}}
{{- define "weft.spiffeId" -}}
spiffe://{{ .root.Values.global.trustDomain }}/ns/{{ .root.Release.Namespace }}/sa/{{ .account }}
{{- end }}

{{/* DNS name of a Service of the control plane: (dict "root" $ "name" "identity") */}}
{{- define "weft.host" -}}
{{ .name }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.global.clusterDomain }}
{{- end }}
