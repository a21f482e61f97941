"""Prepared own pictures in the storage, for machines of a cluster without the original files."""

from pathlib import Path

from pyarrow.fs import FileType, copy_files

from sweeps.cluster.storage import Storage
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.prepared import Prepared, Progress, open_prepared, prepare
from weakdis_core.errors import UserError
from weakdis_core.evaluation.oracle_cache import oracle_path

_FOLDER = "data"


def upload_pictures(storage: Storage, prepared: Prepared, data_seed: int) -> None:
    """Copy prepared pictures and their oracle into the storage, unless they are there.

    Raises:
        UserError: The storage cannot be written.
    """
    files = [file for file in prepared.path.iterdir() if file.name != "meta.json"]
    # Pictures are fetched only if there is a `meta.json`, so it is the last.
    files += [oracle_path(prepared, data_seed), prepared.path / "meta.json"]
    storage.upload(f"{_FOLDER}/{prepared.path.name}", files)


def prepare_pictures(
    data: DataSettings, data_dir: Path | None, storage: Storage, progress: Progress | None = None
) -> Prepared:
    """Open a prepared variant; fetch own pictures that this machine lacks from the storage.

    Pictures that are missing or damaged there are prepared from the original files.

    Raises:
        UserError: The pictures can neither be fetched nor prepared.
    """
    faults: list[str] = []

    def fetch(partial: Path) -> bool:
        try:
            return _fetch(storage, partial)
        except (OSError, UserError) as error:
            faults.append(str(error))
            return False

    try:
        return prepare(data, data_dir, progress, fetch if data.description else None)
    except UserError as error:
        if not faults:
            raise
        raise UserError(
            f"variant: the pictures of {data.variant} in {storage.root}/{_FOLDER} cannot be read "
            f"({faults[0]}), nor the original ones ({error}); resume the sweep on a machine that "
            "has them, which uploads them again"
        ) from None


def _fetch(storage: Storage, partial: Path) -> bool:
    """Copy pictures into the folder `NAME.partial` of the cache, and their oracle beside it.

    Returns:
        Whether the storage has them.
    """
    system, root = storage.opened()
    folder = f"{root}/{_FOLDER}/{partial.stem}"
    if system.get_file_info(f"{folder}/meta.json").type == FileType.NotFound:
        return False
    copy_files(folder, str(partial), source_filesystem=system)
    prepared = open_prepared(partial)
    for oracle in partial.glob("*.pt"):
        place = oracle_path(prepared, 0).with_name(oracle.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        oracle.replace(place)
    return True
