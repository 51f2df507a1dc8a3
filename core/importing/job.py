"""Pictures taken into a dataset: whole or not at all, on all cores, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core.config.errors import Cancelled, ConfigError
from core.data.folders import counted_pictures, shown
from core.data.intake import UnreadableImage
from core.importing.pictures import Taken, take
from core.importing.plan import Corrections, Planned, Recognised, recognised
from core.importing.report import Report
from core.importing.trees import Read
from core.machine.home import Home
from core.machine.locks import Held, locked
from core.versions import Item, Version, edits, naming, shelf

HANDFUL, HANDFUL_BYTES, IN_FLIGHT = 16, 4_000_000, 2
"""Pictures, and about as many bytes, that a thread is given at a time, and how many such handfuls a core: what bounds the memory."""

SPARE = 50_000_000
"""Bytes that are left free on the disk."""

SETTLING_SECONDS = 0.5
"""Pause between two times that what was written is sent to the disk while pictures are taken in: waited for at the end, it took a fifth of all."""


@dataclass(frozen=True)
class Progress:
    """How far an import is: pictures looked at, of how many, how many a second, and about how many seconds are left (None: not known yet)."""

    text: str
    done: int = 0
    of: int = 0
    rate: float = 0.0
    seconds_left: float | None = None


Tell = Callable[[Progress], None]


def take_in(
    home: Home, source: Path, name: str, corrections: Corrections | None = None, *,
    add: bool = False, note: str = "", tell: Tell = lambda progress: None, cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Version, Report]:  # fmt: skip
    """Import `source` as the dataset `name`, or (`add`) into it as a new version.

    Args:
        tell: told how far it is, often.
        cancelled: asked often; once it says so, nothing is kept.

    Raises:
        ConfigError: on `name`, for one that cannot be, is taken (without `add`), not there (with it) or being imported to by another; on
            `source`, `columns`, `reading` or `classes` as `plan`, and on `source` where no picture of it can be used; on `home`, where the disk is
            full or cannot be written. Nothing is kept then.
        Cancelled: as asked for. Nothing is kept.
    """
    corrections = corrections or Corrections()
    _target(home, name, add)
    with _only_one(home, name):
        name = _target(home, name, add)  # another may have made it meanwhile
        there = shelf.read(home, name).items if add else ()
        with _kept_whole(home, name) as staging, recognised(source, corrections, lambda text, share: tell(Progress(text)), there) as found:
            _see_that_it_can_be(home, found, name, add)
            report = Report(found.plan.source, left_out=found.plan.left_out, skipped=list(found.refused))
            report.notes += [found.plan.sentence, *found.plan.notes]
            return _imported(home, name, staging, found, report, note, tell, cancelled), report


def _imported(
    home: Home, name: str, staging: Path, found: Recognised, report: Report, note: str, tell: Tell, cancelled: Callable[[], bool]
) -> Version:
    """The version that the pictures make."""
    began, stamp = time.monotonic(), _stamp(found)
    items = list(_taken(found, staging, report, tell, cancelled))
    if not items:
        raise ConfigError("source", f"no picture of {found.plan.source} can be used{_first_reason(report)}; nothing was imported")
    if stamp != _stamp(found):
        report.notes.append("The folder was changed while it was read: what came later is not in it. Add it once more to have that, too.")
    tell(Progress("writing the version", len(items), len(items)))
    report.seconds = time.monotonic() - began
    return _commit(home, name, staging, found, items, report, note)


def _target(home: Home, name: str, add: bool) -> str:
    """The name as it is spelled where it is there already."""
    name = naming.checked(name)
    there = next((one for one in shelf.names(home) if naming.same(one, name)), None)
    if there is not None and not add:
        raise ConfigError("name", f"a dataset is called {there!r} already; add to it as a new version (--add), or choose another name")
    if there is None and add:
        raise ConfigError("name", f"no dataset is called {name!r}, so nothing can be added to it; leave --add out to make it")
    return there or name


@contextmanager
def _only_one(home: Home, name: str) -> Iterator[None]:
    try:
        with locked(shelf.lock_of(home, name, "import")):
            yield
    except Held:
        raise ConfigError("name", f"another import goes on under the name {name!r}; wait until it is done, or choose another name") from None
    except OSError as error:
        raise _of_disk(home, error) from None


@contextmanager
def _kept_whole(home: Home, name: str) -> Iterator[Path]:
    """A folder to work in, which is gone at the end; what imports left that were killed is swept before."""
    staging = home.datasets / ".incoming" / naming.checked(name).casefold()
    sweep(home, name)
    sweep_all(home)
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sweep(home: Home, name: str) -> None:
    """Remove what a killed import left under a name whose lock is held: its folder, and pictures that no version mentions."""
    staging = home.datasets / ".incoming" / naming.checked(name).casefold()
    if not staging.exists():
        return
    folder = home.datasets / name
    if folder.is_dir():
        known = {
            f"{item.sha256}{item.ending}" for summary in (shelf.summaries(home, name) if name in shelf.names(home) else [])
            for item in shelf.read(home, name, summary.number).items
        }  # fmt: skip
        for file in (folder / "pictures").glob("??/*"):
            if file.name not in known:
                file.unlink()
    shutil.rmtree(staging)


def sweep_all(home: Home) -> list[str]:
    """Sweep what killed imports left under any name; those that go on hold their locks. Returns the names."""
    swept = []
    for staging in (home.datasets / ".incoming").glob("*"):
        with suppress(Held, ConfigError, OSError), locked(shelf.lock_of(home, staging.name, "import")):
            sweep(home, next((one for one in shelf.names(home) if naming.same(one, staging.name)), staging.name))
            swept.append(staging.name)
    return swept


def _see_that_it_can_be(home: Home, found: Recognised, name: str, add: bool) -> None:
    plan = found.plan
    if plan.question:
        ways = "; or ".join(f"--reading {choice.spec} if {choice.meaning}" for choice in plan.choices)
        raise ConfigError("reading", f"{plan.source}: {plan.question}. Say how to read it: {ways}")
    if plan.problem and not (add and plan.becoming):
        raise ConfigError("source", f"{plan.source}: {plan.problem}")
    free = shutil.disk_usage(home.datasets).free
    if plan.bytes + SPARE > free:
        spare = f"{SPARE / 1e6:,.0f} MB are left free always"
        what = f"the pictures take {plan.bytes / 1e6:,.0f} MB, {spare}, and {free / 1e6:,.0f} MB are free at {home.datasets}"
        raise ConfigError("home", f"{what}; free some space, or keep everything elsewhere (--home, THAW_HOME)")


def _taken(found: Recognised, staging: Path, report: Report, tell: Tell, cancelled: Callable[[], bool]) -> Iterator[Item]:
    """The items of the pictures that could be read, in the order of the plan; their files are in `staging`."""
    places = {planned.path: number for number, planned in enumerate(found.pictures)}
    items: dict[int, Item] = {}
    done, total, began, told = 0, len(places), time.monotonic(), 0.0
    workers = os.cpu_count() or 1
    waiting: deque[Future[list[tuple[Path, Taken | UnreadableImage]]]] = deque()
    stop = threading.Event()

    def look_up() -> None:
        nonlocal told
        if cancelled():
            raise Cancelled
        if (now := time.monotonic()) - told > 0.2:
            told, rate = now, done / max(now - began, 1e-6)
            tell(Progress("taking in pictures", done, total, rate, (total - done) / rate if rate else None))

    def settle() -> None:
        nonlocal done
        while not wait(list(waiting)[:1], timeout=0.1).done:
            look_up()
        for path, taken in waiting.popleft().result():
            done += 1
            number = places[path]
            if isinstance(taken, UnreadableImage):
                report.refuse(found.tree.name(path), str(taken), taken.kind)
            else:
                items[number] = _item(found, found.pictures[number], taken)
                report.traits.update(taken.traits)
                report.images, report.bytes = report.images + 1, report.bytes + taken.size

    with _settling(), ThreadPoolExecutor(workers) as pool:
        try:
            for handful in _handfuls(found, list(places)):
                look_up()
                waiting.append(pool.submit(_look, handful, staging, stop))
                if len(waiting) > IN_FLIGHT * workers:
                    settle()
            while waiting:
                settle()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    yield from (items[number] for number in sorted(items))


def _handfuls(found: Recognised, paths: list[Path]) -> Iterator[list[tuple[Path, Read]]]:
    """The files in the order that is quickest to read, some at a time."""
    handful: list[tuple[Path, Read]] = []
    size = 0
    for path, read in found.tree.contents(paths):
        handful.append((path, read))
        size += found.tree.size(path)
        if len(handful) >= HANDFUL or size >= HANDFUL_BYTES:
            yield handful
            handful, size = [], 0
    if handful:
        yield handful


def _look(handful: list[tuple[Path, Read]], staging: Path, stop: threading.Event) -> list[tuple[Path, Taken | UnreadableImage]]:
    """Some pictures looked at and put into `staging`; in place of one that cannot be used, why. Given up once `stop` is set."""
    found: list[tuple[Path, Taken | UnreadableImage]] = []
    for path, read in handful:
        if stop.is_set():
            break
        try:
            taken = take(read())
        except UnreadableImage as error:
            found.append((path, error))
            continue
        _put(staging / shelf.place_of(taken.sha256, taken.ending), taken.content)
        found.append((path, taken.without_content()))
    return found


def _put(place: Path, content: bytes) -> None:
    """Write a picture, where the same one is not there already."""
    try:
        with place.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        _put(place, content)


def _item(found: Recognised, planned: Planned, taken: Taken) -> Item:
    name = found.tree.name(planned.path)
    return Item(taken.sha256, taken.ending, name, planned.label, planned.split, planned.group, taken.width, taken.height)


def _commit(home: Home, name: str, staging: Path, found: Recognised, items: list[Item], report: Report, note: str) -> Version:
    """Put the pictures in their place and write the version, last. A new dataset comes into being in one rename."""
    _settle_disk()
    with shelf.changing(home, name):
        folder = home.datasets / name
        is_new = not shelf.has_versions(folder)
        if is_new:
            classes = tuple(sorted({item.label for item in items}, key=naming.people_order))
            report.finish(len(items) - len({item.sha256 for item in items}))
            if len(classes) < 2:
                raise ConfigError(
                    "source", f"{found.plan.source}: pictures of {classes[0]!r} alone could be read, and it takes two classes{_first_reason(report)}"
                )
            said = note or f"Imported from {Path(found.plan.source).name}."
            split_note = _split_note(items)
            version = shelf.write_into(staging, classes, items, said, None, split_note=split_note, report=report.to_json(), dataset=name)
            shutil.rmtree(folder, ignore_errors=True)  # what has no version is nothing
            staging.rename(folder)
            return version
        last = shelf.read(home, name)
        new = [item for item in items if item.key not in last.by_key]
        report.already = len(items) - len(new)
        report.finish(len(new) - len({item.sha256 for item in new} - {item.sha256 for item in last.items}))
        if not new:
            raise ConfigError("source", f"all {len(items):,} pictures of {found.plan.source} are in {last.text} already; nothing was added")
        for item in {(item.sha256, item.ending): item for item in new}.values():
            place = folder / shelf.place_of(item.sha256, item.ending)
            place.parent.mkdir(parents=True, exist_ok=True)
            (staging / shelf.place_of(item.sha256, item.ending)).replace(place)
        said = note or f"{counted_pictures(len(new))} added from {Path(found.plan.source).name}."
        classes, every = edits.add(last, new)
        return shelf.write_into(
            folder, classes, every, said, last.number, fit=last.fit, split_note=last.split_note or _split_note(every), report=report.to_json()
        )


def _split_note(items: list[Item] | tuple[Item, ...]) -> str:
    counts = Counter(item.split for item in items if item.split)
    return f"the data's own: {', '.join(f'{split} {count:,}' for split, count in counts.items())}." if counts else ""


def _first_reason(report: Report) -> str:
    """Why the first of the files that were skipped was, for a message."""
    if not report.skipped:
        return ""
    first = report.skipped[0]
    return f" ({len(report.skipped):,} were skipped; the first, {first.file}: {first.reason})"


def _stamp(found: Recognised) -> int:
    """Another number once a file came to, or left, a folder that is read. Archives have none."""
    if found.tree.kind != "folder":
        return 0
    folders = {planned.path.parent for planned in found.pictures}
    return hash(tuple(sorted((str(folder), folder.stat().st_mtime_ns) for folder in folders if folder.is_dir())))


@contextmanager
def _settling() -> Iterator[None]:
    """Have what is written within the block on its way to the disk meanwhile, so that little is left to wait for at its end."""
    over = threading.Event()

    def settle() -> None:
        while hasattr(os, "sync") and not over.wait(SETTLING_SECONDS):
            os.sync()

    threading.Thread(target=settle, name="settling", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _settle_disk() -> None:
    """Have on the disk what was written: once for all pictures, which is far quicker than for each."""
    if hasattr(os, "sync"):
        os.sync()


def _of_disk(home: Home, error: OSError) -> ConfigError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else error.strerror or str(error)
    where = shown(str(error.filename or home.datasets))
    return ConfigError("home", f"{where} cannot be written ({why}); free some space or allow it, and import again: nothing was kept")
