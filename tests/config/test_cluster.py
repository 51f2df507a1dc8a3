"""Where a run is computed: what may be said to Slurm, in one spelling, and what may not."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.config.cluster import options


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"target": "moon"}, "target", "'here' or 'slurm'"),
        ({"partition": "debug"}, "partition", "set target to slurm"),
        ({"time_limit": 5}, "time_limit", "set target to slurm"),
        ({"sbatch": "mem=1G"}, "sbatch", "set target to slurm"),
        ({"target": "slurm", "time_limit": 0}, "time_limit", "1 or more"),
        ({"target": "slurm", "time_limit": 10_000_000}, "time_limit", "525600 or less"),
        ({"target": "slurm", "time_limit": True}, "time_limit", "number"),
        ({"target": "slurm", "partition": "a b"}, "partition", "as sinfo lists it"),
        ({"target": "slurm", "partition": "debug\n#SBATCH --wrap=x"}, "partition", "as sinfo lists it"),
        ({"target": "slurm", "partition": 3}, "partition", "as sinfo lists it"),
        ({"target": "slurm", "sbatch": "wrap=rm"}, "sbatch", "cannot give to sbatch"),
        ({"target": "slurm", "sbatch": "output=/etc/passwd"}, "sbatch", "cannot give to sbatch"),
        ({"target": "slurm", "sbatch": "mem=1G; rm -rf /"}, "sbatch", "no value for mem"),
        ({"target": "slurm", "sbatch": "mem=1G\n#SBATCH --wrap=x"}, "sbatch", "no value for mem"),
        ({"target": "slurm", "sbatch": "account=$(id)"}, "sbatch", "no value for account"),
        ({"target": "slurm", "sbatch": "mem"}, "sbatch", "no value for mem"),
        ({"target": "slurm", "sbatch": "mem=1G, mem=2G"}, "sbatch", "says mem twice"),
        ({"target": "slurm", "sbatch": 7}, "sbatch", "account=lab"),
        ({"target": "slurm", "nodes": 2, "rendezvous": "10.0.0.5:29500"}, "rendezvous", "leave it empty"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_remedy(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**given)
    assert caught.value.field == field
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("given", "spelt", "told"),
    [
        ("--mem=32G,account = lab", "mem=32G, account=lab", {"mem": "32G", "account": "lab"}),
        ("exclusive, gres=gpu:a100:2", "exclusive, gres=gpu:a100:2", {"exclusive": "", "gres": "gpu:a100:2"}),
        (" none ", None, {}),
        ("", None, {}),
    ],
)
def test_options_have_one_spelling(given: str, spelt: str | None, told: dict[str, str]) -> None:
    config = RunConfig(target="slurm", sbatch=given, partition="")
    assert config.sbatch == spelt
    assert config.partition is None
    assert options(config.sbatch) == told
    assert RunConfig.from_json(config.to_json()) == config
