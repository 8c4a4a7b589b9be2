"""Names of the mesh in Kubernetes: each label, annotation and port once. A test compares them with the chart's."""

GROUP = "weft.dev"

INJECT = "weft.dev/inject"
"""Label on a namespace (`enabled`), annotation on a pod (`enabled` or `disabled`)."""

COMPONENT = "weft.dev/component"
PROXY_VERSION = "weft.dev/proxy-version"
"""Label of a pod that has the proxy with redirection; its value is the proxy's version."""

WORKLOAD_KIND = "weft.dev/workload-kind"
WORKLOAD = "weft.dev/workload"
"""Labels that the injector sets from the pod's owners, for scrapes and discovery."""

CONFIG_PREFIX = "config.weft.dev/"
SKIP_INBOUND_PORTS = "config.weft.dev/skip-inbound-ports"
SKIP_OUTBOUND_PORTS = "config.weft.dev/skip-outbound-ports"
SKIP_SUBNETS = "config.weft.dev/skip-subnets"
OPTION_SOURCES = "weft.dev/option-sources"
"""On an injected pod: which options are not the pod's own, and whose they are: "opaque-ports=chart"."""

OPAQUE_PORTS = "config.weft.dev/opaque-ports"
"""On a pod or Service: ports as "25,3306,8000-8010"."""

DEFAULT_ACCESS = "config.weft.dev/default-access"
"""On a pod or Namespace: who may call where no AccessPolicy says so."""

TRUST_BUNDLE = "weft-trust-bundle"
"""ConfigMap in every namespace, key `ca.crt`."""

TRUST_BUNDLE_KEY = "ca.crt"
TOKEN_AUDIENCE = "identity.weft.dev"  # noqa: S105
INIT_CONTAINER = "weft-init"
PROXY_CONTAINER = "weft-proxy"
PATH_REGEX_MAX = 1024
"""Characters of a `pathRegex` in a ServiceProfile."""

CLIENT_ID, CLIENT_ADDRESS = "weft-client-id", "weft-client-address"
"""Headers that the proxy of a service's pod sets, always: SPIFFE ID and IP address of who called; the ID only with a
certificate."""

PROXY_UID = 2102
SERVICE_UID = 2103

PORT_OUTBOUND = 4140
PORT_CONNECT = 4142
PORT_INBOUND = 4143
PORT_TAP = 4190
PORT_ADMIN = 4191


def spiffe_id(trust_domain: str, namespace: str, service_account: str) -> str:
    """The identity of a workload, as its certificate's one URI SAN spells it (SPIFFE-ID, section 2)."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


MAX_VALUE = 4096
"""Characters of an annotation's value that are read: Kubernetes takes 256 KiB, which cost seconds and megabytes."""


def parse_ports(text: str) -> list[range]:
    """Ports and ranges ("25,8000-8010") as ranges; raises ValueError that names the part at fault."""
    if len(text) > MAX_VALUE:
        raise ValueError(f"{len(text)} characters of ports: {MAX_VALUE} are the most")
    ranges = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        try:
            ports = range(int(first), int(last or first) + 1)
        except ValueError:
            raise ValueError(f"{part!r} is neither a port nor a range of ports") from None
        if not ports or ports[0] < 1 or ports[-1] > 65535:
            raise ValueError(f"{part!r} is not within 1-65535")
        ranges.append(ports)
    return ranges
