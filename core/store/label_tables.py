"""What runs are called: a table of its own, which no worker writes. What lies in a run's folder is `core.store.labelling`'s.

A worker keeps its run's row in memory, and may write all of it again once the store has come back: a name in that row would be the one of
the run's beginning.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from core.config import ConfigError
from core.records.labels import LabelChange, Labels, read, read_tags, words_of
from core.store.database import Database, unknown

# CAST: a value of another kind in a damaged file is an error in JSON, which would take the whole list with it.
_OF_RUN = "SELECT json_array(CAST(name AS TEXT), CAST(note AS TEXT), CAST(tags AS TEXT), starred = 1) FROM labels WHERE labels.run = runs.id"
LABELS = f"({_OF_RUN}) AS labels"
"""A run's labels as a column of its row; `labels_of` reads it."""

# A config that cannot be read has none.
_SETTINGS = ", ".join(f"CASE WHEN json_valid(config) THEN json_extract(config, '$.{name}') ELSE '' END AS {name}" for name in ("dataset", "model"))
"""What of its config a run is found by."""


class LabelTables(Database):
    """Calling runs something, and finding them by it."""

    def labels(self, run_id: str) -> Labels:
        """What a run is called, also one that cannot be read otherwise. Raises KeyError for an unknown run."""
        return labels_of(self._row(LABELS, run_id)["labels"])

    def label(self, run_id: str, change: LabelChange) -> tuple[Labels, Labels]:
        """Call a run something else, whatever it does just now. What `change` leaves alone stays as others have made it meanwhile.

        Returns:
            What it was called before, and now.

        Raises:
            ConfigError: on `run`, it lies in the bin; on `tag`, there would be too many.
            KeyError: there is no such run.
        """
        with self._transaction() as connection:
            row = connection.execute(f"SELECT binned, {LABELS} FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise unknown(run_id)
            if row["binned"] is not None:
                raise ConfigError("run", f"{run_id} lies in the bin and stays as it is there; bring it back first: python -m core restore {run_id}")
            before = labels_of(row["labels"])
            after = change.of(before)
            connection.execute(*self._labelling(run_id, after))
        return before, after

    def tags(self) -> list[str]:
        """All tags that runs have, in alphabetical order."""
        found = [
            tag for row in self._read("SELECT DISTINCT tags FROM labels WHERE tags <> '[]'") for tag in read({"tags": read_tags(row["tags"])}).tags
        ]
        return sorted(dict.fromkeys(found), key=str.casefold)

    def matching(self, text: str = "", starred: bool = False) -> set[str]:
        """The ids of the runs of which id, name, note, tags, dataset or model hold every word of `text`, whatever the case.

        Args:
            starred: those with a star alone.
        """
        wanted = words_of(text)
        only = "WHERE (SELECT starred FROM labels WHERE run = runs.id) = 1" if starred else ""
        return {str(row["id"]) for row in self._read(f"SELECT id, {_SETTINGS}, {LABELS} FROM runs {only}") if _holds(row, wanted)}

    def _labelling(self, run_id: str, labels: Labels) -> tuple[str, tuple[Any, ...]]:
        """The statement that calls a run this."""
        values = (run_id, labels.name, labels.note, json.dumps(labels.tags), int(labels.starred))
        return "INSERT OR REPLACE INTO labels (run, name, note, tags, starred) VALUES (?, ?, ?, ?, ?)", values


def labels_of(column: str | None) -> Labels:
    """What the column `LABELS` says."""
    if column is None:
        return Labels()
    name, note, tags, starred = json.loads(column)
    return read({"name": name, "note": note, "tags": read_tags(tags), "starred": starred})


def _holds(row: Any, wanted: Collection[str]) -> bool:
    """Whether a row has every word. Labels are taken as they lie there: to look through them costs a fifth of reading them."""
    if not wanted:
        return True
    name, note, tags, _ = json.loads(row["labels"] or '["", "", "[]", 0]')
    found = read_tags(tags)
    parts = [row["id"], row["dataset"], row["model"], name, note, *(found if isinstance(found, list) else ())]
    text = "\n".join(map(str, parts)).casefold()
    return all(word in text for word in wanted)
