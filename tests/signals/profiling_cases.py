"""What the tests of profiling share."""

from __future__ import annotations

from typing import Any

QUICK: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 16, "epochs": 1, "batch_size": 128}
