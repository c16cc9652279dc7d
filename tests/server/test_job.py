from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.adaptation.job import Job
from server.adaptation.settings import JobSettings
from server.errors import AdaptationError

SETTINGS = JobSettings(grace_s=10)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until_s, "it never happened"
        time.sleep(0.02)


def ended(folder: Path, program: str, settings: JobSettings = SETTINGS) -> Job:
    job = Job(folder, settings)
    job.start(python(program))
    wait_until(lambda: job.state() != "running")
    return job


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_command_runs_to_its_end(tmp_path: Path) -> None:
    job = ended(tmp_path / "job", "print('one'); print('two')")
    assert job.state() == "ended"
    assert (job.end().code, job.end().last_line) == (0, "two")


def test_a_failure_tells_its_code_and_last_line(tmp_path: Path) -> None:
    end = ended(tmp_path / "job", "import sys; sys.exit('error: loss is not finite')").end()
    assert end.explain("training") == "training ended with code 1: error: loss is not finite"


def test_the_next_server_finds_it(tmp_path: Path) -> None:
    Job(tmp_path / "job", SETTINGS).start(python("import time; time.sleep(0.5); print('still here')"))
    found = Job(tmp_path / "job", SETTINGS)
    assert found.state() == "running"
    wait_until(lambda: found.state() == "ended")
    assert found.end().last_line == "still here"


def test_one_folder_runs_one_command_once(tmp_path: Path) -> None:
    first = ended(tmp_path / "job", "print('first')")
    second = Job(tmp_path / "job", SETTINGS)
    second.start(python("print('second')"))
    time.sleep(0.5)
    assert first.end().last_line == second.end().last_line == "first"


def test_stop_interrupts_and_the_command_may_end_by_itself(tmp_path: Path) -> None:
    program = (
        "import time,sys\ntry:\n  print('up', flush=True); time.sleep(60)\nexcept KeyboardInterrupt: sys.exit(130)"
    )
    job = Job(tmp_path / "job", SETTINGS)
    job.start(python(program))
    wait_until(lambda: job.last_line() == "up")
    job.stop()
    assert (job.state(), job.end().code) == ("ended", 130)


def test_what_does_not_heed_is_killed_with_all_it_started(tmp_path: Path) -> None:
    program = (
        "import signal,subprocess,sys,time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    job = Job(tmp_path / "job", JobSettings(grace_s=0.3))
    job.start(python(program))
    wait_until(lambda: job.last_line().isdecimal())
    job.stop()
    assert job.state() == "lost"
    wait_until(lambda: not is_running(int(job.last_line())))


def test_a_killed_command_says_so(tmp_path: Path) -> None:
    end = ended(tmp_path / "job", "import os,signal; os.kill(os.getpid(), signal.SIGKILL)").end()
    assert "training was killed, as when a machine has no memory left" in end.explain("training")


def test_a_killed_process_is_lost_and_takes_its_command_along(tmp_path: Path) -> None:
    job = Job(tmp_path / "job", SETTINGS)
    job.start(python("import os,time; print(os.getpid(), flush=True); time.sleep(60)"))
    wait_until(lambda: job.last_line().isdecimal())
    wrapper = int(Path(f"/proc/{job.last_line()}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(wrapper, signal.SIGKILL)
    wait_until(lambda: job.state() == "lost")
    wait_until(lambda: not is_running(int(job.last_line())))


def test_memory_is_limited(tmp_path: Path) -> None:
    settings = JobSettings(memory_mib=512)
    end = ended(tmp_path / "job", "held = bytearray(1 << 30)", settings).end()
    assert (end.code, end.last_line) == (1, "MemoryError")


def test_time_is_limited(tmp_path: Path) -> None:
    settings = JobSettings(limit_h=0.3 / 3600, grace_s=5)
    end = ended(tmp_path / "job", "import time; time.sleep(60)", settings).end()
    assert "ran longer than adaptation.job.limit_h" in end.explain("training")


def test_processors_and_priority_are_limited(tmp_path: Path) -> None:
    program = "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], os.nice(0))"
    words = ended(tmp_path / "job", program, JobSettings(cpus=1, nice=3)).end().last_line.split()
    assert words == ["1", "1", str(min(19, os.nice(0) + 3))]


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    job = Job(tmp_path / "job", SETTINGS)
    job.start(["/no/such/program"])
    wait_until(lambda: job.state() == "ended")
    assert "cannot start /no/such/program" in job.end().explain("training")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdaptationError, match="cannot start"):
        Job(tmp_path / "file" / "job", SETTINGS).start(python(""))


def test_a_number_that_is_another_process_by_now_is_not_signalled(tmp_path: Path) -> None:
    job = Job(tmp_path / "job", SETTINGS)
    job.folder.mkdir()
    own = f'{{"pid": {os.getpid()}, "started_at": "long ago", "command": []}}'
    (job.folder / "job.json").write_text(own)
    job.stop()
    assert job.state() == "lost"
