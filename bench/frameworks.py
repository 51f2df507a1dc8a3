"""Lightning, Accelerate and fastai at the same task, each the way its own documentation shows it. Imported in a contestant's process only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.task import Task
from core.catalog import optimizers


def lightning_module(task: Task, norms: bool) -> Any:
    """Lightning's module for a task, as a class.

    `norms`: the norm of every tensor's gradient logged at every step, with Lightning's own `grad_norm`.
    """
    import lightning  # type: ignore[import-not-found]
    from lightning.pytorch.utilities import grad_norm  # type: ignore[import-not-found]

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.normalise, self.model, self.criterion = task.normalise, task.model, task.loss

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            images, labels = batch
            loss: torch.Tensor = self.criterion(self.model(self.normalise(images)), labels)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return task.optimizer()

        def on_train_epoch_start(self) -> None:
            task.freezing.train()  # what is frozen in eval mode, as in the loop that all are compared to

        if norms:

            def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
                self.log_dict(grad_norm(self, norm_type=2))

    return Module


def _lightning(task: Task, norms: bool = False) -> None:
    """Lightning's Trainer with its defaults: progress bar, logger, a checkpoint after each epoch."""
    import lightning

    class Timed(lightning_module(task, norms)):  # type: ignore[misc]
        def on_train_epoch_start(self) -> None:
            task.clock.start()
            super().on_train_epoch_start()

        def on_train_batch_end(self, *_: Any) -> None:
            if self.trainer.global_step == task.steps:
                task.clock.stop()

    trainer = lightning.Trainer(
        max_epochs=task.config.epochs,
        accelerator="gpu" if task.device.type == "cuda" else "cpu",
        devices=1,
        default_root_dir=task.folder,
        **({"log_every_n_steps": 1} if norms else {}),
    )
    trainer.fit(Timed(), task.loader())


def _accelerate(task: Task) -> None:
    """The loop of Accelerate's quick tour."""
    from accelerate import Accelerator  # type: ignore[import-not-found]

    accelerator = Accelerator(cpu=task.device.type == "cpu")
    model, optimizer, loader = accelerator.prepare(task.model, task.optimizer(), task.loader())
    task.clock.start()
    for _ in range(task.config.epochs):
        task.freezing.train()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = task.loss(model(task.normalise(images)), labels)
            accelerator.backward(loss)
            optimizer.step()
    task.clock.stop()


def _fastai(task: Task) -> None:
    """The Learner of fastai over PyTorch's loaders and optimizer, as its guide for migrating from PyTorch shows it."""
    from fastai.vision.all import Callback, CancelValidException, DataLoaders, Learner, OptimWrapper  # type: ignore[import-not-found]

    class AsThaw(Callback):  # type: ignore[misc]
        order = 0  # after fastai has put the whole model into train mode

        def before_train(self) -> None:
            task.clock.start()
            task.freezing.train()

        def after_batch(self) -> None:
            if self.learn.train_iter == task.steps:
                task.clock.stop()

        def before_validate(self) -> None:
            raise CancelValidException

    settings = optimizers.settings(task.config)
    learning_rate = settings.pop("lr")
    optimizer = partial(OptimWrapper, opt=getattr(torch.optim, task.config.optimizer), **settings)
    # Weight decay for all that learns, and no frozen normalisation learning: what the other contestants do.
    Learner(
        DataLoaders(task.loader(), task.loader(), device=task.device),
        nn.Sequential(task.normalise, task.model),
        loss_func=task.loss,
        opt_func=optimizer,
        wd_bn_bias=True,
        train_bn=False,
        cbs=[AsThaw()],
        path=task.folder,
    ).fit(task.config.epochs, learning_rate)


CONTESTANTS: dict[str, Callable[[Task], None]] = {
    "lightning": _lightning,
    "lightning-norms": partial(_lightning, norms=True),
    "accelerate": _accelerate,
    "fastai": _fastai,
}
