"""The server is killed at random moments under load, again and again; what it acknowledged must be there.

In each round the real server starts on the same records and must name the person of every tracklet as the records did
when it died; then simulated edges send, and after a random time it gets `kill -9`. After the round: everything that was
acknowledged is stored (`lost`), nothing is stored or pooled twice (`duplicated`), no person_id changed (`renamed`).
SQLite by default; `--url` takes an empty PostgreSQL database.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Engine, create_engine

from benchmarks.harness import Outcome, flags, publish
from benchmarks.instruments.load import Load, LoadReport, finish_load, start_load
from benchmarks.instruments.load_messages import World
from benchmarks.instruments.server_process import ServerProcess, osprey_server
from benchmarks.instruments.stored import Faults, TrackletPersons, compare, read_persons
from reid.release import load_release
from server.client import SearchClient
from server.settings import DEFAULT_RELEASE

NAME = "crash"
_ROUND_S = 3.0
_EARLIEST_S = 0.1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all rounds and publish."""
    chosen = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="osprey_crash_") as folder:
        figures = run_rounds(Path(folder) / "data", chosen)
    details = {"database": "PostgreSQL" if chosen.url else "SQLite", "edges": chosen.edges, "rate_hz": chosen.rate}
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)


def run_rounds(data: Path, chosen: argparse.Namespace) -> dict[str, float]:
    """All rounds on one set of records.

    Returns:
        The figures.
    """
    data.mkdir(parents=True)
    url = chosen.url or f"sqlite:///{data}/records.db"
    config = data.parent / "server.toml"
    config.write_text(f"[storage]\nurl = {json.dumps(url)}\n")
    server = osprey_server(data, more=("--config", str(config)))
    engine, rng = create_engine(url), random.Random(chosen.seed)
    manifest = load_release(DEFAULT_RELEASE).manifest
    world = World(space=manifest.space, dim=manifest.dim, slots=20, people=300)
    acked: dict[int, int] = {}
    totals = {"rounds": 0, "lost": 0, "duplicated": 0, "renamed": 0, "acknowledged": 0}
    faults = Faults(stored=0, lost=0, duplicated=0)
    try:
        for number in range(chosen.rounds):
            server.start()
            renamed = _renamed(server, engine) if number else 0
            load = Load(address=server.address, world=world, edges=chosen.edges, rate_hz=chosen.rate, is_endless=True)
            report = _kill_under(load, server, after_s=rng.uniform(_EARLIEST_S, _ROUND_S - 0.5))
            acked.update({edge: max(seq, acked.get(edge, 0)) for edge, seq in report.acked_seqs.items()})
            faults = compare(engine, acked)
            totals["rounds"] += 1
            totals["renamed"] += renamed
            totals["lost"] = max(totals["lost"], faults.lost)
            totals["duplicated"] = max(totals["duplicated"], faults.duplicated)
            if not chosen.json:
                print(f"round {number + 1}: {asdict(faults)}, {renamed} renamed", flush=True)
    finally:
        server.kill()
        engine.dispose()
    return {**totals, "acknowledged": sum(acked.values()), "stored": faults.stored}


def _kill_under(load: Load, server: ServerProcess, *, after_s: float) -> LoadReport:
    """Let the edges send, and kill the server some time after."""
    process = start_load(Load(**{**vars(load), "seconds": _ROUND_S}))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()
    time.sleep(after_s)
    server.kill()
    return finish_load(process)


def _renamed(server: ServerProcess, engine: Engine) -> int:
    """Tracklets for which the restarted server names another person than the records did."""
    recorded = read_persons(engine)
    with SearchClient(server.address) as client:
        told: TrackletPersons = {(*item.camera, item.tracklet_id): item.person_id for item in client.iter_tracklets()}
    return len(set(recorded.items()) ^ set(told.items()))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What a run is asked to do."""
    parser = flags(NAME, "Kill the server at random moments under load, and compare.")
    parser.add_argument("--rounds", type=int, default=None, help="how often; default 50")
    parser.add_argument("--url", default="", help="SQLAlchemy URL of an empty database; default: SQLite")
    parser.add_argument("--edges", type=int, default=20, help="simulated edges")
    parser.add_argument("--rate", type=float, default=2000.0, help="observations a second, of all edges together")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    chosen = parser.parse_args(arguments)
    chosen.rounds = chosen.rounds or (4 if chosen.quick else 50)
    return chosen


if __name__ == "__main__":
    main()
