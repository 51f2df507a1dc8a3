"""What is another thing in the script of a run that several devices share: it is started by `torchrun`, once for each of them.

The script uses `DistributedDataParallel`, which a run does not (`core.ranks`): each process computes the gradients of its own pictures, weighted so
that the mean over processes is the gradient of the whole step. Who takes which pictures, the chance inside a step and BatchNorm over the whole
batch are the engine's own lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.catalog import find_model
from core.code.excerpts import Excerpt, excerpt, joined
from core.code.learning import Plan
from core.config import RunConfig
from core.config import devices as on_devices

_PROCESSES = """if "RANK" not in os.environ:
    raise SystemExit("This is started once for each device: {command}")
rank, ranks, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))  # who this process is; torchrun says so
{threads}
device = {device}{wires}
dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")"""

_LOOPBACK = """
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")  # all of them are on this machine"""

_DOWNLOADED = """if local == 0:
    read(plain), read(plain, "test")  # what has to be downloaded first is downloaded once on each machine
dist.barrier()"""

_PIECE = '''def {name}(places):
    """This rank's of {what}: as many as any other's, but for one. Fewer pictures than ranks are everybody's."""
    return list(places) if len(places) < ranks else np.array_split(places, ranks)[rank].tolist()'''

_PARTS = '''

def parts_of(places):
    """A step's pictures in as few parts of at most {most} as will do{none_alone}. Their gradients add up."""
    return [part.tolist() for part in np.array_split(places, {number})]


def own(places):
    """This rank's of a step's pictures, part by part."""
    return [place for part in parts_of(places) for place in piece_of(part)]'''

_WRAPPED = '''def wrapped():
    """The model as ranks share it: backward() ends with the mean of their gradients. What is frozen is not sent.

    Made anew whenever something else learns: DistributedDataParallel looks at that once.
    """
    return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)  # they move in the same way on all ranks


{norms}shared = wrapped()'''

_GATHERED = '''def gathered(tensor):
    """The same tensor of each rank, stacked in their order."""
    found = [torch.empty_like(tensor) for _ in range(ranks)]
    dist.all_gather(found, tensor.contiguous())
    return torch.stack(found)'''


def command(config: RunConfig, script: str = "script.py") -> str:
    """What to type to start the script of a run that is shared; on each of its machines, where there are several."""
    devices = config.devices
    each = {"all": "auto"}.get(devices, str(on_devices.number(devices, 1)))
    if config.nodes == 1:
        return f"torchrun --nproc-per-node {each} {script}"
    place = config.rendezvous or "ADDRESS:29500"
    return f"torchrun --nnodes {config.nodes} --nproc-per-node {each} --rdzv-backend c10d --rdzv-endpoint {place} {script}"


def remarks(config: RunConfig) -> list[str]:
    """How the script is started, and what a step is made of."""
    where = " on each machine" if config.nodes > 1 else ""
    start = f"Start it{where} with: {command(config)}"
    machines = f"{config.nodes} machines x " if config.nodes > 1 else ""
    parts = f" x {config.accumulate} parts" if config.accumulate > 1 else ""
    of_all = f"{config.batch_size * config.accumulate:,} pictures a step"
    if config.devices == "all":
        return [start, f"{of_all} = {machines}all devices x an equal share of {config.batch_size:,}{parts}."]
    ranks = config.nodes * (each := on_devices.number(config.devices, 1))
    return [start, f"{of_all} = {machines}{each} devices x {config.batch_size // ranks:,} pictures{parts}."]


def process_lines(config: RunConfig) -> str:
    """From what torchrun says to the group of processes, and `device`."""
    threads = config.threads or "os.cpu_count()"
    return _PROCESSES.format(
        command=command(config),
        threads=f'torch.set_num_threads(max(1, {threads} // int(os.environ["LOCAL_WORLD_SIZE"])))  # those of one process, divided',
        device=_device(config),
        wires="" if config.nodes > 1 else _LOOPBACK,
    )


def _device(config: RunConfig) -> str:
    devices, device = config.devices, config.device
    if device == "cpu" or (devices == "1" and device not in ("auto", "cuda")):
        return f"torch.device({device!r})"
    place = f"({devices})[local]" if "," in devices else "local"
    found = f'torch.device("cuda", {place})'
    return f'{found} if torch.cuda.is_available() else torch.device("cpu")' if device == "auto" else found


