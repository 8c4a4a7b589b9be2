"""Routing in the words of the user's objects: apply this YAML, see that traffic."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from lab import IMAGE, eventually, get, kubectl, rolled_out, weft

Json = dict[str, Any]
SHOP, GUESTS = "weft-it-routing", "weft-it-guests"
SERVER = """
import collections, grpc, http.server as h, json, os, time, urllib.parse as u
from concurrent import futures
NAME, tries = os.environ["NAME"], collections.Counter()
class Calls(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: f"{NAME} {call.method}".encode())
class Pages(h.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        asked = dict(u.parse_qsl(u.urlsplit(self.path).query))
        tries[asked.get("id")] += 1
        time.sleep(float(asked.get("sleep", 0)))
        late = tries[asked.get("id")] > int(asked.get("times", 10**9))
        seen = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"from": NAME, "path": self.path, "headers": seen, "tries": tries[asked.get("id")]}).encode()
        self.send_response(200 if late else int(asked.get("status", 200)))
        self.send_header("content-length", str(len(body)))
        self.send_header("x-from", NAME)
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
calls = grpc.server(futures.ThreadPoolExecutor(4))
calls.add_generic_rpc_handlers((Calls(),))
calls.add_insecure_port("[::]:9090")
calls.start()
h.ThreadingHTTPServer(("", 8080), Pages).serve_forever()
"""
ASK = """
import http.client, json, sys
answers = []
for one in json.load(sys.stdin):
    connection = http.client.HTTPConnection(one["to"], 80, timeout=10)
    connection.request(one["method"], one["path"], headers=one["headers"])
    response = connection.getresponse()
    body, head = response.read().decode(), {name.lower(): value for name, value in response.getheaders()}
    answers.append({"status": response.status, "head": head} | (json.loads(body) if "x-from" in head else {}))
print(json.dumps(answers))
"""
LOAD = """
import http.client, json, time
answers, end = [], time.time() + 6
while time.time() < end:
    connection = http.client.HTTPConnection("web", 80, timeout=5)
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    answers.append([time.time(), response.status, response.getheader("x-from")])
    connection.close()
print(json.dumps(answers))
"""
CALL = """
import grpc, sys
channel = grpc.insecure_channel("web:9090")
for method in sys.argv[1:]:
    try:
        print(channel.unary_unary(method)(b"", timeout=5).decode())
    except grpc.RpcError as error:
        print(error.code().name)
"""


def apply(*objects: Json) -> None:
    """kubectl apply -f -."""
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def server(name: str) -> list[Json]:
    """A Deployment that says its name, and its Service."""
    container = {"name": "app", "image": IMAGE, "command": ["python3", "-c", SERVER]}
    container["env"] = [{"name": "NAME", "value": name}]
    container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return [deployment(SHOP, name, container), service(name)]


def service(name: str, annotations: dict[str, str] | None = None) -> Json:
    """A Service with a port for HTTP and one for gRPC."""
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"},
    ]
    meta = {"name": name, "namespace": SHOP, "annotations": annotations or {}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def deployment(namespace: str, name: str, container: Json) -> Json:
    """One pod."""
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def client(namespace: str) -> Json:
    """A pod to ask from."""
    sleep = {"name": "app", "image": IMAGE, "command": ["python3", "-c", "import time; time.sleep(10**6)"]}
    return deployment(namespace, "client", sleep)


@pytest.fixture(scope="module", autouse=True)
def shop(installed: None) -> Iterator[None]:
    """Services web and web-v2, clients in their namespace and in another, the Gateway API's kinds."""
    weft("install", "--crds", "--apply")
    for name in (SHOP, GUESTS):
        apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"weft.dev/inject": "enabled"}},
            }
        )
    nobody = service("nobody")
    apply(*server("web"), *server("web-v2"), nobody, client(SHOP), client(GUESTS))
    rolled_out(SHOP, "web", "web-v2", "client")
    rolled_out(GUESTS, "client")
    yield
    kubectl("delete", "namespace", SHOP, GUESTS, "--wait=false")


@pytest.fixture(autouse=True)
def clean(shop: None) -> Iterator[None]:
    """No routes of the test before."""
    yield
    kubectl("delete", "httproute,grpcroute,serviceprofile", "--all", "-n", SHOP)
    kubectl("delete", "httproute", "--all", "-n", GUESTS)


