"""Where a pair's CPU goes: `python -m proxybench.hotspots weft h1-c64` runs a cell under perf.

Prints the hottest functions of each side; the recordings stay in netns.RUN for `perf report -g`.
"""

import signal
import subprocess
import sys

from proxybench import identities, netns
from proxybench.cells import CELLS
from proxybench.load import Backends
from proxybench.peers import control_plane, start

LINES = 45


def main(peer: str, cell: str) -> None:
    """Prints one list for each side."""
    netns.RUN.mkdir(parents=True, exist_ok=True)
    identities.make()
    netns.up()
    backends = Backends()
    plane = control_plane()
    pair = start(peer)
    try:
        perfs = {side: _record(side, process.pid) for side, process in pair.processes.items()}
        figures = CELLS[cell](pair, backends)
        for side, perf in perfs.items():
            perf.send_signal(signal.SIGINT)
            perf.wait()
            print(f"== {side} {figures}\n{_report(side)}")
    finally:
        pair.close()
        backends.stop()
        for process in plane:
            netns.stop(process)
        netns.down()


def _record(side: str, pid: int) -> subprocess.Popen[bytes]:
    options = ["-q", "-e", "cpu-clock", "-F", "1499", "-g", "-o", str(netns.RUN / f"perf-{side}.data")]
    return subprocess.Popen(["perf", "record", *options, "-p", str(pid)], stderr=subprocess.DEVNULL)


def _report(side: str) -> str:
    options = ["-i", str(netns.RUN / f"perf-{side}.data"), "--no-children", "-g", "none", "--sort", "symbol", "--stdio"]
    listed = subprocess.run(["perf", "report", *options], capture_output=True, text=True, check=True).stdout
    return "\n".join([line for line in listed.splitlines() if "%" in line][:LINES])


if __name__ == "__main__":
    main(*sys.argv[1:])
