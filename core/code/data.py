"""The script's data: its pictures, which of them train and which measure, and the batches of an epoch in the order of the run."""

from __future__ import annotations

from collections.abc import Sequence

from core.catalog import find_model
from core.code import ranks
from core.code.excerpts import Excerpt, excerpt, joined
from core.code.faults import broken_data
from core.code.folders import folder_reader, listed_reader
from core.code.pictures import large_lines, normalise_lines, parts_of, pictures_class, plain_lines, reader
from core.code.recorded import Recorded
from core.code.versions import version_of, version_reader
from core.config import RunConfig
from core.config.devices import shared
from core.data.augmentations import find_augmentation, largest_side
from core.data.datasets import folder_of
from core.data.splits import TEST_SEED, TEST_SHARE

_DOUBLES = '''def digest(picture):
    """Another one for other pixels."""
    return hashlib.sha256(picture.numpy().tobytes()).digest()


# Nothing is trained on that is measured on too, pixel for pixel. This reads every picture once.
measured = {{digest(picture) for dataset in ({measured}) for picture, _ in dataset}}
train_set = train_set.at([place for place, (picture, _) in enumerate(train_set) if digest(picture) not in measured])'''

_ORDER = '''def order(epoch):
    """The places of each batch in the training set: a function of the seed and the epoch alone."""
    places = torch.randperm(len(train_set), generator=generator_for({seed}, epoch)).tolist()
    batches = [places[start : start + {step}] for start in range(0, len(places), {step})]
    # One picture alone may leave BatchNorm a single value a channel, which PyTorch refuses.
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches'''

_SAME = '''def batches(epoch):
    """Pictures uint8 [N, 3, {size}, {size}] and labels of each batch of an epoch."""
    # With a generator of its own: else each epoch takes a number from torch's, which dropout uses too.
    return DataLoader(train_set, batch_sampler={places}, generator=torch.Generator())'''

_CHANGED = '''def changed(images, generator):
    """Pictures uint8 [N, 3, {size}, {size}], changed by chance."""
    for change in ({steps}):
        images = change(images, generator)
    return images


'''

_CUT = '''def changed(images, generator):
    """Pictures uint8 [3, H, W] of any size, changed by chance: uint8 [N, 3, {size}, {size}]."""
    images = crop(images, {size}, generator){further}
    return images


'''

_OWN = '''transform = v2.Compose([
{steps}])


def changed(images, generator):
    """Pictures uint8 [3, H, W], changed by chance: uint8 [N, 3, {size}, {size}]."""
    return transformed(transform, images, generator)


'''

_BATCHES = "def batches(epoch):\n"

_STACKED = '''def stacked(samples):
    """Pictures of a batch as a list, for they may differ in size, and their labels."""
    return [picture for picture, _ in samples], torch.tensor([label for _, label in samples])


'''

_FURTHER = """
    for change in ({steps}):
        images = change(images, generator)"""

_NEW = '''    """Pictures uint8 [N, 3, {size}, {size}] and labels of each batch of an epoch, changed in another way each time."""
    # With a generator of its own: else each epoch takes a number from torch's, which dropout uses too.
    loader = DataLoader({pictures}, batch_sampler=order(epoch), generator=torch.Generator(){stacked})
    for number, (images, labels) in enumerate(loader):
{yielded}'''

_ALL = "        yield changed(images, generator_for({seed}, epoch, number)), labels"

_MINE = """        mine = own(range(len(labels)))  # chance is that of the whole step
        yield changed(images, generator_for({seed}, epoch, number))[mine], labels[mine]"""

_VIEWS = '''    """Pictures uint8 [N, 3, {size}, {size}] and labels of each batch of an epoch: of each picture, {views} random ones come in turn."""
    view = (epoch - 1) % {views}
    for places in {each}:
        views = [changed({pictures}[place][0][None], generator_for({seed}, view, int(train_set.places[place]))) for place in places]
        yield torch.cat(views), torch.tensor(train_set.labels[places])'''


def data_lines(config: RunConfig, classes: int, recorded: Recorded) -> Excerpt:
    """From files or arrays to `batches`, a function of the epoch, and to `validation_set` and `test_set`."""
    listed = recorded.pictures is not None
    reading = reading_lines(config, recorded)
    return joined(
        [
            reading,
            ranks.downloaded_once(reading.text) if shared(config) else "",
            excerpt("core.data.loader", "generator_for"),
            _sets(config, recorded),
            broken_data(config, classes, () if listed else parts_of(config, recorded.old), listed),
            _doubles(config) if config.doubles == "leave out" and not listed else "",
            _ORDER.format(seed=config.seed, step=config.batch_size * config.accumulate),
            ranks.piece_lines(config) if shared(config) else "",
            _batches(config, recorded),
        ]
    )


