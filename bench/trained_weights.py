"""`python -m bench.trained_weights`: train the weights that ship with small_cnn, write them to their file, and say what to put into its entry.

They learn the digits 0 to 4 from pictures that are test pictures neither of `digits` nor of `digits_0_4`: whatever a run on these starts
from, its test pictures are new to it. One thread and one seed: on one machine the same bits each time (other processors round differently).
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from core.data.dataset_classes import DIGITS_0_4
from core.data.embedded import read_digits
from core.data.splits import TEST_SEED, TEST_SHARE, stratified_split
from core.machine.files import written_whole
from core.networks.model_entries import MODELS
from core.networks.own_models import SmallCNN
from core.networks.shipped_weights import SHIPPED

MODEL = "small_cnn"
PIXELS = 32
SEED, EPOCHS, BATCH, RATE = 0, 12, 32, 3e-3


def learned_from() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures uint8 [N, 1, 8, 8] that the weights learn from, and their digits int64 [N]."""
    images, labels = _digits()
    half = np.flatnonzero(labels < len(DIGITS_0_4))
    tested = set(_test(labels).tolist()) | set(half[_test(labels[half])].tolist())
    chosen = np.array([place for place in half.tolist() if place not in tested])
    return images[chosen], labels[chosen]


def tested() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The test pictures of `digits_0_4` and their digits."""
    images, labels = _digits()
    half = np.flatnonzero(labels < len(DIGITS_0_4))
    chosen = half[_test(labels[half])]
    return images[chosen], labels[chosen]


def trained() -> tuple[nn.Module, float]:
    """The model after training, in eval mode, and the share of the test pictures that it gets right."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    model = SmallCNN(len(DIGITS_0_4))
    images, labels = (torch.from_numpy(values) for values in learned_from())
    inputs = as_inputs(images)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    steps = -(-len(labels) // BATCH) * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for places in torch.randperm(len(labels)).split(BATCH):
            loss = F.cross_entropy(model(inputs[places]), labels[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    new, digits = (torch.from_numpy(values) for values in tested())
    with torch.no_grad():
        right = model(as_inputs(new)).argmax(dim=1) == digits
    return model, float(right.float().mean())


def as_inputs(images: Tensor) -> Tensor:
    """Bytes uint8 [N, 1, 8, 8] as a run of 32 px has them: resized, three channels, normalised."""
    large = F.interpolate(images.float(), (PIXELS, PIXELS), mode="bilinear", antialias=True).expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in MODELS[MODEL].normalise)
    return (large - mean) / std


def as_file(model: nn.Module) -> bytes:
    """The weights without those of the head, as safetensors."""
    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items() if not name.startswith("head.")})


def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    source = read_digits(Path(), lambda text, share: None).train
    assert isinstance(source.images, np.ndarray)
    return source.images, source.labels


def _test(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return stratified_split(labels, TEST_SHARE, TEST_SEED)[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trained_weights", description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED[MODEL].path, help="the file to write (default: the one that ships)")
    out = parser.parse_args().out
    model, right = trained()
    content = as_file(model)
    with written_whole(out) as file:
        file.write(content)
    print(f"{out}: {len(content):,} bytes, {len(learned_from()[1]):,} pictures, {100 * right:.1f} % of {len(tested()[1]):,} test pictures right")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
