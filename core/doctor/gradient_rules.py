"""Rules about gradients: too long, too short, none, added up, or no numbers at all."""

from __future__ import annotations

import math

import numpy as np

from core.doctor.medians import median
from core.doctor.remedies import Settings, lower_rate
from core.doctor.rule import Rule, Sign, listed
from core.doctor.signs import UNIT_LOOKS, Signs
from core.records.findings import Remedy, Severity

LONG_GRADIENT = 30.0
"""Length of all gradients together from which on it is worth a look, and how many times longer than at first."""

FAINT = 1e-4
"""Share of the last layers' gradient (root mean square of a value) that the first layers should get at least."""

DEAD_SHARE = 0.5
"""Share of a layer's units that may be dead before it is said."""


def exploding(signs: Signs) -> Sign | None:
    """Gradients much longer than in the first steps, or very long by themselves."""
    totals = signs.total_norms()
    now, first = median(totals), min(signs.first_totals[:3], default=math.nan)
    if len(totals) < min(5, signs.window) or math.isnan(now) or not (now > 1000 or now > LONG_GRADIENT * max(first, 1.0)):
        return None
    clipped = signs.config.clip_norm is not None
    severity: Severity = "note" if clipped else "serious" if now > 1e4 else "warning"
    largest = np.argsort(-np.nan_to_num(signs.recent_norms()))[:3]
    rest = f" clip_norm cuts them to {signs.config.clip_norm:g}." if clipped else ""
    lower = lower_rate(signs)
    cut = "" if clipped else "; cut long gradients in the next run too (clip_norm 1)"
    since = f"steps since the change at step {signs.changed:,}" if signs.changed > 1 and signs.first_totals_since == signs.changed else "steps"
    against = (
        "" if math.isnan(first) else f", {now / first:,.3g} times the {first:,.3g} of the first {since}" if first else f", and 0 in the first {since}"
    )
    return Sign(
        severity,
        f"All gradients together are {now:,.4g} long (median of the last {len(totals)} measurements, L2 norm){against}; "
        f"longest in {listed(signs.names_at(largest))}.{rest}",
        Remedy(
            f"{lower.words}{cut}. Normalisation layers help as well.",
            lower.change,
            lower.settings if clipped else {**lower.settings, "clip_norm": 1.0},
        ),
        "gradient norms", signs.window_start(), signs.step, signs.names_at(largest),
    )  # fmt: skip


