from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from train.speed import TUNABLES, VARIABLE, restart_with_fast_malloc

LINUX = ("linux", "x86_64")


class Restarts:
    """Takes the place of `os.execve`."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, str]]] = []

    def __call__(self, path: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.calls.append((list(command), dict(environ)))


def test_process_starts_again_once_with_the_same_words() -> None:
    restarts, command = Restarts(), ["python3", "-m", "train", "supervised", "--seed", "3"]
    restart_with_fast_malloc(environ={"HOME": "/h"}, system=LINUX, command=command, execute=restarts)
    ((words, environ),) = restarts.calls
    assert words[1:] == command[1:]
    assert environ == {"HOME": "/h", VARIABLE: TUNABLES}
    restart_with_fast_malloc(environ=environ, system=LINUX, command=command, execute=restarts)
    assert len(restarts.calls) == 1


@pytest.mark.parametrize("environ", [{VARIABLE: ""}, {VARIABLE: "glibc.malloc.hugetlb=2"}], ids=["off", "own"])
def test_what_the_user_set_is_left_alone(environ: dict[str, str]) -> None:
    restarts = Restarts()
    restart_with_fast_malloc(environ=environ, system=LINUX, command=["python3"], execute=restarts)
    assert restarts.calls == []


@pytest.mark.parametrize("system", [("linux", "aarch64"), ("darwin", "arm64")], ids=["Jetson", "Mac"])
def test_other_systems_are_left_alone(system: tuple[str, str]) -> None:
    restarts = Restarts()
    restart_with_fast_malloc(environ={}, system=system, command=["python3"], execute=restarts)
    assert restarts.calls == []
