"""Losses, optimizers, schedules, and how training goes well or badly."""

from __future__ import annotations

from core.notions import places as at
from core.notions.notion import Notion

LOSSES: tuple[Notion, ...] = (
    Notion(
        "Loss",
        "The loss is one number that says how wrong the predictions are; training tries to make it smaller.",
        "loss = criterion(model(images), labels)",
        at.LOSS,
        ("loss function", "criterion", "cost function", "objective"),
    ),
    Notion(
        "CrossEntropyLoss",
        "-log of the softmax probability of the right class, as a mean over the batch; it takes logits, not probabilities.",
        "loss = nn.CrossEntropyLoss()(model(images), labels)",
        at.LOSS,
        ("nn.CrossEntropyLoss", "cross entropy", "log loss", "F.cross_entropy"),
    ),
    Notion(
        "NLLLoss",
        "nn.NLLLoss takes logarithms of probabilities; on log_softmax of the logits it gives what CrossEntropyLoss gives.",
        "loss = nn.NLLLoss()(F.log_softmax(model(images), dim=1), labels)",
        at.LOSS,
        ("nn.NLLLoss", "negative log likelihood"),
    ),
    Notion(
        "MSELoss",
        "The mean of the squared differences; for classes, labels are first made to numbers, 1 for the right class and 0 for the others.",
        "loss = nn.MSELoss()(model(images), F.one_hot(labels, 10).float())",
        at.LOSS,
        ("nn.MSELoss", "mean squared error", "L2 loss", "one-hot"),
    ),
    Notion(
        "Label smoothing",
        "With smoothing s the right class is to have 1 - s + s / classes instead of 1, and each other one s / classes.",
        "loss = nn.CrossEntropyLoss(label_smoothing=0.1)(model(images), labels)",
        at.SETTINGS,
        ("soft labels",),
    ),
    Notion(
        "Loss of guessing",
        "A model that gives every class the same probability has a cross entropy of log(classes): 2.303 for 10.",
        "F.cross_entropy(torch.zeros(4, 10), labels)  # 2.3026",
        at.CHARTS,
        ("baseline", "chance level", "log(classes)"),
    ),
)

OPTIMIZERS: tuple[Notion, ...] = (
    Notion(
        "Optimizer",
        "An optimizer holds parameters and moves them by their gradients when step() is called; it moves nothing that it was not given.",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)",
        at.STEP,
        ("torch.optim", "optim", "optimiser"),
    ),
    Notion(
        "step",
        "optimizer.step() updates every parameter that it holds and that has a .grad, and skips those whose .grad is None.",
        "criterion(model(images), labels).backward()\noptimizer.step()",
        at.STEP,
        ("optimizer.step()", "weight update"),
    ),
    Notion(
        "Gradient descent",
        "Each weight moves against its gradient: w - learning rate * gradient. With batches instead of all pictures it is called stochastic.",
        "with torch.no_grad():\n    x = torch.tensor(3.0)\n    x -= 0.1 * 2 * x  # one step down x ** 2, whose gradient is 2 x",
        at.STEP,
        ("stochastic gradient descent",),
    ),
    Notion(
        "SGD",
        "torch.optim.SGD without momentum moves each weight by the learning rate times its gradient, and keeps nothing from step to step.",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)",
        at.STEP,
        ("torch.optim.SGD",),
    ),
    Notion(
        "Momentum",
        "SGD with momentum m moves by a sum of gradients in which each one counts m times what it did a step before: under a steady "
        "gradient 1 / (1 - m) times as far.",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)",
        at.STEP,
        ("velocity", "momentum_buffer", "Nesterov"),
    ),
    Notion(
        "Adam",
        "Adam divides a running mean of the gradient by the root of one of its square: the first step is about the learning rate for "
        "every weight whose gradient is far above 1e-8.",
        "optimizer = torch.optim.Adam(model.parameters(), lr=0.001)",
        at.STEP,
        ("torch.optim.Adam", "adaptive learning rate", "exp_avg"),
    ),
    Notion(
        "AdamW",
        "AdamW shrinks the weights by learning rate times weight decay directly; Adam adds the decay to the gradient, where it is divided "
        "like the rest.",
        "optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.01)",
        at.STEP,
        ("torch.optim.AdamW", "decoupled weight decay"),
    ),
    Notion(
        "Learning rate",
        "The learning rate multiplies every update (Rprop's: the first one only); too high and the loss jumps, too low and it hardly moves.",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)",
        at.TRAINING,
        ("lr", "step size"),
    ),
    Notion(
        "Learning rate schedule",
        "A schedule changes the learning rate as training goes on; scheduler.step() comes after optimizer.step().",
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)\n"
        "for epoch in range(7):\n"
        "    optimizer.step()\n"
        "    scheduler.step()",
        at.RATE,
        ("scheduler", "lr_scheduler", "schedule", "StepLR", "cosine annealing", "warm-up", "learning rate decay"),
    ),
    Notion(
        "Weight decay",
        "In SGD weight decay adds weight_decay * w to the gradient of each weight, which pulls it towards 0; one without a gradient is left alone.",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01, weight_decay=0.001)",
        at.SETTINGS,
        ("L2 regularisation", "regularization", "regularisation"),
    ),
    Notion(
        "Gradient clipping",
        "Where the length of all gradients taken together is more than a limit, all are scaled down to it; their direction stays.",
        "criterion(model(images), labels).backward()\ntorch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.1)",
        at.TRAINING,
        ("clip_grad_norm_", "clipping", "gradient norm"),
    ),
    Notion(
        "Parameter groups",
        "An optimizer can hold parameters in groups, each with its own learning rate.",
        "optimizer = torch.optim.SGD([{'params': model.layer4.parameters(), 'lr': 0.001}, {'params': model.fc.parameters()}], lr=0.01)",
        at.COURSE,
        ("param_groups", "discriminative learning rates", "differential learning rates", "learning rate multiplier"),
    ),
    Notion(
        "Gradient accumulation over batches",
        "Several backward passes before one step: with parts of one size, each loss divided by their number, it is the gradient of one "
        "large batch, BatchNorm and dropout apart.",
        "model.eval()\n"
        "for part, answers in zip(images.chunk(2), labels.chunk(2)):\n"
        "    (criterion(model(part), answers) / 2).backward()\n"
        "optimizer.step()",
        at.TRAINING,
        ("effective batch size", "accumulation steps", "large batch"),
    ),
)

