"""Routing in the words of the user's objects: apply this YAML, see that traffic."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import yaml
from lab import IMAGE, counted, eventually, get, kubectl, rolled_out, run, weft

Json = dict[str, Any]
SHOP, GUESTS = "weft-it-routing", "weft-it-guests"
REQUESTS = "weft_requests_total"
SERVER = """
import collections, grpc, http.server as h, json, os, time, urllib.parse as u
from concurrent import futures
NAME, tries = os.environ["NAME"], collections.Counter()
SERVING = bytes([8, 1])
class Calls(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda _, context: self.answer(call.method, context))
    def answer(self, method, context):
        tries[method] += 1
        if "Flaky" in method and tries[method] < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "again")
        return SERVING if method == "/grpc.health.v1.Health/Check" else f"{NAME} {method}".encode()
class Pages(h.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if "upgrade" in self.headers:
            return self.echo()
        asked = dict(u.parse_qsl(u.urlsplit(self.path).query))
        tries[asked.get("id")] += 1
        time.sleep(float(asked.get("sleep", 0)))
        late = tries[asked.get("id")] > int(asked.get("times", 10**9)) or asked.get("only", NAME) != NAME
        seen = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"from": NAME, "path": self.path, "headers": seen, "tries": tries[asked.get("id")]}).encode()
        self.send_response(200 if late else int(asked.get("status", 200)))
        self.send_header("content-length", str(len(body)))
        self.send_header("x-from", NAME)
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def echo(self):
        self.send_response(101)
        for name in ("connection", "upgrade"):
            self.send_header(name, self.headers[name])
        self.send_header("x-path", self.path)
        self.end_headers()
        self.wfile.write(self.rfile.readline())
        self.close_connection = True
    def log_message(self, *_): pass
calls = grpc.server(futures.ThreadPoolExecutor(4))
calls.add_generic_rpc_handlers((Calls(),))
calls.add_insecure_port("[::]:9090")
calls.start()
h.ThreadingHTTPServer(("", 8080), Pages).serve_forever()
"""
ASK = """
import http.client, json, sys
from concurrent.futures import ThreadPoolExecutor
def ask(one):
    connection = http.client.HTTPConnection(one["to"], timeout=10)
    connection.request(one["method"], one["path"], headers=one["headers"])
    response = connection.getresponse()
    body, head = response.read().decode(), {name.lower(): value for name, value in response.getheaders()}
    return {"status": response.status, "head": head} | (json.loads(body) if "x-from" in head else {})
print(json.dumps(list(ThreadPoolExecutor(4).map(ask, json.load(sys.stdin)))))
"""
UPGRADE = r"""
import socket
stream = socket.create_connection(("web", 80), 5).makefile("rwb", 0)
stream.write(b"GET /old/chat HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
while (line := stream.readline().decode().strip()):
    print(line.lower())
stream.write(b"hello\n")
print(stream.readline().decode())
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
    """A Deployment that says its name, and its Service. It is ready when probes of each kind reach it."""
    container = {"name": "app", "image": IMAGE, "command": ["python3", "-c", SERVER]}
    container["env"] = [{"name": "NAME", "value": name}]
    container["startupProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 120}
    container["readinessProbe"] = {"grpc": {"port": 9090}, "periodSeconds": 1}
    container["livenessProbe"] = {"httpGet": {"port": 8080}, "periodSeconds": 5}
    return [deployment(SHOP, name, container), service(name)]


def service(name: str, namespace: str = SHOP, selector: Json | None = None, **settings: str) -> Json:
    """A Service with a port for HTTP and one for gRPC; settings are annotations, with _ in the place of -."""
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations(**settings)},
        "spec": {"selector": selector or {"app": name}, "ports": ports},
    }


def annotations(**settings: str) -> dict[str, str]:
    """Of weft's."""
    return {f"config.weft.dev/{name.replace('_', '-')}": value for name, value in settings.items()}


