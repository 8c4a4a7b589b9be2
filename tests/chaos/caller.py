"""In the cluster: RATE requests a second to URL, every fifth on a connection of its own; each second its totals.

Open loop: a request is sent when it is due, whatever the answers take. A line is
{"sent": n, "ok": n, "failed": {"what was said": n}}.
"""

import asyncio
import json
import os
import signal
from collections import Counter

import aiohttp

RATE, URL = float(os.environ["RATE"]), os.environ["URL"]
FRESH = 5
SECONDS = aiohttp.ClientTimeout(total=10)

count = Counter(sent=0, ok=0)
failed: Counter[str] = Counter()


async def ask(session: aiohttp.ClientSession) -> None:
    """One request, counted."""
    try:
        async with session.post(URL, json={"prices": [100, 20]}) as response:
            text = await response.text()
            if response.status == 200:
                count["ok"] += 1
            else:
                failed[f"{response.status} {response.headers.get('weft-error', '')} {text[:80]}"] += 1
    except (aiohttp.ClientError, TimeoutError) as error:
        failed[repr(error)[:120]] += 1


async def ask_anew() -> None:
    """On a connection of its own."""
    async with aiohttp.ClientSession(timeout=SECONDS) as session:
        await ask(session)


async def main() -> None:
    """Until SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    due = said = loop.time()
    async with aiohttp.ClientSession(timeout=SECONDS) as session, asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            due += 1 / RATE
            await asyncio.sleep(due - loop.time())
            tasks.create_task(ask(session) if count["sent"] % FRESH else ask_anew())
            count["sent"] += 1
            if loop.time() > said + 1:
                said = loop.time()
                print(json.dumps({**count, "failed": failed}), flush=True)


asyncio.run(main())
