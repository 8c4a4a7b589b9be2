"""Run checks in order, repeat those that may become true, stop after a fatal one."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from weft.checks.model import Category, Check, CheckFailedError, CheckSkippedError, Result, Scene
from weft.errors import Failure

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def run(
    categories: Iterable[Category],
    scene: Scene,
    wait: float,
    progress: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
) -> Iterator[Result]:
    """Results as they come. `wait` seconds from now, nothing is repeated any more."""
    clock = clock or Clock()
    deadline = clock.now() + wait
    for category in categories:
        for check in category.checks:
            progress(check.description)
            started = clock.now()
            try:
                error, hint = _attempt(check, scene, deadline, progress, clock)
            except CheckSkippedError:
                continue
            yield _result(category.name, check, error, hint, clock.now() - started)
            if error and check.fatal:
                return


def _attempt(
    check: Check, scene: Scene, deadline: float, progress: Callable[[str], None], clock: Clock
) -> tuple[str, str]:
    """Why the check fails and what to do, or nothing; what could not even be looked at has a nearer next step."""
    while True:
        try:
            check.probe(scene)
        except CheckFailedError as failed:
            error, hint = str(failed), check.hint
        except Failure as failure:
            error, hint = failure.message, failure.step or check.hint
        else:
            return "", ""
        if not check.retry or clock.now() >= deadline:
            return error, hint
        progress(f"{check.description}: {error}")
        clock.sleep(RETRY_SECONDS)


def _result(category: str, check: Check, error: str, hint: str, seconds: float) -> Result:
    outcome = "success" if not error else "warning" if check.warning else "error"
    return Result(category, check.id, check.description, outcome, error, hint, round(seconds, 3))
