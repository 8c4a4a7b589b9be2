"""What somebody may have meant by a name that is not there. Pure."""

import difflib
from collections.abc import Collection


def meant(word: str, words: Collection[str]) -> str:
    """ " (did you mean menu?)"; empty when nothing is close."""
    close = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
