"""The report of a sweep that has ended: in its folder, and with its run in MLflow."""

from __future__ import annotations

import time

from rich.console import Console

from sweeps.delivery import Delivery
from sweeps.launch import Sweep
from sweeps.outbox import PARENT, Entry, Outbox
from sweeps.writer import Writer
from weakdis_core.errors import UserError

REPORT_FILE = "report.html"


def report(sweep: Sweep, console: Console) -> None:
    """Make a sweep's page of what MLflow knows of it, and store it there too.

    A page that cannot be made costs nothing else: it can be made again at any time.

    Args:
        sweep: The sweep; MLflow has been told everything.
        console: Where to say where the page is.
    """
    # Draws, which no sweep needs before.
    from analysis.report import make_report

    path = sweep.folder / REPORT_FILE
    try:
        make_report(sweep.settings.tracking, sweep.name, sweep.base.data.variant).write(path)
    except Exception as error:
        # Of whatever kind: the sweep has ended well.
        again = f"python -m analysis report --sweep {sweep.name}"
        reason = str(error) if isinstance(error, UserError) else repr(error)
        console.print(f"report not made ({reason}); make it with {again}", soft_wrap=True)
        return
    delivery = Delivery(sweep.settings.tracking, sweep.base.data.variant, sweep.name)
    writer = Writer(Outbox(sweep.folder), delivery)
    writer.submit(Entry(key=PARENT, kind="file", at=int(time.time() * 1000), file=str(path)))
    writer.close()
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
