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
                error = _attempt(check, scene, deadline, progress, clock)
            except CheckSkippedError:
                continue
            yield _result(category.name, check, error, clock.now() - started)
            if error and check.fatal:
                return


def _attempt(check: Check, scene: Scene, deadline: float, progress: Callable[[str], None], clock: Clock) -> str:
    """Why the check fails, or nothing."""
    while True:
        try:
            check.probe(scene)
        except CheckFailedError as failed:
            error = str(failed)
        except Failure as failure:
            error = failure.format_message()
        else:
            return ""
        if not check.retry or clock.now() >= deadline:
            return error
        progress(f"{check.description}: {error}")
        clock.sleep(RETRY_SECONDS)


def _result(category: str, check: Check, error: str, seconds: float) -> Result:
    outcome = "success" if not error else "warning" if check.warning else "error"
    hint = check.hint if error else ""
    return Result(category, check.id, check.description, outcome, error, hint, round(seconds, 3))
