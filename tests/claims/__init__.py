"""Sentences of Thaw that claim something about torch, statistics, models or data: each with the test that tried it."""

from __future__ import annotations

from dataclasses import dataclass

TRIED_WITH = "2.14"
"""The version of torch that every claim was last looked at with. A newer one: run the tests named here, read the claims that are `by hand`."""


@dataclass(frozen=True)
class Claim:
    """A sentence that could be false.

    text: the sentence, or enough of it to find it, as it stands in the source; `{...}` where a number or a name is put in.
    where: the file that says it, from the project's folder.
    tried: the test that tries it, `tests/room/test_file.py::test_name`; or `by hand: ` and how, where no test can.
    """

    text: str
    where: str
    tried: str
