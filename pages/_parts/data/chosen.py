"""Pictures that one part of the Data screen hands to another: what a lasso caught, what a duplicate search found. A refresh finds them again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from core.versions import Version
from pages._parts.data import state as data_state

REMEMBERED = 64

_lock = threading.Lock()
_kept: OrderedDict[str, Chosen] = OrderedDict()


@dataclass(frozen=True)
class Chosen:
    """Pictures by `Item.key`, and in words where they come from: 'lasso on the map'."""

    dataset: str
    keys: frozenset[str]
    told: str

    def places(self, version: Version) -> list[int]:
        """Where they are in a version; those that it has no more are left out."""
        return [place for place, item in enumerate(version.items) if item.key in self.keys or item.sha256 in self.keys]


def hand_over(version: Version, keys: Iterable[str], told: str) -> None:
    """Have the gallery show these pictures alone (`Item.key`, or SHA-256). For callbacks."""
    chosen = Chosen(version.dataset, frozenset(keys), told)
    name = hashlib.sha256("\n".join([chosen.dataset, told, *sorted(chosen.keys)]).encode()).hexdigest()[:12]
    with _lock:
        _kept[name] = chosen
        _kept.move_to_end(name)
        while len(_kept) > REMEMBERED:
            _kept.popitem(last=False)
    data_state.choose(part="gallery", chosen=name)


def handed_over(version: Version) -> Chosen | None:
    """What was handed over and is looked at; None: nothing, or it was forgotten with the server."""
    name = data_state.get("chosen")
    with _lock:
        found = _kept.get(name or "")
    return found if found is not None and found.dataset == version.dataset else None


def give_up() -> None:
    """All pictures again. For callbacks."""
    data_state.choose(chosen=None)
