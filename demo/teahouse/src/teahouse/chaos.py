"""Faults that are there on purpose, each a probability that can be changed while the house is open."""

import os
import random
from collections.abc import Mapping

DEFAULTS = {"oolong": 1.0, "slow": 0.03}
"""`oolong`: BrewOolong fails; `slow`: a call to loyalty takes SLOW_SECONDS."""

SLOW_SECONDS = 1.2


class Chaos:
    """The faults of one process. Seeded, so a run can be repeated."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.faults = {name: float(environ.get(f"CHAOS_{name.upper()}", p)) for name, p in DEFAULTS.items()}
        self._random = random.Random(int(environ.get("SEED", "0")))  # noqa: S311

    def strikes(self, name: str) -> bool:
        """Whether the fault happens this time."""
        return self._random.random() < self.faults[name]

    def change(self, wanted: Mapping[str, object]) -> dict[str, float]:
        """Sets probabilities; ValueError names what is not a fault or not within 0..1. Returns all of them."""
        for name, value in wanted.items():
            if name not in self.faults:
                raise ValueError(f"{name!r} is none of {', '.join(sorted(self.faults))}")
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be within 0 and 1, not {value!r}")
        self.faults |= {name: float(value) for name, value in wanted.items() if isinstance(value, int | float)}
        return self.faults
