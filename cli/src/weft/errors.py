"""Failures that users can act on: one line with the cause and the next step, exit code 1."""

from typing import IO, Any

import click


class Failure(click.ClickException):
    """An expected failure. `step` says what to do next."""

    def __init__(self, cause: str, step: str = "") -> None:
        super().__init__(" ".join(cause.split()))
        self.step = step

    def format_message(self) -> str:
        """Cause and next step in one line."""
        return f"{self.message.rstrip('.')}. {self.step}" if self.step else self.message

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on stderr."""
        click.echo(f"weft: {self.format_message()}", file=file, err=file is None)


class ApiError(Failure):
    """The Kubernetes API refused a request."""

    def __init__(self, status: int, cause: str, step: str = "") -> None:
        super().__init__(cause, step)
        self.status = status
