"""A real registry on this machine that asks for the password which moto's ECR gives out."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import free_port

PASSWORD = "123456789012-auth-token"
#: Its bcrypt.
HTPASSWD = "AWS:$2b$12$oSVsh29U2IE5j3U/XbOLNeZe1Z267lW/E89nGwSCljGU4pPk6aNmu\n"
CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Started and answering within; gives its host and port."""
    folder.mkdir()
    port = free_port()
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))
    with subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL) as process:
        try:
            while not _asks_for_a_password(f"http://127.0.0.1:{port}/v2/"):
                assert process.poll() is None
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _asks_for_a_password(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return False
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code == 401
    except urllib.error.URLError:
        return False
