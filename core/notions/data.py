"""Tensors, and how pictures become batches of them."""

from __future__ import annotations

from core.notions import places as at
from core.notions.notion import Notion

TENSORS: tuple[Notion, ...] = (
    Notion(
        "Tensor",
        "A tensor is an array of numbers of one type, in any number of dimensions; pictures, weights, gradients and losses are all tensors.",
        "x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])",
        at.FORWARD,
        ("torch.Tensor", "array", "multidimensional matrix"),
    ),
    Notion(
        "Shape",
        "A tensor's shape is its length along each dimension: a batch of pictures has the shape [pictures, channels, height, width].",
        "images.shape  # torch.Size([4, 3, 64, 64])",
        at.FORWARD,
        ("size", "dimensions", "NCHW"),
    ),
    Notion(
        "dtype",
        "The dtype is the type of a tensor's numbers: weights are float32 unless asked otherwise, class labels are int64, decoded pictures uint8.",
        "model.fc.weight.dtype  # torch.float32",
        at.FORWARD,
        ("data type", "float32", "int64"),
    ),
    Notion(
        "Scalar",
        "A loss is a tensor without dimensions, one number; item() gives it as a number of Python, which carries no graph.",
        "loss = criterion(model(images), labels)\nnumber = loss.item()",
        at.FORWARD,
        (".item()", "0-dimensional tensor"),
    ),
    Notion(
        "Operations on tensors",
        "An operation such as a sum or a matrix product gives a new tensor; one whose name ends with an underscore changes its tensor in place.",
        "x = torch.ones(2, 3)\ny = x @ x.T + 1\nx.add_(5)",
        at.FORWARD,
        ("matmul", "in-place", "inplace operation", "add_"),
    ),
    Notion(
        "Broadcasting",
        "Two tensors of different shapes are combined as if dimensions of length 1, or missing in front, were repeated; nothing is copied for it.",
        "shifted = images - torch.tensor([0.5, 0.5, 0.5]).view(3, 1, 1)",
        None,
    ),
    Notion(
        "View and reshape",
        "view gives the same numbers another shape without copying them, so a change through one is seen through the other.",
        "flat = images.view(4, -1)",
        None,
        ("reshape", "flatten view", "strides"),
    ),
    Notion(
        "NumPy bridge",
        "torch.from_numpy and numpy() on the CPU share memory with the array: a change of one changes the other.",
        "array = torch.ones(3).numpy()",
        None,
        ("from_numpy", "numpy"),
    ),
    Notion(
        "Random tensor",
        "torch.rand draws from 0 up to but not including 1, evenly; torch.randn from a normal distribution with mean 0 and standard deviation 1.",
        "x = torch.rand(1, 3, 64, 64)",
        at.FORWARD,
        ("torch.rand", "torch.randn"),
    ),
)