def downloaded_once(reading: str) -> str:
    """Lines that have one process download the pictures; '' where nothing is downloaded. `reading`: how the script reads them."""
    return _DOWNLOADED if "download=True" in reading else ""


def piece_lines(config: RunConfig) -> str:
    """`own`: which of a step's pictures are this rank's."""
    if config.accumulate == 1:
        return _PIECE.format(name="own", what="a step's pictures")
    most = config.batch_size
    number = f"-(-len(places) // {most})" if most == 1 else f"max(1, min(-(-len(places) // {most}), len(places) // 2))"
    alone = "" if most == 1 else ", none of a single picture"
    return _PIECE.format(name="piece_of", what="a part of them") + "\n" + _PARTS.format(most=most, number=number, none_alone=alone)


def sharing_lines(plan: Plan) -> Excerpt:
    """From BatchNorm over the whole batch to `shared`, the model that a step calls."""
    norms = _norms_may_learn(plan)
    return joined(
        [
            "# Sharing",
            excerpt("core.training.over_ranks", "_seed"),
            excerpt("core.ranks.norms", "WholeBatch") if norms else "",
            _GATHERED if norms else "",
            _WRAPPED.format(norms="norms = WholeBatch(model, gathered)\n" if norms else ""),
        ]
    )


def _norms_may_learn(plan: Plan) -> bool:
    """Whether BatchNorm may be among what ever learns. In doubt it may: a head has none."""
    heads = tuple(f"{path}." for path in find_model(plan.config.model).family.head)
    learning = {name for name, frozen in plan.layers if not frozen}.union(*(phase.learns for phase in plan.phases))
    return not all(name.startswith(heads) for name in learning)


def gradient_lines(plan: Plan, counts: str, whole: str, loss_lines: Sequence[str], autocast: str) -> list[str]:
    """The lines of a step up to its gradients, within the loop over `places, (images, labels)`.

    Args:
        counts: what the mean of `labels` is divided by; `whole`: the same of all pictures of the step.
        loss_lines: from `output` to `loss`.
        autocast: the line that begins a narrower precision; empty: none.
    """
    config = plan.config
    norms = "norms.on(len({}) >= ranks)" if _norms_may_learn(plan) else ""
    scaled = "scaler.scale(loss * share)" if config.precision == "float16" else "(loss * share)"
    inside = [*([autocast] if autocast else []), *(f"{'    ' if autocast else ''}{line}" for line in ("output = shared(images)", *loss_lines))]
    inside.append(f"{scaled}.backward()")
    if config.accumulate == 1:
        lines = [
            f"torch.manual_seed(_seed({config.seed}, step - 1, 0, rank if len(places) >= ranks else 0))  # other pictures, other chance",
            "images, labels = normalise(images), labels.to(device)",
            f"share = {counts} / {whole}",
            "if len(places) >= ranks:  # else all of them have the same pictures",
            "    share = share * ranks  # the mean over ranks is then the gradient of the whole step",
        ]
        around = norms.format("places")
    else:
        lines = [
            "parts = parts_of(places)",
            "sizes = [len(piece_of(part)) for part in parts]",
            f"whole = {whole}",
            "for number, (part, images, labels) in enumerate(zip(parts, images.split(sizes), labels.split(sizes))):",
            f"    torch.manual_seed(_seed({config.seed}, step - 1, number, rank if len(part) >= ranks else 0))  # other pictures, other chance",
            "    images, labels = normalise(images), labels.to(device)",
            f"    share = {counts} / whole",
            "    if len(part) >= ranks:  # else all of them have the same pictures",
            "        share = share * ranks  # the mean over ranks is then the gradient of the whole step",
            "    alone = shared.no_sync() if part is not parts[-1] else contextlib.nullcontext()  # the last part sends for all",
        ]
        around = ", ".join(filter(None, ["alone", norms.format("part")]))
    indent = "    " if config.accumulate > 1 else ""
    lines += [f"{indent}with {around}:", *(f"{indent}    {line}" for line in inside)] if around else [f"{indent}{line}" for line in inside]
    return [f"        {line}" for line in lines]
