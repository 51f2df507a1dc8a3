"""Rules about how pictures come out as the squares that a model sees."""

from __future__ import annotations

from core.doctor.rule import Rule, Sign
from core.doctor.signs import Signs
from core.records.findings import Remedy

CUT_AWAY = 0.34
"""Share of the median picture's area beyond its middle square from which on much is cut away: photos of 3 : 2 have just less."""

SOME_FLAT, MANY_FLAT = 0.01, 0.1
"""Shares of pictures without contrast that are noted, and that are a warning."""


def cut_away(signs: Signs) -> Sign | None:
    """The middle square of long pictures is all that is used."""
    seen = signs.facts.appearance
    if seen is None or signs.config.fit != "crop" or seen.beyond < CUT_AWAY:
        return None
    return Sign(
        "warning",
        f"Of each picture the middle square is used (fit crop). {100 * seen.beyond:.0f} % of the area of the median picture lies beyond it, is cut "
        f"away and never seen: half of the {seen.pictures:,} pictures lose as much, or more.",
        Remedy(
            "Use all of each picture (fit pad): in its own shape, with black at two sides. Or press it together (fit squash), where shapes "
            "matter less than details.",
            "",
            {"fit": "pad"},
        ),
    )


def flat_pictures(signs: Signs) -> Sign | None:
    """Pictures on which nothing can be seen."""
    seen = signs.facts.appearance
    if seen is None or seen.flat < SOME_FLAT * seen.pictures or seen.flat == 0:
        return None
    return Sign(
        "warning" if seen.flat >= MANY_FLAT * seen.pictures else "note",
        f"{seen.flat:,} of {seen.pictures:,} pictures come out in as good as one colour: no channel has values that are 16 of 256 levels apart, so "
        "there is next to nothing to learn from.",
        Remedy(
            "Look at some of them. Masks and instruments often write small numbers (0, 1, 2 ...) that all look black: save them with their values "
            "spread over 0 to 255. A few pictures with far larger values than all others have the same effect on those with more than 8 bits."
        ),
    )


RULES = (
    Rule(
        "much cut away", "Much of each picture is cut away", "the shape of the pictures, where their middle square is used",
        "Pictures whose subject is always in the middle.", cut_away, hold=1,
    ),
    Rule(
        "flat pictures", "Pictures without contrast", "the lowest and the highest value of each picture, as the model sees it",
        "Pictures that are of one colour by nature: colour samples, empty fields.", flat_pictures, hold=1,
    ),
)  # fmt: skip