COURSE_OF_TRAINING: tuple[Notion, ...] = (
    Notion(
        "Training loop",
        "Each step is zero_grad, forward, loss, backward, step, in this order; zero_grad may come anywhere between step and the next backward.",
        "optimizer.zero_grad()\nloss = criterion(model(images), labels)\nloss.backward()\noptimizer.step()",
        at.CODE,
        ("train loop", "optimization loop", "full implementation", "training a classifier"),
    ),
    Notion(
        "Validation loop",
        "Like the training loop without backward and step: model.eval(), no_grad, and the share that is right.",
        "model.eval()\nwith torch.no_grad():\n    right = (model(images).argmax(1) == labels).sum().item()\nmodel.train()",
        at.CODE,
        ("test loop", "evaluation loop"),
    ),
    Notion(
        "Hyperparameter",
        "A setting that is chosen and not learned: learning rate, batch size, number of epochs.",
        "learning_rate, batch_size, epochs = 0.01, 4, 2",
        at.TRAINING,
        ("hyperparameters", "settings"),
    ),
    Notion(
        "Overfitting",
        "The model learns the training pictures by heart: training loss falls on while validation loss rises.",
        "def loss_of(part):\n"
        "    pictures, answers = default_collate(list(part))\n"
        "    return criterion(model(pictures), answers).item()\n"
        "\n"
        "gap = loss_of(validation) - loss_of(train)",
        at.CHARTS,
        ("generalisation", "generalization", "memorisation"),
    ),
    Notion(
        "Underfitting",
        "The model cannot or does not yet fit even the training pictures: training loss stays high, and validation loss with it.",
        "gap = criterion(model(images), labels) - F.cross_entropy(torch.zeros(4, 10), labels)  # above 0: no better than guessing",
        at.DOCTOR,
        ("plateau", "high bias"),
    ),
    Notion(
        "Early stopping",
        "Training ends once the validation loss has not been better for some epochs, called patience; the best weights are kept.",
        "validation_losses, patience = [0.9, 0.7, 0.8, 0.75, 0.6], 2\n"
        "best, waited = float('inf'), 0\n"
        "for loss in validation_losses:\n"
        "    best, waited = (loss, 0) if loss < best else (best, waited + 1)\n"
        "    if waited == patience:\n"
        "        break",
        at.SETTINGS,
        ("patience",),
    ),
    Notion(
        "Learning curve",
        "Loss or accuracy over steps or epochs; a training loss is measured while the weights still move, a validation loss after the epoch.",
        "losses = []\nfor images, labels in loader:\n    losses.append(criterion(model(images), labels).item())",
        at.ACCURACY,
        ("loss curve", "training curve", "TensorBoard"),
    ),
    Notion(
        "Divergence",
        "With too high a learning rate each step overshoots by more than the last one, until loss and weights are infinite or NaN.",
        "x = torch.tensor(1.0)\nfor _ in range(500):\n    x = x - 1.5 * 2 * x  # down x ** 2 at a rate above 1",
        at.FAULTS,
        ("NaN", "nan loss", "not a number", "inf"),
    ),
    Notion(
        "Update ratio",
        "The length of an update divided by that of the weights that it moves: 0.001 is a step that changes them by a thousandth.",
        "before = model.fc.weight.detach().clone()\n"
        "criterion(model(images), labels).backward()\n"
        "optimizer.step()\n"
        "ratio = (model.fc.weight - before).norm() / before.norm()",
        at.NORMS,
        ("update to weight ratio",),
    ),
    Notion(
        "Seed",
        "torch.manual_seed fixes what torch draws from then on: the same seed, program and machine give the same random numbers.",
        "torch.manual_seed(0)",
        at.SETTINGS,
        ("reproducibility", "random seed", "manual_seed", "determinism", "use_deterministic_algorithms"),
    ),
    Notion(
        "Device",
        "A tensor lives in the memory of one device, the CPU or a GPU; an operation on tensors of two devices is an error, single numbers apart.",
        "images.device  # cpu",
        at.MACHINE,
        ("GPU", "CPU", "CUDA", "accelerator", "torch.cuda.is_available()", "torch.accelerator"),
    ),
    Notion(
        "to(device)",
        "model.to(device) moves the model's own parameters and buffers; tensor.to(device) gives another tensor, or the same one if it is "
        "there already.",
        "model.to(device)\nimages, labels = images.to(device), labels.to(device)",
        at.MACHINE,
        ("model.to", "tensor.to"),
    ),
    Notion(
        "Mixed precision",
        "Within autocast, matrix products and convolutions run in a 16-bit type, and the weights stay float32; for float16 a GradScaler "
        "multiplies the loss, so that small gradients do not become 0.",
        "with torch.autocast(device, dtype=torch.bfloat16):\n    logits = model(images)",
        at.SPEED,
        ("autocast", "AMP", "GradScaler", "bfloat16", "float16", "half precision"),
    ),
    Notion(
        "torch.compile",
        "torch.compile gives a model that computes the same, up to rounding, with code made for it at the first call; the parameters "
        "are those of the original.",
        "compiled = torch.compile(model)",
        at.SPEED,
        ("compile",),
    ),
    Notion(
        "FLOPs",
        "The floating-point operations of a forward pass; a multiplication and an addition count as two here, as one in torchvision's tables.",
        "flops = 2 * 512 * 10  # model.fc, for one picture",
        at.COST,
        ("GMACs", "multiply-adds", "cost"),
    ),
    Notion(
        "Data parallelism",
        "Each GPU has a copy of the model and an equal part of the batch; the gradients are averaged before the step, as if the batch "
        "were one, BatchNorm and dropout apart.",
        "wrap = nn.parallel.DistributedDataParallel  # model = wrap(model), in a program that torchrun starts once a GPU",
        None,
        ("DataParallel", "DDP", "DistributedDataParallel", "multi-GPU"),
    ),
)

