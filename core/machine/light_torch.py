"""What of torch compiles, imported when something compiles, and not before.

`torch._dynamo`, the front end of `torch.compile`, and all that it brings along take longer to import than torch itself (3 s of processor
time against 2.5 s where this was written), and some 100 MB. What compiles nothing brings it in, too: `torchvision.ops.roi_align` asks
whether a device can compile; `torchvision.tv_tensors` and torch's optimizers mark functions that a compiler is to leave alone;
`use_deterministic_algorithms` tells the compiler as well; `init_process_group` empties its caches; a convolution on the device "meta" checks its
sizes as if they could be symbols, for which SymPy is imported.

Until the real modules are there, ones of the same names stand in for them, which can do just that and keep what they are told.
Whatever else is asked of them is asked of the real ones, which take their places. A mark made meanwhile is torch's own
(`torch._disable_dynamo`), which looks for the compiler at each function's first call; functions that were called without one are marked
anew once there is one.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any

COMPILER = "torch._dynamo"
ASKED = "torch._dynamo.utils"
TOLD = "torch._inductor.config"
SHAPES = "torch.fx.experimental.symbolic_shapes"

_MARK = "__dynamo_disable"
"""Where torch keeps what a function is called through, see torch/_compile.py."""


class _StandIn(ModuleType):
    """In place of one module, until something is asked of it that it has no answer for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks over all modules (inspect, warnings) wants none of it
            raise AttributeError(name)
        return getattr(self.__spec__.loader.real(self.__name__), name)  # type: ignore[union-attr]

    def __setattr__(self, name: str, value: Any) -> None:
        later = getattr(self.__spec__, "loader", None)
        if isinstance(later, _Later) and later.over:
            setattr(later.real(self.__name__), name, value)
        else:
            super().__setattr__(name, value)


class _Later(MetaPathFinder, Loader):
    """Finds stand-ins for modules that come together, until the real ones are there.

    Args:
        answers: for each module what it can be asked meanwhile, by name.
        packages: whose other modules only the real ones have.
        before: what must be real before these modules are.
    """

    def __init__(self, answers: Mapping[str, Mapping[str, Any]], packages: Sequence[str] = (), before: Sequence[_Later] = ()) -> None:
        self.over = False
        """Whether the real modules are there, or being imported."""
        self._answers = answers
        self._before = before
        self._packages = packages
        self._stood: dict[str, ModuleType] = {}
        self._lock = threading.Lock()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A stand-in, or the real module where one of the others of these packages is asked for."""
        if self.over or not (name in self._answers or any(name.startswith(f"{package}.") for package in self._packages)):
            return None
        found = PathFinder.find_spec(name, path)
        if found is None:  # a torch without it
            return None
        if name not in self._answers:
            self.real(name.rpartition(".")[0])
            loaded = sys.modules.get(name)
            return found if loaded is None else ModuleSpec(name, _Loaded(loaded))
        spec = ModuleSpec(name, self, origin=found.origin)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module."""
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Put in what can be answered."""
        module.__dict__.update(self._answers[module.__name__])
        self._stood[module.__name__] = module

    def real(self, name: str) -> ModuleType:
        """The real module of that name, with all that belongs to it: imported at the first call."""
        if not self.over:
            for other in self._before:
                other.real(next(iter(other._answers)))
        with self._lock:  # not around the imports: these have locks of their own, which see when two threads wait for each other
            first, self.over = not self.over, True
            if first:
                for module in self._stood:
                    sys.modules.pop(module, None)
                for function in _unmarked:
                    function.__dict__.pop(_MARK, None)
                _unmarked.clear()
        if first:
            for module, stood in self._stood.items():
                self._take_over(importlib.import_module(module), stood)
        return importlib.import_module(name)

    def gone(self) -> None:
        """Take away what stands in, as if nobody had asked for it."""
        with self._lock:
            if not self.over:
                for module in self._stood:
                    sys.modules.pop(module, None)
                self._stood.clear()

    def _take_over(self, module: ModuleType, stood: ModuleType) -> None:
        """Tell the real module what its stand-in was told, which from here on has no answer of its own."""
        answers = self._answers[module.__name__]
        for name, value in [item for item in vars(stood).items() if not item[0].startswith("__")]:
            if name not in answers and not isinstance(value, ModuleType):
                setattr(module, name, value)
            del stood.__dict__[name]


class _Loaded(Loader):
    """Hands out a module that was imported by another in the meantime, as it is."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """That module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: that was done."""
        module.__spec__ = self._spec


_unmarked: list[Callable[..., Any]] = []


def _disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Any:
    """`torch._dynamo.disable`: without a compiler there is nothing that a function is to be kept from."""
    if wrapping:
        from torch._compile import _disable_dynamo

        return _disable_dynamo(fn, recursive)
    _unmarked.append(fn)
    return fn


def _graph_break(msg: str = "") -> None:
    """`torch._dynamo.graph_break`: of torch's, too, it does nothing where it is called and not compiled."""


