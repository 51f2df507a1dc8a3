"""What a folder of images means: which folders are the classes, which the training, validation and test images. No torch.

Only folders are looked at here, and of files only as many as tell a class from a folder of classes: counting them is `core.data.stock`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from core.config.errors import ConfigError
from core.data.folders import Folders, refused, shown, some
from core.machine.paths import is_there, pasted, unquoted

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

CLASSES = "none"
"""Behind a path (`photos::none`): no folder is a split, every folder is a class."""

MAX_CLASSES = 10_000

_MORE = r"(s|set|sets|data|dataset|daten|dir|folder|split|samples|images?|imgs?|pics|pictures|photos|files)?"
_WORDS: Mapping[Part, re.Pattern[str]] = {
    "train": re.compile(f"(train|training|trainings|trn){_MORE}|trainval"),
    "validation": re.compile(f"(val|valid|validation|validate|dev){_MORE}"),
    "test": re.compile(f"(test|testing|tst|eval|evaluation|holdout|heldout|hold-out|held-out){_MORE}"),
}

_NO_CLASS = re.compile(r"un(known|label+ed|classified)|all|dummy|none|\d*|(image|img|picture|photo|file|pic)s?|data")
"""Folders of test images that are no classes: unlabelled ones lie so, since `ImageFolder` wants a folder."""


class Choice(NamedTuple):
    """One way to read a folder: what to write behind `::`, and what it means in a few words."""

    spec: str
    meaning: str


class LayoutQuestion(ConfigError):
    """A folder that can be read in more than one way. `choices` are the ways; each can be written behind the path of `root`."""

    def __init__(self, root: str, why: str, choices: Sequence[Choice] = ()) -> None:
        ways = "; or ".join(f"{root}::{spec} if {meaning}" for spec, meaning in choices)
        super().__init__("dataset", f"{root}: {why}. Say how to read it: write {ways}")
        self.root, self.why, self.choices = root, why, tuple(choices)

    def __reduce__(self) -> tuple[type[LayoutQuestion], tuple[str, str, tuple[Choice, ...]]]:  # type: ignore[override]
        return type(self), (self.root, self.why, self.choices)


@dataclass(frozen=True)
class LeftOut:
    """Files of one kind that are not used: how many, why (the start of a sentence), some of their names, and what to do if that is wrong."""

    reason: str
    count: int
    names: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """`Hidden files were left out: 3 (.a, .b, .c).`"""
        named = f" ({some(self.names)})" if self.names else ""
        return f"{self.reason} were left out: {self.count:,}{named}{'; ' if self.remedy else ''}{self.remedy}."


@dataclass(frozen=True)
class Layout:
    """How a folder is read.

    Args:
        root: the folder that was given, absolute.
        parts: for "train", and for "validation" and "test" where there are such, the folders that hold the class folders.
        classes: the names of the classes in the order of their labels, as text that can be printed.
        folders: the names of their folders, in the same order: as on disk, so any bytes.
        spec: what a person wrote behind `::` to say how it is to be read; empty where its names and its content say it.
        unlabelled: folders of validation or test images without classes.
        choices: other ways to read it.
        counts: images of each class, by part, once they were counted; None before.
        at_least: files seen until counting was given up; 0 where it was not.
        left_out: what is not used, and why, once it was counted.
    """

    root: Path
    parts: Mapping[Part, tuple[Path, ...]]
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    spec: str = ""
    unlabelled: tuple[Path, ...] = ()
    choices: tuple[Choice, ...] = ()
    counts: Mapping[Part, tuple[int, ...]] | None = None
    at_least: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def text(self) -> str:
        """What stands behind `folder:` in a config: the path, and how to read it."""
        return f"{self.root}::{self.spec}" if self.spec else str(self.root)

    @property
    def sentence(self) -> str:
        """How the folder is read, with the classes and, once they were counted, the images."""
        parts = self.parts
        classes = f"{len(self.classes):,} classes ({some(self.classes, 4)}; {self._images('train')})"
        if not self.split:
            aside = "a fifth of the images is set aside as the test set, and a share of the others (validation_share) measures progress"
            return f"Each folder in {self.named('train')} is a class: {classes}; {aside}."
        said = [f"{self.named('train')} {'train' if len(parts['train']) > 1 else 'trains'} {classes}"]
        if "validation" in parts:
            said.append(f"{self.named('validation')} measures progress ({self._images('validation')})")
        if "test" in parts:
            said.append(f"{self.named('test')} is the test set ({self._images('test')})")
        else:
            said.append(f"a fifth of {self.named('train')} is set aside as the test set, since {self.why_set_aside}")
        if "validation" not in parts:
            said.append(f"a share of {self.named('train')} (validation_share) measures progress")
        return f"{'; '.join(said)}."

    @property
    def why_set_aside(self) -> str:
        """Why a part of the training images is the test set, where it is."""
        bare = [self.label(folder) for folder in self.unlabelled if split_kind(folder.name) == "test"]
        return f"the images in {bare[0]} lie in no class folder" if bare else "there is no folder of test images"

    @property
    def split(self) -> bool:
        """True where the folders say which images train: it has more parts than one, or the one is named as a split or lies beside one."""
        return len(self.parts) > 1 or bool(self.unlabelled) or len(self.parts["train"]) > 1

    def stamp(self) -> int:
        """Another number once a file came to, or left, one of the class folders: these are asked, up to 2,000 of them, not what lies below."""
        homes = [self.root, *(folder / name for folders in self.parts.values() for folder in folders for name in ("", *self.folders))]
        return hash(tuple(home.stat().st_mtime_ns for home in [*homes[:2_000], *self.unlabelled] if home.is_dir()))

    def label(self, folder: Path) -> str:
        """A folder as a person sees it in the one that was given: `dataset/train/`."""
        inside = folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else str(folder)
        return shown(self.root.name if inside == "." else inside) + "/"

    def named(self, part: Part) -> str:
        """The folders of a part: `train/`."""
        return " and ".join(self.label(folder) for folder in self.parts[part])

    def _images(self, part: Part) -> str:
        if self.counts is None:
            return f"more than {self.at_least:,} files, counted when a run starts" if self.at_least else "not counted yet"
        number = sum(self.counts[part])
        return f"{number:,} image{'' if number == 1 else 's'}"


def split_kind(name: str) -> Part | None:
    """The part of a dataset that a folder's name speaks of: `seg_train`, `Testing`, `val2017`, `hold out`. None: of none, or of several."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.sub(r"(?i)\b(hold|held)[\W_]*out", r"\1-out", re.sub(r"[\d_]+", " ", words))
    tokens = re.findall(r"[^\W\d_]+(?:-out)?", words.casefold())
    kinds = {kind for token in tokens for kind, pattern in _WORDS.items() if pattern.fullmatch(token)}
    return "train" if kinds == {"train", "validation"} else kinds.pop() if len(kinds) == 1 else None


