"""The script's reading of a folder of class folders: by the list that a run kept, or anew, as a run that starts now would."""

from __future__ import annotations

from core.code.excerpts import Excerpt, excerpt, joined
from core.code.recorded import Recorded
from core.config import RunConfig
from core.data.layouts import Layout, before, read_layout

_FOLDER = '''ROOT = Path({root!r})  # the folder of the pictures
PARTS = {parts}  # folders in it, which hold a folder for each class
FOLDERS = {folders}
CLASSES = {classes}


def files_below(folder):
    """The files of pictures in a folder, sorted by path, without what is hidden, a system's own, or a link that leads out."""
    found, waiting = [], [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if is_system(path.name) or path.name.startswith("."):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif path.is_file() and path.resolve().is_relative_to(ROOT.resolve()):
                if is_picture(path.name) or (not ending(path.name) and begins_as_picture(path)):
                    found.append(path)
    return sorted(found)


def readable(file):
    """Whether a file is a whole picture."""
    try:
        decode(file, 8)
    except Exception as error:
        print(f"left out: {{file}} ({{error}})")
        return False
    return True


def read(transform, part="train"):
    """The pictures of a part, train, validation or test, if the folder has it: class by class."""
    files, labels = [], []
    for folder in PARTS[part]:
        for label, name in enumerate(FOLDERS):
            members = ROOT / folder / name
            found = [file for file in files_below(members) if readable(file)] if members.is_dir() else []
            files += found
            labels += [label] * len(found)
    return Pictures(transform, np.array(files, dtype=object), labels)'''

_LISTED = '''ROOT = Path({root!r})  # the folder of the pictures
LIST = {pictures}  # those of the run, part by part{remark}
CLASSES = {classes}


def check(file, digest):
    """Stop at a picture of the run that is gone, and say of one that it is another now: no weights, and no accuracy, would be the run's."""
    if not file.is_file():
        raise SystemExit(f"{{file}} is gone; bring it back, or change ROOT if the pictures lie elsewhere")
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        print(f"changed since the run: {{file}}")


def read(transform, part="train"):
    """The pictures of a part, train, validation or test, in the order of the run."""
    with LIST.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        listed = list(csv.DictReader(file))
    rows = [row for row in listed if row["part"] == part]
    files = np.array([ROOT / row["file"] for row in rows], dtype=object)
    labels = [CLASSES.index(row["class"]) for row in rows]
    for file, row in zip(files, rows):
        check(file, row["sha256"])
{end}'''

_PLACES = """    # Random pictures are told apart by the place of their picture among all that these parts were taken from.
    among = sorted({{(CLASSES.index(row["class"]), Path(row["file"])) for row in listed if row["part"] in {shared}}})
    place_of = {{picture: place for place, picture in enumerate(among)}}
    places = np.array([place_of.get((label, Path(row["file"])), -1) for label, row in zip(labels, rows)])
    return Pictures(transform, files, labels, places)"""


def layout_of(config: RunConfig, old: bool) -> Layout:
    """How the folder of `config` is read today, or (`old`) was read before Thaw kept lists. Raises ConfigError where it cannot be."""
    path = config.dataset.partition(":")[2]
    return read_layout(before(path) if old else path)


def folder_reader(config: RunConfig, old: bool) -> Excerpt:
    """`read` for a folder that no run has listed; `old` as in `layout_of`."""
    layout = layout_of(config, old)
    parts = {part: [folder.relative_to(layout.root).as_posix() for folder in folders] for part, folders in layout.parts.items()}
    text = _FOLDER.format(root=str(layout.root), parts=parts, folders=list(layout.folders), classes=list(layout.classes))
    names = excerpt("core.data.endings", "is_picture", "is_system", "begins_as_picture")
    return joined(["# Which files are pictures, in the very words of Thaw", names, text])


def listed_reader(recorded: Recorded, places: bool) -> Excerpt:
    """`read` for a run that kept a list of its pictures. `places`: with the place of each in the whole."""
    end = _PLACES.format(shared=recorded.shared) if places else "    return Pictures(transform, files, labels)"
    pictures, remark = f"Path({str(recorded.pictures)!r})", "; copy it beside this script to take it elsewhere"
    if recorded.as_file:
        pictures, remark = f"Path(__file__).resolve().with_name({str(recorded.pictures)!r})", "; it lies beside this script"
    return Excerpt(_LISTED.format(root=recorded.root, pictures=pictures, remark=remark, classes=list(recorded.classes), end=end))
