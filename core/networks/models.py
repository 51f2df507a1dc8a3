"""A model by its name: found among the entries or read from the text of a network of one's own, built, and what it returns, read.

torchvision builds its models with a head for any number of classes (`num_classes=`), whatever it calls the head, so the
`state_dict` of a run loads with `strict=True` into the model built by hand, `torchvision.models.resnet18(num_classes=10)`.
torch is imported only when a model is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config.entry import find
from core.networks.model_entries import GOOGLENET, INCEPTION, MAXVIT, MODELS, VIT, ModelEntry
from core.records.layers import PLAIN_HEAD, HeadOptions

if TYPE_CHECKING:
    from torch import Tensor, nn


def find_model(name: str) -> ModelEntry:
    """The entry of the model called `name`, spelled as `find` allows, or of the network of one's own that it spells out.

    Raises:
        ConfigError: there is no such model, or a layer of the network cannot be used.
    """
    if ":" in name:
        from core import networks  # which imports this package

        return networks.entry(name)
    return find(MODELS, "model", name)


def build(name: str, classes: int, image_size: int, head: HeadOptions = PLAIN_HEAD) -> nn.Module:
    """The model `name` on the CPU, in train mode, with random weights from torch's global generator, and the head that `head` says.

    Takes images float32 [N, 3, image_size, image_size] and returns logits [N, classes]; `logits_and_auxiliary` reads what
    googlenet and inception_v3 return in train mode.

    Raises:
        ConfigError: there is no such model, or it cannot be trained on images of this size.
    """
    entry = find_model(name)
    entry.check_image_size(image_size)
    model: nn.Module
    if ":" in entry.name:
        from core.networks import own_networks

        model = own_networks.build(entry.name, classes, image_size)
    elif entry.family.own:
        from core.networks import own_models

        model = own_models.build(entry.name, classes, image_size)
    else:
        import torchvision

        model = torchvision.models.get_model(entry.name, num_classes=classes, **builder_arguments(entry, image_size))
    from core.networks.head import replace_head

    replace_head(model, entry.family.head[0], head)
    return model


def builder_arguments(entry: ModelEntry, image_size: int) -> dict[str, Any]:
    """What the builder of torchvision needs to know beyond the number of classes."""
    if entry.family is VIT:
        return {"image_size": image_size}  # one position embedding a patch
    if entry.family is MAXVIT:
        return {"input_size": (image_size, image_size)}
    if entry.family in (GOOGLENET, INCEPTION):
        # Their published weights expect inputs scaled to -1..1; torchvision's builder switches that on with `weights=`, and we
        # always do, so that a model behaves the same however its weights came.
        return {"init_weights": True, "transform_input": True}
    return {}


def logits_and_auxiliary(output: Any) -> tuple[Tensor, tuple[tuple[float, Tensor], ...]]:
    """What a model returned, as (logits [N, classes], ((weight, auxiliary logits [N, classes]), ...)).

    The loss is that of the logits plus weight times that of each auxiliary. Weights are those of the papers, which the
    torchvision training recipes use too: 0.4 for inception_v3, 0.3 for each of googlenet's two.
    """
    if not isinstance(output, tuple):
        return output, ()
    weight = 0.4 if hasattr(output, "aux_logits") else 0.3
    names = ("aux_logits", "aux_logits1", "aux_logits2")
    found = [getattr(output, name, None) for name in names]
    return output[0], tuple((weight, logits) for logits in found if logits is not None)


def loss_and_logits(criterion: nn.Module, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What training makes small for a model's `output`, and the logits [N, classes] in it.

    The loss, a scalar, is worked out in float32 whatever the precision of the forward pass; see `logits_and_auxiliary`.
    """
    logits, auxiliary = logits_and_auxiliary(output)
    loss: Tensor = criterion(logits.float(), labels)
    for weight, auxiliary_logits in auxiliary:
        loss = loss + weight * criterion(auxiliary_logits.float(), labels)
    return loss, logits
