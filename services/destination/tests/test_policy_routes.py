"""Routes as targets of policies: what a pod's proxy can tell of them, and the word when it cannot."""

import pytest
from weft_destination.gateway.model import BackendRef, RankedMatch, Rule
from weft_destination.policy.model import Call, RouteCalls
from weft_destination.policy.model import Path as Kind
from weft_destination.policy_routes import Named, of_profile, of_rule, route_calls
from weft_destination.route import Match, Path, PathChange, Rewrite, Route, ValueMatch

HEADER = (ValueMatch("x-beta", "1"),)


def rule(name: str, *matches: Match, **more: object) -> Rule:
    """A rule of a route."""
    return Rule(name, tuple(RankedMatch((0,), match) for match in matches), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("match", "call"),
    [
        (Match(), Call()),
        (Match(method="GET"), Call("GET")),
        (Match(Path.EXACT, "/tea/%67reen", "GET"), Call("GET", Kind.EXACT, "/tea/green")),
        (Match(Path.PREFIX, "/tea"), Call("", Kind.PREFIX, "/tea")),
        (Match(Path.REGEX, "/tea/[^/]+/cups"), Call("", Kind.TEMPLATE, "/tea/{}/cups")),
        (Match(Path.REGEX, r"/tea\.v1\.Menu/List"), Call("", Kind.EXACT, "/tea.v1.Menu/List")),
        (Match(Path.REGEX, "/[^/]+/List"), Call("", Kind.TEMPLATE, "/{}/List")),
        (Match(Path.REGEX, "/.*"), Call()),
    ],
)
def test_requests_of_a_route_are_method_and_path(match: Match, call: Call) -> None:
    """Whatever way a route says it, policies compare what is percent-decoded."""
    assert route_calls("web", "r/0", [of_rule("r", rule("r/0", match))]) == RouteCalls((call,))


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        (of_rule("r", rule("r/0", Match(headers=HEADER))), "does not say by method and path alone"),
        (of_rule("r", rule("r/0", Match(), Match(queries=HEADER))), "does not say by method and path alone"),
        (of_rule("r", rule("r/0", Match(Path.REGEX, "/tea-[0-9]+"))), "does not say by method and path alone"),
        (of_rule("r", rule("r/0", Match(Path.EXACT, "/a/../b"))), "does not say by method and path alone"),
        (of_rule("r", rule("r/0")), "does not say by method and path alone"),
        (
            of_rule("r", rule("r/0", Match(Path.PREFIX, "/v1"), filters=(Rewrite(path=PathChange("/v2", True)),))),
            "rewrites paths, so its pods see others than it names",
        ),
        (
            of_rule(
                "r",
                rule(
                    "r/0",
                    Match(),
                    backends=(BackendRef("shop", "web", 80, filters=(Rewrite(path=PathChange("/", False)),)),),
                ),
            ),
            "rewrites paths, so its pods see others than it names",
        ),
        (of_rule("tea", rule("tea/0", Match())), "there is no route 'r/0' of Service web"),
        (of_rule("r", rule("r/1", Match())), "there is no route 'r/0' of Service web (did you mean r/1?)"),
    ],
)
def test_a_policy_says_why_it_cannot_know_a_route(named: Named, fault: str) -> None:
    """Nothing of such a route is matched, and the policy's status tells why."""
    found = route_calls("web", "r/0", [named])

    assert (found.calls, fault in found.fault) == ((), True)


def test_a_route_is_all_its_rules() -> None:
    """An attached route by its own name is every rule of it; a rule goes by the name that metrics have."""
    rules = [rule("r/0", Match(Path.EXACT, "/a")), rule("r/list", Match(Path.EXACT, "/b"), Match(Path.EXACT, "/a"))]
    routes = [*(of_rule("r", one) for one in rules), of_profile(Route("all"))]
    a, b = Call("", Kind.EXACT, "/a"), Call("", Kind.EXACT, "/b")

    found = [route_calls("web", name, routes).calls for name in ("r", "r/0", "r/list", "all")]

    assert found == [(a, b), (a,), (b, a), (Call(),)]