def read_layout(text: str) -> Layout:
    """How the folder that a person typed is read: `PATH`, or `PATH::none` or `PATH::train=a, test=b`. Quick: no files are counted.

    Raises:
        LayoutQuestion: it can be read in more than one way.
        ConfigError: naming the folder and the remedy, where no training could come of it.
    """
    root, spec = place(text)
    folders = Folders()
    folders.check(root)
    return layout_in(root, folders, spec)


def layout_in(root: Path, folders: Folders, spec: str = "") -> Layout:
    """As `read_layout`, for whatever `folders` looks into. `spec`: what stands behind `::`, or nothing. Raises as it does."""
    if spec == CLASSES:
        return _layout(root, folders, {"train": (folders.unwrap(root),)}, spec)
    if spec:
        return _layout(root, folders, _said(root, folders, spec), spec)
    return _by_content(root, folders)


def before(text: str) -> str:
    """`text` with, behind the path, how Thaw read this folder before it knew other names than train, test, val, valid and validation.

    For runs of that time: what they were tested on must not be read anew. A folder that somebody said how to read is left as it is.
    """
    root, spec = place(text)
    names = {folder.name.casefold(): folder.name for folder in Folders().look(root).folders}
    if spec or "train" not in names:
        return f"{root}::{spec or CLASSES}"
    held_out = [names[name] for name in ("test", "val", "valid", "validation") if name in names]
    parts = zip(("train", "test", "validation"), (names["train"], *held_out), strict=False)
    return f"{root}::" + ",".join(f"{part}={name}" for part, name in parts)


def place(text: str) -> tuple[Path, str]:
    """The folder, and what is written behind `::`. `folder:` may stand before it: so it is written elsewhere, and so it is pasted.

    Raises:
        ConfigError: as `core.machine.paths.pasted`. Nothing is looked up in the folder.
    """
    bare = unquoted(text)
    if bare[:7].casefold() == "folder:" and not is_there(bare):
        text = bare[7:]
    if not unquoted(text) and not (text and is_there(text)):
        there = f", and there is none called {text!r}" if text else ""
        raise ConfigError("dataset", f"'folder:' needs the path of a folder behind it{there}; it holds one folder a class, for example folder:photos")
    path = pasted(text, "dataset")
    head, colons, spec = unquoted(text).rpartition("::")
    if colons and head and not is_there(path):
        return pasted(head, "dataset"), re.sub(r"\s*([,=])\s*", r"\1", spec.strip())
    return path, ""


