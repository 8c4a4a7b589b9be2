"""Regular expressions as the proxy understands them, checked without being run. Pure.

Allowed is what Rust's `regex`, RE2 and Python's `re` read alike, so every part of weft agrees on what a pattern means:
no look-around, no backreferences, nothing that takes more than linear time. Patterns match whole paths.
"""

import re
from typing import NoReturn
from urllib.parse import quote

MAX_SIZE = 2000
"""In states, roughly. The proxy compiles patterns to at most 256 KiB, and a state takes up to 130 bytes."""

MAX_DEPTH = 50
MAX_REPEAT = 1000
MAX_HINT = 100
QUANTIFIERS = ("*", "+", "?", "{")

_PLACES = "bBA"
_CLASSES = "dDsSwW"
_CONTROLS = "nrtfva"
_ADVICE = {
    "z": " (patterns match whole paths: leave it out)",
    "Z": " (patterns match whole paths: leave it out)",
    "p": " (list the characters, like [a-z])",
    "P": " (list the characters, like [^a-z])",
    "Q": " (escape each character instead)",
}
_UNSUPPORTED = {
    "?=": "look-ahead (put a route for the exception first)",
    "?!": "look-ahead (put a route for the exception first)",
    "?<=": "look-behind (put a route for the exception first)",
    "?<!": "look-behind (put a route for the exception first)",
    "?>": "atomic group",
    "?(": "conditional group",
    "?P=": "backreference",
    "?P>": "recursion",
    "?R": "recursion",
    "?#": "comment",
}


class PatternError(ValueError):
    """What is wrong, at which character (from 0), and what may have been meant."""


def check_pattern(pattern: str) -> int:
    """The pattern's size in states, roughly; PatternError when the proxy would not take it."""
    flags = re.match(r"\(\?[ims]+\)", pattern)
    parser = _Parser(pattern, flags.end() if flags else 0)
    size = parser.alternatives(0)
    if parser.peek() == ")":
        parser.fail("unmatched )", hint="\\)")
    return size


