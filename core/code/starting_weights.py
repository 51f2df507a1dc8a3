"""The script's starting weights. Those of a file are read as a run reads them, in the run's own words: `core.model.fitting`."""

from __future__ import annotations

from pathlib import Path

from core.catalog.weight_kinds import kind_of
from core.code.excerpts import Excerpt, excerpt, joined
from core.code.names import tuple_of
from core.config import ConfigError, RunConfig
from core.networks.model_entries import VIT, ModelEntry

POSITIONS = "encoder.pos_embedding"
"""What a vision transformer calls its position embeddings."""

_HEADER = "# How the weights in a file are found, in the very words of Thaw"

_OPENED = """# No code in the file is run: of what lies beside the tensors, torch's safe loader makes stand-ins that do nothing.
with open({path!r}, "rb") as file, torch.serialization.safe_globals(list(STAND_INS)):
    given = dict(tensors_in(torch.load(file, map_location="cpu", weights_only=True)))"""

_FOUND = """given = {{_today(name): tensor for name, tensor in given.items()}}
children = [child for child, _ in model.named_children()]
shapes, own_shapes = ({{name: tuple(tensor.shape) for name, tensor in state.items()}} for state in (given, own))
ways = fits(shapes, own_shapes, children{alike})
assert ways and ways[0].fitting, "no tensor of the file has a name and the shape of one of the model"
way = as_good(rivals(ways))[0]
weights = {{mine: given[theirs] for theirs, mine in way.named(list(given)).items()}}
weights |= {{mine: given[theirs] for mine, theirs in way.names.items()}}"""

_POSITIONS = """# There is a position embedding for each patch; for another image size they are interpolated.
weights = torchvision.models.vision_transformer.interpolate_embeddings({size}, model.patch_size, weights)"""

_FIT = """for head in {heads}:  # it stays fresh where theirs is for other classes, or of other layers
    theirs, ours = ({{name: tensor.shape for name, tensor in state.items() if name.startswith(head)}} for state in (weights, own))
    if theirs != ours:
        weights = {{name: tensor for name, tensor in weights.items() if not name.startswith(head)}}
lacking = [name for name in own if name not in weights and not name.startswith({spare}) and not name.endswith(".num_batches_tracked")]
assert not lacking, f"the weights lack {{lacking}}"
model.load_state_dict(weights, strict=False)"""


def starting_weights(entry: ModelEntry, config: RunConfig) -> Excerpt:
    """The lines that give `model` its starting weights; none for random ones, which it has."""
    if config.starting_weights == "random":
        return Excerpt("")
    parts = [_published(entry)] if config.starting_weights == "pretrained" else _file(entry, config.starting_weights)
    if entry.family is VIT:
        exact = "" if config.starting_weights == "pretrained" else f'weights["{POSITIONS}"] = weights["{POSITIONS}"].float()\n'
        parts.append(exact + _POSITIONS.format(size=config.image_size))
    heads = [f"{head}." for head in entry.family.head]
    spare = (*heads, *(f"{part}." for part in entry.family.auxiliary))
    return joined([*parts, _FIT.format(heads=tuple_of(heads), spare=tuple_of(spare))])


def _published(entry: ModelEntry) -> Excerpt | str:
    if entry.shipped:
        path = str(entry.shipped.path)
        return f"""# {entry.shipped.origin[:1].upper()}{entry.shipped.origin[1:]}.
# The file ships with Thaw, without a head; copy it to where this script is to run.
# SHA-256: {entry.shipped.sha256}
own = model.state_dict()
weights = load_file({path!r})"""
    auxiliary = ", aux_logits=True" if entry.family.auxiliary else ""
    return f"""own = model.state_dict()
with torch.random.fork_rng(devices=[]):  # the model that they come in is random at first: the chance that it uses up is given back
    weights = torchvision.models.{entry.name}(weights="DEFAULT"{auxiliary}).state_dict()"""


def _file(entry: ModelEntry, path: str) -> list[Excerpt | str]:
    """From the file to `weights`, its tensors under the names of the model."""
    positions = entry.family is VIT
    if _is_safetensors(path):
        reading, opened = [], f"given = load_file({path!r})"
    else:
        reading = [excerpt("core.model.allowed", "STAND_INS"), excerpt("core.model.contents", "tensors_in", beside=frozenset({"Aside"}))]
        opened = _OPENED.format(path=path)
    names = ("_today", "_can_be_interpolated") if positions else ("_today",)
    return [
        _HEADER,
        *reading,
        excerpt("core.model.fitting", "fits", "rivals", "as_good"),
        excerpt("core.model.weights", *names, beside=frozenset({"Shape"})),
        "own = model.state_dict()",
        opened,
        _FOUND.format(alike=", _can_be_interpolated" if positions else ""),
    ]


def _is_safetensors(path: str) -> bool:
    """By what the file holds, where it can be looked at; else by its name."""
    try:
        return kind_of(Path(path)) == "safetensors"
    except ConfigError:
        return path.lower().endswith(".safetensors")
