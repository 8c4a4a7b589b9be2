"""ServiceProfiles from OpenAPI, protobuf and live traffic: what they hold, and that the mesh takes every one."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from weft.errors import Failure
from weft.profiles import model, openapi, protobuf
from weft.profiles.learn import MANY, MAX_LENGTH, MAX_PATHS, MAX_SEGMENTS, Learner
from weft.profiles.model import Route
from weft_kube.paths import path_regex
from weft_sp_validator.profile import faults_of

SWAGGER = """
swagger: "2.0"
basePath: /api/
paths:
  /teas/{id}:
    x-weft-timeout: 300ms
    get: {x-weft-retryable: true}
    delete: {}
  /teas/mine: {get: {}}
  /teas/{id}.json: {get: {}}
  x-comment: nothing
"""
OPENAPI = """{"openapi": "3.1.0",
 "servers": [{"url": "{scheme}://tea.example/v1", "variables": {"scheme": {"default": "https"}}}, {"url": "/v0"}],
 "paths": {"/cups/é": {"post": {}, "parameters": []},
           "/pots": {"servers": [{"url": "/hot"}], "get": {}, "put": {"servers": [{"url": "/"}]}}}}"""
PROTO = """
syntax = "proto3";
package tea.v1;  // the package
/* service Old { rpc Gone(A) returns (B); } */
service Menu {
  option deprecated = true;
  rpc Get(GetRequest) returns (stream Tea) {
    option idempotency_level = NO_SIDE_EFFECTS;  // "service X {"
  }
  rpc Put(Tea) returns (.google.protobuf.Empty);
}
service Cups { rpc Wash (stream Cup) returns (Cup) {} }
"""


def faults(routes: list[Route]) -> list[str]:
    """What sp-validator says to the profile, as text that is parsed again."""
    return [str(fault) for fault in faults_of(yaml.safe_load(model.profile("counter", "shop", routes)))]


def test_an_openapi_2_document() -> None:
    """basePath, extensions of path and operation; literal segments come first, mixed segments are expressions."""
    routes = openapi.routes(SWAGGER, "x")

    assert [route.document() for route in routes] == [
        {"name": "GET /api/teas/mine", "condition": {"method": "GET", "path": "/api/teas/mine"}},
        {
            "name": "GET /api/teas/{id}.json",
            "condition": {"method": "GET", "pathRegex": "/api/teas/[^/]+\\.json"},
        },
        {
            "name": "GET /api/teas/{id}",
            "condition": {"method": "GET", "path": "/api/teas/{id}"},
            "timeout": "300ms",
            "isRetryable": True,
        },
        {
            "name": "DELETE /api/teas/{id}",
            "condition": {"method": "DELETE", "path": "/api/teas/{id}"},
            "timeout": "300ms",
        },
    ]
    assert faults(routes) == []


def test_an_openapi_3_document() -> None:
    """Paths begin with the path of the first server of operation, path or document; its variables have their defaults;
    JSON is YAML; requests are percent-encoded."""
    found = [Route("PUT", "/pots"), Route("GET", "/hot/pots"), Route("POST", "/v1/cups/%C3%A9")]
    assert openapi.routes(OPENAPI, "x") == found


def test_a_path_may_be_kept_elsewhere_in_the_document() -> None:
    """By `$ref`; what stands beside it goes before."""
    text = """
openapi: 3.1.0
paths:
  /teas: {$ref: "#/components/pathItems/the~1teas", x-weft-timeout: 1s}
  /cups: {$ref: "#/paths/~1pots"}
  /pots: {get: {}}
components:
  pathItems:
    the/teas: {x-weft-timeout: 2s, x-weft-retryable: true, get: {}}
