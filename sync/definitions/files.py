"""Definitions on disk: one file, or a folder of them."""

from __future__ import annotations

from pathlib import Path

from sync.definitions.text import LARGEST
from sync.errors import InputError


def load(path: Path) -> list[tuple[str, bytes]]:
    """Return the name and the bytes of the file, or of every `*.yaml` and `*.yml` in the folder, by name.

    Hidden files and folders within the folder are left alone. Of a file that is too large only the beginning is read, enough for
    the reader to refuse it. Raises InputError where there is nothing, nothing to read, or no permission.
    """
    try:
        names = _in_folder(path) if path.is_dir() else [path]
        return [(str(name), _content(name)) for name in names]
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {error.filename}; `personas-sync init` writes one, SYNC_DEFINITIONS names another"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def _in_folder(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and not path.name.startswith(".")]
    if not found:
        raise InputError(f"the folder {folder} has no *.yaml; `personas-sync init` writes one")
    return sorted(found)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)
