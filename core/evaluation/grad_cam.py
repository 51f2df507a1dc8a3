"""Grad-CAM: where in a picture the evidence for a class lies, as a layer sees it.

Source: R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization, ICCV 2017, equations 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.config import ConfigError
from core.evaluation.evaluate import Loaded
from core.evaluation.pictures import data_uri
from core.networks.model_entries import SWIN, SWIN_V2
from core.networks.models import logits_and_auxiliary
from core.records.evaluation import CamView

STRENGTH = 0.75
"""How much of a pixel the heat covers where it is highest."""

SHOWN = 256
"""Side of the pictures in pixels, at least."""

# From black over purple and orange to pale yellow: as matplotlib's inferno, which grows evenly lighter, so that it reads without colours too.
_RAMP = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)


def layers(loaded: Loaded) -> tuple[str, ...]:
    """Paths of the layers and blocks whose output has places that Grad-CAM can weigh, in the order in which they are done.

    That is: maps [N, C, H, W] (or [N, H, W, C], as in Swin), and patch tokens [N, tokens, D] of a square picture. Norms and activations inside a
    block are left out, and so are tokens that no longer touch the prediction (the last block of a vision transformer hands on its class token
    alone). The last one is the usual choice. Empty where a model has none.
    """
    model = loaded.model
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(_noting(found, path))
        for path, module in model.named_modules()
        if path and path != loaded.entry.family.head[0] and not path.startswith(loaded.entry.family.head[0] + ".") and _is_wanted(path, module)
    ]
    size = loaded.config.image_size
    try:
        with torch.enable_grad():
            pixels = torch.randint(256, (1, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
            # A picture that wants a gradient: frozen layers pass one on as well.
            logits = logits_and_auxiliary(model(loaded.inputs(pixels).requires_grad_()))[0]
    finally:
        for hook in hooks:
            hook.remove()
    spatial = {path: output for path, output in found.items() if _layout(loaded, path, output) is not None}
    tokens = [path for path, output in spatial.items() if output.dim() == 3]
    for path, gradient in zip(tokens, _gradients(logits.square().sum(), [spatial[path] for path in tokens]), strict=True):
        if gradient is None or not bool(gradient[:, -(math.isqrt(gradient.shape[1]) ** 2) :].any()):
            del spatial[path]
    # Where a block hands on what its last layer gave, the block stands for both.
    inner = {
        path
        for path, output in spatial.items()
        for other, same in spatial.items()
        if path.startswith(other + ".") and output.shape == same.shape and output.data_ptr() == same.data_ptr()
    }
    return tuple(path for path in spatial if path not in inner)


def explain(loaded: Loaded, images: Tensor, layer: str, target: int | None = None) -> CamView:
    """The heat map of class `target` (None: the likeliest one) in the output of `layer`, for one image uint8 [1, 3, S, S].

    Where outputs are not finite, the map is zero, `probability` is NaN, and `note` says so.

    Raises:
        ConfigError: on `layer` or `target`, there is no such layer or class, or the layer's output has no places.
    """
    output, logits, gradient = _pass(loaded, images, layer, target)
    target = int(logits[0].argmax()) if target is None else target
    probability = float(logits.softmax(dim=1)[0, target])
    maps, weights = _as_maps(loaded, layer, output)[0], _as_maps(loaded, layer, gradient)[0]
    heat = (weights.mean(dim=(1, 2), keepdim=True) * maps).sum(dim=0).relu()  # equations 1 and 2
    highest = float(heat.max())
    notes = []
    if not (math.isfinite(highest) and math.isfinite(probability)):
        heat = torch.zeros_like(heat)
        notes.append("The model gives NaN or infinite numbers for this picture, so there is no map.")
    elif highest == 0:
        notes.append("Nothing in this layer speaks for this class: the map is zero everywhere.")
    else:
        heat = heat / highest
    if heat.numel() < 9:
        notes.append(f"The output of this layer has only {heat.shape[0]} x {heat.shape[1]} places: an earlier layer, or larger images, show more.")
    picture = images[0].numpy()
    return CamView(
        layer=layer,
        target=target,
        target_name=loaded.classes[target],
        probability=probability,
        picture=data_uri(picture, max(SHOWN, picture.shape[-1])),
        overlay=data_uri(_overlay(images, heat)),
        heat=tuple(tuple(float(value) for value in row) for row in heat.tolist()),
        epoch=loaded.checkpoint.epoch,
        note=" ".join(notes),
    )


def _pass(loaded: Loaded, images: Tensor, layer: str, target: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """The layer's output, the logits, and d logit of the target / d output."""
    modules = dict(loaded.model.named_modules())
    if not layer or layer not in modules:
        raise ConfigError("layer", f"{loaded.entry.label} has no layer {layer!r}; choose one of those with a map, such as {_some(loaded)}")
    if target is not None and not 0 <= target < len(loaded.classes):
        raise ConfigError("target", f"there is no class {target}; use 0 to {len(loaded.classes) - 1}")
    outputs: list[Tensor] = []

    def cut(module: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or _layout(loaded, layer, output) is None:
            raise _NoPlaces(tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__)
        # Gradients are needed from here on alone, whatever is frozen. The copy may be changed in place by what comes next.
        outputs.append(output.detach().float().requires_grad_())
        return outputs[-1].clone()

    hook = modules[layer].register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits = logits_and_auxiliary(loaded.model(loaded.inputs(images)))[0]
            chosen = logits[0, int(logits[0].argmax()) if target is None else target]
            gradient = _gradients(chosen, outputs[-1:])[0] if outputs else None
    except _NoPlaces as error:
        shape = error.args[0]
    else:
        shape = None
    finally:
        hook.remove()
    if shape is not None:
        raise ConfigError(
            "layer", f"the output of {layer!r} has no places to point at (its shape is {shape}); choose one with a map, such as {_some(loaded)}"
        )
    if not outputs:
        raise ConfigError("layer", f"{layer!r} takes no part in a prediction; choose another, such as {_some(loaded)}")
    return outputs[-1].detach(), logits.detach(), torch.zeros_like(outputs[-1]) if gradient is None else gradient


class _NoPlaces(Exception):
    pass


def _noting(found: dict[str, Tensor], path: str) -> Callable[[nn.Module, Any, Any], None]:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() in (3, 4) and len(output) == 1:
            found.pop(path, None)  # a layer that is used twice lies where it is used last
            found[path] = output

    return note


def _is_wanted(path: str, module: nn.Module) -> bool:
    """Blocks, convolutions, LayerNorms (the place to look in transformers), and what lies directly in the model, pooling to a fixed size aside."""
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return False
    return "." not in path or isinstance(module, nn.Conv2d | nn.LayerNorm) or any(True for _ in module.children())


def _layout(loaded: Loaded, path: str, output: Tensor) -> str | None:
    """How the places of an output lie: 'maps' [N, C, H, W], 'places first' [N, H, W, C], 'tokens' [N, T, D]; None: it has none."""
    if output.dim() == 4:
        _, first, second, third = output.shape
        swin = loaded.entry.family in (SWIN, SWIN_V2) and not isinstance(loaded.model.get_submodule(path), nn.Conv2d)
        if swin and first == second > 1:
            return "places first"
        return "maps" if not swin and second == third > 1 else None
    if output.dim() == 3 and output.shape[1] > 3:
        patches = math.isqrt(output.shape[1]) ** 2  # all are patches, or all but the class token
        return "tokens" if output.shape[1] - patches in (0, 1) and patches > 1 else None
    return None


def _as_maps(loaded: Loaded, path: str, values: Tensor) -> Tensor:
    """[N, C, H, W] of an output, or of its gradient."""
    maps: Tensor
    match _layout(loaded, path, values):
        case "places first":
            maps = values.permute(0, 3, 1, 2)
        case "tokens":
            side = math.isqrt(values.shape[1])
            maps = values[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))  # a class token comes first
        case _:
            maps = values
    return maps


def _gradients(of: Tensor, outputs: list[Tensor]) -> list[Tensor | None]:
    return list(torch.autograd.grad(of, outputs, allow_unused=True)) if outputs else []


def _overlay(images: Tensor, heat: Tensor) -> NDArray[np.uint8]:
    """The heat over the picture, uint8 [3, side, side]."""
    side = max(SHOWN, images.shape[-1])
    large = F.interpolate(images.float(), (side, side), mode="bicubic", align_corners=False)[0].clamp(0, 255).numpy()
    values = F.interpolate(heat[None, None].cpu(), (side, side), mode="bilinear", align_corners=False)[0, 0].clamp(0, 1).numpy()
    steps = np.linspace(0, 1, len(_RAMP))
    colour = np.stack([np.interp(values, steps, channel) for channel in _RAMP.T])
    mixed: NDArray[np.uint8] = np.rint(large * (1 - STRENGTH * values) + colour * STRENGTH * values).astype(np.uint8)
    return mixed


def _some(loaded: Loaded) -> str:
    found = layers(loaded)
    return ", ".join(found[-3:]) if found else "none: this model has no layer with a map"
