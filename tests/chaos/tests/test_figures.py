"""What is written of scenarios is what came of them."""

from figures import Attempt, figures, line, stored

BEFORE = {"sent": 110, "ok": 100, "failed": {"503": 2}}
AFTER = {"sent": 700, "ok": 690, "failed": {"503": 2, "TimeoutError()": 3}}
HELD = Attempt(True, 61.4, "3 rollouts, 300 requests")
LOST = Attempt(False, 20.2, "failed requests: {'TimeoutError()': 3}\nand how it came")


def test_repetitions_are_counted_together_and_each_has_its_say() -> None:
    """Requests are those of this scenario alone, failed ones among them."""
    assert figures([HELD, LOST], BEFORE, AFTER, rate=200) == {
        "held": False,
        "repeats": 2,
        "duration_s": 82,
        "rate": 200,
        "requests": 593,
        "failed": 3,
        "said": ["3 rollouts, 300 requests", "failed requests: {'TimeoutError()': 3}"],
    }


def test_a_scenario_holds_when_each_repetition_does() -> None:
    """Nothing lost."""
    found = figures([HELD, HELD], BEFORE, BEFORE, rate=50)
    assert (found["held"], found["requests"], found["failed"]) == (True, 0, 0)


def test_what_is_stored_is_the_newest_and_what_was_not_asked_for_stays() -> None:
    """A scenario that no longer holds does not keep the figures of when it did."""
    known = {"rollouts": {"held": True}, "injector-down": {"held": True}}
    assert list(stored(known, "rollouts", {"held": False}).items()) == [
        ("injector-down", {"held": True}),
        ("rollouts", {"held": False}),
    ]


def test_a_repetition_is_told_in_a_line() -> None:
    """With how long it took."""
    assert line("rollouts", HELD) == "√ rollouts 61 s: 3 rollouts, 300 requests"
