"""Scripts as text: where their weights come from, every choice, every name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest
from torch import Tensor

from core import catalog, code
from core.catalog import AUGMENTATIONS, DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES
from core.code import loading_code, pytorch_code
from core.code.evaluation import evaluation_code
from core.code.freezing import RESTING, TRAIN_MODE
from core.code.names import cover
from core.code.pictures import reader
from core.commands.cli import main
from core.config import FAULTS, RunConfig
from core.machine.bits import same
from core.machine.home import Home
from core.model import anatomy, weights
from core.model.freezing import Freezing
from core.networks import models
from core.records.layers import frozen_parameters, head_options
from tests.code.code_cases import CLASSES, NETWORK, SMALL, learning, parameters_of, ready, script_of, steered

pytestmark = pytest.mark.usefixtures("one_thread")


# Starting weights


def test_published_weights_come_into_the_script_as_into_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    for model, options in (("resnet18", {}), ("squeezenet1_1", {"head_dropout": 0.5}), ("densenet121", {})):
        publish(model, tmp_path)
        config = RunConfig(model=model, image_size=32, starting_weights="pretrained", freeze="head only", device="cpu", **options)
        torch.manual_seed(config.seed)
        by_run = models.build(model, CLASSES, 32, head_options(config))
        weights.load(by_run, config)
        chance = torch.get_rng_state()
        names = ready(config)
        assert torch.equal(torch.get_rng_state(), chance), "dropout would drop others"
        shown, real = names["model"].state_dict(), by_run.state_dict()
        assert list(shown) == list(real)
        for name, tensor in real.items():
            assert same(shown[name], tensor), f"{model}: {name}"
        run = steered(config, len(names["order"](1)))
        assert learning(names["model"], names["optimizer"]) == pytest.approx(learning(run.freezing.model, run.optimizer))


def publish(model: str, cache: Path) -> None:
    """Put a file with random weights for 1,000 classes where torch.hub keeps what it downloaded."""
    published = torchvision.models.get_model_weights(model).DEFAULT
    state = torchvision.models.get_model(model).state_dict()
    if model.startswith("densenet"):  # the published files have older names
        counters = [name for name in state if name.endswith("num_batches_tracked")]  # which those files do not have
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): state[name] for name in state if name not in counters}
    torch.save(state, cache / "hub" / "checkpoints" / published.url.rpartition("/")[2])


@pytest.mark.parametrize(("wrapped", "prefix"), [((), ""), (("state_dict",), "module."), (("checkpoint", "model"), "backbone.net.")])
def test_weights_from_a_file_come_into_the_script_whatever_they_are_wrapped_in(wrapped: tuple[str, ...], prefix: str, tmp_path: Path) -> None:
    other = models.build("small_cnn", 4, 16)
    content: Any = {f"{prefix}{name}": tensor for name, tensor in other.state_dict().items()}
    for key in reversed(wrapped):
        content = {key: content, "epoch": 3}
    file = tmp_path / "some.pth"
    torch.save(content, file)
    shown = ready(SMALL.replace(starting_weights=str(file)))["model"].state_dict()
    torch.manual_seed(SMALL.seed)
    fresh = models.build("small_cnn", CLASSES, 16).state_dict()
    for name, tensor in shown.items():
        assert same(tensor, fresh[name] if name.startswith("head.") else other.state_dict()[name]), name
    del content
    first = next(iter(other.state_dict()))
    for tensor, message in ((other.state_dict()[first], "the weights lack"), (torch.zeros(3), "no tensor of the file")):
        torch.save({first: tensor}, file)
        with pytest.raises(AssertionError, match=message):
            ready(SMALL.replace(starting_weights=str(file)))


# As text


def test_the_command_line_prints_the_script_of_settings(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", "small_cnn", "--image-size", "16", "--freeze", "head only", "--timeline", "2: !stage3", "--threads", "1", "--device", "cpu"]
    assert main(["code", *flags, "--home", str(home.path)]) == 0
    said = capsys.readouterr()
    config = RunConfig(model="small_cnn", image_size=16, freeze="head only", timeline="2: !stage3", threads=1, device="cpu")
    assert said.out == script_of(catalog.check(config))
    assert "it ends with the same weights, bit for bit" in said.err


def every_choice() -> Iterator[RunConfig]:
    """A config for each thing that changes the script."""
    small = RunConfig(model="small_cnn", image_size=32)
    for field, names in (
        ("dataset", [name for name in DATASETS if name != "folder"]),
        ("optimizer", list(OPTIMIZERS)), ("loss", list(LOSSES)), ("schedule", list(SCHEDULES)), ("augmentation", list(AUGMENTATIONS)),
        ("precision", ["bfloat16", "float16"]), ("early_stopping", [2]), ("validation_share", [0.0]), ("device", ["cpu"]),
        ("starting_weights", ["/w.pth", "/w.safetensors"]), ("freeze", ["head only", "norms only", "stage1, !stage1.0"]),
        ("timeline", ["2: !stage1", "step 3: learning_rate=0.1; 3: head only"]), ("learning_rate_multipliers", ["head=3, stem=0.1"]),
        ("head_dropout", [0.5]), ("head_hidden", [7]), ("accumulate", [4]), ("clip_norm", [1.0]), ("speed", ["automatic"]),
        ("memory_format", ["channels_last"]), ("fused_optimizer", [True]), ("compile_model", [True]), ("fold_norms", [True]),
        ("im2col_gradients", [True]), ("threads", [1]),
        ("feature_cache", ["float16", "off"]), ("class_weights", ["balanced"]), ("doubles", ["leave out"]),
    ):  # fmt: skip
        for name in names:
            yield small.replace(**{field: name})
    yield small.replace(augmentation="shift", fixed_views=4)
    for dataset in ("CIFAR10", "EuroSAT"):
        yield small.replace(dataset=dataset, doubles="leave out", class_weights="balanced", augmentation="shift", fixed_views=2)
    for precision, accumulate, views in (("float32", 1, None), ("bfloat16", 4, 2), ("float16", 1, 2)):
        for dataset, share in (("digits", 0.0), ("CIFAR10", 0.1)):
            yield small.replace(
                dataset=dataset, devices="2", precision=precision, accumulate=accumulate, augmentation="shift", fixed_views=views,
                timeline="2: !stage1; step 3: head only, head=2", class_weights="balanced", validation_share=share,
            )  # fmt: skip
    yield small.replace(devices="0, 2", device="cuda", nodes=2, rendezvous="10.0.0.1:29500", freeze="head only", model="googlenet", image_size=64)
    for fault in FAULTS:
        yield small.replace(freeze="head only", fault=fault, doubles="leave out", class_weights="balanced", loss="KLDivLoss", accumulate=2)
    yield small.replace(accumulate=4, clip_norm=1.0, precision="float16", model="googlenet", image_size=64, validation_share=0.0)


@pytest.mark.parametrize("config", list(every_choice()), ids=lambda config: " ".join(map(str, config.changes().values())))
def test_every_choice_makes_a_script_that_python_can_read(config: RunConfig) -> None:
    compile(script_of(config), "script.py", "exec")


@pytest.mark.parametrize(("dataset", "given"), [("digits", "random"), ("shapes", "/w.safetensors"), ("EuroSAT", "/w.pth")])
def test_no_class_of_a_network_takes_a_name_that_the_script_uses(dataset: str, given: str) -> None:
    config = SMALL.replace(dataset=dataset, augmentation="trivial augment", doubles="leave out", early_stopping=1, starting_weights=given)
    for text in (script_of(config), script_of(config.replace(devices=2)), evaluation_code(config, tuple("0123456789"), "weights.pth")):
        made = {name.asname or name.name for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
        made |= {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
        made |= {name.id for node in ast.parse(text).body if isinstance(node, ast.Assign) for name in node.targets if isinstance(name, ast.Name)}
        assert {name for name in made if code.class_name(name) == name} == set()
        defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert sorted(set(defined)) == sorted(defined), "one of two that are called alike takes the other's place"


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_makes_a_script_that_python_can_read(model: str) -> None:
    for starting_weights in ("random", "pretrained") if MODELS[model].pretrained else ("random",):
        for size in (MODELS[model].usual, MODELS[model].smallest * 2):
            config = RunConfig(model=model, image_size=size, head_hidden=8, starting_weights=starting_weights)
            compile(pytorch_code(config, 10, [("features.0.weight", True), ("classifier.weight", False)]), "script.py", "exec")
            compile(loading_code(config, ("a", "b"), "weights.pth"), "loading.py", "exec")


def test_the_script_trains_on_its_own_and_its_weights_load_as_shown(tmp_path: Path) -> None:
    config = SMALL.replace(
        model=NETWORK, head_hidden=8, head_dropout=0.1, freeze="head only", epochs=2, timeline="2: !linear1", validation_share=0.8,
        schedule="WarmupCosine", augmentation="shift", early_stopping=1, loss="MSELoss", accumulate=2, batch_size=90, clip_norm=0.5,
        memory_format="channels_last", precision="float16", fused_optimizer=True, threads=1, fixed_views=2,
    )  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(script_of(config))
    trained = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert trained.returncode == 0, trained.stderr
    assert "epoch 1: validation loss" in trained.stdout
    assert "test loss" in trained.stdout
    script.write_text(loading_code(config, tuple("0123456789"), "weights.pth"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text().replace("'weights.pth'", repr(str(tmp_path / "weights.pth"))), "loading.py", "exec"), names)
    run = steered(config, 5).freezing.model
    run.load_state_dict(names["model"].state_dict(), strict=True)


def test_a_script_for_several_devices_says_how_it_is_started_and_what_a_step_is_made_of() -> None:
    def said(**changes: Any) -> list[str]:
        return script_of(SMALL.replace(**{"devices": 2, **changes})).splitlines()[:2]

    one = "# Start it with: torchrun --nproc-per-node"
    assert said() == [f"{one} 2 script.py", "# 256 pictures a step = 2 devices x 128 pictures."]
    assert said(devices="all") == [f"{one} auto script.py", "# 256 pictures a step = all devices x an equal share of 256."]
    several = said(nodes=2, accumulate=3, rendezvous="10.0.0.1:29500")
    assert several[0].endswith(
        "on each machine with: torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint 10.0.0.1:29500 script.py"
    )
    assert several[1] == "# 768 pictures a step = 2 machines x 2 devices x 64 pictures x 3 parts."
    with pytest.raises(SystemExit, match="This is started once for each device: torchrun --nproc-per-node 2 script.py"):
        ready(SMALL.replace(devices=2))


def test_what_a_script_for_several_devices_need_not_have_it_has_not() -> None:
    """BatchNorm over the whole batch where none can learn, downloads where nothing is downloaded."""
    head, later = (script_of(SMALL.replace(devices=2, freeze="head only", timeline=timeline)) for timeline in ("", "step 3: !stage3"))
    assert ("WholeBatch" in head, "WholeBatch" in later) == (False, True)
    assert "dist.barrier()" not in head
    assert "dist.barrier()" in script_of(SMALL.replace(devices=2, dataset="CIFAR10"))
    assert "torchrun" not in evaluation_code(SMALL.replace(devices=2), tuple("0123456789"), "weights.pth")


def test_the_fewest_beginnings_match_exactly_the_wanted_names() -> None:
    config = RunConfig(model="resnet18", freeze="last stage, layer4.0.bn1, !layer1.1")
    names = [parameter.name for parameter in parameters_of(config)]
    frozen = frozen_parameters(config.freeze, parameters_of(config))
    found = cover([name for name in names if name in frozen], [name for name in names if name not in frozen])
    assert {name for name in names if name.startswith(tuple(found))} == frozen
    assert found == ["conv1.", "bn1.", "layer1.0.", "layer2.", "layer3.", "layer4.0.bn1."]


def test_a_whole_name_covers_no_longer_one() -> None:
    assert cover(["a.weight", "a.weight_g", "b.bias"], ["a.weight_v", "b.scale"]) == ["a.weight", "a.weight_g", "b.bias"]
    assert cover(["a.weight", "a.weight_g"], ["b.weight"]) == ["a."]


def test_no_parameter_name_begins_with_another() -> None:
    """What the script's `startswith` relies on: a whole name as a beginning matches nothing else."""
    for name in ("swin_t", "googlenet", NETWORK):
        names = [parameter.name for parameter in anatomy.describe(name, CLASSES, 64).parameters]
        assert not [(one, other) for one in names for other in names if one != other and other.startswith(one)]