def python(namespace: str, code: str, *arguments: str, stdin: str | None = None) -> str:
    """What a line of Python prints in the client's pod."""
    command = ["exec", "-i", "-n", namespace, "deploy/client", "-c", "app", "--", "python3", "-c", code, *arguments]
    printed: str = kubectl(*command, stdin=stdin, timeout=60)
    return printed


def request(path: str = "/", method: str = "GET", to: str = "web", **headers: str) -> Json:
    """A request to send."""
    return {"to": f"{to}.{SHOP}", "path": path, "method": method, "headers": headers}


def ask(*requests: Json, namespace: str = SHOP) -> list[Json]:
    """The answers: status, head, and what the server said."""
    found: list[Json] = json.loads(python(namespace, ASK, stdin=json.dumps(requests)))
    return found


def froms(*requests: Json, namespace: str = SHOP) -> list[Any]:
    """Who answered each, or with which status nobody did."""
    return [answer.get("from", answer["status"]) for answer in ask(*requests, namespace=namespace)]


def route(*rules: Json, name: str = "r", namespace: str = SHOP, kind: str = "HTTPRoute", **parent: Any) -> Json:
    """A route of Service web."""
    ref = {"group": "", "kind": "Service", "namespace": SHOP, "name": "web", **parent}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [ref], "rules": list(rules)},
    }


def to(*backends: str, **more: Any) -> Json:
    """A rule to Services' port 80, "web-v2=3" with a weight."""
    refs = []
    for backend in backends:
        name, _, weight = backend.partition("=")
        refs.append({"name": name, "namespace": SHOP, "port": 80, "weight": int(weight or 1)})
    return {"backendRefs": refs, **more}


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Json:
    """A match."""
    return {"path": {"type": kind, "value": value}, **more}


def conditions(name: str = "r", kind: str = "httproute") -> dict[str, tuple[str, str]]:
    """Status and reason of each condition of a route's first parent, once they are of this generation."""
    found = get(kind, name, "-n", SHOP)
    parents = found.get("status", {}).get("parents", [])
    assert parents, "no status yet"
    held = parents[0]["conditions"]
    assert {one["observedGeneration"] for one in held} == {found["metadata"]["generation"]}
    return {one["type"]: (one["status"], one["reason"]) for one in held}


ACCEPTED = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


def test_matches_choose_the_backend() -> None:
    """Path exact, by prefix and by expression, method, headers, query; what no rule matches is not found."""
    to_v2 = [
        path("/exact", "Exact"),
        path("/a"),
        path("/x/[0-9]+", "RegularExpression"),
        {"headers": [{"name": "X-Canary", "value": "yes"}]},
        {"queryParams": [{"name": "v", "value": "2"}]},
        path("/m", method="POST"),
    ]
    apply(route(to("web-v2", matches=to_v2), to("web", matches=[path("/menu")])))
    asked = [
        (request("/exact"), "web-v2"),
        (request("/exact/more"), 404),
        (request("/a/b?c=d"), "web-v2"),
        (request("/ab"), 404),
        (request("/x/17"), "web-v2"),
        (request("/x/y"), 404),
        (request("/menu"), "web"),
        (request("/menu", **{"x-canary": "yes"}), "web"),
        (request("/other", **{"x-canary": "yes"}), "web-v2"),
        (request("/other?v=2"), "web-v2"),
        (request("/m", "POST"), "web-v2"),
        (request("/m"), 404),
    ]
    eventually(lambda: froms(*(one for one, _ in asked)) == [who for _, who in asked], 10)
    assert eventually(conditions, 10) == ACCEPTED


def test_filters_change_requests_and_responses() -> None:
    """Headers of both, for a rule and for a backend; the path and host that the backend gets."""
    rule = to("web", matches=[path("/old")])
    rule["filters"] = [
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": "x-set", "value": "1"}], "remove": ["x-gone"]},
        },
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-added", "value": "2"}]}},
        {
            "type": "URLRewrite",
            "urlRewrite": {
                "hostname": "tea.example",
                "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
            },
        },
    ]
    changed = {"requestHeaderModifier": {"add": [{"name": "x-backend", "value": "3"}]}}
    rule["backendRefs"][0]["filters"] = [{"type": "RequestHeaderModifier", **changed}]
    apply(route(rule))
    sent = request("/old/tea?cup=1", **{"x-set": "0", "x-gone": "1"})
    eventually(lambda: ask(sent)[0].get("path") == "/new/tea?cup=1", 10)
    (answer,) = ask(sent)
    seen = answer["headers"]
    assert (seen["x-set"], seen["x-backend"], seen["host"]) == ("1", "3", "tea.example")
    assert ("x-gone" in seen, answer["head"]["x-added"]) == (False, "2")


