"""TensorRT as it is installed: one module for `tensorrt` (8.6, 10.3 to 11) and `tensorrt_rtx`, and what it has to say.

The two have the same classes. Where versions differ, the difference is asked for by name where it matters, never by
number: an enumeration's member, a method.
"""

from __future__ import annotations

import importlib
from collections import deque
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import structlog

from edge.errors import BackendError

logger = structlog.get_logger(__name__)

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Modules, the wanted one first."""
_OLDEST = (8, 6)
_MOST_MESSAGES = 100
_WAY_OUT = (
    "on a Jetson it comes with JetPack, and the environment must see the system's packages; elsewhere "
    "pip install 'osprey-reid[tensorrt-rtx]', or NVIDIA's own tensorrt; or take --backend onnxruntime"
)


@dataclass
class Messages:
    """What TensorRT said since it was last asked, errors apart from the rest.

    It says why something failed by way of its logger only; a call that fails just returns nothing.

    Attributes:
        errors: The latest ones, oldest first.
    """

    errors: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_MESSAGES))

    def take(self) -> str:
        """The errors in words, which are then forgotten."""
        taken = list(dict.fromkeys(self.errors))
        self.errors.clear()
        return "; ".join(taken) or "TensorRT gives no reason"


@dataclass(frozen=True)
class TensorRt:
    """An installed TensorRT.

    Attributes:
        module: It.
        flavour: Its name, one of `FLAVOURS`.
        version: Its version.
        messages: What it said.
        logger: Hands TensorRT's messages to `messages` and to our log. Must outlive everything that is made with it.
    """

    module: Any
    flavour: str
    version: str
    messages: Messages
    logger: Any

    @property
    def is_strongly_typed(self) -> bool:
        """Whether an engine computes in the types of its graph; before 9 flags of the builder chose them."""
        return hasattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def load_tensorrt() -> TensorRt:
    """Import what is installed.

    Raises:
        BackendError: Nothing is, or it is too old.
    """
    problems = []
    for flavour in FLAVOURS:
        try:
            module = importlib.import_module(flavour)
        except (ImportError, OSError, RuntimeError) as error:  # stubs and missing libraries raise all of these
            problems.append(f"{flavour}: {error}")
            continue
        return _of_module(module, flavour)
    raise BackendError(f"TensorRT is not installed ({'; '.join(problems)}): {_WAY_OUT}")


def tensorrt_version() -> str:
    """Flavour and version of what is installed, found without loading it; `none` where nothing is."""
    for flavour in FLAVOURS:
        try:
            return f"{flavour} {metadata.version(flavour)}"
        except metadata.PackageNotFoundError:
            if find_spec(flavour) is not None:
                return flavour
    return "none"


def _of_module(module: Any, flavour: str) -> TensorRt:
    version = str(getattr(module, "__version__", "0"))
    if flavour == "tensorrt" and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise BackendError(f"TensorRT {version} is too old, wanted {'.'.join(map(str, _OLDEST))} or later: {_WAY_OUT}")
    messages = Messages()
    return TensorRt(module, flavour, version, messages, _new_logger(module, messages))


def _new_logger(module: Any, messages: Messages) -> Any:
    # An IErrorRecorder would do too, but one that hangs on a builder is freed with its first network: tensorrt_rtx
    # 1.7.1 then ends the process.
    severity = module.ILogger.Severity
    grave = (severity.INTERNAL_ERROR, severity.ERROR)

    class _Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            if level in grave:
                messages.errors.append(text)
            elif level == severity.WARNING:
                logger.debug("tensorrt", message=text)

    return _Logger()
