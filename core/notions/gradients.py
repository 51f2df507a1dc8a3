"""Autograd: how gradients come about, and what keeps them from it."""

from __future__ import annotations

from core.notions import places as at
from core.notions.notion import Notion

GRADIENTS: tuple[Notion, ...] = (
    Notion(
        "Autograd",
        "Autograd writes down each operation on tensors that require a gradient, and goes through them backwards to compute gradients.",
        "loss = criterion(model(images), labels)\nloss.backward()",
        at.GRAPH,
        ("torch.autograd", "automatic differentiation", "differentiation engine"),
    ),
    Notion(
        "Gradient",
        "The gradient of the loss for a parameter has the parameter's shape: for each value, how fast the loss rises with it, all else fixed.",
        "criterion(model(images), labels).backward()\nmodel.fc.weight.grad.shape == model.fc.weight.shape",
        at.BACKWARD,
        ("derivative", "partial derivative", "slope"),
    ),
    Notion(
        "requires_grad",
        "requires_grad=True on a tensor makes autograd record what is computed from it; a result that has a derivative requires a "
        "gradient if any of its inputs does.",
        "x = torch.ones(3, requires_grad=True)\ny = (2 * x).sum()",
        at.MODES,
        ("requires_grad_()",),
    ),
    Notion(
        "grad_fn",
        "A tensor's grad_fn is the node of the graph that made it and knows how to send a gradient on; a tensor that nobody computed has None.",
        "loss = criterion(model(images), labels)\nloss.grad_fn  # NllLossBackward0",
        at.GRAPH,
        ("gradient function", "NllLossBackward0", "AddBackward0"),
    ),
    Notion(
        "Computational graph",
        "The graph is made anew in each forward pass: nodes are operations, edges lead back to what they were computed from, it has no cycles.",
        "node = criterion(model(images), labels).grad_fn\nnode.next_functions",
        at.GRAPH,
        ("computation graph", "DAG", "dynamic graph", "graph", "next_functions", "roots"),
    ),
    Notion(
        "Leaf",
        "A leaf is a tensor that no recorded operation made, such as a parameter; only leaves that require a gradient get a .grad by themselves.",
        "model.fc.weight.is_leaf  # True\nmodel(images).is_leaf  # False",
        at.GRAPH,
        ("leaf tensor", "is_leaf", "leaves"),
    ),
    Notion(
        "AccumulateGrad",
        "The last node on each way back: it adds the gradient that arrives to the .grad of its leaf.",
        "node = (2 * model.fc.bias).grad_fn.next_functions[0][0]  # AccumulateGrad\nnode.variable is model.fc.bias",
        at.GRAPH,
    ),
    Notion(
        ".grad",
        "Before the first backward pass a parameter's .grad is None; afterwards it is a tensor of the parameter's shape, until it is cleared.",
        "model.fc.weight.grad  # None\ncriterion(model(images), labels).backward()\nmodel.fc.weight.grad.shape",
        at.BACKWARD,
        ("grad attribute",),
    ),
    Notion(
        "backward",
        "loss.backward() computes the gradients for all leaves that require one and that the loss was computed from; it moves no weight.",
        "loss = criterion(model(images), labels)\nloss.backward()",
        at.BACKWARD,
        ("loss.backward()", "backward pass", "backpropagation", "backprop"),
    ),
    Notion(
        "Chain rule",
        "The derivative of f(g(x)) is f'(g(x)) times g'(x): each node multiplies the gradient that comes in by its own derivative.",
        "x = torch.tensor(2.0, requires_grad=True)\ny = torch.sin(x**2)\ny.backward()  # cos(4) * 4",
        at.GRAPH,
    ),
    Notion(
        "Jacobian",
        "The matrix of all derivatives of several outputs for several inputs: row i, column j is how output i changes with input j.",
        "J = torch.autograd.functional.jacobian(lambda x: x**2, torch.tensor([1.0, 2.0, 3.0]))",
        None,
        ("Jacobian matrix",),
    ),
    Notion(
        "Vector-Jacobian product",
        "backward never makes the Jacobian: it computes v^T J for the gradient v that comes in. A loss is one number, and v is 1.",
        "x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)\ny = x**2\ny.backward(gradient=torch.tensor([1.0, 0.1, 0.01]))",
        at.GRAPH,
        ("vector product", "vJp", "Jacobian product", "backward(gradient)", "external_grad"),
    ),
    Notion(
        "Scalar output",
        "backward() without an argument is for one number only; a tensor of several raises “grad can be implicitly created only for scalar outputs”.",
        "(model(images) ** 2).sum().backward()",
        at.LOSS,
        ("implicitly created", "scalar loss"),
    ),
    Notion(
        "Accumulation of gradients",
        "backward() adds to the .grad that is there: two backward passes without zero_grad between them leave the sum of both gradients.",
        "criterion(model(images), labels).backward()\ncriterion(model(images), labels).backward()",
        at.ADDED,
        ("gradient accumulation", "accumulate", "accumulation"),
    ),
    Notion(
        "zero_grad",
        "optimizer.zero_grad() sets the .grad of every parameter that it holds to None, so that the next backward pass begins afresh.",
        "optimizer.zero_grad()",
        at.ZERO_GRAD,
        ("optimizer.zero_grad()", "zero the gradients", "model.zero_grad()", "set_to_none"),
    ),
    Notion(
        "Saved tensors",
        "For the backward pass the graph keeps inputs and results of operations: memory that grows with the batch, as that of the weights does not.",
        "model.fc(torch.rand(4, 512)).grad_fn._saved_mat1.shape  # what went into the layer",
        at.GRAPH,
        ("save_for_backward", "activation memory", "saved_tensors_hooks"),
    ),
    Notion(
        "retain_graph",
        "A backward pass frees what the graph has kept; a second one that needs it raises an error unless the first had retain_graph=True.",
        "loss = criterion(model(images), labels)\nloss.backward(retain_graph=True)\nloss.backward()",
        None,
        ("backward through the graph a second time",),
    ),
    Notion(
        "retain_grad",
        "retain_grad() makes a tensor that is no leaf keep its gradient too.",
        "h = model.conv1(images)\nh.retain_grad()\nh.sum().backward()\nh.grad.shape",
        None,
        ("gradient of a non-leaf",),
    ),
    Notion(
        "Hook",
        "A hook is a function that PyTorch calls when a module is called or a gradient arrives; what it returns, if anything, takes the "
        "place of the value.",
        "handle = model.fc.bias.register_hook(lambda gradient: 2 * gradient)\nhandle.remove()",
        None,
        ("register_hook", "forward hook", "register_forward_hook"),
    ),
    Notion(
        "Gradient check",
        "The slope measured by a small step in both directions has to be what the gradient says; in float64 the two agree to many digits.",
        "x = torch.rand(3, dtype=torch.float64, requires_grad=True)\ntorch.autograd.gradcheck(torch.sin, x)",
        at.GRAPH,
        ("gradcheck", "finite differences", "numerical gradient"),
    ),
    Notion(
        "torch.autograd.grad",
        "torch.autograd.grad gives gradients as values and leaves every .grad as it is.",
        "(g,) = torch.autograd.grad(criterion(model(images), labels), model.fc.bias)",
        None,
        ("autograd.grad",),
    ),
)