def test_a_network_as_a_file_is_a_module_of_its_own(tmp_path: Path) -> None:
    config = RunConfig(model=NETWORK, image_size=16)
    names: dict[str, Any] = {}
    exec(compile(code.network_code(NETWORK, 16, 7), "my_net.py", "exec"), names)
    torch.manual_seed(3)
    by_hand = names["MyNet"](7)
    torch.manual_seed(3)
    ours = models.build(config.model, 7, 16)
    images: Tensor = torch.randn(4, 3, 16, 16)
    by_hand.eval(), ours.eval()
    assert torch.equal(by_hand(images), ours(images))


@pytest.mark.parametrize(("network", "classes"), [("n: conv 4, relu", ["N"]), ("n: conv 4, residual 4", ["N", "Residual"])])
def test_code_of_a_network_has_the_classes_that_it_uses_and_no_other(network: str, classes: list[str]) -> None:
    assert re.findall(r"^class (\w+)", code.network_code(network, 16, 7), re.MULTILINE) == classes


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("mynet", "Mynet"),
        ("my-net_2", "MyNet2"),
        ("2nd", "Network2nd"),
        ("residual", "ResidualNetwork"),
        ("None", "NoneNetwork"),
        ("m-l-P", "MLPNetwork"),
    ],
)
def test_a_label_becomes_the_name_of_a_class_that_nothing_else_has(label: str, name: str) -> None:
    assert code.class_name(label) == name