def _is_compile_supported(device_type: Any) -> Any:
    return _COMPILING.real(ASKED).is_compile_supported(device_type)


def _of_numbers(name: str, of_plain: Callable[..., Any]) -> Callable[..., Any]:
    """`symbolic_shapes.NAME`, which for plain numbers and truth values is `of_plain`."""

    def answer(*given: Any, **options: Any) -> Any:
        if options or not all(_is_plain(each) for each in given):
            return getattr(_SYMBOLS.real(SHAPES), name)(*given, **options)
        return of_plain(*given)

    return answer


def _is_plain(value: Any) -> bool:
    return type(value) in (bool, int) or (isinstance(value, tuple | list) and all(type(each) in (bool, int) for each in value))


_ITSELF = ("expect_true", "guard_or_false", "guard_or_true", "guard_size_oblivious", "guarding_hint_or_throw", "statically_known_true")
_SYMBOLS = _Later(
    {
        SHAPES: {
            **{name: _of_numbers(name, lambda a, skip=0: a) for name in _ITSELF},
            "sym_and": _of_numbers("sym_and", lambda *each: all(each)),
            "sym_or": _of_numbers("sym_or", lambda *each: any(each)),
            "sym_eq": _of_numbers("sym_eq", lambda x, y: list(x) == list(y) if isinstance(x, tuple | list) else x == y),
            "is_nested_int": _of_numbers("is_nested_int", lambda s: False),
            "has_guarding_hint": _of_numbers("has_guarding_hint", lambda a: True),
        }
    }
)
_COMPILING = _Later(
    {
        COMPILER: {"disable": _disable, "graph_break": _graph_break, "trace_rules": SimpleNamespace(clear_lru_cache=lambda: None)},
        ASKED: {"is_compile_supported": _is_compile_supported},
        "torch._inductor": {},
        TOLD: {},
    },
    packages=(COMPILER, "torch._inductor"),
    before=(_SYMBOLS,),
)


_SYMPY: Mapping[str, Mapping[str, Any]] = {"sympy": {"Basic": type("Basic", (), {})}}
_TRITON: Mapping[str, Mapping[str, Any]] = {"triton": {}, "triton.runtime": {}, "triton.runtime.jit": {"JITFunction": type("JITFunction", (), {})}}


@contextmanager
def without_symbols() -> Iterator[None]:
    """Within it SymPy and Triton, seconds of imports, are not needed to find that something is none of theirs, where nobody has imported them.

    torch's arithmetic on the device "meta" asks of every number whether it is a symbol (`torch._prims_common.elementwise_dtypes`), and
    `torch.utils.flop_counter` what a kernel of Triton's is.
    """
    laters = [_Later(answers, packages=(name,)) for name, answers in (("sympy", _SYMPY), ("triton", _TRITON)) if name not in sys.modules]
    sys.meta_path[:0] = laters
    try:
        yield
    finally:
        for later in laters:
            later.gone()
            sys.meta_path.remove(later)


def compile_later() -> None:
    """Have what compiles imported when something compiles. To be called before anything imports torch; more often does no harm."""
    for later, name in ((_COMPILING, COMPILER), (_SYMBOLS, SHAPES)):
        if later not in sys.meta_path and name not in sys.modules:
            sys.meta_path.insert(0, later)
