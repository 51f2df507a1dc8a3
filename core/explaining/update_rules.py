# ruff: noqa: RUF001  formulas are written in the letters in which papers have them
"""What an optimizer does to one value of a parameter: its rule in symbols, and the same lines with the real numbers of a step.

Each rule is that of torch 2's single-tensor implementation, line by line; the numbers are those that the optimizer really used, and the
last line gives the weight that it really left (float32 rounds, these lines do not: they agree to about 1e-7 of the weight).

Symbols: w weight, g gradient, η learning rate, λ weight decay, t number of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from core.explaining.followed_value import FollowedValue


@dataclass(frozen=True)
class Rule:
    """A rule in symbols and filled with numbers, line for line. `weight` is what the lines come to; None: there is no rule to show."""

    formula: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    weight: float | None = None


def rule_of(optimizer: str, value: FollowedValue) -> Rule:
    """The rule of `optimizer` for a value that it moved; empty where it skipped the parameter, or where no rule is known here."""
    if value.group is None or value.gradient is None or optimizer not in RULES:
        return Rule()
    lines = _Lines(value)
    try:
        RULES[optimizer](lines, value.group)
    except (ZeroDivisionError, OverflowError, ValueError):  # where Python raises, tensors go on with what is no number
        lines.say("here the rule divides by 0, or by what is no number", "the result is not a number, or infinite")
        lines.weight = math.nan
    return Rule(tuple(lines.formula), tuple(lines.filled), lines.weight)


@dataclass
class _Lines:
    """The lines of a rule while they are written. `g` and `weight` are the gradient and the weight as they are by then."""

    value: FollowedValue
    formula: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    g: float = 0.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        assert self.value.gradient is not None
        self.g = self.value.gradient
        self.weight = self.value.weight_before

    def before(self, name: str, otherwise: float = 0.0) -> float:
        """A state entry before the step; where there was none, what the optimizer begins with."""
        return self.value.state_before.get(name, otherwise)

    @property
    def step(self) -> int:
        """The number of this step, from 1."""
        return int(self.before("step")) + 1

    def line(self, formula: str, name: str, filled: str, value: float) -> float:
        """Write a line; gives the value, so that it can be worked with."""
        self.formula.append(formula)
        self.filled.append(f"{name} = {filled} = {number(value)}")
        return value

    def say(self, formula: str, filled: str) -> None:
        """Write a line that is no calculation."""
        self.formula.append(formula)
        self.filled.append(filled)

    def decay_gradient(self, group: Mapping[str, Any]) -> None:
        """Weight decay as a part of the gradient (L2 penalty)."""
        if group["weight_decay"]:
            decay = group["weight_decay"]
            filled = f"{number(self.g)} + {number(decay)} × {braced(self.weight)}"
            self.g = self.line("g ← g + λ·w", "g", filled, self.g + decay * self.weight)

    def decay_weight(self, group: Mapping[str, Any]) -> None:
        """Weight decay of the weight itself (decoupled)."""
        if group["weight_decay"]:
            rate, decay = group["lr"], group["weight_decay"]
            filled = f"{number(self.weight)} × (1 - {number(rate)} × {number(decay)})"
            self.weight = self.line("w ← w·(1 - η·λ)", "w", filled, self.weight * (1 - rate * decay))

    def decay(self, group: Mapping[str, Any]) -> None:
        """Weight decay in whichever way the group says."""
        if group.get("decoupled_weight_decay"):
            self.decay_weight(group)
        else:
            self.decay_gradient(group)

    def mean(self, name: str, symbol: str, share: float, letter: str) -> float:
        """A running mean of the gradient."""
        old = self.before(name)
        filled = f"{number(share)} × {braced(old)} + {number(1 - share)} × {braced(self.g)}"
        return self.line(f"{symbol} ← {letter}·{symbol} + (1 - {letter})·g", symbol, filled, share * old + (1 - share) * self.g)

    def mean_square(self, name: str, symbol: str, share: float, letter: str) -> float:
        """A running mean of the gradient's square."""
        old = self.before(name)
        filled = f"{number(share)} × {number(old)} + {number(1 - share)} × {braced(self.g)}²"
        return self.line(f"{symbol} ← {letter}·{symbol} + (1 - {letter})·g²", symbol, filled, share * old + (1 - share) * self.g**2)

    def move(self, formula: str, filled: str, change: float) -> None:
        """The last line: w ← w - change."""
        self.line(f"w ← w - {formula}", "w", f"{number(self.weight)} - {filled}", self.weight - change)
        self.weight -= change


