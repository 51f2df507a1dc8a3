"""The script that evaluates: a run's weights, its own test set, the measures of the Evaluate screen, and one picture."""

from __future__ import annotations

from core.catalog import find_model
from core.code.data import has_test_set, reader
from core.code.model import bare_model, model_imports
from core.config import RunConfig


def evaluation_code(config: RunConfig, classes: tuple[str, ...], file_name: str) -> str:
    """How to test a run's model by hand, and what it makes of a picture.

    Args:
        config: canonical, as `catalog.check` returns it.
        classes: the names of its classes.
        file_name: of the run's weights, a `state_dict`.
    """
    names = ", ".join(repr(name) for name in classes)
    mean, std = find_model(config.model).normalise
    size = config.image_size
    built = "\n".join(bare_model(config, len(classes)))
    top = min(5, len(classes))
    top5 = "" if len(classes) <= 5 else '\nprint(f"top-5 {(logits.topk(5).indices == labels[:, None]).any(dim=1).float().mean():.1%}")'
    return f"""{_imports(config, len(classes))}

classes = [{names}]
device = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")

# Model
{built}
model.load_state_dict(torch.load({file_name!r}, map_location="cpu", weights_only=True))
model = model.to(device).eval()  # eval: BatchNorm uses what it has learned, Dropout rests

# Data: the very images that the run was tested on, changed in no way but resized and normalised
plain = v2.Compose([
    v2.ToImage(), v2.RGB(), v2.Resize(({size}, {size}), antialias=True),
    v2.ToDtype(torch.float32, scale=True), v2.Normalize({mean}, {std}),
])


{reader(config)}


{_test_set(config)}

# Evaluation
logits, labels = [], []
with torch.inference_mode():  # no graph is built, so nothing is kept for a backward pass
    for images, targets in DataLoader(test_set, batch_size={config.batch_size}):
        logits.append(model(images.to(device)).float().cpu())
        labels.append(targets)
logits, labels = torch.cat(logits), torch.cat(labels)
predicted = logits.argmax(dim=1)
print(f"{{len(labels)}} test images, loss {{F.cross_entropy(logits, labels):.4f}}, accuracy {{(predicted == labels).float().mean():.1%}}"){top5}

# A row for what an image is, a column for what it was taken for
confusion = torch.bincount(labels * len(classes) + predicted, minlength=len(classes) ** 2).view(len(classes), len(classes))
precision = confusion.diag() / confusion.sum(dim=0)  # nan: the class was never predicted
recall = confusion.diag() / confusion.sum(dim=1)  # nan: there is no test image of the class
f1 = 2 * precision * recall / (precision + recall)
for name, *measures in zip(classes, precision, recall, f1):
    print(name, *(f"{{measure:.1%}}" for measure in measures))


def opened(path):
    \"\"\"The middle square of the picture in a file, as the model takes it: float32 [1, 3, {size}, {size}].\"\"\"
    return plain(ImageOps.fit(Image.open(path).convert("RGB"), ({size}, {size}))).unsqueeze(0).to(device)


def predict(path):
    \"\"\"Print the likeliest classes of a picture.\"\"\"
    with torch.inference_mode():
        probabilities = model(opened(path)).softmax(dim=1)[0]
    values, places = probabilities.topk({top})
    for value, place in zip(values, places):
        print(f"{{classes[place]}}: {{value:.1%}}")


def grad_cam(path, layer, target):
    \"\"\"Where, in the output [1, C, H, W] of a layer, evidence for a class lies: [H, W], 1 at most (Grad-CAM, Selvaraju et al. 2017).\"\"\"
    seen = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    value = model(opened(path))[0, target]  # no inference_mode here: the gradient is needed
    hook.remove()
    (gradient,) = torch.autograd.grad(value, seen)
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1)[0].relu()
    return heat / heat.max()


# predict("picture.png")
# heat = grad_cam("picture.png", "a layer", target=0)  # one of dict(model.named_modules()) whose output is [N, C, H, W]
"""


def _test_set(config: RunConfig) -> str:
    """The line that makes `test_set`, the images that the run itself was tested on."""
    if has_test_set(config):
        return "test_set = read(plain, train=False)"
    labels = "labels" if config.dataset in ("digits", "shapes") else "targets"
    return f"dataset = read(plain)\ntest_set = Subset(dataset, stratified_split(np.array(dataset.{labels}), 0.2, 0)[1].tolist())"


def _imports(config: RunConfig, classes: int) -> str:
    own_data, split = config.dataset in ("digits", "shapes"), not has_test_set(config)
    own_model = find_model(config.model).family.own
    model = model_imports(config, classes)
    wanted = {
        "import numpy as np": split,
        "import torch": True,
        "import torch.nn.functional as F": True,
        "import torchvision": not own_model,
        "from core.data.embedded import draw_shapes  # Thaw draws these images": config.dataset == "shapes",
        "from core.data.splits import stratified_split  # which images are for testing: run this in Thaw's folder": split,
        "from PIL import Image, ImageOps": True,
        "from sklearn.datasets import load_digits": config.dataset == "digits",
        "from torch import nn": "from torch import nn" in model,
        f"from torch.utils.data import DataLoader{', Dataset' if own_data else ''}{', Subset' if split else ''}": True,
        "from torchvision import datasets": not own_data,
        "from torchvision.transforms import v2": True,
    }
    source = model.partition("from torch import nn\n")[2].strip("\n") if own_model else ""
    lines = "\n".join(line for line, is_wanted in wanted.items() if is_wanted)
    return f"{lines}\n\n\n{source}\n" if source else lines
