"""`predict.py`: what an exported model makes of pictures, in some forty lines that need nothing of Thaw. Pure text, no torch.

A receipt is made with this very script, so it is tried with each export. Where a run had pictures of more than 8 bits a channel, the engine's own
reading of a picture stands in it, which is longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.catalog import find_model
from core.code.excerpts import Excerpt, excerpt, importing, joined
from core.code.model import bare_model, model_source
from core.code.pictures import as_files
from core.config import RunConfig
from core.data.decoding import ValueRange
from core.networks.model_entries import MNASNET

INPUT, OUTPUT = "pictures", "logits"
"""Names of what goes into an exported graph, and of what comes out."""

NEEDS = {
    "torch": "torch, torchvision, numpy and Pillow",
    "safetensors": "torch, torchvision, safetensors, numpy and Pillow",
    "onnxruntime": "onnxruntime, numpy and Pillow",
    "torch.export": "torch, numpy and Pillow",
}
"""What a script for each runtime needs."""


@dataclass(frozen=True)
class Made:
    """What a script is made from: the run's config, its classes, what is said of it in the first line, and its range of deep pictures."""

    config: RunConfig
    classes: tuple[str, ...]
    about: str
    value_range: ValueRange | None = None


_HEAD = '''"""{about}: python {script} PICTURE...

Needs {needs}; nothing of Thaw.
"""'''

_CONSTANTS = """HERE = Path(__file__).resolve().parent
CLASSES = {classes}
SIZE = {size}"""

_OPENED = '''def opened(path):
    """The picture in RGB, turned the way it was taken, transparent parts white; a JPEG is decoded at a part of its size, as in training."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * SIZE, 2 * SIZE))
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        raise SystemExit(f"{path} has more than 8 bits a channel, which the pictures of the run had not: save it with 8")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    return image.convert("RGB")'''

_PICTURE = '''def picture(path):
    """A picture file as uint8 [3, SIZE, SIZE], as the model was trained: {fit}."""
{lines}'''

_FIT = {"crop": "its middle square", "squash": "its sides scaled by factors of their own", "pad": "with black at two sides"}

_SQUARE = {
    "crop": "    square = ImageOps.fit(opened(path), (SIZE, SIZE), Image.Resampling.BILINEAR)",
    "squash": "    square = opened(path).resize((SIZE, SIZE), Image.Resampling.BILINEAR)",
    "pad": """    image = opened(path)
    across, down = (max(1, round(side * (SIZE / max(image.size)))) for side in image.size)
    square = Image.new("RGB", (SIZE, SIZE))
    square.paste(image.resize((across, down), Image.Resampling.BILINEAR), ((SIZE - across) // 2, (SIZE - down) // 2))""",
}

_OF_SQUARE = "\n    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))"

_TENSOR = {
    "crop": """    image = opened(path)
    if image.width != image.height:
        image = ImageOps.fit(image, (min(image.size),) * 2, Image.Resampling.BILINEAR)
    return resized(image, SIZE, SIZE)""",
    "squash": "    return resized(opened(path), SIZE, SIZE)",
    "pad": """    image = opened(path)
    across, down = (max(1, round(side * (SIZE / max(image.size)))) for side in image.size)
    left, top = (SIZE - across) // 2, (SIZE - down) // 2
    return np.pad(resized(image, down, across), ((0, 0), (top, SIZE - top - down), (left, SIZE - left - across)))""",
}
"""The pictures of the run were arrays, which are resized as tensors."""

_RESIZED = '''def resized(image, height, width):
    """uint8 [3, height, width], resized as the run's pictures were."""
    pixels = torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))
    return v2.functional.resize(pixels, [height, width], antialias=True).numpy()'''

_PICTURE_DEEP = '''def picture(path):
    """A picture file as uint8 [3, SIZE, SIZE], as the model was trained; {low:g} and {high:g} of deep pictures are 0 and 255."""
    return decode(Path(path), SIZE, {fit!r}, {value_range!r})'''

