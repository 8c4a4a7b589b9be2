"""What an explanation holds. Pure."""

from typing import NamedTuple


class Explanation(NamedTuple):
    """What a word in an output means, and what to do about it."""

    title: str
    meaning: str
    step: str
