"""Networks that somebody saved: kept whole, listed, deleted and brought back."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from core import networks
from core.config import ConfigError
from core.machine.home import Home
from core.networks.layer_entry import Call, Values
from core.networks.network_layers import LAYERS
from tests.networks.networks_cases import NET


def test_another_network_is_not_replaced_by_accident(home: Home) -> None:
    networks.save(home, "mynet: conv 32")
    networks.save(home, "mynet: conv 32")  # the same again is no accident
    for label in ("mynet", "MyNet"):
        with pytest.raises(networks.LabelTaken, match=f"another network is saved as '{label}'; choose another name, or replace it"):
            networks.save(home, f"{label}: conv 64")
    assert networks.saved(home) == {"mynet": "mynet: conv 32"}
    networks.save(home, "MyNet: conv 64", overwrite=True)
    assert networks.saved(home) == {"MyNet": "MyNet: conv 64"}


def test_a_network_that_is_not_right_is_not_saved(home: Home) -> None:
    for text in ("mynet", "mynet: nothing", "resnet18: conv", "mynet: flatten, conv"):
        with pytest.raises(ConfigError):
            networks.save(home, text)
    assert networks.saved(home) == {}


def test_deleting_can_be_undone(home: Home) -> None:
    networks.save(home, NET)
    networks.delete(home, "mynet")
    assert networks.saved(home) == {}
    with pytest.raises(ConfigError, match="no network is saved as 'mynet'"):
        networks.delete(home, "mynet")
    assert networks.restore(home, "mynet") == NET
    assert networks.saved(home) == {"mynet": NET}
    with pytest.raises(ConfigError, match="no deleted network 'mynet' is left"):
        networks.restore(home, "mynet")


def test_what_was_deleted_does_not_come_back_over_another(home: Home) -> None:
    networks.save(home, NET)
    networks.delete(home, "mynet")
    networks.save(home, "mynet: flatten")
    with pytest.raises(networks.LabelTaken, match="has been saved as 'mynet' meanwhile"):
        networks.restore(home, "mynet")
    assert networks.saved(home) == {"mynet": "mynet: flatten"}


def test_names_cannot_lead_out_of_the_folder(home: Home) -> None:
    for label in ("../up", "a/b", "/etc/passwd", "..", ""):
        with pytest.raises(ConfigError):
            networks.delete(home, label)
        with pytest.raises(ConfigError):
            networks.restore(home, label)


def test_hostile_and_damaged_files_are_left_out_with_a_notice(home: Home, tmp_path: Path) -> None:
    networks.save(home, NET)
    folder = home.networks
    (folder / "damaged.txt").write_bytes(b"\xff\xfe\x00 conv")
    (folder / "empty.txt").write_text("")
    (folder / "wrong.txt").write_text("wrong: conv zero")
    (folder / "large.txt").write_text("large: " + "conv 3," * 30_000)
    (folder / "other.txt").write_text("mynet: flatten")
    (folder / "folder.txt").mkdir()
    os.mkfifo(folder / "pipe.txt")
    (tmp_path / "secret").write_text("secret: conv 3")
    (folder / "secret.txt").symlink_to(tmp_path / "secret")
    (folder / ".mynet.txt.123").write_text("half a netw")
    shelf = networks.look(home)
    assert shelf.networks == {"mynet": NET}
    assert len(shelf.notices) == 8
    said = "\n".join(shelf.notices)
    for name, reason in (
        ("wrong", "channels must be"),
        ("large", "larger than a network can be"),
        ("other", "of another name, mynet"),
        ("pipe", "no ordinary file"),
    ):
        assert re.search(rf"{name}\.txt was left out: .*{reason}", said)


def test_a_file_that_is_damaged_can_be_saved_over(home: Home) -> None:
    (home.networks / "mynet.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(networks.LabelTaken):
        networks.save(home, NET)
    networks.save(home, NET, overwrite=True)
    assert networks.saved(home) == {"mynet": NET}


def test_a_layer_without_options_is_a_call_without_arguments() -> None:
    assert str(Call("Flatten")) == "nn.Flatten()"
    assert str(LAYERS["residual"].call((3, 8, 8), Values(dict(networks.parse("a: residual 8 activation=gelu").layers[0].values.given)))) == (
        "Residual(3, 8, activation=nn.GELU)"
    )