def deployment(namespace: str, name: str, container: Json) -> Json:
    """One pod."""
    labels = {"app": name, "serves": str(name.startswith("web"))}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
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
    both, door = service("both", selector={"serves": "True"}), service("door", GUESTS)
    apply(*server("web"), *server("web-v2"), service("nobody"), both, door, client(SHOP), client(GUESTS))
    rolled_out(SHOP, "web", "web-v2", "client")
    rolled_out(GUESTS, "client")
    yield
    kubectl("delete", "namespace", SHOP, GUESTS, "--wait=false")


@pytest.fixture(autouse=True)
def clean(shop: None) -> Iterator[None]:
    """No routes of the test before."""
    yield
    kubectl("delete", "httproute,grpcroute,serviceprofile,referencegrant", "--all", "-n", SHOP, "--wait=false")
    kubectl("delete", "httproute", "--all", "-n", GUESTS, "--wait=false")


def python(namespace: str, code: str, *arguments: str, stdin: str | None = None) -> str:
    """What a line of Python prints in the client's pod."""
    command = ["exec", "-i", "-n", namespace, "deploy/client", "-c", "app", "--", "python3", "-c", code, *arguments]
    printed: str = kubectl(*command, stdin=stdin, timeout=60)
    return printed


def request(path: str = "/", method: str = "GET", to: str = f"web.{SHOP}", **headers: str) -> Json:
    """A request to send."""
    return {"to": to, "path": path, "method": method, "headers": headers}


def ask(*requests: Json, namespace: str = SHOP) -> list[Json]:
    """The answers: status, head, and what the server said."""
    found: list[Json] = json.loads(python(namespace, ASK, stdin=json.dumps(requests)))
    return found


def froms(*requests: Json, namespace: str = SHOP) -> list[Any]:
    """Who answered each, or with which status nobody did."""
    return [answer.get("from", answer["status"]) for answer in ask(*requests, namespace=namespace)]


def route(
    *rules: Json,
    name: str = "r",
    namespace: str = SHOP,
    kind: str = "HTTPRoute",
    parent: Json | None = None,
    **settings: str,
) -> Json:
    """A route of Service web, or of another parent; settings are annotations."""
    ref = {"group": "", "kind": "Service", "namespace": SHOP, "name": "web", **(parent or {})}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations(**settings)},
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


def conditions(name: str = "r", kind: str = "httproute", namespace: str = SHOP) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition of a route's first parent, once they are of this generation."""
    found = get(kind, name, "-n", namespace)
    parents = found.get("status", {}).get("parents", [])
    assert parents, "no status yet"
    held = parents[0]["conditions"]
    assert {one["observedGeneration"] for one in held} == {found["metadata"]["generation"]}
    return {one["type"]: (one["status"], one["reason"]) for one in held}


def address(name: str) -> str:
    """Of a Deployment's pod."""
    (pod,) = get("pods", "-n", SHOP, "-l", f"app={name}")["items"]
    return str(pod["status"]["podIP"])


ACCEPTED = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


def test_matches_choose_the_backend() -> None:
    """Path, headers and query exact or by expression, path by prefix, method; what no rule matches is not found.
    Requests are those to the ClusterIP and port of the parent, here by the port's name, whatever their Host; those to a
    pod's own address are not. Metrics have the rule's name."""
    to_v2 = [
        path("/exact", "Exact"),
        path("/a"),
        path("/x/[0-9]+", "RegularExpression"),
        {"headers": [{"name": "X-Canary", "value": "yes"}]},
        {"queryParams": [{"name": "v", "value": "2"}]},
        {"headers": [{"name": "x-cups", "type": "RegularExpression", "value": "[0-9]+"}]},
        {"queryParams": [{"name": "v", "type": "RegularExpression", "value": "[3-9]"}]},
        path("/m", method="POST"),
    ]
    rules = to("web-v2", matches=to_v2, name="canary"), to("web", matches=[path("/menu")])
    apply(route(*rules, parent={"sectionName": "http"}))
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
        (request("/other?v=7"), "web-v2"),
        (request("/other?v=70"), 404),
        (request("/other", **{"x-cups": "17"}), "web-v2"),
        (request("/other", **{"x-cups": "many"}), 404),
        (request("/m", "POST"), "web-v2"),
        (request("/m"), 404),
        (request("/exact", Host="elsewhere.example"), "web-v2"),
        (request("/exact", to=f"{address('web')}:8080"), "web"),
        (request("/exact", to="web-v2"), "web-v2"),
        (request("/nowhere", to="web-v2"), "web-v2"),
    ]
    eventually(lambda: froms(*(one for one, _ in asked)) == [who for _, who in asked], 10)
    assert eventually(conditions, 10) == ACCEPTED
    metrics = weft("diagnostics", "proxy-metrics", "deploy/client", "-n", SHOP)
    assert counted(metrics, REQUESTS, route="r/canary", status="200") > 0


