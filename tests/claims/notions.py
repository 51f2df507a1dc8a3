"""Claims about notions."""

from __future__ import annotations

from tests.claims import Claim

CLAIMS: tuple[Claim, ...] = ()