@pytest.mark.parametrize(
    ("redirect", "status", "location"),
    [
        ({"scheme": "https", "hostname": "tea.example", "statusCode": 301}, 301, "https://tea.example/old/tea?cup=1"),
        (
            {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, "port": 8443, "statusCode": 307},
            307,
            f"http://web.{SHOP}:8443/new/tea?cup=1",
        ),
    ],
)
def test_redirects(redirect: Json, status: int, location: str) -> None:
    """The client is sent elsewhere; what the redirect does not name stays as the request's."""
    filters = [{"type": "RequestRedirect", "requestRedirect": redirect}]
    apply(route({"matches": [path("/old")], "filters": filters}))
    sent = request("/old/tea?cup=1")
    eventually(lambda: ask(sent)[0]["status"] == status, 10)
    assert ask(sent)[0]["head"]["location"] == location


def test_weights_share_the_requests() -> None:
    """3:1 of 200; a weight of 0 gets none."""
    apply(route(to("web=3", "web-v2=1", "nobody=0")))
    eventually(lambda: set(froms(*[request()] * 20)) == {"web", "web-v2"}, 10)
    counts = Counter(froms(*[request()] * 200))
    assert set(counts) == {"web", "web-v2"}
    assert 120 <= counts["web"] <= 180


def test_a_consumers_route_is_its_own_namespaces_only() -> None:
    """The guests' requests go to web-v2, everybody else's stay with the producer's route."""
    apply(route(to("web"), name="producer"), route(to("web-v2"), name="consumer", namespace=GUESTS))
    eventually(lambda: froms(request(), namespace=GUESTS) == ["web-v2"], 10)
    assert froms(request()) == ["web"]


def test_timeouts_and_retries() -> None:
    """Of the whole request: 504; retried on the statuses named, as often as named."""
    apply(
        route(
            to("web", matches=[path("/slow")], timeouts={"request": "300ms"}),
            to("web", matches=[path("/flaky")], retry={"codes": [503], "attempts": 2, "backoff": "10ms"}),
        )
    )
    eventually(lambda: froms(request("/elsewhere")) == [404], 10)
    slow, saved, lost, other = ask(
        request("/slow?sleep=2&id=slow"),
        request("/flaky?status=503&times=2&id=saved"),
        request("/flaky?status=503&id=lost"),
        request("/flaky?status=500&id=other"),
    )
    assert (slow["status"], slow["head"]["weft-error"].split()[0]) == (504, "E105")
    assert [(one["status"], one["tries"]) for one in (saved, lost, other)] == [(200, 3), (503, 3), (500, 1)]


def test_backends_that_cannot_answer() -> None:
    """None of that name: 500, and status says so; no endpoint: 503, as without a route."""
    apply(route(to("none", matches=[path("/none")]), to("nobody", matches=[path("/nobody")])))
    eventually(lambda: froms(request("/none"), request("/nobody"), request("/else")) == [500, 503, 404], 10)
    assert eventually(conditions, 10) == ACCEPTED | {"ResolvedRefs": ("False", "BackendNotFound")}
    apply(route(to("web", matches=[path("/none")])))
    eventually(lambda: froms(request("/none")) == ["web"], 10)
    assert eventually(conditions, 10) == ACCEPTED


def test_what_is_not_supported_is_refused_in_the_status() -> None:
    """The rule's requests are answered with 500, never treated another way; a sound rule beside it holds."""
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}}}
    apply(route(to("web", matches=[path("/mirror")], filters=[mirror]), to("web")))
    eventually(lambda: froms(request("/mirror"), request("/")) == [500, "web"], 10)
    assert eventually(conditions, 10) == ACCEPTED | {"PartiallyInvalid": ("True", "UnsupportedValue")}
    apply(route(to("web", filters=[mirror])), route(to("web"), name="lost", port=9))
    eventually(lambda: conditions()["Accepted"] == ("False", "UnsupportedValue"), 10)
    assert eventually(lambda: conditions("lost"), 10)["Accepted"] == ("False", "NoMatchingParent")
    eventually(lambda: froms(request("/mirror")) == ["web"], 10)