def test_filters_change_requests_and_responses() -> None:
    """Headers of both, for a rule and for a backend; the path, in part or whole, and host that the backend gets.
    Upgrades (WebSocket) take the same way."""
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
    rule["backendRefs"][0]["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x-backend", "value": "3"}]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-pot", "value": "4"}]}},
    ]
    whole = {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/all"}}
    apply(route(rule, to("web", matches=[path("/whole")], filters=[{"type": "URLRewrite", "urlRewrite": whole}])))
    sent = request("/old/tea?cup=1", **{"x-set": "0", "x-gone": "1"})
    eventually(lambda: ask(sent)[0].get("path") == "/new/tea?cup=1", 10)
    (answer,) = ask(sent)
    seen = answer["headers"]
    assert (seen["x-set"], seen["x-backend"], seen["host"]) == ("1", "3", "tea.example")
    assert ("x-gone" in seen, answer["head"]["x-added"], answer["head"]["x-pot"]) == (False, "2", "4")
    assert ask(request("/whole/pot?cup=1"))[0]["path"] == "/all?cup=1"
    upgraded = python(SHOP, UPGRADE).split("\n")
    assert (upgraded[0].split()[1], upgraded[-3]) == ("101", "hello")
    assert {"x-path: /new/chat", "x-added: 2", "x-pot: 4"} <= set(upgraded)


def test_redirects() -> None:
    """The client is sent elsewhere, by every status there is; what a redirect does not name stays as the request's."""
    prefix = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}
    whole = {"type": "ReplaceFullPath", "replaceFullPath": "/all"}
    here = f"web.{SHOP}"
    redirects = {
        "/a": ({"scheme": "https", "hostname": "tea.example", "statusCode": 301}, "https://tea.example/a/tea?cup=1"),
        "/b": ({"path": whole}, f"http://{here}/all?cup=1"),
        "/c": ({"hostname": "tea.example", "statusCode": 303}, "http://tea.example/c/tea?cup=1"),
        "/d": ({"path": prefix, "port": 8443, "statusCode": 307}, f"http://{here}:8443/new/tea?cup=1"),
        "/e": ({"scheme": "https", "port": 8443, "statusCode": 308}, f"https://{here}:8443/e/tea?cup=1"),
    }
    rules = [
        {"matches": [path(start)], "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
        for start, (redirect, _) in redirects.items()
    ]
    apply(route(*rules))
    expected = [(redirect.get("statusCode", 302), location) for redirect, location in redirects.values()]

    def found() -> list[tuple[int, str]]:
        answers = ask(*(request(f"{start}/tea?cup=1") for start in redirects))
        return [(one["status"], one["head"].get("location", "")) for one in answers]

    eventually(lambda: found() == expected, 10)


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


def test_a_route_into_another_namespace_needs_its_grant() -> None:
    """Without a ReferenceGrant there, or without it any more, its share is answered with 500, and status says why."""
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "guests", "namespace": SHOP},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": GUESTS}],
            "to": [{"group": "", "kind": "Service", "name": "web"}],
        },
    }
    apply(route(to("web"), name="door", namespace=GUESTS, parent={"namespace": GUESTS, "name": "door"}))
    door = request(to=f"door.{GUESTS}")
    refused = ACCEPTED | {"ResolvedRefs": ("False", "RefNotPermitted")}
    eventually(lambda: froms(door) == [500], 10)
    assert eventually(lambda: conditions("door", namespace=GUESTS), 10) == refused
    apply(grant)
    eventually(lambda: froms(door) == froms(door, namespace=GUESTS) == ["web"], 10)
    eventually(lambda: conditions("door", namespace=GUESTS) == ACCEPTED, 10)
    kubectl("delete", "referencegrant", "guests", "-n", SHOP)
    eventually(lambda: froms(door) == [500], 10)