_LOAD = {
    "torch": 'model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))',
    "safetensors": "model.load_state_dict(load_file(file))",
}

_WITH_VERSIONS = """state = model.state_dict()  # its layers have versions, which the file does not hold
    assert state.keys() == (given := load_file(file)).keys()
    state.update(given)
    model.load_state_dict(state)"""

_BUILT = '''def load(file=HERE / {weights!r}):
    """The model with its weights, in eval mode."""
{built}
    {load}
    return model.eval()


def logits(model, pictures):
    """float32 [N, classes] for pictures uint8 [N, 3, SIZE, SIZE]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ({mean}, {std}))
    with torch.inference_mode():
        return model((torch.from_numpy(pictures).float() / 255 - mean) / std).numpy()'''

_ONNX = f'''def load(file=HERE / {{weights!r}}):
    """The model, ready to run on the processor."""
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def logits(model, pictures):
    """float32 [N, classes] for pictures uint8 [N, 3, SIZE, SIZE]."""
    return model.run(["{OUTPUT}"], {{{{"{INPUT}": pictures}}}})[0]'''

_GRAPH = '''def load(file=HERE / {weights!r}):
    """The model, as it was in eval mode."""
    return torch.export.load(file).module()


def logits(model, pictures):
    """float32 [N, classes] for pictures uint8 [N, 3, SIZE, SIZE]."""
    with torch.inference_mode():
        return model(torch.from_numpy(pictures)).numpy()'''

_MAIN = """if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    model = load()
    for path in sys.argv[1:]:
        values = logits(model, picture(path)[None])[0].astype(np.float64)
        shares = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
        likeliest = np.argsort(-shares)[:5]
        print(f"{path}: " + ", ".join(f"{CLASSES[place]} {shares[place]:.1%}" for place in likeliest))"""


def predict_code(made: Made, runtime: str, weights: str, script: str = "predict.py") -> str:
    """The script for a runtime (a key of `NEEDS`) that finds the file `weights` beside itself. `script`: its own name."""
    config = made.config
    deep = made.value_range is not None
    code = joined(
        [
            _CONSTANTS.format(classes=list(made.classes), size=config.image_size),
            model_source(config, len(made.classes)) if runtime in _LOAD else "",
            excerpt("core.data.decoding", "decode") if deep else _OPENED,
            *_picture(made, runtime),
            _model(made, runtime, weights),
            _MAIN,
        ]
    )
    imports = (*code.imports, ("sys", "", ""), ("onnxruntime", "", ""))
    head = _HEAD.format(about=made.about, script=script, needs=NEEDS[runtime])
    return f"{head}\n\n{importing(code.text, imports)}\n\n{code.text}\n"


def _picture(made: Made, runtime: str) -> list[str | Excerpt]:
    fit = made.config.fit
    if made.value_range is not None:
        low, high = made.value_range
        return [_PICTURE_DEEP.format(fit=fit, value_range=made.value_range, low=low, high=high)]
    if as_files(made.config):
        return [_PICTURE.format(fit=_FIT[fit], lines=_SQUARE[fit] + _OF_SQUARE)]
    if runtime == "onnxruntime":
        said = f"{_FIT[fit]}; resized by Pillow, which rounds some values by 1 of 255 otherwise"
        return [_PICTURE.format(fit=said, lines=_SQUARE[fit] + _OF_SQUARE)]
    return [_RESIZED, _PICTURE.format(fit=_FIT[fit], lines=_TENSOR[fit])]


def _model(made: Made, runtime: str, weights: str) -> str:
    if runtime in _LOAD:
        built = "\n".join(f"    {line}" for line in bare_model(made.config, len(made.classes)))
        entry = find_model(made.config.model)
        mean, std = entry.normalise
        load = _WITH_VERSIONS if runtime == "safetensors" and entry.family is MNASNET else _LOAD[runtime]
        return _BUILT.format(weights=weights, built=built, load=load, mean=mean, std=std)
    return (_ONNX if runtime == "onnxruntime" else _GRAPH).format(weights=weights)
