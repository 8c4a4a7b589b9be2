"""What `weft explain` knows besides the checks of `weft check`. Pure."""

from weft.explanations.causes import CAUSES
from weft.explanations.proxy import ERRORS, TLS
from weft.explanations.signals import ALERTS, DASHBOARD, EVENTS

EVERY = ERRORS | TLS | CAUSES | EVENTS | ALERTS | DASHBOARD


def text(word: str) -> str:
    """For people, whatever the word's case; empty when it is none of these."""
    known = {name.lower(): name for name in EVERY}
    if (name := known.get(word.lower())) is None:
        return ""
    found = EVERY[name]
    return f"{name}: {found.title}\n\n{found.meaning}\n{found.step}"
