# ruff: noqa: RUF001  formulas are written in the letters in which papers have them
"""Every line of every update rule: the shown arithmetic is worked out anew, and what the symbols say is what torch's optimizers do."""

from __future__ import annotations

import ast
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from core.catalog import OPTIMIZERS, optimizers
from core.config import RunConfig
from core.explaining.followed_value import FollowedValue
from core.explaining.update_rules import RULES, rule_of

pytestmark = pytest.mark.usefixtures("one_thread")

RULE_CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in OPTIMIZERS),
    ("SGD", {"momentum": 0.0}),
    ("SGD", {"weight_decay": 0.1, "optimizer_options": {"nesterov": True}}),
    ("SGD", {"weight_decay": 0.1, "optimizer_options": {"dampening": 0.5}}),
    ("AdamW", {"optimizer_options": {"amsgrad": True}}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1, "optimizer_options": {"decoupled_weight_decay": True}}),
    ("NAdam", {"weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "optimizer_options": {"betas": [0.5, 0.4]}}),
    ("RAdam", {"optimizer_options": {"betas": [0.9, 0.99]}}),
    ("Adamax", {"weight_decay": 0.1}),
    ("RMSprop", {"weight_decay": 0.1, "optimizer_options": {"centered": True}}),
    ("RMSprop", {"momentum": 0.9}),
    ("Adagrad", {"weight_decay": 0.1, "optimizer_options": {"lr_decay": 0.5, "initial_accumulator_value": 0.1}}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Adafactor", {"weight_decay": 0.1}),
    ("ASGD", {"weight_decay": 0.1, "optimizer_options": {"lambd": 0.5}}),
    ("Rprop", {"optimizer_options": {"step_sizes": [1e-3, 0.01]}}),
]

# What a symbol stands for after the step, in torch's own state of the optimizer.
KEPT: dict[str, dict[str, str]] = {
    "SGD": {"v": "momentum_buffer"},
    "Adam": {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    "AdamW": {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    "NAdam": {"m": "exp_avg", "v": "exp_avg_sq", "Π": "mu_product"},
    "RAdam": {"m": "exp_avg", "v": "exp_avg_sq"},
    "Adamax": {"m": "exp_avg", "u": "exp_inf"},
    "RMSprop": {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"},
    "Adagrad": {"G": "sum"},
    "Adadelta": {"v": "square_avg", "u": "acc_delta"},
    "Adafactor": {"R": "row_var", "C": "col_var", "v": "variance"},
    "ASGD": {"ηₜ₊₁": "eta"},
    "Rprop": {"s": "step_size"},
}
FIRST = {"Π": 1.0}  # where the state begins with something else than 0
LETTERS = {
    "η": "lr", "ηₜ": "lr", "λ": "weight_decay", "μ": "momentum", "τ": "dampening", "ε": "eps", "α": "alpha", "ρ": "rho", "δ": "lr_decay",
    "Λ": "lambd", "ψ": "momentum_decay", "c": "beta2_decay", "d": "d",
}  # fmt: skip

# Signs that Python has no operator for, and letters that it takes for none.
_WRITTEN = {
    "×": "*", "·": "*", "^": "**", "²": "**2", "ᵗ": "**t", "ₜ₊₁": "_next", "ₜ": "_t", "₁": "_1", "₂": "_2", "⁺": "_plus", "⁻": "_minus", "∞": "_inf",
}  # fmt: skip
_WORDS = {
    "mean of its row's g²": "row_mean", "mean of its column's g²": "column_mean", "mean(R)": "mean_R", "RMS(w)": "rms_w", "RMS(all u)": "rms_u",
}  # fmt: skip


FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt, "abs": abs, "max": max, "min": min, "sign": lambda number: (number > 0) - (number < 0),
}  # fmt: skip


def python(text: str) -> str:
    """A formula as it is shown, in Python's own signs."""
    for words, name in _WORDS.items():
        text = text.replace(words, name)
    text = re.sub(r"\|(\w+)\|", r"abs(\1)", text)
    text = re.sub(r"√(?=\()", "sqrt", text)
    text = re.sub(r"√(\d[\d.]*(?:e[+-]\d+)?|[^\W\d]\w*\u0302?)", r"sqrt(\1)", text)
    for sign, operator in _WRITTEN.items():
        text = text.replace(sign, operator)
    return unicodedata.normalize("NFKC", text)  # as Python reads a name


def worked_out(text: str, names: Mapping[str, float] | None = None) -> tuple[float, float]:
    """What the arithmetic in `text` comes to, and the largest of its numbers: float32 and seven shown digits round at that."""
    known = {python(name): value for name, value in (names or {}).items()}
    largest = 0.0

    def value(node: ast.expr) -> float:
        nonlocal largest
        match node:
            case ast.Constant(value=int() | float() as number):
                found = float(number)
            case ast.Name(id=name):
                found = known[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                found = -value(operand)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                found = float(FUNCTIONS[name](*map(value, arguments)))
            case ast.BinOp(left=left, op=operator, right=right):
                one, other = value(left), value(right)
                match operator:
                    case ast.Add():
                        found = one + other
                    case ast.Sub():
                        found = one - other
                    case ast.Mult():
                        found = one * other
                    case ast.Div():
                        found = one / other
                    case ast.Pow():
                        found = one**other
                    case _:
                        raise AssertionError(f"no such operator is shown: {ast.dump(operator)}")
            case _:
                raise AssertionError(f"{text!r} is no arithmetic: {ast.dump(node)}")
        largest = max(largest, abs(found))
        return found

    return value(ast.parse(python(text), mode="eval").body), largest


class Shown:
    """The lines of one rule for one value, worked out from torch's own state before the step."""

    def __init__(self, optimizer: str, value: FollowedValue, gradient: torch.Tensor, before: torch.Tensor) -> None:
        assert value.group is not None
        assert value.gradient is not None
        group, state = value.group, value.state_before
        self.optimizer = optimizer
        self.value = value
        self.last_sign = math.copysign(1.0, state["prev"]) if state.get("prev") else 0.0
        self.names: dict[str, float] = {name: state.get(kept, FIRST.get(name, 0.0)) for name, kept in KEPT[optimizer].items()}
        self.names |= {letter: group[name] for letter, name in LETTERS.items() if isinstance(group.get(name), float | int)}
        for names, pair in ((("β₁", "β₂"), "betas"), (("η⁻", "η⁺"), "etas"), (("ε₁", "ε₂"), "eps")):
            if isinstance(group.get(pair), tuple | list):
                self.names |= dict(zip(names, (number or 0.0 for number in group[pair]), strict=True))
        self.names |= {"w": value.weight_before, "g": value.gradient, "t": state.get("step", 0.0) + 1}
        if optimizer == "ASGD":
            self.names["ηₜ"] = state.get("eta", group["lr"])
        if optimizer == "Rprop":
            self.names["s"] = state.get("step_size", group["lr"])
        if optimizer == "Adafactor":
            self._of_the_whole_tensor(gradient, before)

    def _of_the_whole_tensor(self, gradient: torch.Tensor, before: torch.Tensor) -> None:
        """What Adafactor takes from all of the tensor, from its paper (Shazeer & Stern 2018, algorithms 4 and 5)."""
        after = self.value.optimizer.state[self.value.parameter]
        least = torch.finfo(gradient.dtype).eps  # torch's ε₁: a unit that does nothing has no gradient and no variance
        self.names["rms_w"] = float(before.double().square().mean().sqrt())
        variance = after.get("variance")
        if variance is None:
            row, column = after["row_var"], after["col_var"]
            place = self.value.index
            self.names["row_mean"] = float(gradient.double().square().mean(-1)[place[:-1]])
            self.names["column_mean"] = float(gradient.double().square().mean(-2)[(*place[:-2], place[-1])])
            self.names["mean_R"] = float(row.double().mean(-2, keepdim=True)[(*place[:-2], 0, 0)])
            variance = row.double() @ column.double() / row.double().mean(-2, keepdim=True).clamp(min=least)
        self.names["rms_u"] = float((gradient.double() / variance.double().clamp(min=least**2).sqrt()).square().mean().sqrt())

    def check(self, formula: str, filled: str) -> None:
        """The filled line is true, its name and value are those of the line in symbols, and both are what the symbols stand for."""
        assigned = re.fullmatch(r"(\S+) (?:←|=) (.+?)(?: \((?:the first step|for the next step)\))?", formula)
        if assigned is None:
            self.check_words(formula, filled)
            return
        name, expression = assigned.groups()
        shown = re.fullmatch(r"(\S+) = (.+) = (\S+)", filled)
        assert shown is not None, filled
        assert shown[1] == name, "both lines are about the same"
        value = float(shown[3])
        if shown[2] == "g":  # SGD's first step: the velocity is the gradient itself
            arithmetic, size = worked_out("g", self.names)
        else:
            arithmetic, size = worked_out(_clamped(shown[2]))
        assert arithmetic == pytest.approx(value, rel=2e-6, abs=2e-6 * size), filled
        if self.optimizer == "Rprop" and name == "s":
            expression = self._step_of_rprop(expression)
        said, size = worked_out(expression, self.names)
        assert said == pytest.approx(value, rel=3e-6, abs=2e-6 * size), f"{formula}: {filled}"
        self.names[name] = value

    def _step_of_rprop(self, expression: str) -> str:
        """The one of its three cases that holds, kept between the smallest and the largest step."""
        assert self.value.group is not None
        assert self.value.gradient is not None
        agreement = self.last_sign * self.value.gradient
        cases = {case[1]: case[0] for case in re.findall(r"([^ ,]+) \(([^)]+)\)", expression)}
        assert set(cases) == {"one sign", "changed", "no gradient before"}
        smallest, largest = self.value.group["step_sizes"]
        case = "one sign" if agreement > 0 else "changed" if agreement < 0 else "no gradient before"
        return f"min(max({cases[case]}, {smallest}), {largest})"

    def check_words(self, formula: str, filled: str) -> None:
        """A line that is no calculation says what is so."""
        if "ρ ≤ 5" in formula:
            left, _, right = filled.partition(":")[0].partition(" ≤ ")
            assert float(left) == pytest.approx(self.names["ρ"], rel=1e-6)
            assert float(left) <= float(right) == 5
        elif formula.startswith("compare the sign"):
            numbers, _, words = filled.partition(": ")
            assert [float(number) for number in numbers.split(" and ")] == pytest.approx([self.names["g"], self.value.state_before.get("prev", 0.0)])
            agreement = self.last_sign * self.names["g"]
            assert words == ("both have one sign" if agreement > 0 else "the sign has changed" if agreement < 0 else "there was no gradient before")
        else:
            assert (formula, self.last_sign * self.names["g"] < 0) == ("where the sign has changed: do not move in this step", True), formula
            self.names["g"] = 0.0


def _clamped(expression: str) -> str:
    """Rprop's step says in words where its limits keep it."""
    return re.sub(r"^(.+), kept from (\S+) to (\S+),$", r"min(max(\1, \2), \3)", expression)


@pytest.mark.parametrize(("optimizer", "settings"), RULE_CASES, ids=lambda value: str(value))
def test_every_line_of_a_rule_is_true_and_says_what_torch_does(optimizer: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 3, bias=False))
    moving = optimizers.build(RunConfig(optimizer=optimizer, learning_rate=0.02, **settings), model.parameters())
    lines, compared = 0, set[str]()
    for step in range(8):  # RAdam changes its rule after a few
        images = torch.rand(4, 3, 4, 4) * (-1) ** step
        moving.zero_grad()
        (model(images) ** 2).mean().backward()
        group = moving.param_groups[0]
        followed = [FollowedValue(name, parameter, group, moving) for name, parameter in model.named_parameters()]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad.clone() for each in model.parameters()]
        weights = [parameter.detach().clone() for parameter in model.parameters()]
        moving.step()
        for value, gradient, before in zip(followed, gradients, weights, strict=True):
            value.look_again()
            rule = rule_of(optimizer, value)
            assert len(rule.formula) == len(rule.filled) > 0
            shown = Shown(optimizer, value, gradient, before)
            for formula, filled in zip(rule.formula, rule.filled, strict=True):
                shown.check(formula, filled)
                lines += 1
            assert shown.names["w"] == pytest.approx(value.weight_after, rel=2e-6, abs=1e-6)
            assert rule.weight == pytest.approx(value.weight_after, rel=2e-6, abs=1e-7)
            moved, said = value.weight_after - value.weight_before, (rule.weight or 0.0) - value.weight_before
            assert said == pytest.approx(moved, rel=1e-3, abs=4e-7), "the update itself, not only the weight that hides it"
            for name, kept in KEPT[optimizer].items():
                if kept in value.state_after:
                    assert shown.names[name] == pytest.approx(value.state_after[kept], rel=1e-5, abs=1e-9), (name, kept)
                    compared.add(kept)
    assert lines >= 8 * 5
    assert compared == set(value.state_after) & set(KEPT[optimizer].values()) or optimizer == "Adafactor"
    assert compared or settings.get("momentum") == 0.0


def test_every_optimizer_of_the_catalogue_has_a_rule() -> None:
    assert RULES.keys() == OPTIMIZERS.keys() == KEPT.keys()