def faintness(signs: Signs) -> tuple[float, tuple[str, ...]] | None:
    """What the first quarter of the learning weights gets of the gradient of the last quarter (root mean square), and which these first are."""
    places = np.flatnonzero(signs.learns & signs.is_weight)
    if len(places) < 4:
        return None
    size = signs.recent_norms()[places] / np.sqrt(signs.counts[places])
    quarter = max(1, len(places) // 4)
    first, last = median(size[:quarter]), median(size[-quarter:])
    if not first > 0 or not last > 0:
        return None
    return first / last, signs.names_at(places[:quarter])


def vanishing(signs: Signs) -> Sign | None:
    """Almost nothing of the gradient reaches the first layers."""
    found = faintness(signs)
    if found is None or found[0] > FAINT or len(signs.total_norms()) < min(5, signs.window):
        return None
    share, layers = found
    settings: dict[str, bool | int | float | str | None] = {}
    advice = "Use layers that let gradients through: ReLU in place of sigmoid or tanh, normalisation, residual blocks, or fewer layers."
    mended = _without_squashing(signs.config.model)
    if mended:
        settings["model"] = mended
        passes = "sigmoid, which passes on at most a quarter of each gradient"
        if ", tanh" in signs.config.model:
            passes = "tanh, which passes on all of a gradient at 0 and next to nothing far from it"
        if ", tanh" in signs.config.model and ", sigmoid" in signs.config.model:
            passes = "sigmoid and tanh, which pass on next to nothing of a gradient far from 0"
        advice = f"Use ReLU behind a normalisation layer in place of {passes}."
    return Sign(
        "warning" if signs.recent_loss < 0.9 * signs.first_loss else "serious",  # some networks learn all the same, with their last layers
        f"A value of {listed(layers)} gets {share:.1e} times the gradient of one in the last layers: {1 / share:,.0f} times less "
        f"(root mean square, median of the last {len(signs.total_norms())} measurements).",
        Remedy(advice, "", {**settings, "fault": "none"} if settings else {}),
        "gradient norms", signs.window_start(), signs.step, (*layers, signs.names_at(np.flatnonzero(signs.learns & signs.is_weight))[-1]),
    )  # fmt: skip


def _without_squashing(model: str) -> str:
    """The text of an own network with ReLUs behind normalisation in place of sigmoid and tanh; '' where there are none."""
    label, colon, layers = model.partition(":")
    parts = [part.strip() for part in layers.split(",")]
    if not colon or not any(part in ("sigmoid", "tanh") for part in parts):
        return ""
    mended = ["norm, relu" if part in ("sigmoid", "tanh") else part for part in parts]
    return f"{label}: {', '.join(mended)}"


def dead(signs: Signs) -> Sign | None:
    """Units that did nothing for any picture of the last looks' batches."""
    found = {place: (gone, units) for place, (gone, units) in signs.dead_units().items() if gone >= max(DEAD_SHARE * units, 2)}
    if not found:
        return None
    worst = sorted(found, key=lambda place: -found[place][0] / found[place][1])
    names = signs.names_at(worst)
    gone, units = found[worst[0]]
    blocked = gone == units
    model = signs.config.model
    lower = lower_rate(signs)
    settings: Settings = dict(lower.settings)
    leaky = ":" in model and ", relu" in model
    if leaky:
        settings["model"] = model.replace(", relu", ", leaky relu")
    rest = f", and {DEAD_SHARE:.0%} or more of those of {listed(names[1:])}" if len(names) > 1 else ""
    return Sign(
        "serious" if blocked else "warning",
        f"{gone:,} of {units:,} units of {names[0]} had a gradient of exactly 0 for every picture at the last {signs.unit_looks} looks{rest}"
        + ("; no gradient gets through that layer." if blocked else "."),
        Remedy(
            f"{_way_back(signs, worst[0], blocked)} {lower.words}{', and use leaky ReLU, which lets a little through' if leaky else ''}.",
            "",
            settings,
        ),
        "gradient norms", signs.dead_since(worst[0]), signs.step, names[:6],
    )  # fmt: skip


def _way_back(signs: Signs, place: int, blocked: bool) -> str:
    """Whether dead units come back by themselves: only where something before them learns and changes what they get."""
    what = "A unit that gets no gradient (a ReLU that gives 0 for every picture, a tanh at its end) does not learn"
    if blocked:
        return f"{what}, and through a layer of which all are dead nothing before it learns either: no gradient brings one back. Start again."
    if not (signs.learns & signs.is_weight)[:place].any():
        return f"{what}, and nothing before this layer learns, so its units get what they got: no gradient brings one back. Start again."
    return f"{what}; it comes back where layers before it learn and change what it gets. If it does not within an epoch or two, start again."


def adding_up(signs: Signs) -> Sign | None:
    """Gradients that are still there after a step."""
    if signs.left_over is None:
        return None
    step, names = signs.left_over
    first, now = signs.first_total, median(signs.total_norms())
    grown = f" All gradients together were {first:,.3g} long at first, and are {now:,.3g} now." if now == now and first == first else ""
    return Sign(
        "serious",
        f"After step {step:,} the gradients of {len(names):,} tensors ({listed(names)}) were still there, so the next step adds its own to "
        f"them.{grown}",
        Remedy("Call optimizer.zero_grad() in each step, before or after the update.", "", {"fault": "none"}),
        "gradient norms", 1, signs.step, names[:3],
    )  # fmt: skip


def not_a_number(signs: Signs) -> Sign | None:
    """A loss or a gradient that is no finite number, and where it came from."""
    # float16 gradients overflow now and then: the scaler leaves such a step out.
    bad_gradient = None if signs.config.precision == "float16" else signs.bad_gradient
    steps = [step for step in (signs.bad_step, bad_gradient[0] if bad_gradient else None) if step is not None]
    if not steps:
        return None
    step = min(steps)
    cause, layers = _born(signs, step)
    losses = [value for value in signs.loss[signs.steps < step].tolist() if math.isfinite(value)]
    before = f" The loss before was {losses[-1]:.4g}." if losses else ""
    lower = lower_rate(signs)
    settings: Settings = dict(lower.settings)
    also = []
    if signs.config.clip_norm is None or signs.config.clip_norm > 1:
        settings["clip_norm"] = 1.0
        also.append("clip_norm 1")
    if signs.config.precision == "float16":
        settings["precision"] = "float32"
        also.append("precision float32")
    return Sign(
        "serious",
        cause + before,
        Remedy(
            f"Nothing that has become not-a-number comes back: stop this run, and start another. {lower.words}{_and(also)}.",
            "",
            settings,
        ),
        "loss", max(1, step - signs.window), step, layers,
    )  # fmt: skip


def _and(also: list[str]) -> str:
    """', with clip_norm 1 and precision float32', '' for none."""
    return f", with {' and '.join(also)}" if also else ""


def _born(signs: Signs, step: int) -> tuple[str, tuple[str, ...]]:
    birth = signs.birth
    if birth is not None and birth.place == "output":
        into = "" if birth.largest_input is None else f", though what went in was (largest value {birth.largest_input:.3g})"
        return f"At step {birth.step:,} the output of {birth.layer} was the first that is not a finite number{into}.", (birth.layer,)
    if birth is not None and birth.place == "loss":
        into = "" if birth.largest_input is None else f" (largest {birth.largest_input:.3g})"
        return f"At step {birth.step:,} the loss {signs.config.loss} was not a finite number, from logits that were{into}.", ()
    if birth is not None and birth.place == "weights":
        gradient = signs.bad_gradient
        if gradient and gradient[0] < birth.step:
            last = gradient[1][-1]
            return (
                f"At step {gradient[0]:,} the gradient of {last} was the first (from the loss backwards) that is not a finite number; the update "
                f"carried it into the weights, and at step {birth.step:,} the loss had it too.",
                (last,),
            )
        return f"At step {birth.step:,} weights of {birth.layer} were not finite numbers any more: the update before threw them too far.", (
            birth.layer,
        )
    where = ""
    layers: tuple[str, ...] = ()
    if signs.bad_gradient and signs.bad_gradient[0] <= step:
        layers = (signs.bad_gradient[1][-1],)
        where = f", first in the gradient of {layers[0]} as seen from the loss"
    return f"Since step {step:,} loss or gradients are not finite numbers{where}; in which layer that began was not caught.", layers


RULES = (
    Rule(
        "exploding gradients", "Gradients explode", "the length of all gradients together, against that of the first steps",
        "A few long gradients in the first steps of a fresh network, or a loss that is a sum instead of a mean.", exploding,
        explained_by=("not a number", "gradients add up"),
    ),
    Rule(
        "vanishing gradients", "Gradients vanish on the way back",
        "the gradient of the first layers that learn, value for value, against that of the last ones",
        "A network whose first layers are meant to learn much more slowly.", vanishing,
    ),
    Rule(
        "dead units", "Units are dead", f"units whose gradient is exactly 0 for every picture at {UNIT_LOOKS} looks in a row (in short runs 3 or 4)",
        "Very small batches, in which a rare feature may be missing for a while; a layer far wider than it needs to be.", dead,
    ),
    Rule(
        "gradients add up", "Gradients are never cleared", "gradients that are still there after the update",
        "A loop that adds up the gradients of several batches on purpose; here that is the setting accumulate, which clears them after each update.",
        adding_up, hold=1,
    ),
    Rule(
        "not a number", "The loss is not a number", "losses and gradients that are NaN or infinite, and the layer where that began",
        "A single gradient that a library left out by itself. With float16, single steps that are left out are normal, and "
        "are not counted.", not_a_number, hold=1, clear=None,
    ),
)  # fmt: skip
