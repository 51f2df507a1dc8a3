"""The models that can be picked: all of torchvision's classification models, and two small ones of our own for instant demos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from core.config import ConfigError
from core.config.entry import Entry, by_name
from core.networks.published_weights import PUBLISHED, Published
from core.networks.shipped_weights import SHIPPED, Shipped


class Figures(NamedTuple):
    """Mean and standard deviation of each colour channel, on the scale of 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Figures(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""The figures of ImageNet, which all but one of torchvision's published weights expect."""

HALVES = Figures(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Family:
    """What models of one design share.

    `head` are the modules whose output has one number a class: the classifier, then the last layers of the auxiliary ones
    (`auxiliary`: the modules that only training uses). `smallest` is the smallest image side that can be trained on, in
    pixels; `multiple` must divide the side; `usual` is the side at which torchvision measured the published weights (some were
    trained on smaller ones). `fixed` says that the model is built for one image size and takes no other.
    """

    label: str
    about: str
    head: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    smallest: int = 8
    multiple: int = 1
    usual: int = 224
    fixed: bool = False
    own: bool = False


@dataclass(frozen=True)
class ModelEntry(Entry):
    """One model. `parameters` counts elements as we build it, with a head for ImageNet's 1,000 classes (10 for our own models).

    `auxiliary` of them are in the auxiliary classifiers. `accuracy` is the share of ImageNet's validation images (percent, top-1)
    that the published weights get right, `megabytes` (of a million bytes) the size of their download, `published` what else is known
    of them: None for our own models, which have no published weights; `shipped` are the trained weights that Thaw brings along for one
    of those. `normalise` are the figures that its trained weights expect images to be normalised with.
    """

    family: Family = Family("", "", ())
    parameters: int = 0
    accuracy: float | None = None
    megabytes: int | None = None
    smallest: int = 8
    multiple: int = 1
    usual: int = 224
    normalise: Figures = IMAGENET
    auxiliary: int = 0
    published: Published | None = None
    shipped: Shipped | None = None

    @property
    def terms(self) -> str:
        """Where its trained weights come from, and on what terms they may be used; "" where there are none."""
        if self.shipped:
            return f"Weights that ship with Thaw: {self.shipped.origin}. {self.shipped.terms}"
        return f"Weights {self.published.name}: {self.published.origin}. {self.published.terms}" if self.published else ""

    @property
    def pretrained(self) -> bool:
        """True where trained weights can be had by the name `pretrained`: torchvision publishes them, or they ship with Thaw."""
        return self.published is not None or self.shipped is not None

    def check_image_size(self, image_size: int) -> None:
        """Raises ConfigError on `image_size` for a side, in pixels, that the model cannot be trained on."""
        if image_size < self.smallest:
            why = " (its auxiliary classifier, which training needs, does not fit on less)" if self.name == "inception_v3" else ""
            raise ConfigError("image_size", f"{self.label} needs at least {self.smallest} pixels a side{why}, got {image_size}; try {self.usual}")
        if image_size % self.multiple:
            below = image_size // self.multiple * self.multiple
            sizes = [size for size in (below, below + self.multiple) if self.smallest <= size <= 1024]
            tries = list(dict.fromkeys([*sizes, self.usual]))
            remedy = f"try {', '.join(str(size) for size in tries[:-1])} or {tries[-1]}" if len(tries) > 1 else f"try {tries[0]}"
            raise ConfigError("image_size", f"{self.label} needs a multiple of {self.multiple} pixels a side, got {image_size}; {remedy}")


OWN = Family("Our own", "A small model of our own, short enough to read.", ("head",), usual=32, own=True)
RESNET = Family("ResNet", "Residual network (2015): shortcuts around every block; the usual first choice.", ("fc",))
WIDE_RESNET = Family("Wide ResNet", "A ResNet with twice as many channels inside its blocks (2016).", ("fc",))
RESNEXT = Family("ResNeXt", "A ResNet whose blocks work in many parallel groups (2016).", ("fc",))
MOBILENET_V2 = Family("MobileNetV2", "Small and quick, made for phones (2018).", ("classifier.1",))
MOBILENET_V3 = Family("MobileNetV3", "Small and quick, found by search for phones (2019).", ("classifier.3",))
EFFICIENTNET = Family("EfficientNet", "Depth, width and image size grown together, from b0 to b7 (2019).", ("classifier.1",))
EFFICIENTNET_V2 = Family("EfficientNetV2", "EfficientNet made quicker to train (2021).", ("classifier.1",))
CONVNEXT = Family("ConvNeXt", "A convolutional network rebuilt with the habits of transformers (2022).", ("classifier.2",), smallest=32)
REGNET = Family("RegNet", "Simple rules for width and depth, found in a design space (2020).", ("fc",))
DENSENET = Family("DenseNet", "Every layer sees the output of all before it in its block (2016).", ("classifier",), smallest=29)
VGG = Family("VGG", "Plain stacks of small convolutions, with large fully connected layers (2014).", ("classifier.6",), smallest=32)
ALEXNET = Family("AlexNet", "The network that won ImageNet's contest in 2012; here in the form that it had in 2014.", ("classifier.6",), smallest=63)
SQUEEZENET = Family("SqueezeNet", "As good as AlexNet with a fiftieth of its parameters; its head is a convolution (2016).", ("classifier.1",))
SHUFFLENET = Family("ShuffleNetV2", "Very small; shuffles channels between groups (2018).", ("fc",))
MNASNET = Family("MNASNet", "Small, found by search on a phone (2018).", ("classifier.1",))
GOOGLENET = Family(
    "GoogLeNet", "Inception blocks, and two auxiliary classifiers that help while training (2014).", ("fc", "aux1.fc2", "aux2.fc2"),
    auxiliary=("aux1", "aux2"), smallest=15,
)  # fmt: skip
INCEPTION = Family(
    "Inception v3", "Factorised inception blocks, and an auxiliary classifier that helps while training (2015).", ("fc", "AuxLogits.fc"),
    auxiliary=("AuxLogits",), smallest=299, usual=299,
)  # fmt: skip
VIT = Family("Vision Transformer", "Cuts the image into patches and lets all of them attend to each other (2020).", ("heads.head",), fixed=True)
SWIN = Family("Swin Transformer", "A transformer that attends within shifting windows (2021).", ("head",))
SWIN_V2 = Family("Swin Transformer V2", "Swin with steadier attention at larger scale (2021).", ("head",), usual=256)
MAXVIT = Family(
    "MaxViT", "Convolution, attention within blocks and attention over a grid, in turns (2022).", ("classifier.5",),
    smallest=224, multiple=224, fixed=True,
)  # fmt: skip


def _own(name: str, about: str, parameters: int) -> ModelEntry:
    return ModelEntry(name, name, about, family=OWN, parameters=parameters, usual=OWN.usual, shipped=SHIPPED.get(name))


def _model(
    name: str, family: Family, parameters: int, accuracy: float, megabytes: int, *, smallest: int = 0, usual: int = 0, patch: int = 0,
    normalise: Figures = IMAGENET, auxiliary: int = 0,
) -> ModelEntry:  # fmt: skip
    inside = f", {auxiliary / 1e6:.1f} million of them in auxiliary classifiers" if auxiliary else ""
    return ModelEntry(
        name,
        name,
        f"{family.about} {parameters / 1e6:.1f} million parameters{inside}; {accuracy:g} % top-1 on ImageNet with its published weights.",
        family=family,
        parameters=parameters,
        accuracy=accuracy,
        megabytes=megabytes,
        smallest=smallest or patch or family.smallest,
        multiple=patch or family.multiple,
        usual=usual or family.usual,
        normalise=normalise,
        auxiliary=auxiliary,
        published=PUBLISHED[name],
    )


# Parameters, accuracy, download size and usual image size as torchvision states them for each model's default weights (it counts
# 2**20 bytes as a MB, and googlenet without its auxiliary classifiers); the
# smallest sizes were found by training on them (`tests/model/test_anatomy.py` walks them).
MODELS = by_name(
    (
        _own(
            "small_cnn", "Three convolutions with batch normalisation and pooling, then a linear head. Learns the digits in seconds on a CPU.", 94_762
        ),
        _own("mlp", "Two hidden layers on the raw pixels, shrunk to 32 x 32 at most, then a linear head: no convolution.", 820_874),
        _model("resnet18", RESNET, 11_689_512, 69.8, 47),
        _model("resnet34", RESNET, 21_797_672, 73.3, 87),
        _model("resnet50", RESNET, 25_557_032, 80.9, 103),
        _model("resnet101", RESNET, 44_549_160, 81.9, 179),
        _model("resnet152", RESNET, 60_192_808, 82.3, 242),
        _model("wide_resnet50_2", WIDE_RESNET, 68_883_240, 81.6, 276),
        _model("wide_resnet101_2", WIDE_RESNET, 126_886_696, 82.5, 508),
        _model("resnext50_32x4d", RESNEXT, 25_028_904, 81.2, 100),
        _model("resnext101_64x4d", RESNEXT, 83_455_272, 83.2, 335),
        _model("resnext101_32x8d", RESNEXT, 88_791_336, 82.8, 356),
        _model("mobilenet_v2", MOBILENET_V2, 3_504_872, 72.2, 14),
        _model("mobilenet_v3_small", MOBILENET_V3, 2_542_856, 67.7, 10),
        _model("mobilenet_v3_large", MOBILENET_V3, 5_483_032, 75.3, 22),
        _model("efficientnet_b0", EFFICIENTNET, 5_288_548, 77.7, 21),
        _model("efficientnet_b1", EFFICIENTNET, 7_794_184, 79.8, 32, usual=240),
        _model("efficientnet_b2", EFFICIENTNET, 9_109_994, 80.6, 37, usual=288),
        _model("efficientnet_b3", EFFICIENTNET, 12_233_232, 82.0, 49, usual=300),
        _model("efficientnet_b4", EFFICIENTNET, 19_341_616, 83.4, 78, usual=380),
        _model("efficientnet_b5", EFFICIENTNET, 30_389_784, 83.4, 123, usual=456),
        _model("efficientnet_b6", EFFICIENTNET, 43_040_704, 84.0, 173, usual=528),
        _model("efficientnet_b7", EFFICIENTNET, 66_347_960, 84.1, 267, usual=600),
        _model("efficientnet_v2_s", EFFICIENTNET_V2, 21_458_488, 84.2, 87, usual=384),
        _model("efficientnet_v2_m", EFFICIENTNET_V2, 54_139_356, 85.1, 218, usual=480),
        _model("efficientnet_v2_l", EFFICIENTNET_V2, 118_515_272, 85.8, 477, usual=480, normalise=HALVES),
        _model("convnext_tiny", CONVNEXT, 28_589_128, 82.5, 114),
        _model("convnext_small", CONVNEXT, 50_223_688, 83.6, 201),
        _model("convnext_base", CONVNEXT, 88_591_464, 84.1, 354),
        _model("convnext_large", CONVNEXT, 197_767_336, 84.4, 791),
        _model("regnet_y_400mf", REGNET, 4_344_144, 75.8, 18),
        _model("regnet_x_400mf", REGNET, 5_495_976, 74.9, 22),
        _model("regnet_y_800mf", REGNET, 6_432_512, 78.8, 26),
        _model("regnet_x_800mf", REGNET, 7_259_656, 77.5, 29),
        _model("regnet_x_1_6gf", REGNET, 9_190_136, 79.7, 37),
        _model("regnet_y_1_6gf", REGNET, 11_202_430, 80.9, 45),
        _model("regnet_x_3_2gf", REGNET, 15_296_552, 81.2, 62),
        _model("regnet_y_3_2gf", REGNET, 19_436_338, 82.0, 78),
        _model("regnet_y_8gf", REGNET, 39_381_472, 82.8, 158),
        _model("regnet_x_8gf", REGNET, 39_572_648, 81.7, 159),
        _model("regnet_x_16gf", REGNET, 54_278_536, 82.7, 218),
        _model("regnet_y_16gf", REGNET, 83_590_140, 82.9, 335),
        _model("regnet_x_32gf", REGNET, 107_811_560, 83.0, 432),
        _model("regnet_y_32gf", REGNET, 145_046_770, 83.4, 581),
        _model("regnet_y_128gf", REGNET, 644_812_894, 88.2, 2581, usual=384),
        _model("densenet121", DENSENET, 7_978_856, 74.4, 32),
        _model("densenet169", DENSENET, 14_149_480, 75.6, 57),
        _model("densenet201", DENSENET, 20_013_928, 76.9, 81),
        _model("densenet161", DENSENET, 28_681_000, 77.1, 116),
        _model("vgg11", VGG, 132_863_336, 69.0, 531),
        _model("vgg11_bn", VGG, 132_868_840, 70.4, 532),
        _model("vgg13", VGG, 133_047_848, 69.9, 532),
        _model("vgg13_bn", VGG, 133_053_736, 71.6, 532),
        _model("vgg16", VGG, 138_357_544, 71.6, 553),
        _model("vgg16_bn", VGG, 138_365_992, 73.4, 554),
        _model("vgg19", VGG, 143_667_240, 72.4, 575),
        _model("vgg19_bn", VGG, 143_678_248, 74.2, 575),
        _model("alexnet", ALEXNET, 61_100_840, 56.5, 244),
        _model("squeezenet1_1", SQUEEZENET, 1_235_496, 58.2, 5, smallest=17),
        _model("squeezenet1_0", SQUEEZENET, 1_248_424, 58.1, 5, smallest=21),
        _model("shufflenet_v2_x0_5", SHUFFLENET, 1_366_792, 60.6, 6),
        _model("shufflenet_v2_x1_0", SHUFFLENET, 2_278_604, 69.4, 9),
        _model("shufflenet_v2_x1_5", SHUFFLENET, 3_503_624, 73.0, 14),
        _model("shufflenet_v2_x2_0", SHUFFLENET, 7_393_996, 76.2, 30),
        _model("mnasnet0_5", MNASNET, 2_218_512, 67.7, 9),
        _model("mnasnet0_75", MNASNET, 3_170_208, 71.2, 13),
        _model("mnasnet1_0", MNASNET, 4_383_312, 73.5, 18),
        _model("mnasnet1_3", MNASNET, 6_282_256, 76.5, 25),
        _model("googlenet", GOOGLENET, 13_004_888, 69.8, 52, auxiliary=6_379_984),
        _model("inception_v3", INCEPTION, 27_161_264, 77.3, 109, auxiliary=3_326_696),
        _model("vit_b_16", VIT, 86_567_656, 81.1, 346, patch=16),
        _model("vit_b_32", VIT, 88_224_232, 75.9, 353, patch=32),
        _model("vit_l_16", VIT, 304_326_632, 79.7, 1217, patch=16),
        _model("vit_l_32", VIT, 306_535_400, 77.0, 1226, patch=32),
        _model("vit_h_14", VIT, 633_470_440, 88.6, 2534, patch=14, usual=518),
        _model("swin_t", SWIN, 28_288_354, 81.5, 113),
        _model("swin_s", SWIN, 49_606_258, 83.2, 199),
        _model("swin_b", SWIN, 87_768_224, 83.6, 352),
        _model("swin_v2_t", SWIN_V2, 28_351_570, 82.1, 114),
        _model("swin_v2_s", SWIN_V2, 49_737_442, 83.7, 200),
        _model("swin_v2_b", SWIN_V2, 87_930_848, 84.1, 353),
        _model("maxvit_t", MAXVIT, 30_919_624, 83.7, 125),
    )
)
