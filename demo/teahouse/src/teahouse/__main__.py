"""`python -m teahouse ROLE`: one image, a role by argument."""

import asyncio
import importlib
import sys

ROLES = ("audit", "cashier", "counter", "crowd", "greeter", "kettle", "loyalty", "menu", "shelf")


def main() -> int:
    """Runs the role until it ends or SIGTERM; returns the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        print(f"usage: python -m teahouse {{{'|'.join(ROLES)}}}", file=sys.stderr)
        return 64
    role = importlib.import_module(f"teahouse.{sys.argv[1]}")
    return asyncio.run(role.serve()) or 0


if __name__ == "__main__":
    raise SystemExit(main())
