"""The one error that a person can mend: a value that cannot be used. Imports nothing of the project but what cuts a message."""

from __future__ import annotations

from core.config.limits import LONGEST_NAME, cut


class ConfigError(ValueError):
    """A value that cannot be used. `field` is the name of the config field, `message` says what is wrong and what to do."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field[:LONGEST_NAME]
        self.message = cut(message)
        super().__init__(f"{self.field}: {self.message}")

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        return type(self), (self.field, self.message)


class Cancelled(Exception):
    """Nobody waits for the answer any more."""
