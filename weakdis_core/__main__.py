"""`python -m weakdis_core {data,train,manipulate,score}`."""

from weakdis_core.cli import console
from weakdis_core.cli.dispatch import Command, dispatch

COMMANDS = {
    "data": Command(
        "weakdis_core.cli.data_commands:run", "list, prepare, download and show data sets", "list"
    ),
    "train": Command(
        "weakdis_core.cli.model_commands:train",
        "train one configuration",
        "--variant dsprites_v4 --preset quick",
    ),
    "manipulate": Command(
        "weakdis_core.cli.model_commands:manipulate_command",
        "draw test images before and after a relation",
        "--checkpoint runs/train/checkpoint.pt",
    ),
    "score": Command(
        "weakdis_core.cli.score_command:run",
        "score any representation: DCI, MIG, SAP, modularity, InfoMEC",
        "--codes codes.npy --factors factors.csv",
    ),
}


def run() -> None:
    """Run the command that the first argument names."""
    dispatch("python -m weakdis_core", "Train and use one model.", {"commands": COMMANDS})


if __name__ == "__main__":
    console.main(run)
