"""Changes of what learns, and how fast, in words."""

from __future__ import annotations

from core.config.plans import PRESETS, Change


def change_in_words(text: str, most: int = 6) -> str:
    """A change as `core.config.plans.Change` writes it, in plain words: 'layer4 learns, learning rate 0.0005'. At most `most` parts of it."""
    parts = [_rule(rule) for rule in Change.parse(text).rules]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most:,} more" if len(parts) > most else "")


def _rule(rule: str) -> str:
    name, equals, number = rule.rpartition("=")
    if name == "learning_rate":
        return f"learning rate {float(number):g}"
    if equals:
        return f"{name} learns at x {float(number):g}"
    if rule in PRESETS:
        return f"preset “{rule}”"
    return f"{rule[1:]} learns" if rule.startswith("!") else f"{rule} frozen"