def test_grpc_routes() -> None:
    """By service and method; an HTTPRoute of the same port gives way and says so."""
    rules = [
        {
            "matches": [{"method": {"service": "tea.Menu", "method": "List"}}],
            "backendRefs": [{"name": "web-v2", "port": 9090}],
        },
        {"matches": [{"method": {"service": "tea.Menu"}}], "backendRefs": [{"name": "web", "port": 9090}]},
    ]
    apply(route(*rules, name="calls", kind="GRPCRoute", port=9090), route(to("web"), port=9090))
    methods = ["/tea.Menu/List", "/tea.Menu/Get", "/tea.Kettle/Boil"]
    expected = ["web-v2 /tea.Menu/List", "web /tea.Menu/Get", "UNIMPLEMENTED"]
    eventually(lambda: python(SHOP, CALL, *methods).splitlines() == expected, 10)
    assert eventually(conditions, 10)["Accepted"] == ("False", "Conflicted")
    assert eventually(lambda: conditions("calls", "grpcroute"), 10) == ACCEPTED


def test_a_profile_gives_way() -> None:
    """While a route holds it says that it is shadowed; then its classes say again what counts as a failure."""
    classes = [{"condition": {"status": {"min": 404}}, "isFailure": True}]
    every = {"name": "every", "condition": {"pathRegex": ".*"}, "responseClasses": classes}
    meta = {"name": "web", "namespace": SHOP}
    profile = {
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "ServiceProfile",
        "metadata": meta,
        "spec": {"routes": [every]},
    }
    apply(profile, route(to("web")))

    def shadowed() -> Any:
        return get("serviceprofile", "web", "-n", SHOP).get("status", {}).get("conditions", [{}])[0].get("status")

    eventually(lambda: shadowed() == "True", 10)
    kubectl("delete", "httproute", "r", "-n", SHOP)
    eventually(lambda: shadowed() == "False", 10)

    def failures() -> list[str]:
        ask(request("/?status=404"))
        metrics = weft("diagnostics", "proxy-metrics", "deploy/client", "-n", SHOP).splitlines()
        return [line for line in metrics if line.startswith("weft_requests_total") and 'route="every"' in line]

    (line,) = eventually(failures, 10)
    assert ('result="failure"' in line, 'status="404"' in line) == (True, True)


def test_annotations_of_a_service() -> None:
    """Retries for all its requests; a wrong one holds nothing, and an Event on the Service says why."""
    config = "config.weft.dev/"
    apply(service("web", {f"{config}retry-statuses": "503", f"{config}retry-limit": "2", f"{config}retrys": "x"}))
    numbers = iter(range(100))

    def retried() -> bool:
        (answer,) = ask(request(f"/?status=503&times=2&id=annotated-{next(numbers)}"))
        return (answer["status"], answer["tries"]) == (200, 3)

    eventually(retried, 10)

    def told() -> str:
        events = get("events", "-n", SHOP, "--field-selector", "involvedObject.name=web,reason=FaultyAnnotation")
        return " ".join(one["message"] for one in events["items"])

    assert "annotation config.weft.dev/retrys: a Service has no such setting" in eventually(told, 10)
    shown = weft("diagnostics", "policy", "deploy/web", "-n", SHOP)
    assert ("2x 503*" in shown, "annotations of the Service" in shown) == (True, True)
    apply(service("web"))


def test_a_change_under_load_loses_nothing() -> None:
    """From one backend to the other within a second, without a failed request."""
    apply(route(to("web")))
    eventually(lambda: froms(request()) == ["web"], 10)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(python, SHOP, LOAD)
        time.sleep(3)
        apply(route(to("web-v2")))
        changed = time.time()
        answers = json.loads(load.result())
    assert Counter(status for _, status, _ in answers) == {200: len(answers)}
    assert answers[-1][2] == "web-v2"
    assert max(at for at, _, who in answers if who == "web") - changed <= 1