def test_neither_cycles_nor_masses_of_routes_hurt_others() -> None:
    """Two Services that are each other's backends swap their requests; of a thousand matches and more those of the
    oldest routes hold, and the status of the youngest says so."""
    apply(route(to("web-v2"), name="there"), route(to("web"), name="back", parent={"name": "web-v2"}))
    eventually(lambda: froms(request(), request(to="web-v2")) == ["web-v2", "web"], 10)
    rules = [to("web-v2", matches=[path(f"/{at}/{number}") for number in range(64)]) for at in range(2)]
    apply(*(route(*rules, name=f"mass-{at}", parent={"name": "nobody"}) for at in range(9)))
    eventually(lambda: conditions("mass-8")["Accepted"] == ("False", "TooManyMatches"), 20)
    assert eventually(lambda: conditions("mass-0"), 10) == ACCEPTED
    assert froms(request("/1/63", to="nobody"), request(), request(to="web-v2")) == ["web-v2", "web-v2", "web"]


def test_timeouts_and_retries() -> None:
    """Of the whole request and of one try: 504, and 0s is none. Retried on the statuses named, as often as named, and
    with none named or no attempts on none. What a rule says goes before annotations, which hold for the others."""
    of_try = {"timeouts": {"backendRequest": "300ms"}, "retry": {"codes": [504], "attempts": 1}}
    apply(
        route(
            to("web", matches=[path("/slow")], timeouts={"request": "300ms"}),
            to("web", matches=[path("/try")], **of_try),
            to("web", matches=[path("/patient")], timeouts={"request": "0s", "backendRequest": "0s"}),
            to("web", matches=[path("/flaky")], retry={"codes": [503], "attempts": 2, "backoff": "10ms"}),
            to("web", matches=[path("/unnamed")], retry={"attempts": 2}),
            to("web", matches=[path("/never")], retry={"attempts": 0}),
            to("web", matches=[path("/annotated")]),
            request_timeout="1500ms",
            try_timeout="1s",
            retry_statuses="500-503",
        )
    )
    eventually(lambda: froms(request("/elsewhere")) == [404], 10)
    late = [
        (request("/slow?sleep=2&id=slow"), "E105 no response within the time that the route allows"),
        (request("/try?sleep=2&id=try"), "E105 no response within the time that the route allows for one try"),
        (request("/annotated?sleep=2&id=late"), "E105 no response within the time that the route allows for one try"),
    ]
    answers = ask(*(one for one, _ in late))
    assert [(one["status"], one["head"].get("weft-error")) for one in answers] == [(504, error) for _, error in late]
    rows = [
        ("/flaky?id=try", 200, 3),
        ("/patient?sleep=2&id=patient", 200, 1),
        ("/flaky?status=503&times=2&id=saved", 200, 3),
        ("/flaky?status=503&id=lost", 503, 3),
        ("/flaky?status=500&id=other", 500, 1),
        ("/unnamed?status=500&id=unnamed", 500, 1),
        ("/never?status=503&id=never", 503, 1),
        ("/annotated?status=503&times=1&id=annotated", 200, 2),
    ]
    asked = ask(*(request(where) for where, _, _ in rows))
    assert [(one["status"], one["tries"]) for one in asked] == [(status, tries) for _, status, tries in rows]


def test_backends_that_cannot_answer() -> None:
    """None of that name: 500, and status says so; no endpoint: 503, as without a route."""
    apply(route(to("none", matches=[path("/none")]), to("nobody", matches=[path("/nobody")])))
    eventually(lambda: froms(request("/none"), request("/nobody"), request("/else")) == [500, 503, 404], 10)
    assert eventually(conditions, 10) == ACCEPTED | {"ResolvedRefs": ("False", "BackendNotFound")}
    apply(route(to("web", matches=[path("/none")])))
    eventually(lambda: froms(request("/none")) == ["web"], 10)
    assert eventually(conditions, 10) == ACCEPTED


