"""The index of notions: every line runs, every sentence holds, every link leads somewhere, every name finds its notion."""

from __future__ import annotations

import ast
import importlib
import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from torchvision import models

from core.config import ConfigError
from core.notions import LONGEST_WORD, NOTIONS, THEMES, containing, find, places, searched
from core.notions.notion import Notion, Place
from pages._parts.shared import draft
from tests.notions.proving import PROOFS, after_setup, left_by
from tests.support import ROOT
from tests.test_claims import sentences

for part in ("data", "layers", "gradients", "learning", "tuning", "results"):
    importlib.import_module(f"tests.notions.proofs_{part}")

STANDS: dict[str, tuple[str, ...]] = {
    "": ("pages/home.py",),
    "model": ("pages/model.py",),
    "build": ("pages/build.py",),
    "train": (
        "pages/_parts/setup/form.py", "pages/_parts/setup/how_fields.py", "pages/_parts/setup/speed_choice.py",
        "pages/_parts/components/live_chart/panels.js", "pages/_parts/run/findings_view.py", "pages/_parts/run/audit_view.py",
        "pages/_parts/run/run_view.py", "pages/_parts/run/head_view.py", "pages/_parts/run/drawer_view.py",
    ),
    "autograd": ("pages/autograd.py", "pages/_parts/autograd/modes_view.py"),
    "evaluate": ("pages/evaluate.py", "pages/_parts/evaluate/metrics.py"),
}  # fmt: skip
"""Where the parts of each screen get their titles."""


