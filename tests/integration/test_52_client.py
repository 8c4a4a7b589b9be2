"""The Python client: its page's examples, as they stand there."""

import re
import sys

from lab import ROOT, eventually, run


def test_the_examples_of_the_page_run(teahouse: None) -> None:
    """All of docs/client.md that needs no server of somebody else, one after the other."""
    page = (ROOT / "docs/client.md").read_text()
    examples = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert eventually(lambda: "menu" in run(sys.executable, "-c", examples).stdout.split(), every=5)