def test_what_is_not_supported_is_refused_in_the_status() -> None:
    """The rule's requests are answered with 500, never treated another way; a sound rule beside it holds. A parent
    whose group was forgotten is of a kind that there is not."""
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}}}
    apply(route(to("web", matches=[path("/mirror")], filters=[mirror]), to("web")))
    eventually(lambda: froms(request("/mirror"), request("/")) == [500, "web"], 10)
    assert eventually(conditions, 10) == ACCEPTED | {"PartiallyInvalid": ("True", "UnsupportedValue")}
    lost, forgotten = {"port": 9}, {"group": "gateway.networking.k8s.io"}
    apply(
        route(to("web", filters=[mirror])),
        route(to("web"), name="lost", parent=lost),
        route(to("web"), name="forgotten", parent=forgotten),
    )
    eventually(lambda: conditions()["Accepted"] == ("False", "UnsupportedValue"), 10)
    for name in ("lost", "forgotten"):
        assert eventually(partial(conditions, name), 10)["Accepted"] == ("False", "NoMatchingParent")
    eventually(lambda: froms(request("/mirror")) == ["web"], 10)


def test_grpc_routes() -> None:
    """By service and method, exact or by expression; its annotations say what is tried again. An HTTPRoute of the same
    port gives way and says so."""
    rules = [
        {
            "matches": [{"method": {"service": "tea.Menu", "method": "List"}}],
            "backendRefs": [{"name": "web-v2", "port": 9090}],
        },
        {"matches": [{"method": {"service": "tea.Menu"}}], "backendRefs": [{"name": "web", "port": 9090}]},
        {
            "matches": [{"method": {"type": "RegularExpression", "service": r"tea\.Ke.*", "method": "Bo.*"}}],
            "backendRefs": [{"name": "web-v2", "port": 9090}],
        },
    ]
    retried = {"retry_grpc_codes": "unavailable", "retry_limit": "2"}
    calls = route(*rules, name="calls", kind="GRPCRoute", parent={"port": 9090}, **retried)
    apply(calls, route(to("web"), parent={"port": 9090}))
    methods = ["/tea.Menu/List", "/tea.Menu/Get", "/tea.Kettle/Boil", "/tea.Kettle/Pour"]
    expected = ["web-v2 /tea.Menu/List", "web /tea.Menu/Get", "web-v2 /tea.Kettle/Boil", "UNIMPLEMENTED"]
    eventually(lambda: python(SHOP, CALL, *methods).splitlines() == expected, 10)
    assert python(SHOP, CALL, "/tea.Menu/Flaky").splitlines() == ["web /tea.Menu/Flaky"]
    assert eventually(conditions, 10)["Accepted"] == ("False", "Conflicted")
    assert eventually(lambda: conditions("calls", "grpcroute"), 10) == ACCEPTED


