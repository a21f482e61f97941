import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Annotated
from urllib.request import Request, proxy_bypass, urlopen

import pytest
import requests
from tyro.conf import arg

from weakdis_core.cli import console
from weakdis_core.config.config import Config
from weakdis_core.errors import UserError


def run_with(config: Annotated[Config, arg(name="")], output: Path = Path("x")) -> Config:
    """Command with settings at its top level."""
    return config


@dataclass(frozen=True)
class Options:
    """Settings inside a dataclass."""

    config: Annotated[Config, arg(name="")]
    trials: int = 3


REFUSED = [
    (["--loss.lambda", "-1"], "loss.lambda: -1.0 is not allowed: Input should be greater than 0"),
    (["--data.labels", "3"], "data.labels: 3 is not allowed: Input should be 0 (all) or at"),
    (["--seed", "-1"], "seed: -1 is not allowed"),
    (["--training.warmup", "0.6", "--training.ending", "0.5"], "training: warmup 0.6 and ending"),
]


@pytest.mark.parametrize(("args", "message"), REFUSED)
@pytest.mark.parametrize("target", [Config, run_with, Options])
def test_errors_name_the_setting(target: type, args: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        console.parse(target, args)
    assert str(caught.value).startswith(message)
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_name_all_invalid_settings_of_a_group() -> None:
    with pytest.raises(UserError) as caught:
        console.parse(Config, ["--loss.lambda", "0", "--loss.label-weight=-2"])
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--model.kind", "flat"], ["--model.kind", "flat", "monolithic"]),
        (["--training.steps", "many"], ["--training.steps", "many", "INT"]),
        (["--loss.lamda", "1"], ["--loss.lamda"]),
    ],
)
def test_invalid_flags_exit_with_code_2(
    args: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        console.parse(Config, args)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert not shown.out
    for part in parts:
        assert part in shown.err


def test_flags_set_values() -> None:
    config = console.parse(run_with, ["--loss.lambda", "0.7", "--model.latent-size", "4"])
    assert config.loss.lambda_ == 0.7
    assert config.model.latent_size == 4


def test_defaults_are_kept() -> None:
    start = Config(seed=4).with_values({"loss.lambda": 0.5})
    config = console.parse(Config, ["--model.latent-size", "4"], default=start)
    assert config == start.with_values({"model.latent_size": 4})


def test_main_prints_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise UserError("field: value is not allowed")

    with pytest.raises(SystemExit) as caught:
        console.main(refuse)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: field: value is not allowed\n"


def test_main_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        console.main(interrupt)
    assert caught.value.code == 130
    with pytest.raises(SystemExit) as caught:
        console.main(lambda: "a result")
    assert caught.value.code == 0


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        console.main(lambda: 1 / 0)


def test_a_value_error_of_a_command_is_not_a_flag_error() -> None:
    def fail(n: int) -> None:
        """Command with a bug."""
        raise ValueError(f"bug at {n}")

    with pytest.raises(ValueError, match="bug at 3"):
        console.run_command({"fail": fail, "other": run_with}, ["fail", "--n", "3"])


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("dsprites_v2") as advance:
        advance(1, 2)
        advance(2, 2)
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


PROXY = "http://127.0.0.1:9"
PROXIES = {"HTTP_PROXY": PROXY, "http_proxy": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}


@pytest.fixture
def served() -> Iterator[HTTPServer]:
    """A server on the loopback interface."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("given", ["", "no_proxy", "NO_PROXY"])
def test_loopback_is_reached_without_the_proxy(
    host: str, given: str, served: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    for name, address in PROXIES.items():
        monkeypatch.setenv(name, address)
    if given:
        monkeypatch.setenv(given, "example.org, .example.com")
    url = f"http://{host}:{served.server_port}/"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.head(url, timeout=10)
    with pytest.raises(SystemExit):
        console.main(lambda: None)
    assert requests.head(url, timeout=10).ok
    assert urlopen(Request(url, method="HEAD"), timeout=10).status == 200
    for address, direct in [("[::1]:5000", True), ("a.net", False), ("example.org", bool(given))]:
        assert requests.utils.should_bypass_proxies(f"http://{address}", no_proxy=None) == direct
        assert bool(proxy_bypass(address)) == direct
    child = "import os; print(os.environ['no_proxy'] == os.environ['NO_PROXY'])"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, check=True)
    assert done.stdout == b"True\n"


def test_no_proxy_for_all_hosts_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(SystemExit):
        console.main(lambda: None)
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "*"


PRINTING = """
import logging, subprocess, sys
from pathlib import Path
from rich.console import Console
from rich.live import Live
from weakdis_core.cli import console

def run():
    print("first", flush=True)
    sys.stdin.readline()
    for each in (Console(), Console(stderr=True)):
        each.print("a line")
        with Live("a view", console=each) as view:
            print("a line within")
            view.update("another view", refresh=True)
    logging.warning("a warning")
    with console.progress("a bar") as advance:
        advance(1, 2)
    subprocess.run(["echo", "of a child process"], check=True)
    sys.stdout.write("x" * 100_000 + "no end of line")
    assert not sys.stdout.isatty()
    Path(sys.argv[1]).touch()

console.main(run)
"""


def broken_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    return writer, reader


def closed_terminal() -> tuple[int, int]:
    terminal, program_side = os.openpty()
    return program_side, terminal


def full_device() -> tuple[int, int]:
    return os.open("/dev/full", os.O_WRONLY), os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize("opened", [broken_pipe, closed_terminal, full_device])
def test_closed_output_does_not_end_the_program(
    opened: Callable[[], tuple[int, int]], tmp_path: Path
) -> None:
    output, reader = opened()
    command = [sys.executable, "-c", PRINTING, str(tmp_path / "reached")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
    ) as process:
        os.close(output)
        os.read(reader, 5)
        os.close(reader)
        process.communicate(b"\n")
    assert process.returncode == 0
    assert (tmp_path / "reached").exists()


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_a_program_can_start_without_streams(closed: str, tmp_path: Path) -> None:
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", PRINTING]
    done = subprocess.run(
        [*command, str(tmp_path / "reached")], input=b"\n", capture_output=True, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "reached").exists()


def test_a_full_device_is_reported_once() -> None:
    script = PRINTING.replace("Path(sys.argv[1]).touch()", "")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], input=b"\n", stdout=full, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.count(b"output cannot be written any more (No space left on device)") == 1


SPEAKING = """
from rich.console import Console
from rich.table import Table
from weakdis_core.cli import console

def run():
    print("0.91 \\u00b1 0.01 \\u2020 \\u2021 \\u4e2d \\udcff")
    table = Table("column")
    table.add_row("\\u00b1")
    Console().print(table)
    Console(stderr=True).print("\\u2026")

console.main(run)
"""
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("locale", "encoding", "line"),
    [
        (POSIX, "ascii", "0.91 +/- 0.01 + ++ ? ?"),
        ({"PYTHONIOENCODING": "ascii"}, "ascii", "0.91 +/- 0.01 + ++ ? ?"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "0.91 ± 0.01 + ++ ? ?"),
        ({"PYTHONIOENCODING": "utf-8"}, "utf-8", "0.91 ± 0.01 † ‡ 中 ?"),
    ],
)
def test_characters_that_an_encoding_lacks_become_ascii(
    locale: dict[str, str], encoding: str, line: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING], env=os.environ | locale, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).splitlines()[0] == line
    assert done.stderr.decode(encoding) == ("…\n" if encoding == "utf-8" else "...\n")
