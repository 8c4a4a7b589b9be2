"""What the public API answers when it cannot: a code that stays, a message, and the next step."""


class Fault(Exception):  # noqa: N818 - a refusal of a request is not a programme's error
    """Refuses a request; becomes {"error": {"code", "message", "hint"}} with the HTTP status."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


def bad_parameter(name: str, message: str, hint: str = "") -> Fault:
    """A query parameter that cannot be understood."""
    return Fault(400, "bad_parameter", f"parameter {name!r}: {message}", hint)
