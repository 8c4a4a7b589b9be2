"""Where the memory of a service goes before it does anything: resident kilobytes that each package adds when imported,
its own dependencies apart. In the pod, so that its interpreter and its libraries count:

    kubectl -n weft exec -i deploy/destination -c destination -- python - weft_destination.app < tests/scale/imports.py
"""

import collections
import importlib
import sys
from importlib import _bootstrap  # type: ignore[attr-defined]
from typing import Any

PAGE_KB = 4
stack: list[int] = []
own: collections.Counter[str] = collections.Counter()
load = _bootstrap._find_and_load_unlocked


def rss_kb() -> int:
    """Resident memory now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE_KB


def measured(name: str, import_: Any) -> Any:
    """Loads a module; what it adds beyond the modules that it loads itself is its package's."""
    before = rss_kb()
    stack.append(0)
    try:
        return load(name, import_)
    finally:
        added = rss_kb() - before
        own[name.partition(".")[0]] += added - stack.pop()
        if stack:
            stack[-1] += added


start = rss_kb()
_bootstrap._find_and_load_unlocked = measured
importlib.import_module(sys.argv[1])
print(f"{start:8} python itself")
for package, kb in own.most_common(20):
    print(f"{kb:8} {package}")
print(f"{rss_kb():8} together")
