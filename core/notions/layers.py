"""A model, and the layers that it is made of."""

from __future__ import annotations

from core.notions import places as at
from core.notions.notion import Notion

MODULES: tuple[Notion, ...] = (
    Notion(
        "nn.Module",
        "Every layer and every model is an nn.Module: it holds parameters and other modules, and is called like a function.",
        "isinstance(model, nn.Module) and isinstance(model.fc, nn.Module)",
        at.MODEL,
        ("module", "model", "neural network", "torch.nn", "class definition"),
    ),
    Notion(
        "__init__",
        "__init__ makes the layers of a module and keeps them as attributes, which is how the module finds their parameters; "
        "super().__init__() comes first.",
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(8, 2)\n\nnet = Net()",
        at.BUILD,
        ("constructor", "super().__init__()"),
    ),
    Notion(
        "forward",
        "forward says how an output is computed from an input; one calls model(x), which runs forward and the hooks around it.",
        "class Double(nn.Module):\n    def forward(self, x):\n        return 2 * x\n\ny = Double()(torch.ones(3))",
        at.BUILD,
        ("forward method", "model(x)", "__call__"),
    ),
    Notion(
        "nn.Sequential",
        "nn.Sequential gives the output of each layer to the next one.",
        "net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 32), nn.ReLU(), nn.Linear(32, 10))",
        at.BUILD,
        ("Sequential", "MLP", "fully connected network"),
    ),
    Notion(
        "Layer",
        "A layer is a module that does one thing, such as a convolution; named_modules lists them all with their paths.",
        "for path, module in model.named_modules():\n    pass",
        at.MODEL,
        ("submodule", "named_modules", "children"),
    ),
    Notion(
        "Parameter",
        "An nn.Parameter that is an attribute of a module is found by model.parameters() and requires a gradient unless told otherwise.",
        "for name, parameter in model.named_parameters():\n    parameter.shape, parameter.requires_grad",
        at.MODEL,
        ("parameters", "nn.Parameter", "model.parameters()", "named_parameters", "weights", "learnable parameters"),
    ),
    Notion(
        "Weight and bias",
        "A linear layer computes x @ weight.T + bias; a layer before a BatchNorm often has no bias, since BatchNorm would take it away again.",
        "model.fc.weight.shape, model.fc.bias.shape  # [10, 512] and [10]\nmodel.conv1.bias  # None: bn1 follows",
        at.MODEL,
        ("weight", "bias"),
    ),
    Notion(
        "Buffer",
        "A buffer is a tensor that belongs to a module but is no parameter: no gradient, no optimizer. It is in the state_dict, unless "
        "it was registered with persistent=False.",
        "model.bn1.running_mean, model.bn1.num_batches_tracked",
        at.MODES,
        ("buffers", "register_buffer"),
    ),
    Notion(
        "Initialisation",
        "New layers begin with random weights: those of nn.Linear and nn.Conv2d lie evenly within 1 / sqrt(number of inputs) of 0.",
        "layer = nn.Linear(512, 10)\nbound = 1 / 512**0.5",
        at.MODEL,
        ("initialization", "Kaiming", "Xavier", "nn.init", "random weights"),
    ),
    Notion(
        "Number of parameters",
        "The number of parameters is that of single values in all parameter tensors; 4 bytes each in float32; it does not say how long a step takes.",
        "sum(parameter.numel() for parameter in model.parameters())",
        at.COST,
        ("numel", "model size"),
    ),
)

