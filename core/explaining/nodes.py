# ruff: noqa: RUF001  formulas are written in the letters in which papers have them
"""The operations that autograd records, one entry a kind of node: what each computes, and what it does to a gradient that comes back.

In formulas x is what goes in, y what comes out, L the loss, and ḡ = dL/dy the gradient that arrives; what leaves the node is dL/dx.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.explaining.moving_nodes import MOVING
from core.explaining.node_words import NodeWords

_GENERIC = NodeWords(
    "An operation",
    "PyTorch recorded this operation and knows its derivative. Thaw has no words of its own for it, but the gradients and the check beside are real.",
    ("y = f(x)",),
    ("dL/dx = ḡ · df/dx (the chain rule)",),
)

NODES: Mapping[str, NodeWords] = {
    "AccumulateGrad": NodeWords(
        "Gradient",
        "The end of a path: a parameter that learns. What arrives is added to its .grad, which is why .grad has to be cleared before each step.",
        ("w: a leaf of the graph, no operation made it",),
        (".grad ← ḡ (if it was None), else .grad ← .grad + ḡ",),
        (),
    ),
    "Sum": NodeWords(
        "Sum",
        "Adds all values up. Each of them counts the same, so each gets the gradient as it is.",
        ("y = Σᵢ xᵢ",),
        ("dL/dxᵢ = ḡ",),
    ),
    "Mean": NodeWords(
        "Mean",
        "Averages values. Each of the n values in a mean has the share 1/n, and gets that share of the gradient.",
        ("y = (1/n) · Σᵢ xᵢ",),
        ("dL/dxᵢ = ḡ / n",),
    ),
    "Sub": NodeWords(
        "Difference",
        "Subtracts. The first input gets the gradient as it is, the second with the other sign.",
        ("y = a - b",),
        ("dL/da = ḡ", "dL/db = -ḡ"),
        ("the first input", "what is subtracted"),
    ),
    "Rsub": NodeWords(
        "Difference", "Subtracts the input from a number.", ("y = b - a",), ("dL/da = -ḡ", "dL/db = ḡ"), ("what is subtracted", "the rest")
    ),
    "Add": NodeWords(
        "Sum of two",
        "Adds two tensors, as a residual connection does. A sum lets the gradient through to both sides unchanged: that is why residual networks "
        "can be deep. Where one input was spread over the other, its gradient is summed up again.",
        ("y = a + b",),
        ("dL/da = ḡ", "dL/db = ḡ"),
        ("the first input", "the second input"),
    ),
    "Mul": NodeWords(
        "Product",
        "Multiplies value by value. Each factor gets the gradient times the other factor.",
        ("y = a · b",),
        ("dL/da = ḡ · b", "dL/db = ḡ · a"),
        ("the first factor", "the second factor"),
    ),
    "Div": NodeWords(
        "Quotient",
        "Divides value by value.",
        ("y = a / b",),
        ("dL/da = ḡ / b", "dL/db = -ḡ · a / b²"),
        ("the numerator", "the denominator"),
    ),
    "Neg": NodeWords("Negation", "Turns the sign around, and that of the gradient too.", ("y = -x",), ("dL/dx = -ḡ",)),
    "Pow": NodeWords("Power", "Raises to a power.", ("y = xᵖ",), ("dL/dx = ḡ · p · xᵖ⁻¹",), ("the base", "the exponent")),
    "Abs": NodeWords("Absolute value", "Takes the sign off.", ("y = |x|",), ("dL/dx = ḡ · sign(x)",)),
    "Exp": NodeWords("Exponential", "e to the power of each value.", ("y = eˣ",), ("dL/dx = ḡ · y",)),
    "Log": NodeWords("Logarithm", "The natural logarithm of each value.", ("y = ln x",), ("dL/dx = ḡ / x",)),
    "Sqrt": NodeWords("Square root", "The square root of each value.", ("y = √x",), ("dL/dx = ḡ / (2·y)",)),
    "Rsqrt": NodeWords("1 / square root", "One over the square root of each value.", ("y = 1/√x",), ("dL/dx = -ḡ · y³ / 2",)),
    "Addmm": NodeWords(
        "Linear layer",
        "A matrix product and a bias: the whole of a linear layer. The weights get what came in times the gradient, summed over the pictures; "
        "the input gets the gradient sent back through the same weights; the bias gets the gradient itself.",
        ("y = x · Wᵀ + b",),
        ("dL/dx = ḡ · W", "dL/dWᵀ = xᵀ · ḡ", "dL/db = Σ over pictures of ḡ"),
        ("the bias", "the input", "the transposed weight"),
    ),
    "Mm": NodeWords(
        "Matrix product",
        "Multiplies two matrices. Each gets the gradient multiplied with the other one.",
        ("y = A · B",),
        ("dL/dA = ḡ · Bᵀ", "dL/dB = Aᵀ · ḡ"),
        ("the first matrix", "the second matrix"),
    ),
    "Bmm": NodeWords(
        "Matrix products",
        "Many matrix products at once, one a picture and head. Attention is made of two of them.",
        ("yₙ = Aₙ · Bₙ",),
        ("dL/dAₙ = ḡₙ · Bₙᵀ", "dL/dBₙ = Aₙᵀ · ḡₙ"),
        ("the first matrices", "the second matrices"),
    ),
    "Convolution": NodeWords(
        "Convolution",
        "Each output value is a weighted sum of a small window of the input. Backwards, each input value collects from all windows that it was in, "
        "with the same weights; each weight collects, over all places and pictures, what it was multiplied with times the gradient there.",
        ("y[k, p] = Σ over channels c and offsets q of W[k, c, q] · x[c, p·stride + q] + b[k]",),
        (
            "dL/dx = ḡ convolved with the weights turned around (a transposed convolution)",
            "dL/dW[k, c, q] = Σ over places p of ḡ[k, p] · x[c, p·stride + q]",
            "dL/db[k] = Σ over places p of ḡ[k, p]",
        ),
        ("the input", "the weight", "the bias"),
    ),
    "NativeBatchNorm": NodeWords(
        "Batch normalisation",
        "Brings each channel to mean 0 and variance 1, then scales and shifts it. In train mode mean and "
        "variance come from this very batch, so every "
        "value of a channel has a say in every other's gradient: its mean and its part along x̂ are taken "
        "out of it. In eval mode they are fixed numbers.",
        ("x̂ = (x - mean) / √(variance + ε)", "y = γ · x̂ + β"),
        (
            "train: dL/dx = γ / √(variance + ε) · (ḡ - mean(ḡ) - x̂ · mean(ḡ · x̂))",
            "eval: dL/dx = ḡ · γ / √(variance + ε)",
            "dL/dγ = Σ ḡ · x̂    dL/dβ = Σ ḡ",
        ),
        ("the input", "the weight γ", "the bias β"),
    ),
    "NativeLayerNorm": NodeWords(
        "Layer normalisation",
        "Brings the values of each position to mean 0 and variance 1, then scales and shifts them. Mean and "
        "variance come from the values themselves, "
        "so the gradient loses its mean and its part along x̂.",
        ("x̂ = (x - mean) / √(variance + ε)", "y = γ · x̂ + β"),
        ("dL/dx = (γ·ḡ - mean(γ·ḡ) - x̂ · mean(γ·ḡ·x̂)) / √(variance + ε)", "dL/dγ = Σ ḡ · x̂    dL/dβ = Σ ḡ"),
        ("the input", "the weight γ", "the bias β"),
    ),
    "NativeGroupNorm": NodeWords(
        "Group normalisation",
        "Brings each group of channels to mean 0 and variance 1, then scales and shifts each channel.",
        ("x̂ = (x - mean) / √(variance + ε)", "y = γ · x̂ + β"),
        ("dL/dx = (γ·ḡ - mean(γ·ḡ) - x̂ · mean(γ·ḡ·x̂)) / √(variance + ε)", "dL/dγ = Σ ḡ · x̂    dL/dβ = Σ ḡ"),
        ("the input", "the weight γ", "the bias β"),
    ),
    "Relu": NodeWords(
        "ReLU",
        "Sets what is below 0 to 0. Where it let a value through, it lets the gradient through; where it did not, the gradient ends here.",
        ("y = max(0, x)",),
        ("dL/dx = ḡ where x > 0, else 0",),
    ),
    "LeakyRelu": NodeWords(
        "Leaky ReLU",
        "Makes what is below 0 small instead of cutting it off, and its gradient too.",
        ("y = x where x > 0, else s·x",),
        ("dL/dx = ḡ where x > 0, else s·ḡ",),
    ),
    "Elu": NodeWords(
        "ELU", "Bends what is below 0 towards -α.", ("y = x where x > 0, else α·(eˣ - 1)",), ("dL/dx = ḡ where x > 0, else ḡ · (y + α)",)
    ),
    "Hardtanh": NodeWords(
        "Cut off on both sides (ReLU6)",
        "Cuts values off below and above. What was cut off gets no gradient.",
        ("y = min(max(x, low), high)",),
        ("dL/dx = ḡ where low < x < high, else 0",),
    ),
    "Hardswish": NodeWords(
        "Hardswish",
        "0 below -3, x above 3, and a parabola between them: quick to compute, with a slope that jumps at both ends (from 0 to -1/2, and from 3/2 "
        "to 1).",
        ("y = x · min(max(x + 3, 0), 6) / 6",),
        ("dL/dx = 0 where x ≤ -3, ḡ where x ≥ 3, else ḡ · (2x + 3) / 6",),
    ),
    "Hardsigmoid": NodeWords(
        "Hardsigmoid", "A sigmoid made of straight pieces.", ("y = min(max(x + 3, 0), 6) / 6",), ("dL/dx = ḡ / 6 where -3 < x < 3, else 0",)
    ),
    "Sigmoid": NodeWords(
        "Sigmoid",
        "Squeezes each value into 0 to 1. The slope is at most 1/4, and next to nothing for large values: many in a row make gradients vanish.",
        ("y = 1 / (1 + e⁻ˣ)",),
        ("dL/dx = ḡ · y · (1 - y)",),
    ),
    "LogSigmoid": NodeWords(
        "Logarithm of the sigmoid", "In one operation, so that it stays exact.", ("y = -ln(1 + e⁻ˣ)",), ("dL/dx = ḡ · (1 - sigmoid(x))",)
    ),
    "Tanh": NodeWords("Tanh", "Squeezes each value into -1 to 1.", ("y = tanh(x)",), ("dL/dx = ḡ · (1 - y²)",)),
    "Gelu": NodeWords(
        "GELU",
        "Lets large values through and small ones hardly: x times the chance that a normal number is below x.",
        ("y = x · Φ(x)",),
        ("dL/dx = ḡ · (Φ(x) + x · φ(x))",),
    ),
    "Silu": NodeWords(
        "SiLU", "Each value times its sigmoid s: a smooth ReLU.", ("y = x · s, s = 1 / (1 + e⁻ˣ)",), ("dL/dx = ḡ · s · (1 + x · (1 - s))",)
    ),
    "Mish": NodeWords("Mish", "Each value times tanh of its softplus: a smooth ReLU.", ("y = x · tanh(ln(1 + eˣ))",), ("dL/dx = ḡ · dy/dx",)),
    "Softplus": NodeWords("Softplus", "A smooth ReLU.", ("y = ln(1 + eˣ)",), ("dL/dx = ḡ · sigmoid(x)",)),
    "Softmax": NodeWords(
        "Softmax",
        "Makes shares of 1. Raising one value takes from all others, so the gradient's mean, weighted with the shares, is taken out.",
        ("yᵢ = e^xᵢ / Σⱼ e^xⱼ",),
        ("dL/dxᵢ = yᵢ · (ḡᵢ - Σⱼ yⱼ · ḡⱼ)",),
    ),
    "SafeSoftmax": NodeWords(
        "Softmax",
        "Makes shares of 1, and zeros where everything is masked. Raising one value takes from all others.",
        ("yᵢ = e^xᵢ / Σⱼ e^xⱼ",),
        ("dL/dxᵢ = yᵢ · (ḡᵢ - Σⱼ yⱼ · ḡⱼ)",),
    ),
    "LogSoftmax": NodeWords(
        "Logarithm of softmax",
        "The logarithm of each class's share, in one operation so that it stays exact. Together with the loss behind it its gradient is simply "
        "(share - 1) for the right class and (share) for the others, over the number of pictures.",
        ("yᵢ = xᵢ - ln Σⱼ e^xⱼ",),
        ("dL/dxᵢ = ḡᵢ - softmax(x)ᵢ · Σⱼ ḡⱼ",),
    ),
    "NllLoss": NodeWords(
        "Negative log-likelihood",
        "Picks the right class's log-probability of each picture and averages them with the other sign. No "
        "other value is looked at, so no other gets a gradient.",
        ("L = -(1/N) · Σₙ x[n, labelₙ]",),
        ("dL/dx[n, c] = -ḡ / N for the right class, 0 for all others",),
        ("the log-probabilities",),
    ),
    "MseLoss": NodeWords(
        "Mean squared error",
        "The mean of the squared distances.",
        ("L = (1/n) · Σ (x - target)²",),
        ("dL/dx = ḡ · 2 · (x - target) / n",),
        ("the prediction", "the target"),
    ),
    "SmoothL1Loss": NodeWords(
        "Smooth absolute error",
        "Squared near the target, absolute far from it.",
        ("L = mean of d²/(2β) where |d| < β, else |d| - β/2, d = x - target",),
        ("dL/dx = ḡ/n · d/β where |d| < β, else ḡ/n · sign(d)",),
        ("the prediction", "the target"),
    ),
    "HuberLoss": NodeWords(
        "Huber loss",
        "Squared near the target, straight far from it.",
        ("L = mean of d²/2 where |d| < δ, else δ·(|d| - δ/2), d = x - target",),
        ("dL/dx = ḡ/n · d where |d| < δ, else ḡ/n · δ · sign(d)",),
        ("the prediction", "the target"),
    ),
    "MultiMarginLoss": NodeWords(
        "Multi-class hinge",
        "Counts by how much other classes come too near to the right one.",
        ("L = mean of Σ over other classes of max(0, margin - xₗ + x_c)ᵖ / C",),
        ("classes that come too near get a positive gradient, the right one the negative sum of them, all others 0",),
        ("the logits",),
    ),
    "SoftMarginLoss": NodeWords(
        "Soft margin loss",
        "The logistic loss for targets of 1 and -1.",
        ("L = mean of ln(1 + e^(-t·x))",),
        ("dL/dx = -ḡ/n · t / (1 + e^(t·x))",),
        ("the logits", "the target"),
    ),
    "BinaryCrossEntropyWithLogits": NodeWords(
        "Binary cross entropy",
        "Asks of each class by itself: is it this one?",
        ("L = mean of -(t·ln s + (1 - t)·ln(1 - s)), s = sigmoid(x)",),
        ("dL/dx = ḡ · (s - t) / n",),
        ("the logits", "the target"),
    ),
    "MaxPool2DWithIndices": NodeWords(
        "Max pooling",
        "Keeps the largest value of each window. It alone gets the window's gradient; the others, which changed nothing, get 0.",
        ("y[p] = max over offsets q of x[p·stride + q]",),
        ("dL/dx[q] = Σ of ḡ[p] over the windows p in which q was the largest",),
    ),
    "AdaptiveMaxPool2D": NodeWords(
        "Adaptive max pooling",
        "Keeps the largest value of each of a fixed number of windows.",
        ("y[p] = max over window p of x",),
        ("the largest value of each window gets its gradient, the others 0",),
    ),
    "AvgPool2D": NodeWords(
        "Average pooling",
        "Averages each window of n values.",
        ("y[p] = (1/n) · Σ over window p of x",),
        ("dL/dx[q] = Σ of ḡ[p] / n over the windows p with q in them",),
    ),
    "AdaptiveAvgPool2D": NodeWords(
        "Adaptive average pooling",
        "Averages the maps down to a fixed size.",
        ("y[p] = (1/n) · Σ over window p of x",),
        ("dL/dx[q] = Σ of ḡ[p] / n over the windows p with q in them",),
    ),
    "NativeDropout": NodeWords(
        "Dropout",
        "Sets random values to 0 and scales the others up. The same mask is laid over the gradient.",
        ("y = x · mask / (1 - p)",),
        ("dL/dx = ḡ · mask / (1 - p)",),
    ),
    "ScaledDotProductFlashAttentionForCpu": NodeWords(
        "Attention",
        "Each position collects the values of all positions, its own too, each weighted by how well its key fits the query; all in one operation.",
        ("A = softmax(Q · Kᵀ / √d)", "y = A · V"),
        ("dL/dV = Aᵀ · ḡ", "dL/dA = ḡ · Vᵀ, then back through the softmax to Q and K"),
        ("the queries", "the keys", "the values"),
    ),
    "LinalgVectorNorm": NodeWords("Length", "The length of each vector.", ("y = √(Σ xᵢ²)",), ("dL/dxᵢ = ḡ · xᵢ / y",)),
    "Clamp": NodeWords(
        "Cut off",
        "Cuts values off at a smallest and a largest one. What was cut off gets no gradient.",
        ("y = min(max(x, low), high)",),
        ("dL/dx = ḡ where low < x < high, else 0",),
    ),
    "ClampMin": NodeWords(
        "Cut off below", "Raises what is below a smallest value to it.", ("y = max(x, low)",), ("dL/dx = ḡ where x > low, else 0",)
    ),
    "MaskedFill": NodeWords(
        "Masked fill",
        "Puts a number where the mask says so; there no gradient passes.",
        ("y = number where mask, else x",),
        ("dL/dx = 0 where mask, else ḡ",),
    ),
    "Where": NodeWords(
        "Choice",
        "Takes one of two values by a condition; only the one that was taken gets a gradient.",
        ("y = a where condition, else b",),
        ("dL/da = ḡ where condition, else 0", "dL/db = 0 where condition, else ḡ"),
        ("the first choice", "the second choice"),
    ),
    **MOVING,
}


_ON_DEVICES: Mapping[str, str] = {
    "CudnnBatchNorm": "NativeBatchNorm",
    "MiopenBatchNorm": "NativeBatchNorm",
    "CudnnConvolution": "Convolution",
    "MiopenConvolution": "Convolution",
    "MpsConvolution": "Convolution",
    "FusedDropout": "NativeDropout",
    "ScaledDotProductFlashAttention": "ScaledDotProductFlashAttentionForCpu",
    "ScaledDotProductEfficientAttention": "ScaledDotProductFlashAttentionForCpu",
    "ScaledDotProductCudnnAttention": "ScaledDotProductFlashAttentionForCpu",
    "ScaledDotProductAttentionMath": "ScaledDotProductFlashAttentionForCpu",
}
"""What an operation is called where another kernel carries it out, to its name on the CPU."""


def words_of(kind: str) -> NodeWords:
    """The entry for a kind of node, as autograd calls it ('ConvolutionBackward0'); a general one for a kind that is not known here."""
    return NODES.get(plain(kind), _GENERIC)


def plain(kind: str) -> str:
    """The operation's name on the CPU: the same for all kernels that carry it out."""
    return _ON_DEVICES.get(stem(kind), stem(kind))


def stem(kind: str) -> str:
    """The operation's name in a node's kind: 'Convolution' for 'ConvolutionBackward0'."""
    return re.sub(r"Backward\d*$", "", kind)