TUNING: tuple[Notion, ...] = (
    Notion(
        "Transfer learning",
        "A model that was trained for one task is the start for another: it keeps its weights, gets a new head, and learns on.",
        "model = models.resnet18(weights='IMAGENET1K_V1')\nmodel.fc = nn.Linear(model.fc.in_features, 10)",
        at.COURSE,
        ("transfer",),
    ),
    Notion(
        "Fine-tuning",
        "Layers that were trained before learn on, usually with a smaller learning rate than a new head.",
        "optimizer = torch.optim.SGD([{'params': [p for n, p in model.named_parameters() if not n.startswith('fc')], 'lr': 0.001},\n"
        "                             {'params': model.fc.parameters()}], lr=0.01)",
        at.COURSE,
        ("finetuning the ConvNet",),
    ),
    Notion(
        "Feature extraction",
        "Everything but a new head is frozen: the model gives features, and a linear classifier on top learns.",
        "for parameter in model.parameters():\n    parameter.requires_grad = False\nmodel.fc = nn.Linear(512, 10)",
        at.COURSE,
        ("fixed feature extractor", "linear probe", "ConvNet as fixed feature extractor", "head only"),
    ),
    Notion(
        "Pretrained weights",
        "Weights that a model was trained to before; torchvision downloads them once, and each brings the transform that makes of a "
        "picture what the model takes.",
        "weights = models.ResNet18_Weights.IMAGENET1K_V1\npreprocess = weights.transforms()\nmodel = models.resnet18(weights=weights)",
        at.WHICH_MODEL,
        ("pretrained", "pre-trained model", "weights enum", "model zoo", "TorchVision models"),
    ),
    Notion(
        "ImageNet",
        "1.28 million photographs in 1,000 classes, on which most of torchvision's weights for classification were trained.",
        "len(models.ResNet18_Weights.IMAGENET1K_V1.meta['categories'])  # 1000",
        at.WHICH_MODEL,
        ("ILSVRC", "IMAGENET1K", "1000 classes"),
    ),
    Notion(
        "Backbone",
        "All of a model before the head: it makes features of a picture, 512 numbers for resnet18.",
        "backbone = nn.Sequential(*list(model.children())[:-1])\nfeatures = backbone(images).flatten(1)  # [4, 512]",
        at.COURSE,
        ("feature extractor", "body", "encoder", "features"),
    ),
    Notion(
        "Gradual unfreezing",
        "First the head learns alone, then layers are thawed from the end to the beginning; an optimizer that does not hold them yet has "
        "to be given them.",
        "model.layer4.requires_grad_(True)\noptimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001)",
        at.COURSE,
        ("unfreeze", "thaw", "progressive unfreezing", "timeline"),
    ),
)