def cleaned(text: str) -> str:
    """What a person typed or pasted as it is understood: an absolute path, and how it is to be read. The text without quotes where it is no path."""
    try:
        root, spec = place(text)
    except ConfigError:
        return unquoted(text)
    return f"{root}::{spec}" if spec else str(root)


def _said(root: Path, folders: Folders, spec: str) -> dict[Part, tuple[Path, ...]]:
    """The parts that `train=a, test=b` speaks of."""
    example = f"write {root}::{CLASSES}, or for example {root}::train=train,test=val"
    parts: dict[Part, tuple[Path, ...]] = {}
    for rule in spec.split(","):
        name, equals, where = rule.partition("=")
        part = split_kind(name)
        if not equals or part is None or not where:
            raise ConfigError("dataset", f"{rule[:60]!r} behind :: is not a part (train, validation or test), = and a folder; {example}")
        folder = root.joinpath(where)
        way = [folder, *folder.parents]
        if ".." in folder.parts or root not in way or not all(step in folders.look(step.parent).folders for step in reversed(way[: way.index(root)])):
            raise ConfigError("dataset", f"there is no folder {where[:120]!r} in {root}, or it is a link, which is not followed; {example}")
        parts[part] = (*parts.get(part, ()), folders.unwrap(folder))
    if "train" not in parts:
        raise ConfigError("dataset", f"{spec[:120]!r} behind :: does not say which images train; {example}")
    every = [folder for found in parts.values() for folder in found]
    if any(one != other and one.is_relative_to(other) for one in every for other in every) or len(set(every)) < len(every):
        raise ConfigError("dataset", f"{spec[:120]!r} behind :: names a folder twice, or one in another: images would be in two sets; {example}")
    return parts


def _by_content(root: Path, folders: Folders) -> Layout:
    """Names alone do not decide: a class may be called train. What is in the folders does."""
    top = folders.unwrap(root)
    inside = folders.look(top)
    kinds = {folder: split_kind(folder.name) for folder in inside.folders}
    trains = [folder for folder, kind in kinds.items() if kind == "train"]
    held_out = [folder for folder, kind in kinds.items() if kind in ("validation", "test")]
    rest = [folder for folder, kind in kinds.items() if kind is None]
    linked = [name for name in inside.links if split_kind(name) == "train"]
    if linked and not trains and (held_out or len(inside.folders) < 2):
        raise ConfigError("dataset", f"{top / linked[0]} is a link to a folder, and links are not followed; put the folder itself there")
    split = _Split(root, top, folders, trains, held_out, rest)
    return split.layout() if trains else split.without_training()


