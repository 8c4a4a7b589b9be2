"""`--watch`: a question asked again and again, whatever becomes of web meanwhile."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from weft.errors import Failure
from weft.watching import CLEAR, repeat
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import pod

PATH = "/api/v1/edges?kind=deployment&namespace=teahouse&window=60s"
WATCH = ("viz", "edges", "deploy", "--watch", "-o", "json")
GOOD: Any = (200, {"window_seconds": 60, "rows": [{"rps": 1.0}], "warnings": []})
AGAIN = "Asking again every 2 s, until Ctrl-C.\n"
Between = Callable[..., None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """What happens between one round and the next; after the last, Ctrl-C."""

    def happens(*changes: Callable[[], object]) -> None:
        left = iter(changes)

        def sleep(_: float) -> None:
            change = next(left, None)
            if change is None:
                raise KeyboardInterrupt
            change()

        monkeypatch.setattr("weft.watching.time.sleep", sleep)

    return happens


def web_pod(name: str) -> dict[str, Any]:
    """A ready one."""
    found = pod("weft", name, labels={"weft.dev/component": "web"})
    found["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return found


@pytest.mark.usefixtures("forwarded")
def test_watch_asks_again_until_interrupted(weft: Any, answers: Any, between: Between) -> None:
    """Piped, one answer follows the other."""
    answers[PATH] = GOOD
    between(lambda: None, lambda: None)
    result = weft(*WATCH)
    assert (result.exit_code, result.stdout.count('"window_seconds"')) == (0, 3)
    assert json.loads(result.stdout[: len(result.stdout) // 3]) == GOOD[1]


@pytest.mark.usefixtures("forwarded")
def test_an_answer_that_fails_is_told_and_asked_for_again(weft: Any, answers: Any, between: Between) -> None:
    """In one line on stderr, whatever web says; what it answers next is shown."""
    answers[PATH] = GOOD
    refusal = {"error": {"code": "busy", "message": "too many ask", "hint": "ask later"}}
    outcomes = [(503, refusal), (503, b"overloaded"), (200, b"<html>"), GOOD]
    between(*(lambda outcome=outcome: answers.update({PATH: outcome}) for outcome in outcomes))
    result = weft(*WATCH)
    assert (result.exit_code, result.stdout.count('"window_seconds"')) == (0, 2)
    broken = "web does not answer as it should: Expecting value: line 1 column 1 (char 0)"
    assert result.stderr == "".join(f"weft: {what}. {AGAIN}" for what in ("too many ask", "overloaded", broken)) + "\n"


@pytest.mark.usefixtures("forwarded")
def test_an_answer_that_lacks_something_is_shown_and_told(weft: Any, answers: Any, between: Between) -> None:
    """Prometheus is away for a round: what web knows without it is there."""
    answers[PATH] = GOOD
    lacking = (200, {**GOOD[1], "warnings": ["Prometheus does not answer"]})
    between(lambda: answers.update({PATH: lacking}), lambda: answers.update({PATH: GOOD}))
    result = weft(*WATCH)
    assert (result.exit_code, result.stdout.count('"window_seconds"')) == (0, 3)
    assert f"weft: Prometheus does not answer. {AGAIN}" in result.stderr


def test_watch_goes_on_with_the_pod_that_web_runs_in_now(
    weft: Any, kube: FakeKube, pods: dict[str, Any], between: Between
) -> None:
    """While none is ready that is told; each round takes a connection of its own."""
    kube.put(web_pod("web-1"))
    pods["weft/web-1:8084"] = {PATH: GOOD}

    def gone() -> None:
        del pods["weft/web-1:8084"]

    def deleted() -> None:
        kube.delete(web_pod("web-1"))

    def back() -> None:
        kube.put(web_pod("web-2"))
        pods["weft/web-2:8084"] = {PATH: GOOD}

    between(gone, deleted, back)
    result = weft(*WATCH)
    told = [line for line in result.stderr.splitlines(keepends=True) if line.startswith("weft: ")]
    assert (result.exit_code, result.stdout.count('"window_seconds"')) == (0, 2)
    assert told == [
        f"weft: web does not answer as it should: nobody listens at weft/web-1:8084. {AGAIN}",
        f"weft: no pod of web is ready in namespace weft. {AGAIN}",
    ]


@pytest.mark.usefixtures("forwarded")
def test_a_first_answer_that_fails_ends_the_watch(weft: Any, answers: Any, between: Between) -> None:
    """As without --watch: a wrong name does not become right by asking again."""
    between(lambda: None)
    answers[PATH] = (400, {"error": {"code": "bad", "message": "no such kind", "hint": "use deploy"}})
    results = [weft(*WATCH), weft(*(word for word in WATCH if word != "--watch"))]
    assert [(result.exit_code, result.stderr) for result in results] == [(1, "weft: no such kind. use deploy\n")] * 2


def test_on_a_terminal_each_answer_takes_the_place_of_the_one_before(
    between: Between, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So does the line of one that fails; under what was shown of an answer it stands below that."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    between(*[lambda: None] * 3)

    answers: Iterator[Any] = iter(["one", Failure("web is away", "See `weft check`."), "half", "two"])

    def ask() -> str:
        if isinstance(answer := next(answers), Failure):
            raise answer
        return str(answer)

    def show(answer: str) -> None:
        print(answer)
        if answer == "half":
            raise Failure("the other half is missing")

    repeat(ask, show, watch=True)
    screens = ["", "one\n", f"weft: web is away. {AGAIN}", f"half\nweft: the other half is missing. {AGAIN}", "two\n"]
    assert capsys.readouterr().out.split(CLEAR) == screens