# Freezing


def test_frozen_randomness_rests_in_the_script_where_it_rests_in_the_run() -> None:
    """Also in parts of torchvision that are sequences with a constructor of their own, which cannot be cut like a list."""
    for name in ("efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5"):
        model = torchvision.models.get_model(name)
        parameters = [path for path, _ in model.named_parameters()]
        for learns in (len(parameters) // 2, len(parameters) - 2):  # those behind a layer in the middle; the head alone
            freezing = Freezing(model, parameters[:learns], randomness=False)
            freezing.train()
            modes = {path: module.training for path, module in model.named_modules()}
            names: dict[str, Any] = {"model": model, "nn": torch.nn}
            exec(TRAIN_MODE + RESTING, names)
            names["train_mode"]()
            assert {path: module.training for path, module in model.named_modules()} == modes, name
            assert len(set(modes.values())) == 2


# On a screen


def _form() -> None:
    """What the form draws below "Show the PyTorch", for a run of digits."""
    from types import SimpleNamespace

    from core.config import RunConfig
    from core.model import anatomy
    from pages._parts.setup.form import show_code

    table = SimpleNamespace(description=SimpleNamespace(parameters=anatomy.describe("small_cnn", 10, 16).parameters, classes=10))
    show_code(RunConfig(model="small_cnn", image_size=16, device="cpu", compile_model=True), table)  # type: ignore[arg-type]


def test_the_screen_says_in_what_the_script_differs_and_lets_it_be_taken_away() -> None:
    app = AppTest.from_function(_form, default_timeout=60).run()
    assert not app.exception
    (said,) = (caption.value for caption in app.caption)
    assert "The run compiles only what is computed anew" in said
    assert "bit for bit" not in said
    (code,) = (shown.value for shown in app.code)
    compile(code, "script.py", "exec")
    assert len(app.get("download_button")) == 1


@pytest.mark.parametrize("dataset", ["MNIST", "CIFAR100", "STL10", "Flowers102", "EuroSAT", "OxfordIIITPet", "FashionMNIST"])
def test_a_script_that_is_a_file_finds_torchvisions_pictures_where_the_run_had_them(dataset: str) -> None:
    config = RunConfig(dataset=dataset)
    named, plain = reader(config, "it's here").text, reader(config).text
    assert named.startswith('DATA = "it\'s here"')
    assert '"data"' not in named
    assert plain.count('"data"') == named.count("DATA,")