@dataclass(frozen=True)
class _Split:
    """The folders in `top` by what their names speak of."""

    root: Path
    top: Path
    folders: Folders
    trains: Sequence[Path]
    held_out: Sequence[Path]
    rest: Sequence[Path]

    def layout(self) -> Layout:
        """With a folder that speaks of training."""
        trains = [folder for folder in self.trains if self._holds_classes(folder)]
        held_out = [folder for folder in self.held_out if self.folders.has_pictures(folder)]
        rest = [folder for folder in self.rest if self.folders.has_pictures(folder)]
        if not trains:
            if len(self.trains) == 1 and held_out and not rest and self.folders.has_pictures(self.trains[0]):
                why = f"{self._label(self.trains[0])} holds images but no class folders, so nothing says what they show. "
                raise LayoutQuestion(str(self.root), f"{why}Put those of each class into a folder of its own there", [self._choice_of_classes()])
            return _layout(self.root, self.folders, {"train": (self.top,)})
        classes = self._names(trains)
        unlabelled = tuple(folder for folder in held_out if self._is_unlabelled(folder, classes))
        labelled = [folder for folder in held_out if folder not in unlabelled]
        if len(trains) > 1:
            self._ask(f"{self._labels(trains)} could all be the training images", trains, labelled)
        if rest and not any(self._names([folder]) & classes for folder in labelled):
            self._ask(f"{self._label(trains[0])} could be the training images, or a class beside {self._labels(rest)}", trains, rest)
        for folder in self.held_out:
            hint = refused(self.folders.look(folder))
            if folder not in held_out and (hint or not self.folders.has_other_files(folder)):
                raise ConfigError("dataset", f"no images in {folder}{hint}; put a folder of images a class there, or remove it")
        return self._with(trains[0], labelled, unlabelled)

    def _is_unlabelled(self, folder: Path, classes: set[str]) -> bool:
        """True for images of which nothing says what they show: they lie in no folder, or in one whose name says nothing."""
        names = self._names([folder])
        if names & classes:
            return False
        return self.folders.begins_with_pictures(folder) or all(split_kind(name) or _NO_CLASS.fullmatch(name.casefold()) for name in names)

    def _with(self, train: Path, labelled: Sequence[Path], unlabelled: tuple[Path, ...]) -> Layout:
        parts: dict[Part, tuple[Path, ...]] = {"train": (self.folders.unwrap(train),)}
        kinds: tuple[Part, Part] = ("validation", "test")
        for kind in kinds:
            found = [folder for folder in labelled if split_kind(folder.name) == kind]
            if len(found) > 1:
                self._ask(f"{self._labels(found)} could all be the {kind} images", [train], found)
            if found:
                parts[kind] = (self.folders.unwrap(found[0]),)
        other = [self._choice_of_classes()]
        if "validation" in parts and "test" not in parts:
            other.insert(0, self._choice(train, next(folder for folder in labelled if split_kind(folder.name) == "validation"), "test"))
        return replace(_layout(self.root, self.folders, parts), unlabelled=unlabelled, choices=tuple(other))

    def without_training(self) -> Layout:
        """Without a folder that speaks of training: the folders are the classes, unless what is in them says otherwise."""
        names = {folder.name for folder in self.rest}
        for folder in self.held_out:
            if self._names([folder]) & names:
                why = f"{self._label(folder)} lies beside class folders of the same names as those in it. Put these into a folder called train"
                raise LayoutQuestion(str(self.root), why, [self._choice_of_classes()])
        everything = [*sorted(self.held_out, key=lambda folder: split_kind(folder.name) == "test"), *self.rest]
        if len(everything) > 1 and len(common := self._common(everything)) > 1:
            inverted = {split_kind(name) for name in common} & {"train"}
            among = f"{self._labels(everything)} all hold folders called {some(sorted(common))}"
            if inverted:
                why = f"{among}: the splits lie inside of the classes. Move them, so that train/ holds one folder a class"
                raise LayoutQuestion(str(self.root), why, [self._choice_of_classes()])
            self._ask(f"{among}, so they could be parts of one dataset (training and test images) or classes", everything[:1], everything[1:])
        return _layout(self.root, self.folders, {"train": (self.top,)})

    def _common(self, folders: Sequence[Path]) -> set[str]:
        """The names of folders that are in each of `folders`, none of which holds images itself."""
        names: set[str] | None = None
        for folder in folders:
            if self.folders.begins_with_pictures(folder):
                return set()
            here = self._names([folder])
            names = here if names is None else names & here
            if not names:
                return set()
        return names or set()

    def _holds_classes(self, folder: Path) -> bool:
        return any(self.folders.has_pictures(inner) for inner in self.folders.look(self.folders.unwrap(folder)).folders)

    def _names(self, folders: Sequence[Path]) -> set[str]:
        return {inner.name for folder in folders for inner in self.folders.look(self.folders.unwrap(folder)).folders}

    def _ask(self, why: str, trains: Sequence[Path], others: Sequence[Path]) -> NoReturn:
        choices = [self._choice(train, other, "test") for train in trains[:2] for other in others[:2] if self._names([train]) & self._names([other])]
        choices += [Choice(f"train={self._inside(train)}", f"only {self._label(train)} is used") for train in trains[:2]]
        raise LayoutQuestion(str(self.root), why, [*choices, self._choice_of_classes()])

    def _choice(self, train: Path, other: Path, part: Part) -> Choice:
        meaning = f"{self._label(train)} trains and {self._label(other)} is the {part} set"
        return Choice(f"train={self._inside(train)},{part}={self._inside(other)}", meaning)

    def _choice_of_classes(self) -> Choice:
        return Choice(CLASSES, "every folder in it is a class")

    def _inside(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix()

    def _label(self, folder: Path) -> str:
        return f"{shown(self._inside(folder))}/"

    def _labels(self, folders: Sequence[Path]) -> str:
        return some([self._label(folder) for folder in folders])


def _layout(root: Path, folders: Folders, parts: Mapping[Part, tuple[Path, ...]], spec: str = "") -> Layout:
    """The layout with its classes, sorted by name as torchvision's `ImageFolder` does, so that labels are the same."""
    inside = [folders.look(folder) for folder in parts["train"]]
    names = sorted({inner.name for found in inside for inner in found.folders})
    where = " and ".join(map(str, parts["train"]))
    hint = "".join(dict.fromkeys(map(refused, inside)))
    if len(names) > MAX_CLASSES:
        raise ConfigError("dataset", f"{where} holds {len(names):,} folders; at most {MAX_CLASSES:,} classes can be told apart")
    if not names:
        remedy = "put the images of each class into a folder of its own, named after the class"
        raise ConfigError("dataset", f"{where} has no folders in it{hint}; {remedy}")
    if len(names) == 1:
        raise ConfigError("dataset", f"{where} has a single class, {shown(names[0])!r}{hint}; it takes at least two to tell apart")
    return Layout(root, parts, tuple(map(shown, names)), tuple(names), spec)
