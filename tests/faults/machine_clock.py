"""A service whose machine's clock is set back while it runs; a library of a few lines stands between it and the clock."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.crash.life import Folder
from tests.faults.commands import serving

needs_compiler: Final = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: apt-get install gcc")

SHIFTED: Final = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *told) {
    static volatile long *seconds;
    int done = syscall(SYS_clock_gettime, which, told);
    if (!seconds)
        seconds = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, open(getenv("CLOCK_FILE"), O_RDONLY), 0);
    if (done == 0 && which == CLOCK_REALTIME)
        told->tv_sec += *seconds;
    return done;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told)
        *told = now.tv_sec;
    return now.tv_sec;
}
"""


@dataclass(frozen=True)
class Served:
    """A service by such a clock."""

    process: subprocess.Popen[bytes]
    url: str
    clock: Path

    def set_back(self, by: timedelta) -> None:
        """Set the clock back; where no time passes for those who measure how long something takes."""
        with self.clock.open("r+b") as file:
            file.write((-int(by.total_seconds())).to_bytes(8, sys.byteorder, signed=True))


@contextmanager
def served(folder: Folder) -> Iterator[Served]:
    """Serve by a clock that can be set back; at the end it must have gone on until it was told to stop."""
    source, library, clock = (folder.path / name for name in ("clock.c", "clock.so", "clock"))
    source.write_text(SHIFTED, encoding="ascii")
    clock.write_bytes(bytes(8))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    command = [sys.executable, "-m", "sync", "serve"]
    with serving(folder, command, {"LD_PRELOAD": str(library), "CLOCK_FILE": str(clock)}) as (process, url):
        yield Served(process, url, clock)
        assert process.poll() is None, folder.log()[-2000:]
