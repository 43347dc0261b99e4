"""A real Redis server for tests, on a free port and in a folder of its own, that can be killed and started again."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

#: Debian's redis-tools, which start no service, hold the server too, under this name; it minds what it is called.
PROGRAM: Final = shutil.which("redis-check-rdb") or shutil.which("redis-server")


class RedisServer:
    """Started when made; every write is flushed to the disk before it is acknowledged.

    Parameters
    ----------
    folder
        Where it keeps its data.
    """

    def __init__(self, folder: Path) -> None:
        assert PROGRAM, "there is no redis-server: `apt-get install redis-tools`"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.address = folder, f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        self.process = subprocess.Popen(["redis-server", *where, *durable], executable=PROGRAM, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server ended: {''.join(said)}")

    def stop(self) -> None:
        """Kill it, as a power cut would; nothing when it is dead already."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
