"""Fine-tuning: each sentence tried."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision import models

from tests.notions.proving import proves


@proves("Transfer learning")
def transfer(n: Any) -> None:
    assert n.model.fc.weight.shape == (10, 512)
    assert (n.model.conv1.weight == 0.5).all(), "what was loaded is still there"


@proves("Fine-tuning")
def fine_tuning(n: Any) -> None:
    held = [id(parameter) for group in n.optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in n.model.parameters())
    assert [(group["lr"], len(group["params"])) for group in n.optimizer.param_groups] == [(0.001, 60), (0.01, 2)]


@proves("Feature extraction")
def feature_extraction(n: Any) -> None:
    assert [name for name, parameter in n.model.named_parameters() if parameter.requires_grad] == ["fc.weight", "fc.bias"]
    assert type(n.model.fc) is nn.Linear


@proves("Pretrained weights")
def pretrained(n: Any) -> None:
    assert (n.model.conv1.weight == 0.5).all()
    assert n.preprocess(torch.zeros(3, 300, 400)).shape == (3, 224, 224)
    assert torch.equal(*(n.preprocess(torch.full((3, 300, 400), 0.5)) for _ in range(2))), "that of use: no chance, unlike the one of training"


@proves("ImageNet")
def imagenet(n: Any) -> None:
    found = [weights for name in models.list_models(module=models) for weights in models.get_model_weights(name)]
    own = [weights for weights in found if weights.name.startswith("IMAGENET1K_V")]
    assert len(own) > 0.8 * len(found)
    assert all(len(weights.meta["categories"]) == 1000 for weights in own)


@proves("Backbone")
def backbone(n: Any) -> None:
    assert n.features.shape == (4, 512)
    n.model.eval(), n.backbone.eval()
    assert torch.allclose(n.model.fc(n.backbone(n.images).flatten(1)), n.model(n.images), atol=1e-5)


@proves("Gradual unfreezing")
def unfreezing(n: Any) -> None:
    n.model.requires_grad_(False)
    n.model.fc.requires_grad_(True)
    old = torch.optim.SGD([p for p in n.model.parameters() if p.requires_grad], lr=0.1)
    n.model.layer4.requires_grad_(True)
    weight = n.model.layer4[1].conv2.weight
    before = weight.detach().clone()
    n.criterion(n.model(n.images), n.labels).backward()
    old.step()
    assert torch.equal(before, weight), "it has a gradient, and the old optimizer does not hold it"
    assert weight.grad is not None
    torch.optim.SGD([p for p in n.model.parameters() if p.requires_grad], lr=0.1).step()
    assert not torch.equal(before, weight)