# Every sentence


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be downloaded is a resnet18 whose weights are all 0.5."""

    def made(*_: object, **__: object) -> dict[str, object]:
        return {name: value.fill_(0.5) if value.is_floating_point() else value for name, value in models.resnet18().state_dict().items()}

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", made)


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize("name", NOTIONS)
def test_the_line_of_a_notion_runs_and_its_sentence_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PROOFS[name](left_by(name))


def test_every_notion_is_tried_by_a_proof_that_asserts_something() -> None:
    assert sorted(PROOFS) == sorted(NOTIONS)
    for name, proof in PROOFS.items():
        asserts = [node for node in ast.walk(ast.parse(inspect.getsource(proof))) if isinstance(node, ast.Assert | ast.With)]
        assert asserts, name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("drop_last", "loader = DataLoader(dataset, batch_size=5)"),
        ("BatchNorm", "model.eval()\ny = z = model.bn1(model.conv1(images))"),
        ("zero_grad", "optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.01)"),
        ("no_grad", "logits = model(images)"),
        ("eval()", "model.train()"),
    ],
)
def test_a_proof_fails_for_lines_that_do_something_else(name: str, other: str) -> None:
    left = after_setup()
    exec(other, left)
    with pytest.raises(AssertionError):
        PROOFS[name](SimpleNamespace(**left))


# Every name


def test_no_name_means_two_notions() -> None:
    for notion in NOTIONS.values():
        assert [find(name) for name in (notion.name, *notion.also)] == [notion] * (1 + len(notion.also)), notion.name
    assert len(NOTIONS) == sum(len(notions) for notions in THEMES.values())
    names = [name.casefold() for notion in NOTIONS.values() for name in (notion.name, *notion.also)]
    assert len(names) == len(set(names))


NAMED = """Dataset; DataLoader; batch; epoch; iteration; transform; normalisation; normalization; augmentation; tensor; shape; dtype; device;
to(device); nn.Module; __init__; forward; layer; Linear; Conv2d; ReLU; activation; pooling; BatchNorm; BatchNorm's modes; Dropout;
softmax; logits; parameters; weight; bias; initialisation; loss; CrossEntropyLoss; MSELoss; torch.optim; SGD; Adam; AdamW; learning rate;
schedule; momentum; weight decay; gradient clipping; autograd; requires_grad; grad_fn; computational graph; graph; leaf; .grad;
accumulation; zero_grad; backward; chain rule; gradient; Jacobian; vector product; step; detach; no_grad; inference_mode; train(); eval();
training set; validation set; test set; train / validate / test; overfitting; early stopping; accuracy; confusion matrix; precision;
recall; F1; frozen; fine-tuning; transfer learning; feature extraction; backbone; head; replacing model.fc; pretrained weights; ImageNet;
state_dict; torch.save; torch.load; load_state_dict; checkpoint; seed; reproducibility; mixed precision; GPU; CPU; num_workers;
pin_memory; collate_fn; shuffle; drop_last; vanishing gradient; exploding gradient; residual connection; receptive field; backprop;
loss.backward(); optimizer.step(); optimizer.zero_grad(); model.eval(); model.train(); torch.no_grad(); DAG; is_leaf; NumPy bridge; view;
reshape; in-place; broadcasting; hyperparameters; train loop; test loop; optimization loop; nn.Flatten; nn.Sequential; nn.Linear; nn.ReLU;
nn.Softmax; fully connected layer; convolution; max pooling; kernel; stride; padding; subsampling; cross entropy; mean squared error;
NLLLoss; ConvNet as fixed feature extractor; finetuning the ConvNet; lr_scheduler; StepLR; torchvision models; weights_only; saving
models; loading models; RandomResizedCrop; RandomHorizontalFlip; CenterCrop; ImageFolder; custom dataset; target_transform; Lambda;
ToTensor; visualizing predictions; inference on custom images; training a classifier; DataParallel; AccumulateGrad; next_functions;
retain_graph; hook; register_hook; buffer; functional; hidden layer; attention; label; one-hot; scalar; item(); random tensor; matmul;
from_numpy; Jacobian product; frozen parameters; exclusion from the DAG; differentiation engine; learning curve; underfitting;
regularization; parameter groups; unfreeze; embedding; Grad-CAM"""


@pytest.mark.parametrize("name", [name.strip() for name in NAMED.replace("\n", " ").split(";")])
def test_what_a_course_names_is_found(name: str) -> None:
    try:
        found = find(name)
    except ConfigError:
        (found, *_) = containing(name)
    assert name.casefold() in searched(found) or find(name) is found


def test_a_name_that_is_not_there_is_refused_with_those_that_are_near() -> None:
    for wrong, near in (("bakprop", "backprop"), ("optimzer", "Optimizer"), ("dropuot", "Dropout")):
        with pytest.raises(ConfigError, match=f"not in the index; did you mean .*{near}"):
            find(wrong)
    for wrong in ("", "  ", "x" * (LONGEST_WORD + 1), "\0", "🙂"):
        with pytest.raises(ConfigError, match="notion: "):
            find(wrong)
    assert find("LEAF").name == "Leaf"


def test_a_search_looks_at_names_synonyms_sentences_and_code() -> None:
    assert find("Leaf") in containing("is_leaf")
    assert find("backward") in containing("backprop")
    assert find("Checkpoint") in containing("optimizer.state_dict()")
    assert find("Dropout") in containing("eval probability")
    assert containing("no such thing as this") == ()


# Every link


@pytest.mark.parametrize("name", [name for name, value in vars(places).items() if isinstance(value, Place)])
def test_a_place_is_there(name: str) -> None:
    place: Place = getattr(places, name)
    assert place.screen == "" or (ROOT / "pages" / f"{place.screen}.py").exists()
    assert [file for file in STANDS[place.screen] if place.part in sentences(file)], f"no part of this screen is called {place.part!r}"
    known = {*draft.OTHERS_IN_URL, "view"}
    assert set(place.query) <= known
    view = place.query.get("view")
    assert view is None or f"\n{view}\n" in sentences("pages/evaluate.py")
    at = place.query.get("at")
    assert at is None or f'"{at[2:]}"' in (ROOT / "pages/_parts/components/slow_motion/moments.js").read_text().splitlines()[3]
    assert place.query.get("example") in (None, "own")


def test_every_place_is_used() -> None:
    used = [notion.shown for notion in NOTIONS.values()]
    assert [name for name, value in vars(places).items() if isinstance(value, Place) and value not in used] == []


def test_sentences_are_short_and_end_as_sentences_do() -> None:
    def wrong(notion: Notion) -> bool:
        return len(notion.says) > 200 or not notion.says.endswith(".") or not notion.code.strip()

    assert [notion.name for notion in NOTIONS.values() if wrong(notion)] == []
