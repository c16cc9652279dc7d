"""Options that several commands of `osprey-train` share, so that one word means one thing in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from train.datasets.registry import DATASETS

DataName = Annotated[str, typer.Option("--data", help=f"One of: {', '.join(DATASETS)}.")]
DataRoot = Annotated[Path, typer.Option("--data-root", metavar="DIR", help="Where the data set lies.")]
CacheFolder = Annotated[
    Path,
    typer.Option("--cache", metavar="DIR", help="Where decoded crops are kept, 0.1 MB each; delete it when you like."),
]
RunOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run, for a new one without a run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, which was broken off.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Instead of the recipe's.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