def number(value: float) -> str:
    """A number with as many digits as float32 has, without noise."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    return f"{value:.7g}"


def braced(value: float) -> str:
    """The same in brackets where a sign would stand behind an operator."""
    return f"({number(value)})" if value < 0 else number(value)


def _sgd(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, momentum, dampening = group["lr"], group["momentum"], group["dampening"]
    lines.decay_gradient(group)
    if not momentum:
        lines.move("η·g", f"{number(rate)} × {braced(lines.g)}", rate * lines.g)
        return
    if "momentum_buffer" not in lines.value.state_before:
        velocity = lines.line("v ← g (the first step)", "v", "g", lines.g)
    else:
        old = lines.before("momentum_buffer")
        share = f" × {braced(lines.g)}" if dampening else ""
        kept = f"{number(1 - dampening)}{share}" if dampening else braced(lines.g)
        formula = "v ← μ·v + (1 - τ)·g" if dampening else "v ← μ·v + g"
        velocity = lines.line(formula, "v", f"{number(momentum)} × {braced(old)} + {kept}", momentum * old + (1 - dampening) * lines.g)
    if group["nesterov"]:
        filled = f"{number(lines.g)} + {number(momentum)} × {braced(velocity)}"
        ahead = lines.line("u = g + μ·v", "u", filled, lines.g + momentum * velocity)
        lines.move("η·u", f"{number(rate)} × {braced(ahead)}", rate * ahead)
    else:
        lines.move("η·v", f"{number(rate)} × {braced(velocity)}", rate * velocity)


def _adam(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, (beta1, beta2), eps, t = group["lr"], group["betas"], group["eps"], lines.step
    lines.decay(group)
    mean = lines.mean("exp_avg", "m", beta1, "β₁")
    square = lines.mean_square("exp_avg_sq", "v", beta2, "β₂")
    unbiased = lines.line("m̂ = m / (1 - β₁ᵗ)", "m̂", f"{number(mean)} / (1 - {number(beta1)}^{t})", mean / (1 - beta1**t))
    name = "v"
    if group.get("amsgrad"):
        largest = lines.before("max_exp_avg_sq")
        square = lines.line("v_max ← max(v_max, v)", "v_max", f"max({number(largest)}, {number(square)})", max(largest, square))
        name = "v_max"
    spread = lines.line(f"v̂ = {name} / (1 - β₂ᵗ)", "v̂", f"{number(square)} / (1 - {number(beta2)}^{t})", square / (1 - beta2**t))
    change = rate * unbiased / (math.sqrt(spread) + eps)
    lines.move("η·m̂ / (√v̂ + ε)", f"{number(rate)} × {braced(unbiased)} / (√{number(spread)} + {number(eps)})", change)


def _nadam(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, (beta1, beta2), eps, t = group["lr"], group["betas"], group["eps"], lines.step
    psi = group["momentum_decay"]
    lines.decay(group)
    now, after = (beta1 * (1 - 0.5 * 0.96 ** (step * psi)) for step in (t, t + 1))
    lines.line("μ = β₁·(1 - 0.5·0.96^(t·ψ))", "μ", f"{number(beta1)} × (1 - 0.5 × 0.96^({t} × {number(psi)}))", now)
    lines.line("μ⁺ = β₁·(1 - 0.5·0.96^((t+1)·ψ))", "μ⁺", f"{number(beta1)} × (1 - 0.5 × 0.96^({t + 1} × {number(psi)}))", after)
    old = lines.before("mu_product", 1.0)
    product = lines.line("Π ← Π·μ", "Π", f"{number(old)} × {number(now)}", old * now)
    mean = lines.mean("exp_avg", "m", beta1, "β₁")
    square = lines.mean_square("exp_avg_sq", "v", beta2, "β₂")
    root = math.sqrt(square / (1 - beta2**t)) + eps
    lines.line("d = √(v / (1 - β₂ᵗ)) + ε", "d", f"√({number(square)} / (1 - {number(beta2)}^{t})) + {number(eps)}", root)
    change = rate * ((1 - now) / (1 - product) * lines.g + after / (1 - product * after) * mean) / root
    lines.move(
        "η·((1 - μ) / (1 - Π)·g + μ⁺ / (1 - Π·μ⁺)·m) / d",
        f"{number(rate)} × ((1 - {number(now)}) / (1 - {number(product)}) × {braced(lines.g)} + "
        f"{number(after)} / (1 - {number(product)} × {number(after)}) × {braced(mean)}) / {number(root)}",
        change,
    )


def _radam(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, (beta1, beta2), eps, t = group["lr"], group["betas"], group["eps"], lines.step
    lines.decay(group)
    mean = lines.mean("exp_avg", "m", beta1, "β₁")
    square = lines.mean_square("exp_avg_sq", "v", beta2, "β₂")
    unbiased = lines.line("m̂ = m / (1 - β₁ᵗ)", "m̂", f"{number(mean)} / (1 - {number(beta1)}^{t})", mean / (1 - beta1**t))
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * t * beta2**t / (1 - beta2**t)
    lines.line("ρ∞ = 2 / (1 - β₂) - 1", "ρ∞", f"2 / (1 - {number(beta2)}) - 1", limit)
    filled = f"{number(limit)} - 2 × {t} × {number(beta2)}^{t} / (1 - {number(beta2)}^{t})"
    lines.line("ρ = ρ∞ - 2·t·β₂ᵗ / (1 - β₂ᵗ)", "ρ", filled, length)
    if length <= 5:
        lines.say("where ρ ≤ 5: too few gradients seen, so v is not used yet", f"{number(length)} ≤ 5: v is not used yet")
        lines.move("η·m̂", f"{number(rate)} × {braced(unbiased)}", rate * unbiased)
        return
    rectified = math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
    own = math.sqrt(1 - beta2**t) / (math.sqrt(square) + eps)
    filled = (
        f"√(({number(length)} - 4) × ({number(length)} - 2) × {number(limit)} / (({number(limit)} - 4) × ({number(limit)} - 2) × {number(length)}))"
    )
    lines.line("r = √((ρ - 4)·(ρ - 2)·ρ∞ / ((ρ∞ - 4)·(ρ∞ - 2)·ρ))", "r", filled, rectified)
    lines.line("l = √(1 - β₂ᵗ) / (√v + ε)", "l", f"√(1 - {number(beta2)}^{t}) / (√{number(square)} + {number(eps)})", own)
    change = rate * unbiased * rectified * own
    lines.move("η·m̂·r·l", f"{number(rate)} × {braced(unbiased)} × {number(rectified)} × {number(own)}", change)


def _adamax(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, (beta1, beta2), eps, t = group["lr"], group["betas"], group["eps"], lines.step
    lines.decay_gradient(group)
    mean = lines.mean("exp_avg", "m", beta1, "β₁")
    old = lines.before("exp_inf")
    largest = max(beta2 * old, abs(lines.g) + eps)
    filled = f"max({number(beta2)} × {number(old)}, {number(abs(lines.g))} + {number(eps)})"
    lines.line("u ← max(β₂·u, |g| + ε)", "u", filled, largest)
    change = rate / (1 - beta1**t) * mean / largest
    lines.move("η / (1 - β₁ᵗ)·m / u", f"{number(rate)} / (1 - {number(beta1)}^{t}) × {braced(mean)} / {number(largest)}", change)


def _rmsprop(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, alpha, eps, momentum = group["lr"], group["alpha"], group["eps"], group["momentum"]
    lines.decay_gradient(group)
    square = lines.mean_square("square_avg", "v", alpha, "α")
    inside, symbol = number(square), "√v"
    if group["centered"]:
        mean = lines.mean("grad_avg", "m", alpha, "α")
        inside, symbol = f"({number(square)} - {braced(mean)}²)", "√(v - m²)"
        square -= mean**2
    root = math.sqrt(max(square, 0.0)) + eps
    lines.line(f"d = {symbol} + ε", "d", f"√{inside} + {number(eps)}", root)
    if momentum:
        old = lines.before("momentum_buffer")
        velocity = momentum * old + lines.g / root
        lines.line("b ← μ·b + g / d", "b", f"{number(momentum)} × {braced(old)} + {braced(lines.g)} / {number(root)}", velocity)
        lines.move("η·b", f"{number(rate)} × {braced(velocity)}", rate * velocity)
    else:
        lines.move("η·g / d", f"{number(rate)} × {braced(lines.g)} / {number(root)}", rate * lines.g / root)


def _adagrad(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, eps, falls, t = group["lr"], group["eps"], group["lr_decay"], lines.step
    lines.decay_gradient(group)
    if falls:
        rate = lines.line("η ← η / (1 + (t - 1)·δ)", "η", f"{number(rate)} / (1 + {t - 1} × {number(falls)})", rate / (1 + (t - 1) * falls))
    old = lines.before("sum")
    total = lines.line("G ← G + g²", "G", f"{number(old)} + {braced(lines.g)}²", old + lines.g**2)
    change = rate * lines.g / (math.sqrt(total) + eps)
    lines.move("η·g / (√G + ε)", f"{number(rate)} × {braced(lines.g)} / (√{number(total)} + {number(eps)})", change)


def _adadelta(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, rho, eps = group["lr"], group["rho"], group["eps"]
    lines.decay_gradient(group)
    square = lines.mean_square("square_avg", "v", rho, "ρ")
    old = lines.before("acc_delta")
    delta = math.sqrt(old + eps) / math.sqrt(square + eps) * lines.g
    filled = f"√({number(old)} + {number(eps)}) / √({number(square)} + {number(eps)}) × {braced(lines.g)}"
    lines.line("Δ = √(u + ε) / √(v + ε)·g", "Δ", filled, delta)
    filled = f"{number(rho)} × {number(old)} + {number(1 - rho)} × {braced(delta)}²"
    lines.line("u ← ρ·u + (1 - ρ)·Δ²", "u", filled, rho * old + (1 - rho) * delta**2)
    lines.move("η·Δ", f"{number(rate)} × {braced(delta)}", rate * delta)


def _asgd(lines: _Lines, group: Mapping[str, Any]) -> None:
    falls, eta = group["lambd"], lines.before("eta", group["lr"])
    lines.decay_gradient(group)
    shrunk = lines.weight * (1 - falls * eta)
    lines.weight = lines.line("w ← w·(1 - Λ·ηₜ)", "w", f"{number(lines.weight)} × (1 - {number(falls)} × {number(eta)})", shrunk)
    lines.move("ηₜ·g", f"{number(eta)} × {braced(lines.g)}", eta * lines.g)
    t, rate, power = lines.step, group["lr"], group["alpha"]
    filled = f"{number(rate)} / (1 + {number(falls)} × {number(rate)} × {t})^{number(power)}"
    lines.line("ηₜ₊₁ = η / (1 + Λ·η·t)^α (for the next step)", "ηₜ₊₁", filled, rate / (1 + falls * rate * t) ** power)


def _rprop(lines: _Lines, group: Mapping[str, Any]) -> None:
    (down, up), (smallest, largest) = group["etas"], group["step_sizes"]
    last, size = lines.before("prev"), lines.before("step_size", group["lr"])
    agreement = last * lines.g
    factor = up if agreement > 0 else down if agreement < 0 else 1.0
    what = "both have one sign" if agreement > 0 else "the sign has changed" if agreement < 0 else "there was no gradient before"
    lines.say("compare the sign of g with that of the last gradient", f"{number(lines.g)} and {number(last)}: {what}")
    new = min(max(size * factor, smallest), largest)
    filled = f"{number(size)} × {number(factor)}" + (f", kept from {number(smallest)} to {number(largest)}," if new != size * factor else "")
    lines.line("s ← s·η⁺ (one sign), s·η⁻ (changed), s (no gradient before)", "s", filled, new)
    if agreement < 0:
        lines.say("where the sign has changed: do not move in this step", "the sign has changed: g counts as 0")
        lines.g = 0.0
    sign = (lines.g > 0) - (lines.g < 0)
    lines.move("s·sign(g)", f"{number(new)} × {f'({sign})' if sign < 0 else sign}", new * sign)


def _adafactor(lines: _Lines, group: Mapping[str, Any]) -> None:
    rate, power, clip, t = group["lr"], group["beta2_decay"], group["d"], lines.step
    value, parameter = lines.value, lines.value.parameter
    smallest, least = group["eps"]
    smallest = torch.finfo(parameter.dtype).eps if smallest is None else smallest
    share = lines.line("β = t^c", "β", f"{t}^{braced(power)}", float(t) ** power)
    rms = value.norm_before / math.sqrt(parameter.numel())
    relative = min(rate, 1 / math.sqrt(t))
    filled = f"max({number(least)}, {number(rms)}) × min({number(rate)}, 1 / √{t})"
    size = lines.line("a = max(ε₂, RMS(w))·min(η, 1/√t)", "a", filled, max(least, rms) * relative)
    lines.decay_weight(group)
    assert parameter.grad is not None
    gradient = parameter.grad.detach()
    if gradient.dim() > 1:
        squares = gradient.square()
        row = float(squares.mean(dim=-1, keepdim=True)[(*value.index[:-1], 0)])
        column = float(squares.mean(dim=-2, keepdim=True)[(*value.index[:-2], 0, value.index[-1])])
        old_row, old_column = lines.before("row_var"), lines.before("col_var")
        filled = f"{number(old_row)} + {number(share)} × ({number(row)} - {number(old_row)})"
        new_row = lines.line("R ← R + β·(mean of its row's g² - R)", "R", filled, old_row + share * (row - old_row))
        filled = f"{number(old_column)} + {number(share)} × ({number(column)} - {number(old_column)})"
        new_column = lines.line("C ← C + β·(mean of its column's g² - C)", "C", filled, old_column + share * (column - old_column))
        means = value.entry("row_var").mean(dim=-2, keepdim=True).clamp(min=smallest)
        mean = float(means[(*value.index[:-2], 0, 0)])
        variance = lines.line("v = R·C / mean(R)", "v", f"{number(new_row)} × {number(new_column)} / {number(mean)}", new_row * new_column / mean)
        whole = value.entry("row_var") @ value.entry("col_var") / means
    else:
        old = lines.before("variance")
        filled = f"{number(old)} + {number(share)} × ({braced(lines.g)}² - {number(old)})"
        variance = lines.line("v ← v + β·(g² - v)", "v", filled, old + share * (lines.g**2 - old))
        whole = value.entry("variance")
    update = lines.line("u = g / √v", "u", f"{number(lines.g)} / √{number(variance)}", lines.g / math.sqrt(max(variance, smallest**2)))
    spread = float(torch.linalg.vector_norm(whole.clamp(min=smallest**2).rsqrt() * gradient)) / math.sqrt(parameter.numel())
    denominator = max(1.0, spread / clip)
    lines.line("D = max(1, RMS(all u) / d)", "D", f"max(1, {number(spread)} / {number(clip)})", denominator)
    lines.move("a·u / D", f"{number(size)} × {braced(update)} / {number(denominator)}", size * update / denominator)


RULES: Mapping[str, Callable[[_Lines, Mapping[str, Any]], None]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adam,
    "NAdam": _nadam,
    "RAdam": _radam,
    "Adamax": _adamax,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
    "Adafactor": _adafactor,
    "ASGD": _asgd,
    "Rprop": _rprop,
}
"""The rule of each optimizer of `core.catalog.optimizers`, by name."""
