"""What a node of the graph keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from core.records.walkthrough import Saved

_WORDS: Mapping[str, str] = {
    "input": "what went in",
    "self": "what went in",
    "other": "the other factor",
    "mat1": "what went in",
    "mat2": "the matrix it was multiplied with",
    "weight": "the weights",
    "bias": "the bias",
    "result": "what came out",
    "output": "what came out",
    "out": "what came out",
    "indices": "where each maximum was",
    "indices_": "where each value came from",
    "index": "which values were taken",
    "target": "the labels",
    "total_weight": "what the sum was divided by",
    "running_mean": "the running mean",
    "running_var": "the running variance",
    "mean": "the mean of each group",
    "rstd": "1 / standard deviation of each group",
    "mask": "which values were kept",
    "condition": "which of the two was taken",
    "query": "the queries",
    "key": "the keys",
    "value": "the values",
    "logsumexp": "the logarithm of each row's sum of exponentials",
    "log_sumexp": "the logarithm of each row's sum of exponentials",
    "philox_seed": "the seed of the random numbers",
    "philox_offset": "the place in the sequence of random numbers",
    "grid": "where values were read",
}

_BY_KIND: Mapping[tuple[str, str], str] = {
    ("BatchNorm", "result1"): "the mean of each channel in this batch",
    ("BatchNorm", "result2"): "1 / standard deviation of each channel in this batch",
    ("BatchNorm", "result3"): "working memory of the kernel",
    ("LayerNorm", "result1"): "the mean of each position",
    ("LayerNorm", "result2"): "1 / standard deviation of each position",
    ("GroupNorm", "result1"): "the mean of each group",
    ("GroupNorm", "result2"): "1 / standard deviation of each group",
    ("MaxPool", "result1"): "where each maximum was",
    ("Dropout", "result1"): "which values were kept",
    ("Max", "indices"): "where each maximum was",
}


def saved_tensors(node: Node, own: Mapping[int, str]) -> tuple[tuple[Saved, ...], int]:
    """The tensors that `node` saved, and how many bytes they take: those of the model itself, which cost nothing more, left out.

    Args:
        own: address of the memory of each parameter and buffer of the model, to its name.
    """
    found: list[Saved] = []
    total = 0
    storages: set[int] = set()
    for attribute in dir(node):
        if not attribute.startswith("_saved_"):
            continue
        name = attribute.removeprefix("_saved_")
        for tensor in _read(node, attribute):
            if not tensor.numel():
                continue  # some kernels leave a place empty
            address = tensor.untyped_storage().data_ptr()
            what = _what(node.name(), name)
            if address in own:
                what = f"{what}: {own[address]} of the model itself, nothing is copied" if what else f"{own[address]} of the model itself"
            elif address not in storages:
                storages.add(address)
                total += tensor.nbytes
            found.append(Saved(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.nbytes, what))
    return tuple(found), total


def _what(kind: str, name: str) -> str:
    for (part, key), words in _BY_KIND.items():
        if part in kind and key == name:
            return words
    return _WORDS.get(name, "")


def _read(node: Node, attribute: str) -> list[Tensor]:
    try:
        value: Any = getattr(node, attribute)
    except RuntimeError:
        return []  # freed by a backward pass, or overwritten since
    values = value if isinstance(value, tuple | list) else (value,)
    return [tensor for tensor in values if isinstance(tensor, Tensor)]
