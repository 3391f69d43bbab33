"""A lock on a file that ends with its process, however it ends: who holds it is at work, who does not is dead."""

from __future__ import annotations

import os
from pathlib import Path


class Lock:
    """One process's claim on a file.

    `take` says whether it was to be had; a child process that is handed `descriptor` (`pass_fds`) keeps the claim
    alive after this process is gone. Where the system has no such lock, it is always to be had.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def take(self) -> bool:
        """Claim the file now, or say that somebody else has it; True when it is ours already."""
        if self.descriptor is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except OSError:
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def release(self) -> None:
        """Give up this process's claim; safe to call twice."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
