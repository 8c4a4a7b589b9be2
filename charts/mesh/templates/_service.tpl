{{/*
What the pods of weft's services have in common.
*/}}

{{/* securityContext of every container but weft-init: Pod Security `restricted`, and a root file system that cannot be written. */}}
{{- define "weft.containerSecurity" -}}
runAsNonRoot: true
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* First fields of a pod's spec: (dict "root" $ "component" "destination" "replicas" 1) */}}
{{- define "weft.podSpec" -}}
{{- $pods := .root.Values.global.pods -}}
serviceAccountName: {{ .component }}
enableServiceLinks: false
{{- with $pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- toYaml $pods.nodeSelector | nindent 2 }}
{{- with $pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if gt (int .replicas) 1 }}
# Replicas stand apart where they can: one zone or one node that fails takes no more than its share.
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "weft.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.global.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
The container of one of weft's Python services:

(dict "root" $
      "component" "destination"       name of container and image
      "values"    .Values.destination with `tag`, `digest` and `resources`
      "env"       dict of environment variables beside those that all have
      "ports"     list of dict "name" "containerPort" beside admin
      "mounts"    dict of volume name → path, mounted read-only; the volume `tmp` may be written)
*/}}
{{- define "weft.serviceContainer" -}}
name: {{ .component }}
image: {{ include "weft.image" (dict "root" .root "name" .component "values" .values) }}
imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
env:
  - {name: WEFT_LOG_LEVEL, value: {{ .root.Values.global.logLevel }}}
  - {name: WEFT_ADMIN_LISTEN, value: "0.0.0.0:9990"}
  - {name: WEFT_TRUST_DOMAIN, value: {{ .root.Values.global.trustDomain }}}
  - {name: WEFT_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  {{- range $name, $value := .env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
ports:
  - {name: admin, containerPort: 9990}
  {{- range .ports }}
  - {name: {{ .name }}, containerPort: {{ .containerPort }}}
  {{- end }}
# A slow node, or all proxies coming back at once: being slow is no reason to be ended, or taken away from those who wait.
startupProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /live, port: admin}
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 2
  timeoutSeconds: 5
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  runAsUser: 2103
  runAsGroup: 2103
  {{- include "weft.containerSecurity" . | nindent 2 }}
{{- with .mounts }}
volumeMounts:
  {{- range $volume, $path := . }}
  - {name: {{ $volume }}, mountPath: {{ $path }}{{ if ne $volume "tmp" }}, readOnly: true{{ end }}}
  {{- end }}
{{- end }}
{{- end }}

{{/* A folder in memory for a service that must hand OpenSSL a file; one of a pod's volumes. */}}
{{- define "weft.tmpVolume" -}}
name: tmp
emptyDir: {medium: Memory, sizeLimit: 4Mi}
{{- end }}

{{/* A ServiceAccount: (dict "root" $ "component" "destination") */}}
{{- define "weft.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
{{- end }}

{{/* A Service: (dict "root" $ "component" "destination" "ports" (list (dict "name" "grpc" "port" 8086 "targetPort" 8086))) */}}
{{- define "weft.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  selector:
    {{- include "weft.selector" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - {name: {{ .name }}, port: {{ .port }}, targetPort: {{ .targetPort }}}
    {{- end }}
{{- end }}

{{/*
Who may open connections to a component's pods: (dict "root" $ "component" "destination" "public" (list 8086)). Everybody to
its public ports, weft's own namespace to all (Prometheus scrapes, tap dials proxies, web asks Prometheus), others to none.
*/}}
{{- define "weft.networkPolicy" -}}
{{- if .root.Values.global.networkPolicies }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "weft.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {}
    {{- with .public }}
    - ports:
        {{- range . }}
        - port: {{ . }}
        {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Binds ClusterRole weft-<component> to the component's ServiceAccount: (dict "root" $ "component" "destination") */}}
{{- define "weft.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "weft.clusterMetadata" . | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: weft-{{ .component }}}
subjects:
  - {kind: ServiceAccount, name: {{ .component }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* Binds Role <component> to the component's ServiceAccount: (dict "root" $ "component" "destination") */}}
{{- define "weft.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .component }}}
subjects:
  - {kind: ServiceAccount, name: {{ .component }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* First lines of a Deployment, up to its pod's spec: (dict "root" $ "component" "destination" "replicas" 1 "annotations" dict) */}}
{{- define "weft.deploymentHead" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels:
      {{- include "weft.selector" . | nindent 6 }}
  template:
    metadata:
      # Without the chart's version: a unit that did not change is not restarted by an upgrade.
      labels:
        app.kubernetes.io/name: {{ .component }}
        app.kubernetes.io/part-of: weft
        {{- include "weft.selector" . | nindent 8 }}
      {{- with .annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* Of several replicas one at a time may be drained away: (dict "root" $ "component" "destination" "replicas" 3) */}}
{{- define "weft.disruptionBudget" -}}
{{- if gt (int .replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "weft.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # One that is not ready protects nobody.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "weft.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Rights of a service that keeps its serving certificate in Secret weft-<component>-tls; rules of a Role. */}}
{{- define "weft.servingCertificateRules" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [weft-{{ .component }}-tls]
  verbs: [get, update]
# A name cannot be asked for on create: the API server does not know it yet.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end }}
