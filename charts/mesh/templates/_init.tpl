{{/*
The init container that redirects a pod's traffic to its proxy. It is the one container of weft that is root, with two
capabilities: rules of the pod's own network namespace cannot be made otherwise. (dict "root" $)
*/}}
{{- define "weft.init" -}}
name: weft-init
image: {{ include "weft.image" (dict "root" .root "name" "proxy-init" "values" .root.Values.proxyInit) }}
imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
args:
  - --inbound-port
  - "4143"
  - --outbound-port
  - "4140"
  - --proxy-uid
  - "2102"
  - --skip-inbound-ports
  - 4190,4191
resources:
  {{- toYaml .root.Values.proxyInit.resources | nindent 2 }}
securityContext:
  runAsUser: 0
  runAsGroup: 0
  runAsNonRoot: false
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}
