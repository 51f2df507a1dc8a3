"""Which classes a file of weights may name: torch's own, and harmless ones that lie beside the weights, each with a stand-in.

torch's safe loader makes no object of a class that is not on its list. The harmless ones are put on that list under their names, but
what is made is a stand-in of ours that does nothing: no code of NumPy, of argparse or of any other library runs on what a file says.
"""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from torch._weights_only_unpickler import _get_allowed_globals, _get_user_allowed_globals


class Aside:
    """In the place of an object beside the weights. It keeps what it was given, and does nothing with it."""

    held: list[Any]

    def __new__(cls, *given: Any) -> Any:
        """Pickles make objects both by this and by a call."""
        made = super().__new__(cls)
        made.held = list(given)
        return made

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.held.append(state)


class _Mapping(Aside):
    """In the place of a kind of dict: becomes one that torch's loader fills."""

    def __new__(cls, *given: Any) -> Any:
        """What it was given says how it would fill itself; what it holds comes afterwards."""
        return OrderedDict()


class _List(Aside):
    """In the place of a kind of list."""

    def __new__(cls, *given: Any) -> Any:
        """A list of the first thing that it was given."""
        return list(given[0]) if given and isinstance(given[0], list | tuple) else []


_NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool_", "bool", "str_")
_OBJECTS = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "builtins": ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "object", "range", "slice", "str", "tuple"),
    "copyreg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID", "SafeUUID"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "numpy": ("dtype", "ndarray", "generic", "number", *_NUMBERS),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.dtypes": tuple(f"{name}DType" for name in ("Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "Bool", "Str")),
    "torch.torch_version": ("TorchVersion",),
    "typing": ("Any",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "StringNode"),
    "mmengine.logging.history_buffer": ("HistoryBuffer",),
    "pytorch_lightning.callbacks.early_stopping": ("EarlyStopping",),
    "pytorch_lightning.callbacks.model_checkpoint": ("ModelCheckpoint",),
}
_MAPPINGS = {
    "collections": ("defaultdict",),
    "addict.addict": ("Dict",),
    "easydict": ("EasyDict",),
    "fvcore.common.config": ("CfgNode",),
    "mmcv.utils.config": ("ConfigDict",),
    "mmengine.config.config": ("ConfigDict",),
    "munch": ("Munch",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
    "lightning.fabric.utilities.data": ("AttributeDict",),
    "lightning_fabric.utilities.data": ("AttributeDict",),
    "yacs.config": ("CfgNode",),
}


def _named(stand_in: type[Aside], classes: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[type[Aside], str]]:
    return ((stand_in, f"{module}.{name}") for module, names in classes.items() for name in names)


STAND_INS: tuple[tuple[type[Aside], str], ...] = (*_named(Aside, _OBJECTS), *_named(_Mapping, _MAPPINGS), (_List, "collections.deque"))
"""For `torch.serialization.safe_globals`: what is made, and under which name."""

_HARMLESS = frozenset(name for _, name in STAND_INS)


def today(module: str, name: str) -> str:
    """The full name of a class in Python 3, as torch's loader works it out."""
    if (module, name) in NAME_MAPPING:
        return ".".join(NAME_MAPPING[module, name])
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def is_allowed(name: str) -> bool:
    """Whether a file may name this class, by its full name."""
    return name in _HARMLESS or name in _get_allowed_globals() or name in _get_user_allowed_globals()
