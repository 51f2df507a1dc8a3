"""How good a model is, and how it is kept."""

from __future__ import annotations

from core.notions import places as at
from core.notions.notion import Notion

RESULTS: tuple[Notion, ...] = (
    Notion(
        "Prediction",
        "The predicted class is the one with the largest logit; softmax does not change which one that is.",
        "predicted = model(images).argmax(dim=1)",
        at.TRY,
        ("argmax", "torch.max", "inference", "inference on custom images"),
    ),
    Notion(
        "Accuracy",
        "The share of pictures whose predicted class is the right one; the error rate is the rest.",
        "accuracy = (model(images).argmax(1) == labels).float().mean()",
        at.METRICS,
        ("correct", "error rate", "top-1"),
    ),
    Notion(
        "Confusion matrix",
        "A table with a row for each true class and a column for each predicted one; what is right stands on the diagonal.",
        "matrix = torch.zeros(3, 3, dtype=torch.int64)\nfor true, predicted in [(0, 0), (1, 1), (1, 2)]:\n    matrix[true, predicted] += 1",
        at.CONFUSION,
    ),
    Notion(
        "Precision",
        "Of the pictures that were predicted as a class, the share that belongs to it; not defined where none was.",
        "matrix = torch.tensor([[8, 2], [1, 9]])\nprecision = matrix.diag() / matrix.sum(dim=0)",
        at.METRICS,
        ("false positives",),
    ),
    Notion(
        "Recall",
        "Of the pictures that belong to a class, the share that was predicted as it; not defined where there are none.",
        "matrix = torch.tensor([[8, 2], [1, 9]])\nrecall = matrix.diag() / matrix.sum(dim=1)",
        at.METRICS,
        ("sensitivity", "false negatives"),
    ),
    Notion(
        "F1",
        "The harmonic mean of precision and recall: 2 P R / (P + R), never above their mean and nearer to the smaller of the two; 0 "
        "where both are 0.",
        "matrix = torch.tensor([[8, 2], [1, 9]])\n"
        "precision, recall = matrix.diag() / matrix.sum(dim=0), matrix.diag() / matrix.sum(dim=1)\n"
        "f1 = 2 * matrix.diag() / (matrix.sum(dim=0) + matrix.sum(dim=1))  # the same, and 0 where both are 0",
        at.METRICS,
        ("F1 score", "F-score"),
    ),
    Notion(
        "Macro average",
        "The mean of a measure over the classes, in which a rare class counts as much as a frequent one.",
        "matrix = torch.tensor([[8, 2], [1, 9]])\nmacro_recall = (matrix.diag() / matrix.sum(dim=1)).mean()",
        at.METRICS,
        ("balanced accuracy", "macro F1"),
    ),
    Notion(
        "Confidence",
        "The largest softmax probability; it is calibrated where of the predictions with confidence 0.8 about 80 % are right.",
        "confidence = F.softmax(model(images), dim=1).max(dim=1).values",
        at.CONFIDENCE,
        ("calibration", "overconfidence", "reliability diagram"),
    ),
    Notion(
        "Confidence interval",
        "Accuracy on a test set varies with which pictures were drawn: its standard error is sqrt(p (1 - p) / n), 0.016 for 0.9 of 359.",
        "error = (0.9 * (1 - 0.9) / 359) ** 0.5",
        at.COMPARE,
        ("standard error", "significance", "uncertainty"),
    ),
    Notion(
        "Misclassified pictures",
        "Looking at what the model gets wrong shows wrong labels and what such pictures have in common, which no figure says.",
        "wrong = images[model(images).argmax(1) != labels]",
        at.MISTAKES,
        ("errors", "visualizing predictions", "visualize model"),
    ),
    Notion(
        "Embedding",
        "What goes into the last layer is a picture's embedding: pictures with similar ones get similar logits.",
        "embedding = nn.Sequential(*list(model.children())[:-1])(images).flatten(1)",
        at.MAP,
        ("PCA", "t-SNE", "feature vector", "representation"),
    ),
    Notion(
        "Grad-CAM",
        "A heat map of a layer's feature maps, each weighted by the mean gradient of a class's logit for it: which places speak for the class.",
        "maps = model.layer4(torch.rand(1, 256, 4, 4)).detach().requires_grad_(True)\n"
        "model.fc(model.avgpool(maps).flatten(1))[0, 3].backward()\n"
        "cam = F.relu((maps.grad.mean(dim=(2, 3), keepdim=True) * maps).sum(1))",
        at.TRY,
        ("saliency", "class activation map", "CAM", "heat map"),
    ),
)

SAVING: tuple[Notion, ...] = (
    Notion(
        "state_dict",
        "A state_dict maps names to tensors: all parameters and buffers of a model, those with persistent=False apart. It shares their "
        "memory, so it changes as the model learns.",
        "model.state_dict()['fc.weight'].shape",
        at.WEIGHTS,
        ("model.state_dict()", "state dictionary"),
    ),
    Notion(
        "torch.save",
        "torch.save writes tensors, dicts and numbers into a file; of a model one saves the state_dict, and keeps the class in the program.",
        "torch.save(model.state_dict(), 'model.pth')",
        at.WEIGHTS,
        ("save the model", ".pth", "saving models", "pickle"),
    ),
    Notion(
        "torch.load",
        "torch.load reads such a file; with weights_only=True, the usual value, it takes tensors and plain data and runs no code from the file.",
        "torch.save(model.state_dict(), 'model.pth')\nstate = torch.load('model.pth', map_location='cpu', weights_only=True)",
        at.WEIGHTS,
        ("weights_only", "map_location", "loading models"),
    ),
    Notion(
        "load_state_dict",
        "load_state_dict copies the tensors into the model's own; a name that is missing or too many, or a shape that differs, is an error.",
        "other = models.resnet18(num_classes=10)\nother.load_state_dict(model.state_dict())",
        at.WEIGHTS,
        ("strict=True", "missing keys"),
    ),
    Notion(
        "Checkpoint",
        "To go on as if nothing had happened, a checkpoint has the optimizer's state too, and where the run was.",
        "torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': 3}, 'checkpoint.pth')",
        at.WEIGHTS,
        ("resume", "best model"),
    ),
    Notion(
        "Export",
        "Other programs read a model as ONNX or as a torch.export program, which hold the computation besides the weights.",
        "program = torch.export.export(model.eval(), (images,))",
        None,
        ("ONNX", "torch.export", "TorchScript", "torch.jit", "deployment"),
    ),
)
