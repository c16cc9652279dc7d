"""Settings of the process that make training faster on a CPU and cannot be made once it runs.

Glibc gives large blocks back to the kernel at once, and every training step then faults the same gigabytes in again.
Huge pages and high thresholds end that: 5 to 25 % more images a second, the wider the network the more. Glibc reads
`GLIBC_TUNABLES` before `main`, so a command that trains starts itself again, once, with the variable set. Anything that
is set already is left as it is; setting it to nothing (`GLIBC_TUNABLES=`) switches this off.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = (
    "glibc.malloc.hugetlb=1"
    ":glibc.malloc.mmap_threshold=4294967296"
    ":glibc.malloc.trim_threshold=8589934592"
)  # fmt: skip

Execute = Callable[[str, Sequence[str], Mapping[str, str]], object]


def _execute(path: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
    os.execve(path, list(command), environ)


def restart_with_fast_malloc(
    *,
    environ: Mapping[str, str] = os.environ,
    system: tuple[str, str] = (sys.platform, platform.machine()),
    command: Sequence[str] = tuple(sys.orig_argv),
    execute: Execute = _execute,
) -> None:
    """Start this process again with the allocator's settings; returns, having done nothing, where they do not apply.

    Call it first thing in a command: what the process did before is done again.

    Args:
        environ: Environment of the process.
        system: Operating system and machine; only Linux on x86-64 is restarted, where the gain was measured.
        command: Words that started the process.
        execute: Replaces the process; does not return in earnest.
    """
    if VARIABLE in environ or system != ("linux", "x86_64"):
        return
    execute(sys.executable, [sys.executable, *command[1:]], {**environ, VARIABLE: TUNABLES})