def test_a_profile_gives_way() -> None:
    """While a route holds it says that it is shadowed; then its routes have their timeouts and retries again, within
    its budget, and say what counts as a failure."""
    classes = [
        {"condition": {"status": {"min": 404}}, "isFailure": True},
        {"condition": {"status": {"min": 503}}, "isFailure": False},
    ]
    routes = [
        {"name": "slow", "condition": {"path": "/slow"}, "timeout": "300ms"},
        {"name": "flaky", "condition": {"path": "/flaky"}, "isRetryable": True},
        {"name": "every", "condition": {"pathRegex": ".*"}, "responseClasses": classes},
    ]
    profile = {
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "ServiceProfile",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {"routes": routes},
    }
    apply(profile, route(to("web")))

    def shadowed() -> Any:
        return get("serviceprofile", "web", "-n", SHOP).get("status", {}).get("conditions", [{}])[0].get("status")

    eventually(lambda: shadowed() == "True", 10)
    kubectl("delete", "httproute", "r", "-n", SHOP)
    eventually(lambda: shadowed() == "False", 10)
    eventually(lambda: ask(request("/slow?sleep=2"))[0]["status"] == 504, 10)
    (saved, *_) = ask(request("/flaky?status=503&times=2&id=profile"), request("/?status=404"), request("/?status=503"))
    assert (saved["status"], saved["tries"]) == (200, 3)

    def results() -> list[str]:
        metrics = weft("diagnostics", "proxy-metrics", "deploy/client", "-n", SHOP)
        judged = {"404": "failure", "503": "success"}
        return [one for one in judged if counted(metrics, REQUESTS, route="every", status=one, result=judged[one])]

    eventually(lambda: results() == ["404", "503"], 10)

    numbers = iter(range(1000))
    spec = {"routes": routes, "retryBudget": {"retryRatio": 0, "minRetriesPerSecond": 0, "ttl": "10s"}}
    apply(profile | {"spec": spec})
    eventually(lambda: ask(request(f"/flaky?status=503&id=spent-{next(numbers)}"))[0].get("tries") == 1, 10)


def test_annotations_of_services_and_routes() -> None:
    """Timeouts and retries within the budget; a route's go before its Service's. A wrong one holds nothing, and whoever
    looks is told why: by an Event on the Service, the route's status, the diagnosis, the check. So is one of a Service
    that no request can be sent to."""
    numbers = iter(range(1000))

    def answers() -> tuple[Any, ...]:
        flaky, slow = request(f"/?status=503&times=2&id=annotated-{next(numbers)}"), request("/?sleep=2")
        retried, late = ask(flaky, slow)
        return retried["status"], retried.get("tries"), late["status"]

    peers = service("peers", retry_limit="2")
    apply(peers | {"spec": peers["spec"] | {"clusterIP": "None"}})
    apply(service("web", retry_statuses="503", retry_limit="2", request_timeout="1s", retrys="x"))
    eventually(lambda: answers() == (200, 3, 504), 10)
    unknown = "annotation config.weft.dev/retrys: a Service has no such setting"
    eventually(lambda: unknown in kubectl("describe", "service", "web", "-n", SHOP), 10)
    headless = f"have no effect: Service {SHOP}/peers is headless"
    eventually(lambda: headless in kubectl("describe", "service", "peers", "-n", SHOP), 10)
    kubectl("delete", "service", "peers", "-n", SHOP)

    apply(route(to("web"), retry_limit="1", request_timeout="5s", breaker_failures="1"))
    eventually(lambda: answers() == (503, 2, 200), 10)
    shown = weft("diagnostics", "policy", "svc/web", "-n", SHOP)
    assert ("1x failures**" in shown, "5s**" in shown, unknown in shown) == (True, True, True)
    checked = run("weft", "check", "--proxy", "--wait", "1m", "-n", SHOP, check=False).stdout
    assert f"Service {SHOP}/web: {unknown}" in checked
    assert "annotation config.weft.dev/breaker-failures: a route has no such setting" in checked

    kubectl("delete", "httproute", "r", "-n", SHOP)
    apply(service("web", retry_statuses="503", retry_budget_ratio="0", retry_budget_min="0"))
    eventually(lambda: answers() == (503, 1, 200), 10)
    apply(service("web"))


def test_the_circuit_breaker_of_a_service() -> None:
    """Without one, an endpoint that fails gets requests all the same; with one it gets none after so many failures."""
    failing = [request("/?status=503&only=web-v2", to="both")] * 40

    def failures() -> int:
        return Counter(one["status"] for one in ask(*failing))[503]

    apply(service("both", selector={"serves": "True"}, breaker_failures="0"))
    eventually(lambda: failures() > 10, 10)
    apply(service("both", selector={"serves": "True"}, breaker_failures="3", breaker_min_penalty="60s"))
    eventually(lambda: failures() == 0, 10)
    shown = weft("diagnostics", "policy", "svc/both", "-n", SHOP)
    assert "circuit breaker: 3 failures in a row; left out for 60s at first" in shown


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