"""
    found = [Route("GET", "/teas", timeout="1s", retryable=True), Route("GET", "/cups"), Route("GET", "/pots")]
    assert openapi.routes(text, "x") == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "x is no OpenAPI 2.0 or 3.x document with paths"),
        ("openapi: 3.0.0", "x is no OpenAPI 2.0 or 3.x document with paths"),
        ("[", "x is neither YAML nor JSON"),
        ("openapi: 4.0\npaths: {}", "x is no OpenAPI 2.0 or 3.x document with paths"),
        ("paths: {}", "x is no OpenAPI 2.0 or 3.x document with paths"),
        ("openapi: 3.0.0\npaths: {}", "x has no operations: its paths are empty"),
        ("openapi: 3.0.0\npaths: {/teas: {parameters: []}}", "x has no operations: its paths are empty"),
        ("openapi: 3.0.0\npaths: {teas: {get: {}}}", "path teas of x does not begin with /"),
        ("openapi: 3.0.0\npaths: {1: {get: {}}}", "path 1 of x does not begin with /"),
        (
            'openapi: 3.0.0\npaths: {/a: {x-weft-retryable: "true", get: {}}}',
            "x-weft-retryable of GET /a is 'true', not true or false",
        ),
        ("openapi: 3.0.0\npaths: {/teas: {$ref: teas.yaml}}", "path /teas of x is in teas.yaml, which the document"),
        ('openapi: 3.0.0\npaths: {/teas: {$ref: "#/a/b"}}', "path /teas of x is in #/a/b, which the document"),
        ('openapi: 3.0.0\npaths: {/a: {$ref: "#/paths/~1a"}}', "path /a of x is in #/paths/~1a, which the document"),
    ],
)
def test_what_gives_no_routes_is_said(text: str, reason: str) -> None:
    """One line with the next step; no path is left out in silence, no extension ignored."""
    with pytest.raises(Failure, match=re.escape(reason)):
        openapi.routes(text, "x")


def test_a_proto_file() -> None:
    """Every method of every service outside comments; idempotent ones may be retried."""
    assert protobuf.routes(PROTO, "x") == [
        Route("POST", "/tea.v1.Menu/Get", retryable=True),
        Route("POST", "/tea.v1.Menu/Put"),
        Route("POST", "/tea.v1.Cups/Wash"),
    ]


def learned(*paths: str, limit: int = 20) -> list[str]:
    """Templates learned from GET requests."""
    learner = Learner()
    for path in paths:
        learner.add("GET", path)
    return [route.path for route in learner.routes(limit)]


def test_ids_become_parameters() -> None:
    """Numbers, UUIDs, hashes and addresses, each named after what it is one of."""
    assert learned(
        "/teas/17/cups/0190163d-8694-739b-aea5-966c26f8ad91?hot=1",
        "/teas/4",
        "/files/9f86d081884c7d65",
        "/mail/a@b.example",
        "/api/v1/teas",
        "/healthz",
    ) == ["/healthz", "/api/v1/teas", "/files/{file}", "/mail/{id}", "/teas/{tea}", "/teas/{tea}/cups/{cup}"]


def test_many_words_in_one_place_are_a_parameter() -> None:
    """Names of teas are chosen by users, names of pages by developers."""
    teas = [
        f"/teas/{name}/price" for name in ("sencha", "chai", "oolong", "matcha", "assam", "puer", "mint", "rooibos")
    ]
    assert len(teas) == MANY
    assert len(learned(*teas)) == MANY
    assert learned(*teas, "/teas/hojicha/price", "/pages/about") == ["/pages/about", "/teas/{tea}/price"]


def test_the_most_frequent_are_kept() -> None:
    """Of more templates than wanted."""
    assert learned("/a", "/b", "/b", "/c", "/c", limit=2) == ["/b", "/c"]


def test_memory_is_bounded() -> None:
    """Whatever the traffic; what is left out is counted."""
    learner = Learner()
    for number in range(MAX_PATHS + 5):
        learner.add("GET", "/p/" + "".join("abcdefghij"[int(digit)] for digit in str(number)))
    assert (learner.requests, learner.left_out) == (MAX_PATHS + 5, 5)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PROPFIND", "/teas"), ("OPTIONS", "*"), ("CONNECT", ""), ("CONNECT", "/teas"), ("GET", ""),
        ("GET", "/teas" * 100), ("GET", "/a" * (MAX_SEGMENTS + 1)),
    ],
)  # fmt: skip
def test_what_no_profile_holds_is_left_out(method: str, path: str) -> None:
    """The mesh would refuse all of it for one such route; and it is counted."""
    learner = Learner()
    learner.add(method, path)
    assert (learner.routes(20), learner.requests, learner.left_out) == ([], 1, 1)


def test_the_longest_templates_are_sound() -> None:
    """With a name for each parameter."""
    pairs = MAX_SEGMENTS // 2
    learner = Learner()
    learner.add("GET", f"/{'s' * (MAX_LENGTH // pairs - 4)}/17" * pairs)
    learner.add("GET", "/17" * MAX_SEGMENTS)
    assert (learner.left_out, faults(learner.routes(20))) == (0, [])


SEGMENTS = st.text("ab1{}%. é@*", max_size=4) | st.sampled_from(["teas", "17", "new", "api"])


@given(st.lists(st.tuples(st.sampled_from(["GET", "POST"]), st.lists(SEGMENTS, max_size=4)), min_size=1, max_size=40))
def test_every_learned_profile_is_sound_and_matches_what_came(requests: list[tuple[str, list[str]]]) -> None:
    """The mesh takes it, and each request has its route, if none is left out."""
    learner = Learner()
    for method, segments in requests:
        learner.add(method, "/" + "/".join(segments))

    routes = learner.routes(500)

    assert faults(routes) == []
    for method, segments in requests:
        path = "/" + "/".join(segments)
        patterns = [path_regex(route.path) for route in routes if route.method == method]
        assert any(re.fullmatch(pattern, path) for pattern in patterns)


def test_the_template_is_sound() -> None:
    """It can be applied as it is."""
    document: Any = yaml.safe_load(model.template("counter", "shop"))
    assert faults_of(document) == []


def test_weft_profile_prints_what_can_be_applied(weft: Any, tmp_path: Any, same: Any) -> None:
    """With the Service's name and namespace."""
    file = tmp_path / "tea.proto"
    file.write_text(PROTO)

    same("profile.txt", weft("-n", "shop", "profile", "menu", "--proto", str(file)).stdout)


def test_one_source_is_wanted(weft: Any) -> None:
    """Not none, not two."""
    for arguments in ([], ["--template", "--proto", "x"]):
        assert "Give one of --open-api, --proto and --template." in weft("profile", "menu", *arguments).stderr