KINDS: tuple[Notion, ...] = (
    Notion(
        "Linear",
        "nn.Linear multiplies each input by a matrix and adds a bias: every output depends on every input.",
        "y = nn.Linear(512, 10)(torch.rand(4, 512))  # [4, 10]",
        at.FORWARD,
        ("nn.Linear", "fully connected layer", "dense layer", "affine"),
    ),
    Notion(
        "Conv2d",
        "nn.Conv2d moves small filters over a picture; each output channel has one filter, as deep as the input or as its group of "
        "channels, with the same weights everywhere.",
        "y = nn.Conv2d(3, 16, kernel_size=3, padding=1)(images)  # [4, 16, 64, 64]",
        at.FORWARD,
        ("nn.Conv2d", "convolution", "CNN", "convolutional layer", "kernel", "filter"),
    ),
    Notion(
        "Stride and padding",
        "A convolution's output is floor((size + 2 padding - kernel) / stride) + 1 pixels wide, without dilation: stride 2 about "
        "halves it; at stride 1, padding 1 keeps it for a kernel of 3.",
        "y = nn.Conv2d(3, 16, kernel_size=3, stride=2, padding=1)(images)  # 64 pixels become 32",
        at.BUILD,
        ("stride", "padding"),
    ),
    Notion(
        "Feature map",
        "What a convolution gives for a picture, channel by channel, is its feature maps: pictures of where a pattern is.",
        "maps = model.conv1(images)  # 64 maps of 32 x 32",
        at.FORWARD,
        ("activation map", "channels", "activations"),
    ),
    Notion(
        "Receptive field",
        "The part of the picture that a value of a feature map depends on; it grows with each convolution and pooling.",
        "images.requires_grad_(True)\nmodel.conv1(images)[0, 0, 16, 16].backward()\n(images.grad[0, 0] != 0).sum()  # 7 x 7 pixels",
        None,
    ),
    Notion(
        "Activation function",
        "A function between layers that is no straight line; without it several linear layers could do no more than one.",
        "y = torch.relu(x := torch.randn(4))",
        at.FORWARD,
        ("activation", "nonlinearity", "sigmoid", "tanh", "GELU", "nn.Sigmoid"),
    ),
    Notion(
        "Hidden layer",
        "A layer between the input and the output layer: with a function such as ReLU after it a model can do more than separate by straight lines.",
        "net = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))",
        at.HEAD,
        ("hidden units",),
    ),
    Notion(
        "torch.nn.functional",
        "Layers as plain functions: F.relu and nn.ReLU do the same, and for F.linear one keeps weight and bias oneself.",
        "y = F.linear(torch.rand(4, 512), model.fc.weight, model.fc.bias)",
        at.BUILD,
        ("functional", "nn.functional"),
    ),
    Notion(
        "ReLU",
        "ReLU gives max(0, x); its derivative is 1 above 0, and PyTorch takes 0 at 0 and below.",
        "y = nn.ReLU()(torch.tensor([-1.0, 0.0, 2.0]))  # 0, 0, 2",
        at.FORWARD,
        ("nn.ReLU", "F.relu", "rectified linear unit", "dead ReLU"),
    ),
    Notion(
        "Pooling",
        "Max pooling keeps the largest value of each window, average pooling the mean; the picture gets smaller where the stride is "
        "above 1, and there is nothing to learn.",
        "y = nn.MaxPool2d(2)(images)  # [4, 3, 32, 32]\nz = nn.AdaptiveAvgPool2d(1)(images)  # the mean of each channel",
        at.FORWARD,
        ("nn.MaxPool2d", "max pooling", "average pooling", "AdaptiveAvgPool2d", "subsampling"),
    ),
    Notion(
        "Flatten",
        "Flatten makes one row of numbers of each picture of the batch; dimension 0 stays.",
        "y = nn.Flatten()(images)  # [4, 12288]",
        at.FORWARD,
        ("nn.Flatten", "torch.flatten"),
    ),
    Notion(
        "BatchNorm",
        "In train mode BatchNorm normalises each channel by the mean and variance of this batch, in eval mode by its running ones; then "
        "it scales and shifts.",
        "model.train()\ny = model.bn1(model.conv1(images))\nmodel.eval()\nz = model.bn1(model.conv1(images))",
        at.MODES,
        ("nn.BatchNorm2d", "batch normalisation", "batch normalization", "BatchNorm2d", "BatchNorm's modes"),
    ),
    Notion(
        "Running statistics",
        "A BatchNorm in train mode moves its running mean towards the batch's at each forward pass, by its momentum (0.1 if not said "
        "otherwise) of the way, whatever learns and without backward.",
        "model.train()\nwith torch.no_grad():\n    model(images)",
        at.MODES,
        ("running_mean", "running_var", "moving average", "num_batches_tracked"),
    ),
    Notion(
        "LayerNorm",
        "LayerNorm normalises over the last dimensions, in a transformer each position by itself, by their own mean and variance, in "
        "train and eval mode alike; it keeps no running statistics.",
        "y = nn.LayerNorm(8)(torch.rand(4, 8))",
        at.FORWARD,
        ("nn.LayerNorm", "layer normalisation", "GroupNorm"),
    ),
    Notion(
        "Dropout",
        "In train mode Dropout puts each value to 0 with probability p and multiplies the others by 1 / (1 - p); in eval mode it does nothing.",
        "dropout = nn.Dropout(p=0.5)\ny = dropout(torch.ones(1000))",
        at.MODES,
        ("nn.Dropout",),
    ),
    Notion(
        "Residual connection",
        "The input of a block is added to its output, so a gradient reaches the input also past the block's layers.",
        "block = model.layer1[0]\ny = block(torch.rand(4, 64, 16, 16))  # relu(x + what its layers make of x)",
        at.BUILD,
        ("skip connection", "ResNet", "shortcut"),
    ),
    Notion(
        "Attention",
        "Each position gets a weighted mean of the values of all positions; the weights are a softmax over how well its query fits their keys.",
        "q = k = v = torch.rand(1, 5, 8)\ny = F.scaled_dot_product_attention(q, k, v)",
        at.FORWARD,
        ("transformer", "self-attention", "ViT", "vision transformer"),
    ),
    Notion(
        "Logits",
        "Logits are what the last layer gives: one number a class, of any size and sign, before softmax.",
        "logits = model(images)  # [4, 10]",
        at.FORWARD,
        ("scores", "raw scores", "model output"),
    ),
    Notion(
        "Softmax",
        "Softmax makes probabilities of logits: exp of each, divided by their sum, so they add up to 1 and the largest stays the largest.",
        "probabilities = F.softmax(model(images), dim=1)",
        at.TRY,
        ("nn.Softmax", "log_softmax", "probabilities"),
    ),
    Notion(
        "Vanishing gradient",
        "A gradient on its way back is multiplied by each layer's derivative; a sigmoid's is at most 0.25, so behind many of them little is left.",
        "x = torch.zeros(1, requires_grad=True)\ny = x\nfor _ in range(8):\n    y = torch.sigmoid(y)\ny.backward()",
        at.NORMS,
        ("vanishing gradients",),
    ),
    Notion(
        "Exploding gradient",
        "Where layers multiply a gradient by more than 1 each, it grows with every layer, until the numbers are infinite.",
        "x = torch.ones(1, requires_grad=True)\ny = x\nfor _ in range(8):\n    y = 3 * y\ny.backward()  # 3 ** 8",
        at.NORMS,
        ("exploding gradients",),
    ),
    Notion(
        "Head",
        "The head is the last part of a model, which makes class scores of features; a new task with other classes needs a new one.",
        "model.fc = nn.Linear(model.fc.in_features, 5)",
        at.HEAD,
        ("classifier", "output layer", "model.fc", "replacing model.fc"),
    ),
)
