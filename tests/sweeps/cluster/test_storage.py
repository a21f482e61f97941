"""Errors of the disk, and what their messages advise."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from sweeps.cluster.storage_errors import disk_error, explain_storage_errors
from weakdis_core.errors import UserError

SWEEP = Path("/srv/runs/first")
TEMPORARY = tempfile.gettempdir()


def failed(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


OF_THE_DISK = [
    (failed(errno.ENOSPC), "make room"),
    (failed(errno.EDQUOT, f"{SWEEP}/best.yaml"), "make room"),
    (failed(errno.ENOSPC, f"{TEMPORARY}/tmpabc/checkpoint.pt"), "make room"),
    (sqlite3.OperationalError("database or disk is full"), "make room"),
    (failed(errno.EROFS), "make it writable"),
    (failed(errno.EACCES, f"{SWEEP}/mlflow.jsonl"), "make it writable"),
    (OSError(errno.EACCES, "Cannot create directory. Detail: [errno 13] x"), "make it writable"),
    (sqlite3.OperationalError("attempt to write a readonly database"), "make it writable"),
    (failed(errno.EIO), "check the disk"),
    (sqlite3.OperationalError("disk I/O error"), "check the disk"),
]
OF_SOMETHING_ELSE = [
    failed(errno.EACCES),
    failed(errno.EPERM),
    failed(errno.EACCES, "/dev/nvidia0"),
    failed(errno.EACCES, f"{TEMPORARY}/of-the-user/model.pt"),
    failed(errno.EIO, "/dev/tty"),
    failed(errno.ENOSPC, "/home/user/.cache/images.npy"),
    failed(errno.EPIPE),
    sqlite3.OperationalError("database is locked"),
    ValueError("disk is full"),
]


@pytest.mark.parametrize(("error", "cure"), OF_THE_DISK, ids=repr)
def test_an_error_of_the_disk_is_explained(error: Exception, cure: str) -> None:
    with (
        pytest.raises(UserError, match=rf"^storage: {SWEEP} cannot .*\); {cure}: what has ended"),
        explain_storage_errors(SWEEP),
    ):
        raise error


@pytest.mark.parametrize("error", OF_SOMETHING_ELSE, ids=repr)
def test_other_errors_are_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, explain_storage_errors(SWEEP):
        raise error
    assert caught.value is error


def test_a_trial_s_temporary_folder_counts_as_its_disk() -> None:
    assert disk_error(failed(errno.ENOSPC, f"{TEMPORARY}/tmpabc/checkpoint.pt"))
    assert not disk_error(failed(errno.EACCES, f"{TEMPORARY}/tmpabc/checkpoint.pt"))
    assert not disk_error(failed(errno.ENOSPC, "/home/user/.cache/images.npy"))
