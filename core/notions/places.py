"""Where notions are seen: the parts of the screens. `tests/notions` looks whether each is there."""

from __future__ import annotations

from core.notions.notion import Place

# Where things are seen: the Model screen, and the form that sets a run up

MODEL = Place("model", "What learns")
COST = Place("model", "What it costs")
HEAD = Place("model", "The new head")
COURSE = Place("model", "When it learns, and how fast")
BUILD = Place("build", "As PyTorch")
DATA = Place("train", "Data", {"new": "1"})
WHICH_MODEL = Place("train", "Model", {"new": "1"})
TRAINING = Place("train", "Training", {"new": "1"})
SETTINGS = Place("train", "More settings", {"new": "1"})
SPEED = Place("train", "Speed", {"new": "1"})

# A run

CHARTS = Place("train", "Loss", of_run=True)
ACCURACY = Place("train", "Accuracy", of_run=True)
NORMS = Place("train", "Gradient norms", of_run=True)
RATE = Place("train", "Learning rate", of_run=True)
DOCTOR = Place("train", "What the doctor looks at", of_run=True)
AUDIT = Place("train", "Every tensor of the freeze audit, and the proof", of_run=True)
WEIGHTS = Place("train", "Load these weights in PyTorch", of_run=True)
CODE = Place("train", "Show the PyTorch", of_run=True)

# One step, slowly

_OWN = {"example": "own"}
ZERO_GRAD = Place("autograd", "A step in slow motion", {**_OWN, "at": "1-zero_grad"})
FORWARD = Place("autograd", "A step in slow motion", {**_OWN, "at": "1-forward"})
LOSS = Place("autograd", "A step in slow motion", {**_OWN, "at": "1-loss"})
BACKWARD = Place("autograd", "A step in slow motion", {**_OWN, "at": "1-backward"})
STEP = Place("autograd", "A step in slow motion", {**_OWN, "at": "1-step"})
ADDED = Place("autograd", "A step in slow motion", {**_OWN, "zero_grad": "off", "at": "2-backward"})
GRAPH = Place("autograd", "The graph that the gradients flow through", _OWN)
MODES = Place("autograd", "Frozen, eval, no_grad: what each of them does", {**_OWN, "modes": "open"})
FAULTS = Place("autograd", "Break it on purpose")

# A run put to the test

TRY = Place("evaluate", "Try it")
METRICS = Place("evaluate", "Test metrics", {"view": "metrics"})
CONFIDENCE = Place("evaluate", "Can its confidence be believed?", {"view": "metrics"})
CONFUSION = Place("evaluate", "Confusion matrix", {"view": "confusion"})
MISTAKES = Place("evaluate", "Mistakes", {"view": "mistakes"})
COMPARE = Place("evaluate", "Compare", {"view": "compare"})
MAP = Place("evaluate", "Map", {"view": "map"})

MACHINE = Place("", "This machine")
