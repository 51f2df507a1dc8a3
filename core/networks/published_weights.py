"""What is known of the weights that torchvision publishes: under which name, made how, from which pictures, on what terms.

The facts are those of `torchvision.models.get_model_weights(MODEL).DEFAULT.meta` ("license", "recipe", "_docs"), and a test compares all of
them. torchvision's own code is BSD-3; of weights its README says that they may have terms of their own, from the data that they were made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Made = Literal["trained", "ported", "SWAG"]
"""How weights came about: trained in PyTorch, carried over from another framework or program, or trained on other pictures first."""

IMAGENET_TERMS = "ImageNet's own: non-commercial research and education"

_MADE: dict[Made, str] = {
    "trained": "trained on ImageNet-1K",
    "ported": "trained on ImageNet-1K elsewhere and carried over",
    "SWAG": "trained on Instagram pictures and their hashtags (SWAG), then on ImageNet-1K",
}


@dataclass(frozen=True)
class Published:
    """A model's default weights at torchvision. `name` is that of their enum member, `recipe` where torchvision says how they were made.

    `licence` is the one that torchvision states, '' where it states none: then `terms` says what it says instead.
    """

    name: str
    made: Made
    recipe: str
    licence: str = ""

    @property
    def origin(self) -> str:
        """What they were trained on: 'trained on ImageNet-1K'."""
        return _MADE[self.made]

    @property
    def terms(self) -> str:
        """On what terms they can be used, as far as that is known."""
        if self.licence:
            return f"Licence of the weights: {self.licence}, no commercial use."
        return f"Licence of the weights: none stated; the terms of the pictures may hold for them ({IMAGENET_TERMS})."


_VISION = "https://github.com/pytorch/vision"
_REFERENCES = f"{_VISION}/tree/main/references/classification"
_NEW = f"{_VISION}/issues/3995"
_SWAG = "https://github.com/facebookresearch/SWAG"

_GROUPS: tuple[tuple[Published, str], ...] = (
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#resnet"), "resnet18 resnet34"),
    (Published("IMAGENET1K_V2", "trained", f"{_NEW}#issuecomment-1013906621"), "resnet50"),
    (
        Published("IMAGENET1K_V2", "trained", f"{_NEW}#new-recipe"),
        "resnet101 resnet152 wide_resnet101_2 resnext50_32x4d regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_x_3_2gf regnet_y_3_2gf "
        "regnet_y_8gf regnet_x_8gf regnet_x_16gf regnet_y_16gf regnet_x_32gf regnet_y_32gf",
    ),
    (
        Published("IMAGENET1K_V2", "trained", f"{_NEW}#new-recipe-with-fixres"),
        "wide_resnet50_2 resnext101_32x8d regnet_x_400mf regnet_x_800mf regnet_x_1_6gf",
    ),
    (Published("IMAGENET1K_V2", "trained", f"{_NEW}#new-recipe-with-reg-tuning"), "mobilenet_v2 mobilenet_v3_large"),
    (Published("IMAGENET1K_V2", "trained", f"{_NEW}#new-recipe-with-lr-wd-crop-tuning"), "efficientnet_b1"),
    (Published("IMAGENET1K_V1", "trained", f"{_VISION}/pull/5935"), "resnext101_64x4d"),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#mobilenetv3-large--small"), "mobilenet_v3_small"),
    (
        Published("IMAGENET1K_V1", "ported", f"{_REFERENCES}#efficientnet-v1"),
        "efficientnet_b0 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7",
    ),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#efficientnet-v2"), "efficientnet_v2_s efficientnet_v2_m"),
    (Published("IMAGENET1K_V1", "ported", f"{_REFERENCES}#efficientnet-v2"), "efficientnet_v2_l"),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#convnext"), "convnext_tiny convnext_small convnext_base convnext_large"),
    (Published("IMAGENET1K_SWAG_E2E_V1", "SWAG", _SWAG, "CC BY-NC 4.0"), "regnet_y_128gf vit_h_14"),
    (Published("IMAGENET1K_V1", "ported", f"{_VISION}/pull/116"), "densenet121 densenet169 densenet201 densenet161"),
    (
        Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#alexnet-and-vgg"),
        "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn alexnet",
    ),
    (Published("IMAGENET1K_V1", "trained", f"{_VISION}/pull/49#issuecomment-277560717"), "squeezenet1_1 squeezenet1_0"),
    (Published("IMAGENET1K_V1", "trained", "https://github.com/ericsun99/Shufflenet-v2-Pytorch"), "shufflenet_v2_x0_5 shufflenet_v2_x1_0"),
    (Published("IMAGENET1K_V1", "trained", f"{_VISION}/pull/5906"), "shufflenet_v2_x1_5 shufflenet_v2_x2_0"),
    (Published("IMAGENET1K_V1", "trained", "https://github.com/1e100/mnasnet_trainer"), "mnasnet0_5 mnasnet1_0"),
    (Published("IMAGENET1K_V1", "trained", f"{_VISION}/pull/6019"), "mnasnet0_75 mnasnet1_3"),
    (Published("IMAGENET1K_V1", "ported", f"{_REFERENCES}#googlenet"), "googlenet"),
    (Published("IMAGENET1K_V1", "ported", f"{_REFERENCES}#inception-v3"), "inception_v3"),
    *((Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#{name}"), name) for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32")),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#swintransformer"), "swin_t swin_s swin_b"),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#swintransformer-v2"), "swin_v2_t swin_v2_s swin_v2_b"),
    (Published("IMAGENET1K_V1", "trained", f"{_REFERENCES}#maxvit"), "maxvit_t"),
)

PUBLISHED: dict[str, Published] = {model: published for published, models in _GROUPS for model in models.split()}
"""The default weights of each of torchvision's models."""