class _Parser:
    """Recursive descent; every method reads one construct at `at` and returns its size."""

    def __init__(self, pattern: str, at: int) -> None:
        self.text = pattern
        self.at = at

    def peek(self, length: int = 1) -> str:
        """The next characters; fewer at the end."""
        return self.text[self.at : self.at + length]

    def take(self) -> str:
        """The next character, read."""
        character = self.peek()
        self.at += 1
        return character

    def fail(self, reason: str, at: int | None = None, hint: str = "") -> NoReturn:
        """Gives up, at a place."""
        meant = f"; did you mean {hint}?" if 0 < len(hint) <= MAX_HINT else ""
        raise PatternError(f"{reason} at {self.at if at is None else at}{meant}")

    def alternatives(self, depth: int) -> int:
        """Branches between `|`, up to `)` or the end."""
        if depth > MAX_DEPTH:
            self.fail(f"groups nested more than {MAX_DEPTH} deep")
        size = 1
        while self.peek() not in ("", ")"):
            start = self.at
            size += self.repeated(self.atom(depth), start)
            if size > MAX_SIZE:
                self.fail(f"more than {MAX_SIZE} states (repetitions of repetitions)", start)
        return size

    def atom(self, depth: int) -> int:
        """One thing, of size 0 where no quantifier may follow: it matches a place, not a character."""
        match self.peek():
            case "(":
                return self.group(depth)
            case "[":
                return self.set()
            case "|":
                self.take()
                return 1 if self.peek() not in QUANTIFIERS else 0
            case "\\":
                return self.escape(_CLASSES + _PLACES)
            case "*" | "+" | "?" as quantifier:
                self.fail(f"nothing to repeat before {quantifier}", hint="\\" + quantifier)
            case "{":
                self.fail("nothing to repeat before {", hint="\\{")
        return self.literal()

    def literal(self) -> int:
        """A character that stands for itself, or for a place (`^`, `$`), or for any (`.`)."""
        character = self.peek()
        if not character.isascii():
            self.fail(f"{character} is never in a path, only percent-encoded", hint=quote(character))
        self.at += 1
        return 0 if character in "^$" else 1

    def group(self, depth: int) -> int:
        """`(…)`, `(?:…)`, `(?i:…)`, `(?P<name>…)`."""
        start = self.at
        self.take()
        if self.peek() == "?":
            self.prefix(start)
        size = self.alternatives(depth + 1)
        if self.take() != ")":
            self.fail("unterminated group", start, self.text + ")")
        return size

    def prefix(self, start: int) -> None:
        """What follows `(` of a group that is more than a group."""
        for opening, name in _UNSUPPORTED.items():
            if self.text.startswith(opening, self.at):
                self.fail(f"unsupported {name}", start)
        if self.peek(3) == "?P<":
            self.group_name(start)
            return
        scoped = re.compile(r"\?[ims]*:").match(self.text, self.at)
        if not scoped:
            self.fail("a group of unknown kind", start, "(?:")
        self.at = scoped.end()

    def group_name(self, start: int) -> None:
        """`?P<name>`."""
        self.at += 3
        end = self.text.find(">", self.at)
        name = self.text[self.at : max(end, self.at)]
        if not (name.isascii() and name.isidentifier()):
            self.fail("a group without a proper name", start, "(?P<name>…)")
        if self.text.count(f"(?P<{name}>") > 1:
            self.fail(f"two groups named {name}", start)
        self.at = end + 1

    def repeated(self, size: int, start: int) -> int:
        """The quantifier after an atom, if there is one."""
        quantifier = self.peek()
        if quantifier not in QUANTIFIERS:
            return size
        if size == 0:
            self.fail(f"nothing to repeat before {quantifier}")
        times = self.counted() if quantifier == "{" else 1
        self.at += quantifier != "{"
        self.at += self.peek() == "?"
        if self.peek() in QUANTIFIERS:
            self.fail(f"a second quantifier {self.peek()}", hint=f"(?:{self.text[start : self.at]}){self.peek()}")
        return size * times + 1

    def counted(self) -> int:
        """`{3}`, `{3,}` and `{3,5}`; the larger number."""
        start = self.at
        end = self.text.find("}", start)
        low, comma, high = self.text[start + 1 : max(end, start)].partition(",")
        if not _is_count(low) or (high and not _is_count(high)):
            self.fail("{ is not followed by a count", start, "\\{")
        most = int(high or low)
        if most > MAX_REPEAT:
            self.fail(f"more than {MAX_REPEAT} repetitions", start)
        if comma and high and int(high) < int(low):
            self.fail("a range of repetitions backwards", start, f"{{{high},{low}}}")
        self.at = end + 1
        return max(most, 1)

    def escape(self, classes: str) -> int:
        """`\\` and what it makes special or plain; `classes` are those letters that may stand here."""
        start = self.at
        self.take()
        character = self.take()
        if not character:
            self.fail("nothing after \\", start, "\\\\")
        if character in classes:
            return 0 if character in _PLACES else 1
        if character == "x":
            return self.hexadecimal(start)
        if character.isdigit() or character in "kg":
            self.fail("unsupported backreference", start)
        if character.isalpha() and character not in _CONTROLS:
            self.fail(f"unknown escape \\{character}{_ADVICE.get(character, '')}", start)
        if not character.isascii() or character in "<> ":
            self.fail(f"{character!r} needs no \\", start)
        return 1

    def hexadecimal(self, start: int) -> int:
        """Two digits after `\\x`."""
        digits = self.peek(2)
        if not re.fullmatch("[0-7][0-9a-fA-F]", digits):
            self.fail("\\x is not followed by 00-7F", start, "\\x2F")
        self.at += 2
        return 1

    def set(self) -> int:
        """`[a-z_]`, `[^/]`."""
        start = self.at
        self.take()
        if self.peek() == "^":
            self.take()
        members = 0
        while members == 0 or self.peek() != "]":
            if not self.peek():
                self.fail("unterminated [", start, self.text + "]")
            self.member(first=members == 0)
            members += 1
        self.take()
        return 1 + members // 2

    def member(self, *, first: bool) -> None:
        """A character, a class like `\\d`, or a range of characters."""
        start = self.at
        if self.peek() == "[" or (first and self.peek() == "]"):
            self.fail(f"plain {self.peek()} within [ ]", hint="\\" + self.peek())
        if self.peek(2) in ("&&", "--", "~~", "||"):
            self.fail(f"plain {self.peek(2)} within [ ]", hint="\\" + self.peek())
        low = self.end_of_range()
        if self.peek() != "-" or self.peek(2) in ("-]", "-"):
            return
        self.take()
        if self.peek() in ("[", "-"):
            self.fail(f"{self.peek()} as the end of a range", hint="\\" + self.peek())
        high = self.end_of_range()
        if low is None or high is None:
            self.fail("a class as the end of a range", start, "\\-")
        if high < low:
            self.fail("a range backwards", start, f"{high}-{low}")

    def end_of_range(self) -> str | None:
        """A character; None for a class."""
        start = self.at
        if self.peek() != "\\":
            self.literal()
            return self.text[start]
        self.escape(_CLASSES)
        spelled = self.text[start + 1 : self.at]
        if spelled in _CLASSES:
            return None
        if spelled[0] == "x":
            return chr(int(spelled[1:], 16))
        return dict(zip(_CONTROLS, "\n\r\t\f\v\a", strict=True)).get(spelled, spelled)


def _is_count(word: str) -> bool:
    return 0 < len(word) <= 5 and word.isascii() and word.isdigit()