PICTURES: tuple[Notion, ...] = (
    Notion(
        "Dataset",
        "A dataset says how many samples there are and gives the one at a place: __len__ and __getitem__.",
        "image, label = dataset[0]\nlen(dataset)",
        at.DATA,
        ("torch.utils.data.Dataset", "__getitem__", "__len__", "ImageFolder", "custom dataset", "map-style dataset"),
    ),
    Notion(
        "Label",
        "A picture's label is its class as a whole number from 0; the loss compares the model's answer with it.",
        "labels  # tensor of int64, one for each picture",
        at.DATA,
        ("target", "ground truth", "class", "y"),
    ),
    Notion(
        "Transform",
        "A transform makes of a picture what the model takes: decoded, resized, turned into a tensor of numbers from 0 to 1, normalised.",
        "picture = v2.ToPILImage()(torch.zeros(3, 64, 64))\nx = transform(picture)",
        at.DATA,
        ("ToTensor", "v2.Compose", "target_transform", "Lambda", "preprocessing"),
    ),
    Notion(
        "Resize and crop",
        "Resize with one number scales the shorter side to it and keeps the proportions; a crop cuts a piece of a fixed size out.",
        "v2.Resize(32)(torch.zeros(3, 64, 128)).shape  # [3, 32, 64]",
        at.DATA,
        ("CenterCrop", "RandomResizedCrop", "image size"),
    ),
    Notion(
        "Normalisation",
        "Each channel has a mean taken away and is divided by a standard deviation; with trained weights these have to be the ones of "
        "their training.",
        "x = v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])(images)",
        at.TRY,
        ("Normalize", "mean and std", "standardisation"),
    ),
    Notion(
        "Augmentation",
        "A random change of each training picture, such as a flip, drawn anew each time it is read; pictures of validation and test are left alone.",
        "x = v2.RandomHorizontalFlip(p=0.5)(images)",
        at.SETTINGS,
        ("data augmentation", "random flip", "RandomHorizontalFlip", "random crop"),
    ),
    Notion(
        "Training, validation and test set",
        "The model learns from the training set; settings and epochs are chosen by the validation set; the test set is looked at once, at the end.",
        "train, validation, test = random_split(dataset, [0.7, 0.15, 0.15])",
        at.METRICS,
        ("train / validate / test", "validate", "test", "training set", "validation set", "test set", "hold-out", "split", "random_split"),
    ),
    Notion(
        "Leakage",
        "A test picture that is in the training set too can be answered from memory, so the test accuracy says less about new pictures.",
        "digests = [{hash(x.numpy().tobytes()) for x, _ in part} for part in (train, validation)]\ndoubles = digests[0] & digests[1]",
        at.SETTINGS,
        ("data leakage", "duplicates"),
    ),
    Notion(
        "Class imbalance",
        "Where one class has most of the pictures, always answering with it has a high accuracy and has learned nothing.",
        "counts = torch.bincount(torch.tensor([label for _, label in dataset]), minlength=10)\nweights = len(dataset) / (10 * counts.clamp(min=1))",
        at.SETTINGS,
        ("imbalanced data", "class weights"),
    ),
)

BATCHES: tuple[Notion, ...] = (
    Notion(
        "DataLoader",
        "A DataLoader goes through a dataset once, in batches: it draws the order, reads the samples and stacks them.",
        "for images, labels in loader:\n    pass",
        at.TRAINING,
        ("torch.utils.data.DataLoader",),
    ),
    Notion(
        "Batch",
        "A batch is the pictures that go through the model together, stacked along dimension 0; the gradient of a step is that of their mean loss.",
        "images, labels = next(iter(loader))",
        at.TRAINING,
        ("mini-batch", "batch size"),
    ),
    Notion(
        "Epoch",
        "An epoch is one pass through the training set: as many steps as there are batches.",
        "for epoch in range(2):\n    for images, labels in loader:\n        pass",
        at.TRAINING,
        ("epochs",),
    ),
    Notion(
        "Step of training",
        "One step, or iteration, is one batch forward and backward and one update of the weights; an epoch of N pictures has ceil(N / batch size).",
        "steps = len(loader)",
        at.TRAINING,
        ("iteration", "training step"),
    ),
    Notion(
        "shuffle",
        "With shuffle=True each epoch goes through the pictures in another random order; with False the order is always that of the dataset.",
        "loader = DataLoader(dataset, batch_size=4, shuffle=True)",
        None,
        ("RandomSampler", "sampler", "random order"),
    ),
    Notion(
        "drop_last",
        "With drop_last=True an epoch leaves out its last batch where that would be smaller than the others.",
        "loader = DataLoader(dataset, batch_size=5, drop_last=True)\nlen(loader)  # 6: 2 of 32 pictures are left out",
        None,
    ),
    Notion(
        "collate_fn",
        "collate_fn makes one batch of a list of samples; the usual one stacks pictures, which therefore need to have the same size.",
        "images, labels = default_collate([dataset[0], dataset[1]])",
        None,
        ("default_collate",),
    ),
    Notion(
        "num_workers",
        "With num_workers above 0 so many processes of their own read and transform pictures while the model computes; 0 is the usual value.",
        "loader = DataLoader(dataset, batch_size=4, num_workers=2)",
        None,
        ("workers",),
    ),
    Notion(
        "pin_memory",
        "Pinned memory stays where it is, so a GPU can fetch batches from it while the program goes on; without a GPU it does nothing.",
        "loader = DataLoader(dataset, batch_size=4, pin_memory=torch.cuda.is_available())",
        None,
        ("pinned memory", "non_blocking"),
    ),
)
