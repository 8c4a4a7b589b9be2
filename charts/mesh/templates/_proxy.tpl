{{/*
The proxy's container, once: ConfigMap weft-proxy-template carries it for the injector (mode sidecar), pods of the
control plane include it (mode gateway: no redirection; it terminates mesh TLS on a public port and forwards to loopback).

(dict "root" $
      "mode"         "sidecar" or "gateway"
      "native"       true: an init container that keeps running; false: an ordinary container
      "workload"     "deployment/destination"                          gateway only, as all below
      "forward"      "8086=127.0.0.1:8087": public port = where its requests go
      "anonymous"    public ports where a client may come without a certificate
      "connect"      "127.0.0.1:4142": where the pod's own service asks for connections to other proxies
      "identityAddr" instead of identity's Service
      "ports"        list of dict "name" "containerPort"; what is public of `forward`)
*/}}
{{- define "weft.proxy" -}}
{{- $global := .root.Values.global }}
name: weft-proxy
image: {{ include "weft.image" (dict "root" .root "name" "proxy" "values" $global.proxy) }}
imagePullPolicy: {{ $global.image.pullPolicy }}
{{- if .native }}
restartPolicy: Always
{{- end }}
env:
  - {name: WEFT_MODE, value: {{ .mode }}}
  - {name: WEFT_LOG, value: {{ $global.proxy.logLevel | quote }}}
  - {name: WEFT_LOG_FORMAT, value: {{ $global.proxy.logFormat }}}
  - {name: WEFT_WORKERS, value: {{ $global.proxy.workers | quote }}}
  - {name: WEFT_SHUTDOWN_GRACE, value: {{ $global.proxy.shutdownGrace }}}
  - {name: WEFT_TAP_LISTEN, value: "[::]:4190"}
  - {name: WEFT_ADMIN_LISTEN, value: "[::]:4191"}
  {{- if eq .mode "sidecar" }}
  - {name: WEFT_OUTBOUND_LISTEN, value: "127.0.0.1:4140,[::1]:4140"}
  - {name: WEFT_INBOUND_LISTEN, value: "[::]:4143"}
  {{- end }}
  {{- with .forward }}
  - {name: WEFT_FORWARD, value: {{ . | quote }}}
  {{- end }}
  {{- with .anonymous }}
  - {name: WEFT_FORWARD_ANONYMOUS, value: {{ . | quote }}}
  {{- end }}
  {{- with .connect }}
  - {name: WEFT_CONNECT_LISTEN, value: {{ . | quote }}}
  {{- end }}
  - {name: WEFT_TRUST_DOMAIN, value: {{ $global.trustDomain }}}
  - {name: WEFT_TRUST_BUNDLE, value: /etc/weft/bundle/ca.crt}
  - {name: WEFT_TOKEN_FILE, value: /var/run/secrets/weft.dev/token}
  - {name: WEFT_CLUSTER_NETWORKS, value: {{ join "," $global.clusterNetworks | quote }}}
  - {name: WEFT_IDENTITY_ADDR, value: {{ .identityAddr | default (printf "%s:8080" (include "weft.host" (dict "root" .root "name" "identity"))) | quote }}}
  - {name: WEFT_IDENTITY_ID, value: {{ include "weft.spiffeId" (dict "root" .root "account" "identity") | quote }}}
  - {name: WEFT_DESTINATION_ADDR, value: "{{ include "weft.host" (dict "root" .root "name" "destination") }}:8086"}
  - {name: WEFT_DESTINATION_ID, value: {{ include "weft.spiffeId" (dict "root" .root "account" "destination") | quote }}}
  - {name: WEFT_TAP_ID, value: {{ include "weft.spiffeId" (dict "root" .root "account" "tap") | quote }}}
  {{- with .workload }}
  - {name: WEFT_WORKLOAD, value: {{ . }}}
  {{- end }}
  {{- range $name, $path := include "weft.proxyFields" . | fromYaml }}
  - {name: {{ $name }}, valueFrom: {fieldRef: {fieldPath: {{ $path | quote }}}}}
  {{- end }}
ports:
  {{- if eq .mode "sidecar" }}
  - {name: weft-inbound, containerPort: 4143}
  {{- end }}
  - {name: weft-tap, containerPort: 4190}
  - {name: weft-admin, containerPort: 4191}
  {{- range .ports }}
  - {name: {{ .name }}, containerPort: {{ .containerPort }}}
  {{- end }}
# The next container starts when the proxy has its certificate.
startupProbe:
  httpGet: {path: /ready, port: 4191}
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /live, port: 4191}
  periodSeconds: 10
resources:
  {{- toYaml $global.proxy.resources | nindent 2 }}
securityContext:
  runAsUser: 2102
  runAsGroup: 2102
  {{- include "weft.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: weft-token, mountPath: /var/run/secrets/weft.dev, readOnly: true}
  - {name: weft-bundle, mountPath: /etc/weft/bundle, readOnly: true}
{{- end }}

{{/* What the proxy learns of its pod: environment variable → field. */}}
{{- define "weft.proxyFields" -}}
WEFT_POD_NAME: metadata.name
WEFT_POD_NAMESPACE: metadata.namespace
WEFT_POD_IPS: status.podIPs
WEFT_NODE_NAME: spec.nodeName
WEFT_ZONE: metadata.labels['topology.kubernetes.io/zone']
WEFT_SERVICE_ACCOUNT: spec.serviceAccountName
{{- end }}

{{/* Volumes of a pod that has the proxy; a list. The token is the proxy's own: the pod's may be switched off. */}}
{{- define "weft.proxyVolumes" -}}
- name: weft-token
  projected:
    sources:
      - serviceAccountToken: {audience: identity.weft.dev, expirationSeconds: 86400, path: token}
# Identity publishes it after a namespace is made, maybe after its first pod: hence optional.
- name: weft-bundle
  configMap:
    name: weft-trust-bundle
    optional: true
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
