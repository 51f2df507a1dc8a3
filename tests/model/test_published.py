"""Published weights: from a local server that stands in for the network."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from core.model import weights
from core.networks import models
from tests.model.weights_cases import CLASSES, config, refusal, same


class Network:
    """A server on loopback in the place of torchvision's, for the published weights of one model."""

    def __init__(self, name: str, content: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.content = content
        self.sent = len(content)
        self.status = 200
        self.requests = 0
        self.cache = cache / "hub" / "checkpoints"
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                network.requests += 1
                self.send_response(network.status)
                self.send_header("Content-Length", str(len(network.content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the other end may give up
                    self.wfile.write(network.content[: network.sent])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        published = torchvision.models.get_model_weights(name).DEFAULT
        self.file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        monkeypatch.setattr(published.value, "url", f"http://127.0.0.1:{self.server.server_port}/{self.file}")
        monkeypatch.setenv("TORCH_HOME", str(cache))

    def left_behind(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.exists() else []

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    torch.manual_seed(5)
    state: dict[str, Tensor] = torchvision.models.squeezenet1_1(num_classes=1000).state_dict()
    return state


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, Tensor]) -> Iterator[Network]:
    content = io.BytesIO()
    torch.save(published, content)
    network = Network("squeezenet1_1", content.getvalue(), tmp_path / "torch", monkeypatch)
    yield network
    network.close()


def squeezenet(classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(6)
    return models.build("squeezenet1_1", classes, 64)


PRETRAINED = config("pretrained", "squeezenet1_1")


def test_published_weights_are_downloaded_once_with_progress(
    network: Network, published: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, float | None]] = []
    model = squeezenet()
    weights.load(model, PRETRAINED, lambda text, share: told.append((text, share)))
    assert torch.equal(model.state_dict()["features.0.weight"], published["features.0.weight"])
    assert torch.equal(model.state_dict()["classifier.1.weight"], squeezenet().state_dict()["classifier.1.weight"])
    shares = [share for _, share in told if share is not None]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert told[-1][0] == "downloading weights: 5 of 5 MB"
    assert network.left_behind() == [network.file]
    assert capsys.readouterr().out == "", "standard output belongs to the JSON of the command line"

    told.clear()
    weights.load(squeezenet(), PRETRAINED, lambda text, share: told.append((text, share)))
    assert network.requests == 1
    assert told == [("reading the published weights", None)]


def test_a_head_for_a_thousand_classes_comes_with_the_published_weights(network: Network, published: dict[str, Tensor]) -> None:
    model = squeezenet(1000)
    weights.load(model, PRETRAINED)
    assert same(model.state_dict(), published)


def test_without_a_network_the_remedies_are_named_and_nothing_is_left(network: Network) -> None:
    network.close()
    message = refusal(squeezenet(), PRETRAINED)
    for words in (
        "'pretrained'",
        "could not be reached",
        "connect to the internet",
        "random",
        "path of a weights file",
        network.file,
        str(network.cache),
    ):
        assert words in message
    assert network.left_behind() == []


def test_the_remedy_of_putting_the_file_in_place_works(network: Network) -> None:
    network.close()
    network.cache.mkdir(parents=True)
    (network.cache / network.file).write_bytes(network.content)
    weights.load(squeezenet(), PRETRAINED)


def test_a_download_that_breaks_off_is_refused_and_leaves_nothing(network: Network) -> None:
    network.sent = len(network.content) // 2
    message = refusal(squeezenet(), PRETRAINED)
    assert "incomplete or damaged; start again" in message
    assert network.left_behind() == []
    network.sent = len(network.content)
    weights.load(squeezenet(), PRETRAINED)


def test_a_download_that_was_changed_on_the_way_is_refused_and_leaves_nothing(network: Network) -> None:
    network.content = network.content[:-1] + bytes([network.content[-1] ^ 1])
    assert "incomplete or damaged" in refusal(squeezenet(), PRETRAINED)
    assert network.left_behind() == []


def test_a_download_that_is_given_up_leaves_nothing(network: Network) -> None:
    class GivenUp(Exception):
        pass

    def give_up(text: str, share: float | None) -> None:
        if share:
            raise GivenUp

    with pytest.raises(GivenUp):
        weights.load(squeezenet(), PRETRAINED, give_up)
    assert network.left_behind() == []


def test_an_address_that_is_gone_is_named(network: Network) -> None:
    network.status = 404
    message = refusal(squeezenet(), PRETRAINED)
    assert "answered 404" in message
    assert network.file in message
    assert network.left_behind() == []


def test_a_broken_file_in_the_cache_is_named_with_the_remedy(network: Network) -> None:
    network.cache.mkdir(parents=True)
    (network.cache / network.file).write_bytes(network.content[:1000])
    message = refusal(squeezenet(), PRETRAINED)
    assert str(network.cache / network.file) in message
    assert "delete it and start again" in message


def test_a_full_disk_is_said_to_be_full(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        name = "nowhere"

        def write(self, *_: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.hub, "open", lambda *_, **__: Full(), raising=False)
    message = refusal(squeezenet(), PRETRAINED)
    assert "no space is left" in message
    assert "make room" in message


def test_a_cache_that_cannot_be_written_is_named(network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    message = refusal(squeezenet(), PRETRAINED)
    assert "cannot be written" in message
    assert "TORCH_HOME" in message


def test_what_a_killed_download_left_is_removed_and_what_another_is_writing_is_not(network: Network) -> None:
    network.cache.mkdir(parents=True)
    old, new = (network.cache / f"{network.file}.{letter * 32}.partial" for letter in "ab")
    for partial in (old, new):
        partial.write_bytes(b"half")
    os.utime(old, (1, 1))
    weights.load(squeezenet(), PRETRAINED)
    assert network.left_behind() == [network.file, new.name]


def test_our_own_models_have_no_published_weights() -> None:
    assert "mlp is a model of our own" in refusal(models.build("mlp", CLASSES, 32), config("pretrained", "mlp"))


def test_googlenet_and_inception_scale_their_inputs_as_their_published_weights_expect() -> None:
    for name, size in (("googlenet", 32), ("inception_v3", 299)):
        with torch.device("meta"):
            assert vars(models.build(name, CLASSES, size))["transform_input"]
