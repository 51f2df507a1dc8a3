"""The script that evaluates: a run's weights, its own test set, the measures of the Evaluate screen, and one picture."""

from __future__ import annotations

from core.code.data import reading_lines, test_lines
from core.code.excerpts import Excerpt, excerpt, importing, joined
from core.code.model import bare_model, layout, model_source
from core.code.pictures import as_files
from core.code.recorded import NOTHING_RECORDED, Recorded
from core.code.script import machine_lines
from core.config import RunConfig

_TEST = """# Evaluation
logits, labels = [], []
with torch.inference_mode():  # no graph is built, so nothing is kept for a backward pass
    for images, targets in DataLoader(test_set, batch_size={batch_size}):
        logits.append(output_of(normalise(images)).cpu())
        labels.append(targets)
logits, labels = torch.cat(logits), torch.cat(labels)
predicted = logits.argmax(dim=1)
print(f"{{len(labels)}} test images, loss {{F.cross_entropy(logits, labels):.4f}}, accuracy {{(predicted == labels).float().mean():.1%}}"){top5}"""

_TOP5 = '\nprint(f"top-5 {(logits.topk(5).indices == labels[:, None]).any(dim=1).float().mean():.1%}")'

_FIGURES = """# A row for what an image is, a column for what it was taken for
confusion = torch.bincount(labels * len(classes) + predicted, minlength=len(classes) ** 2).view(len(classes), len(classes))
precision = confusion.diag() / confusion.sum(dim=0)  # nan: the class was never predicted
recall = confusion.diag() / confusion.sum(dim=1)  # nan: there is no test image of the class
f1 = 2 * confusion.diag() / (confusion.sum(dim=0) + confusion.sum(dim=1))  # nan: neither; 0 where no image of the class was found
for name, *measures in zip(classes, precision, recall, f1):
    print(name, *(f"{measure:.1%}" for measure in measures))"""

_OPENED_FILE = '''def opened(path):
    """A picture as the model takes it, made as the test pictures are: float32 [1, 3, {size}, {size}].

    Thaw brings one of more than 16 megapixels that is no JPEG down in two steps, which rounds otherwise.
    """
    return normalise(plain(Path(path)).unsqueeze(0))'''

_OPENED_ARRAY = '''def opened(path):
    """A picture as the model takes it, {what}, resized as the test pictures are: float32 [1, 3, {size}, {size}].

    Thaw brings one of more than 16 megapixels that is no JPEG down in two steps, which rounds otherwise.
    """
    whole = upright(Path(path), {draft})
    {made}return normalise(plain(np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))).unsqueeze(0))'''

_PICTURE = '''def predict(path):
    """Print the likeliest classes of a picture."""
    with torch.inference_mode():
        probabilities = output_of(opened(path)).softmax(dim=1)[0]
    values, places = probabilities.topk({top})
    for value, place in zip(values, places):
        print(f"{{classes[place]}}: {{value:.1%}}")


def grad_cam(path, layer, target):
    """Where, in the output [1, C, H, W] of a layer, evidence for a class lies: [H, W], 1 at most (Grad-CAM, Selvaraju et al. 2017)."""
    seen = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    value = model(opened(path))[0, target]  # no inference_mode here: the gradient is needed
    hook.remove()
    (gradient,) = torch.autograd.grad(value, seen)
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1)[0].relu()
    return heat / heat.max() if heat.any() else heat  # 0 everywhere: nothing in this layer speaks for the class


# predict("picture.png")
# heat = grad_cam("picture.png", "a layer", target=0)  # one of dict(model.named_modules()) whose output is [N, C, H, W]'''


def evaluation_code(config: RunConfig, classes: tuple[str, ...], file_name: str, recorded: Recorded = NOTHING_RECORDED) -> str:
    """How to test a run's model by hand, and what it makes of a picture. The script needs nothing of Thaw.

    Args:
        config: canonical, as `catalog.check` returns it.
        classes: the names of its classes.
        file_name: of the run's weights, a `state_dict`.
        recorded: what the run has recorded.

    Raises:
        ConfigError: on `dataset`, it is a folder that cannot be read, and its pictures were not recorded.
    """
    config = config.replace(fixed_views=None, augmentation="none")  # nothing is changed at random here
    code = joined(
        [
            machine_lines(config),
            f"classes = {list(classes)!r}",
            *_model(config, classes, file_name),
            "# Its test set is the one of the run",
            reading_lines(config, recorded),
            test_lines(config, recorded),
            _answers(config),
            _TEST.format(batch_size=config.batch_size, top5="" if len(classes) <= 5 else _TOP5),
            _FIGURES,
            _opened(config),
            _PICTURE.format(top=min(5, len(classes))),
        ]
    )
    return f"{importing(code.text, code.imports)}\n\n{code.text}\n"


def _model(config: RunConfig, classes: tuple[str, ...], file_name: str) -> list[str]:
    built = "\n".join(bare_model(config, len(classes)))
    return [
        model_source(config, len(classes)),
        f"""# Model
{built}
model.load_state_dict(torch.load({file_name!r}, map_location="cpu", weights_only=True))
model = model.to(device{layout(config)}).eval()  # eval: BatchNorm uses what it has learned, Dropout rests""",
    ]


def _answers(config: RunConfig) -> str:
    """`output_of`, from what the model takes to its logits, in the number format of the run."""
    mixed = config.precision != "float32"
    cast = f"    with torch.autocast(device.type, dtype=torch.{config.precision}):\n    " if mixed else ""
    return f'''def output_of(inputs):
    """Logits, a number for each picture and class, for pictures float32 [N, 3, {config.image_size}, {config.image_size}]."""
{cast}    return model(inputs).float()'''


def _opened(config: RunConfig) -> Excerpt:
    size = config.image_size
    if as_files(config):
        return Excerpt(_OPENED_FILE.format(size=size))
    crop = config.fit == "crop"
    what = "its middle square" if crop else "all of it"
    made = 'side = min(whole.size)\n    whole = whole if whole.width == whole.height else fitted(whole, side, "crop")\n    ' if crop else ""
    text = _OPENED_ARRAY.format(what=what, size=size, draft=2 * size, made=made)
    return joined([excerpt("core.data.decoding", "upright", *(["fitted"] if crop else [])), text])
