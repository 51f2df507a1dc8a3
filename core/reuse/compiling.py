"""torch.compile for the parts of one model, with a count of the passes in which it did nothing.

PyTorch translates the same code at most 8 times (`torch._dynamo.config.recompile_limit`), whichever model it is called for: again for
another size of batch, for training and evaluating, for other layers that learn. Past that it runs the code as it stands, with one
warning in the log. So what was translated is forgotten where other layers learn, and whether translated code really ran is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

BACKEND = "inductor"
"""What translates: torch.compile's own default."""


class Translator:
    """Translates modules, and counts: `passes` of a batch through them, and in how many of these nothing translated ran (`untranslated`)."""

    def __init__(self) -> None:
        self.passes = 0
        self.untranslated = 0
        self._ran = 0

    def translated(self, module: nn.Module) -> Callable[..., Any]:
        """`module`, translated when it is called first. What it gives is what `module` gives."""
        compiled = torch.compile(module, backend=self._translate)

        def run(*inputs: Tensor) -> Any:
            before = self._ran
            given = compiled(*inputs)
            self.passes += 1
            self.untranslated += self._ran == before
            return given

        return run

    def forget(self) -> None:
        """Other layers learn from now on: begin anew to count how often the code was translated. Files on disk are kept, and used again."""
        torch.compiler.reset()

    def _translate(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        translated = torch._dynamo.lookup_backend(BACKEND)(graph, inputs)

        def run(*inputs: Tensor) -> Any:
            self._ran += 1
            return translated(*inputs)

        return run
