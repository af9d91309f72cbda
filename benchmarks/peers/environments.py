"""A virtual environment for each peer, made once and kept, with what the peer's `requirements.txt` pins."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Where a peer's Python is, and what is installed beside it."""

    python: Path
    versions: dict[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{package} {version}" for package, version in self.versions.items())

    @property
    def folder(self) -> Path:
        """Where its commands are."""
        return self.python.parent


def made(name: str, folder: Path) -> Environment:
    """Return the peer's environment, made if it is not there or if what it pins has changed."""
    pinned = Path(__file__).parent / name / "requirements.txt"
    digest = hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
    place = folder / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    python = place / "bin" / "python"
    done = place / "complete"
    if not done.exists():
        venv.create(place, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "-r", pinned], check=True)
        done.touch()
    return _of(python)


def here() -> Environment:
    """Return the environment that this runs in, for those who have installed what a peer needs."""
    return _of(Path(sys.executable))


def _of(python: Path) -> Environment:
    listing = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    told = subprocess.run([python, "-c", listing], check=True, capture_output=True, text=True).stdout
    return Environment(python=python, versions=dict(sorted(json.loads(told).items())))