def reading_lines(config: RunConfig, recorded: Recorded) -> Excerpt:
    """`plain`, `normalise`, `Pictures` and `read`, and what they need of the engine: the same for training and for evaluating."""
    named = recorded.pictures is not None or folder_of(config.dataset) is not None
    read = (
        listed_reader(recorded, config.fixed_views is not None)
        if recorded.pictures is not None
        else version_reader(version, config)
        if (version := version_of(config))
        else folder_reader(config, recorded.old)
        if named
        else reader(config, recorded.data)
    )
    plain, decoding = plain_lines(config, recorded.value_range)
    return joined(
        [
            decoding,
            "# Data",
            plain,
            normalise_lines(config, *find_model(config.model).normalise),
            pictures_class(config, named, config.fixed_views is not None),
            read,
        ]
    )


def test_lines(config: RunConfig, recorded: Recorded) -> Excerpt:
    """`test_set` alone: what a run of `config` is tested on."""
    if recorded.pictures is not None or "test" in parts_of(config, recorded.old):
        return Excerpt('test_set = read(plain, "test")')
    tested = f"whole = read(plain)\ntest_set = whole.at(stratified_split(whole.labels, {TEST_SHARE}, {TEST_SEED})[1])"
    return joined([excerpt("core.data.splits", "stratified_split"), tested])


def _sets(config: RunConfig, recorded: Recorded) -> Excerpt:
    """`train_set`, `validation_set` and `test_set`."""
    if recorded.pictures is not None:
        return Excerpt('train_set, validation_set, test_set = (read(plain, part) for part in ("train", "validation", "test"))')
    parts, share = parts_of(config, recorded.old), config.validation_share
    lines = ["whole = read(plain)"]
    kept = "whole.labels"
    if "test" not in parts:
        lines.append(f"kept, tested = stratified_split(whole.labels, {TEST_SHARE}, {TEST_SEED})  # tested on: the same for every seed")
        kept = "whole.labels[kept]"
    else:
        lines.append("kept = np.arange(len(whole))")
    if share > 0 and "validation" not in parts:
        lines += [f"rest, held_back = stratified_split({kept}, {share!r}, {config.seed})", "kept, held_back = kept[rest], kept[held_back]"]
        validation = "whole.at(held_back)"
    else:
        validation = 'read(plain, "validation")' if share > 0 else "whole.at(kept[:0])"
    test = 'read(plain, "test")' if "test" in parts else "whole.at(tested)"
    lines.append(f"train_set, validation_set, test_set = whole.at(kept), {validation}, {test}")
    split = any("stratified_split" in line for line in lines)
    return joined([excerpt("core.data.splits", "stratified_split") if split else "", "\n".join(lines)])


def _doubles(config: RunConfig) -> str:
    return _DOUBLES.format(measured="validation_set, test_set" if config.validation_share > 0 else "test_set,")


def _batches(config: RunConfig, recorded: Recorded) -> Excerpt:
    augmentation = find_augmentation(config.augmentation)
    steps, own = augmentation.steps, augmentation.own
    values = {"size": config.image_size, "seed": config.seed, "views": config.fixed_views, "pictures": "train_set", "stacked": ""}
    several = shared(config)
    values |= {
        "places": "[own(places) for places in order(epoch)]" if several else "order(epoch)",
        "each": "map(own, order(epoch))" if several else "order(epoch)",
    }
    values["yielded"] = (_MINE if several else _ALL).format(**values)
    if not augmentation.changes:
        return Excerpt(_SAME.format(**values))
    shown = _VIEWS if config.fixed_views else _NEW
    functions = excerpt("core.data.changes", *(["transformed"] if own else steps))
    if own:
        body = _OWN.format(steps="".join(f"    {step.code(config.image_size)},\n" for step in own), **values)
    if augmentation.smallest_area is None:
        changed = body if own else _CHANGED.format(steps=_several(steps), **values)
        return joined([functions, changed + _BATCHES + shown.format(**values)])
    side = recorded.largest or largest_side(config.image_size, augmentation.smallest_area)
    values |= {"pictures": "large_set", "stacked": ", collate_fn=stacked"}
    cut = body if own else _CUT.format(further=_FURTHER.format(steps=_several(steps[1:])) if steps[1:] else "", **values)
    large = large_lines(config, recorded.value_range, side)
    return joined([large, functions, cut + _STACKED + _BATCHES + shown.format(**values)])


def _several(names: Sequence[str]) -> str:
    """The inside of a tuple."""
    return ", ".join(names) + ("," if len(names) == 1 else "")