SWITCHES: tuple[Notion, ...] = (
    Notion(
        "detach",
        "detach gives a tensor with the same memory, outside of the graph: no gradient flows back through it.",
        "features = model.conv1(images).detach()",
        None,
        ("stop gradient",),
    ),
    Notion(
        "no_grad",
        "Within torch.no_grad() nothing is recorded, so results have no grad_fn and keep no memory for backward; BatchNorm and dropout do "
        "not notice.",
        "with torch.no_grad():\n    logits = model(images)",
        at.MODES,
        ("torch.no_grad()", "disable gradient tracking"),
    ),
    Notion(
        "inference_mode",
        "Like no_grad, and its results are inference tensors: autograd refuses to save one for a backward pass later.",
        "with torch.inference_mode():\n    logits = model(images)\nlogits.is_inference()  # True",
        at.MODES,
        ("torch.inference_mode()", "inference tensor"),
    ),
    Notion(
        "train()",
        "model.train() sets training=True on every module inside: BatchNorm uses the batch, dropout drops. It trains nothing, and thaws nothing.",
        "model.train()",
        at.MODES,
        ("model.train()", "train mode", "training mode"),
    ),
    Notion(
        "eval()",
        "model.eval() sets training=False on every module inside: BatchNorm uses its running statistics, dropout rests. Gradients flow as before.",
        "model.eval()",
        at.MODES,
        ("model.eval()", "eval mode", "evaluation mode"),
    ),
    Notion(
        "Freezing a layer",
        "A parameter with requires_grad=False gets no gradient, and an optimizer leaves alone what has none; a frozen BatchNorm in "
        "train mode still moves its statistics.",
        "for parameter in model.layer1.parameters():\n    parameter.requires_grad = False",
        at.AUDIT,
        ("frozen", "freeze", "frozen parameters", "requires_grad = False", "param.requires_grad"),
    ),
    Notion(
        "What freezing leaves of the graph",
        "Operations are recorded only from the first parameter that learns on; a frozen layer behind one that learns still passes gradients on.",
        "for parameter in model.parameters():\n    parameter.requires_grad = False\nmodel.conv1.weight.requires_grad = True\ny = model(images)",
        at.GRAPH,
        ("exclusion from the DAG", "excluded subgraph"),
    ),
    Notion(
        "Forward pass",
        "The forward pass computes predictions from pictures, layer after layer, and leaves the graph behind.",
        "prediction = model(images)",
        at.FORWARD,
        ("forward propagation", "prediction = model(images)"),
    ),
)
