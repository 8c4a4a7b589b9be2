"""crowd: guests, as an open-loop load with Poisson arrivals; the same seed orders the same teas.

RATE requests a second until COUNT were made (0: for ever). Half of them read the menu, half order;
OOLONG of the orders are for oolong. The last line on stdout is the totals as JSON.
"""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from teahouse.chaos import Chaos
from teahouse.frame import open_house, setting
from teahouse.teas import TEAS

REPORT_SECONDS = 10.0
SLOWEST_SECONDS = 10.0
KINDS = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the counter."""

    method: str
    path: str


def calls(rng: random.Random, oolong: float) -> Call:
    """The next request; seeded, so that totals can be told in advance."""
    if rng.random() < 0.5:
        return Call("GET", "/api/menu")
    others = sorted(set(TEAS) - {"oolong"})
    tea = "oolong" if rng.random() < oolong else rng.choice(others)
    return Call("POST", f"/api/orders?tea={tea}&guest=guest{rng.randrange(20)}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for: RATE, COUNT, SEED and OOLONG of the module's head."""

    rate: float = 10.0
    count: int = 0
    seed: int = 1
    oolong: float = 0.15


@dataclass(slots=True)
class Totals:
    """What came back: by method and path without query, by status ("0": no answer)."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """What failed answers said; at most KINDS of them."""

    def add(self, call: Call, status: int, said: str = "") -> None:
        """Counts one answer; of a failed one, what it said."""
        self.seen[f"{call.method} {call.path.partition('?')[0]}", str(status)] += 1
        if status >= 500 or status == 0:
            self.failures[said[:200] if len(self.failures) < KINDS else "…"] += 1

    def as_json(self) -> str:
        """{"requests": n, "by": {"GET /api/menu": {"200": n}}, "failures": {"what was said": n}}"""
        by: dict[str, dict[str, int]] = {}
        for (name, status), count in sorted(self.seen.items()):
            by.setdefault(name, {})[status] = count
        return json.dumps({"requests": sum(self.seen.values()), "by": by, "failures": self.failures})


async def make(session: aiohttp.ClientSession, base: str, call: Call, totals: Totals) -> None:
    """One request, counted when its answer is read."""
    try:
        async with session.request(call.method, base + call.path) as response:
            totals.add(call, response.status, await response.text())
    except (aiohttp.ClientError, TimeoutError) as error:
        totals.add(call, 0, repr(error))


async def crowd(base: str, plan: Plan, stop: asyncio.Event) -> Totals:
    """Makes the requests at their own times, whatever the answers take."""
    rng = random.Random(plan.seed)  # noqa: S311
    totals = Totals()
    loop = asyncio.get_running_loop()
    due = loop.time()
    report = due + REPORT_SECONDS
    made = 0
    timeout = aiohttp.ClientTimeout(total=SLOWEST_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        while not stop.is_set() and (made < plan.count or plan.count == 0):
            due += rng.expovariate(plan.rate)
            await asyncio.sleep(due - loop.time())
            tasks.create_task(make(session, base, calls(rng, plan.oolong), totals))
            made += 1
            if loop.time() > report:
                report += REPORT_SECONDS
                print(totals.as_json(), flush=True)
    return totals


async def serve() -> None:
    """Runs until COUNT or SIGTERM."""
    plan = Plan(
        rate=float(setting("RATE", "10")),
        count=int(setting("COUNT", "0")),
        seed=int(setting("SEED", "1")),
        oolong=float(setting("OOLONG", "0.15")),
    )
    async with open_house(Chaos()) as stop:
        totals = await crowd(setting("COUNTER_URL", "http://counter"), plan, stop)
    print(totals.as_json(), flush=True)
