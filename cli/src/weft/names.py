"""Names that the CLI shares with the mesh. A test compares them with `weft_kube.names`."""

NAMESPACE = "weft"
INJECT = "weft.dev/inject"
COMPONENT = "weft.dev/component"
PROXY_VERSION = "weft.dev/proxy-version"
WORKLOAD_KIND = "weft.dev/workload-kind"
WORKLOAD = "weft.dev/workload"
INIT_CONTAINER = "weft-init"
PROXY_CONTAINER = "weft-proxy"
TRUST_BUNDLE = "weft-trust-bundle"
TRUST_BUNDLE_KEY = "ca.crt"
ROTATION = "weft-rotation"
CONFIG = "weft-config"
VIZ_CONFIG = "weft-viz-config"
TAP_APISERVICE = "v1alpha1.tap.weft.dev"
TAP_PATH = "/apis/tap.weft.dev/v1alpha1/watch"
PORT_WEB = 8084
PORT_SERVICE_ADMIN = 9990
PORT_ADMIN = 4191
PORT_GRAFANA = 3000
PORT_PROMETHEUS = 9090
MINIMUM_KUBERNETES = (1, 29)
HELM_RELEASE = "meta.helm.sh/release-name"
"""Annotation that Helm sets on the objects of a release (and `helm template` does not)."""
