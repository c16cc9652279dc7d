"""The command `osprey-train`: collects the commands of the `train/commands_*.py` modules and runs them."""

from __future__ import annotations

from collections.abc import Sequence

from reid.cli import new_app, run_app
from train.commands_adapt import adapt
from train.commands_evaluate import calibrate_release, evaluate
from train.commands_export import export, import_checkpoint
from train.commands_pictures import attributes, cifar
from train.commands_quantise import quantise
from train.commands_style import style_transfer
from train.commands_supervised import supervised

app = new_app("Train OSNet, and turn its weights into releases for edge and server.")

# One line per command: the function lives in a `train/commands_*.py` module, its docstring is the help text.
app.command("import-checkpoint")(import_checkpoint)
app.command("export")(export)
app.command("quantise")(quantise)
app.command("supervised")(supervised)
app.command("adapt")(adapt)
app.command("style-transfer")(style_transfer)
app.command("evaluate")(evaluate)
app.command("calibrate")(calibrate_release)
app.command("attributes")(attributes)
app.command("cifar")(cifar)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `osprey-train`."""
    run_app(app, arguments)
