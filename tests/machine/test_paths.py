"""Paths as people paste them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.catalog.check import check, weights_file
from core.config import RunConfig
from core.config.errors import ConfigError
from core.data.datasets import find_dataset
from core.machine.paths import pasted


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a blank in its name, in the home of the person."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("cat", "dog"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
    return tmp_path / "my photos"


WRITTEN = (
    "{path}", "{path}/", "  {path}\n", '"{path}"', "'{path}'", ' "{path}/" ', "\u201c{path}\u201d", "`{path}`", "\ufeff{path}", "\u202a{path}\u202c",
    "file://{quoted}", "file://localhost{quoted}", "file:{quoted}", "'file://{quoted}'", "FILE://{quoted}/", "{escaped}",
    "~/my photos", "$HOME/my photos", "${{HOME}}/my photos/", "~/my\\ photos", '"~/my photos"',
)  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_a_path_is_understood_however_it_was_pasted(written: str, photos: Path) -> None:
    text = written.format(path=photos, quoted=str(photos).replace(" ", "%20"), escaped=str(photos).replace(" ", "\\ "))
    assert pasted(text, "dataset") == photos
    for dataset in (f"folder:{text}", f"folder: {text}", f"Folder:folder:{text}", f"'folder:{text}'"):
        assert find_dataset(dataset).name == f"folder:{photos}"


def test_a_weights_file_is_understood_however_it_was_pasted(photos: Path) -> None:
    file = photos / "old weights.pth"
    file.write_bytes((2).to_bytes(8, "little") + b"{}")  # of safetensors, with nothing in it
    for text in (f'"{file}"', f" file://{str(file).replace(' ', '%20')} ", "~/my photos/old\\ weights.pth", f"'{file}'"):
        assert check(RunConfig(starting_weights=text)).starting_weights == str(file)
        assert weights_file(text) == file
    with pytest.raises(ConfigError, match="no such user"):
        check(RunConfig(starting_weights="~no-such-user/weights.pth"))


def test_a_path_alone_is_a_folder_where_it_can_be_nothing_else(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_dataset(str(photos)).name == f"folder:{photos}"
    assert find_dataset("~/my photos").name == f"folder:{photos}"
    monkeypatch.chdir(photos.parent)
    assert find_dataset("./my photos").name == f"folder:{photos}"
    with pytest.raises(ConfigError, match="dataset"):
        find_dataset("my photos")


@pytest.mark.parametrize("name", ["'quoted'", '"quoted"', " ", "a%20b", "a\\ b", "$HOME", "a::none", "file:", "folder:x"])
def test_what_is_there_as_it_was_typed_is_never_read_in_another_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert pasted(name, "dataset") == tmp_path / name
    assert find_dataset(f"folder:{name}").name == f"folder:{tmp_path / name}"
    assert find_dataset(f"folder:{tmp_path}/{name}").name == f"folder:{tmp_path / name}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("~no-such-user/photos", "this machine has no such user"),
        (" ", "there is none called ' '"),
        ("", "folder:photos"),
        ("''", "folder:photos"),
        ("file://nas/photos", "is on the machine 'nas'"),
        ("a\0b", "zero byte"),
        ("file:///a%00b", "zero byte"),
        ("x" * 5000, "has 5,000 letters"),
        ("y" * 300, "there is no folder|cannot be read|is no path that can be used"),
        ("/no/such/place", "there is no folder /no/such/place"),
    ],
)
def test_what_can_be_no_folder_is_refused_with_a_true_reason(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said) as caught:
        find_dataset(f"folder:{text}")
    assert caught.value.field == "dataset"
    assert len(caught.value.message) < 700
