"""`python -m core model`: a model's layers and what training them costs, its own source, and what normalising does to its pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from core import catalog
from core.commands import Parsers, settings
from core.commands.progress import percent
from core.config import ConfigError, RunConfig
from core.config.entry import suggest
from core.config.limits import quoted
from core.data.datasets import training_images
from core.machine.home import Home
from core.records import how_much, telling
from core.records.normalising import WHY, Seen, verdict
from core.records.sources import LayerSource, ModelSource
from core.store import RunStore
from core.store.plans_tried import plans_tried

NAMES: Sequence[str] = ("model",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `model`."""
    parser = commands.add_parser("model", parents=[shared, as_json, settings.flags()])
    parser.add_argument("name", metavar="NAME", nargs="?", help="the model, as --model has it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--source", metavar="LAYER", nargs="?", const="", help="print the model's own class, or that of a layer and the lines that make and call it"
    )
    which.add_argument("--how-much", action="store_true", help="print what your finished runs and your pictures say of how much to freeze")
    which.add_argument(
        "--normalised", action="store_true", help="print what normalising does to the first pictures, and to what the model makes of them"
    )


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Print what is asked for. Raises ConfigError for what cannot be used."""
    if arguments.name is not None:
        if arguments.model is not None:
            raise ConfigError("model", f"was given twice, {quoted(arguments.name)} and {quoted(arguments.model)}; leave one of them out")
        arguments.model = arguments.name
    config = settings.config(arguments, home)
    if arguments.image_size is None and arguments.source is not None and arguments.config is None:
        config = config.replace(image_size=catalog.find_model(config.model).usual)
    config = catalog.check(config)
    if arguments.source is not None:
        return _source(home, config, arguments.source, arguments.json)
    if arguments.how_much:
        return _how_much(home, config, arguments.json)
    if arguments.normalised:
        return _normalised(home, config, arguments.json)
    return _layers(home, config, arguments.json)


def _layers(home: Home, config: RunConfig, as_json: bool) -> int:
    """The layers as the Model screen has them, and the cost of a step, measured."""
    config = catalog.check(config)
    from core.measuring.bench import Bench
    from core.model import anatomy
    from core.records.layers import frozen_parameters, head_options, multipliers_by_parameter
    from core.worker import assembly

    config = assembly.check(config, home)
    classes = len(catalog.class_names(config.dataset, home.data))
    layers = anatomy.describe(config.model, classes, config.image_size, head_options(config)).parameters
    frozen = frozen_parameters(config.freeze, layers)
    factors = multipliers_by_parameter(config.learning_rate_multipliers, layers)
    cost = Bench().measure(config, classes)
    if as_json:
        rows = [{**asdict(layer), "frozen": layer.name in frozen, "multiplier": factors[layer.name]} for layer in layers]
        print(json.dumps({"layers": rows, "cost": asdict(cost)}))
        return 0
    print(f"{'':7} {'rate x':>7} {'values':>12} {'shape':>18}  tensor")
    for layer in layers:
        state, shape = "frozen" if layer.name in frozen else "learns", " x ".join(map(str, layer.shape))
        print(f"{state:7} {factors[layer.name]:>7g} {layer.count:>12,} {shape:>18}  {layer.name}")
    print(f"{cost.trainable:,} of {cost.total:,} parameters learn; the backward pass is {percent(cost.backward_share)} of a full one")
    memory = (
        ("weights", cost.weight_bytes),
        ("gradients", cost.gradient_bytes),
        ("optimizer", cost.optimizer_bytes),
        ("activations", cost.activation_bytes),
    )
    print("memory: " + ", ".join(f"{name} {telling.size(size)}" for name, size in memory))
    print(f"a step of {config.batch_size} images: {1000 * cost.step_seconds:,.1f} ms on {cost.device} (median of {cost.steps_measured} steps)")
    return 0


def _source(home: Home, config: RunConfig, layer: str, as_json: bool) -> int:
    from core.explaining.source import model_source
    from core.records.layers import head_options

    classes = len(catalog.class_names(config.dataset, home.data))
    found = model_source(config.model, classes, config.image_size, head_options(config))
    if layer not in found.layers:
        raise ConfigError("source", f"{catalog.find_model(config.model).label} has no layer {quoted(layer)}; {suggest([*found.layers][1:], layer)}")
    if as_json:
        own = found.layers[layer]
        mentions = [{**asdict(mention), "class": found.classes[mention.place].address} for mention in own.mentions]
        print(json.dumps({"layer": layer, "class": asdict(found.of(layer)), "mentions": mentions, "note": own.note}))
    else:
        print("\n".join(_source_lines(found, layer)))
    return 0


def _source_lines(found: ModelSource, layer: str) -> list[str]:
    own = found.layers[layer]
    lines = _around(found, own) if layer else []
    lines += [own.note, ""] if own.note else []
    source = found.of(layer)
    lines.append(f"{layer or 'the model'}: {source.name} ({source.module}, line {source.first:,})")
    lines += [f"{source.first + index:>6}  {text}" for index, text in enumerate(source.text.rstrip("\n").split("\n"))]
    inside = [
        path for path in found.layers if path.startswith(f"{layer}." if layer else "") and path.count(".") == (layer.count(".") + 1 if layer else 0)
    ]
    return [*lines, "", f"inside: {', '.join(path for path in inside if path)}"] if any(inside) else lines


def _around(found: ModelSource, own: LayerSource) -> list[str]:
    """The lines that make and call a layer, as they stand."""
    lines = []
    for mention in own.mentions:
        source = found.classes[mention.place]
        text = source.text.split("\n")[mention.first - source.first : mention.last - source.first + 1]
        lines.append(f"{mention.use} by {source.name} ({source.module})")
        lines += [f"{mention.first + index:>6}  {line}" for index, line in enumerate(text)]
    return [*lines, ""]


def _how_much(home: Home, config: RunConfig, as_json: bool) -> int:
    from core.config.plans import PRESETS, FreezePlan
    from core.explaining.separation import separation
    from core.model import anatomy
    from core.records.layers import frozen_parameters, head_options

    classes = len(catalog.class_names(config.dataset, home.data))
    layers = anatomy.describe(config.model, classes, config.image_size, head_options(config)).parameters
    frozen = {preset: frozen_parameters(FreezePlan(rules=(preset,)), layers) for preset in PRESETS}
    learning = {preset: sum(layer.count for layer in layers if layer.name not in names) for preset, names in frozen.items()}
    runs, images = plans_tried(RunStore(home.database), config), training_images(config.dataset, config.validation_share)
    found = separation(config, home)
    if as_json:
        rows = {"learning": learning, "training_images": images, "runs": [{**asdict(each), "mean": each.mean} for each in runs]}
        print(json.dumps({**rows, "separation": asdict(found)}))
        return 0
    print(how_much.ABOUT)
    print(f"\n{'plan':18} {'numbers that learn':>18}  {'':18} validation accuracy of finished runs")
    for plan, count, each, sentence in how_much.lines(learning, images, runs):
        print(f"{plan:18} {count:>18}  {each:18} {sentence}")
    print(f"\n{how_much.ABOUT_SEPARATION}\n{found.sentence} Weights: {found.weights}.")
    return 0


def _normalised(home: Home, config: RunConfig, as_json: bool) -> int:
    from core.explaining.normalising import seen

    found = seen(config, home)
    print(json.dumps(asdict(found)) if as_json else "\n".join(_seen_lines(found)))
    return 0


def _seen_lines(found: Seen) -> list[str]:
    lines = [WHY, "", f"{found.pictures:,} pictures, the first of class {found.label}; weights: {found.weights}"]
    for view in found.views:
        lines += [
            view.name,
            f"  takes off {_row(view.mean)}, divides by {_row(view.std)}",
            f"  the model gets means {_row(view.channel_mean)}, spreads {_row(view.channel_std)}, a figure a channel",
            f"  features: {view.distance:.3g} of their length away, cosine {view.cosine:.3g}",
        ]
        if view.answers is not None:
            answers = ", ".join(f"{name} {percent(probability)}" for name, probability in view.answers)
            lines.append(f"  answers: {answers}; another likeliest class for {view.other} of {found.pictures} pictures")
    return [*lines, "", verdict(found)]


def _row(figures: Sequence[float]) -> str:
    return " ".join(f"{figure:.3g}" for figure in figures)
