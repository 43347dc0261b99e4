"""Build the service's image from a command line, and push it: `python -m flows.image` (`make image`)."""

import argparse
import sys

from rich.console import Console

from cortex_rec.errors import CortexRecError
from cortex_rec.packaging.engine import DEBIAN_BASE, Engine
from cortex_rec.releases.channels import PRODUCTION
from flows.run import run_package

SERVE = "podman run --rm --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges -p 3000:3000 localhost/cortex-rec:{tag}"


def main() -> int:
    """Print what was built, or what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", default="releases", help="where the releases are: a folder or s3://bucket/prefix")
    parser.add_argument("--release", default=PRODUCTION, help="which one goes inside; `none`: CORTEX_REC_RELEASES names it at the start")
    parser.add_argument("--base", default=DEBIAN_BASE, help="the image to build on: Python 3.11 as python3, and libgomp")
    parser.add_argument("--repository", help="of ECR, to push to; made when absent")
    parser.add_argument("--registry", help="host and port to push to in place of ECR's own")
    parser.add_argument("--workspace", default=".cortex", help="where wheels, bento and image are kept")
    given = vars(parser.parse_args())
    given["release"] = None if given["release"] == "none" else given["release"]
    try:
        Engine.find().need_base(given["base"])
        told = run_package(**given)
    except CortexRecError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]{type(error).__name__}[/]: ", end="")
        sys.stderr.write(f"{error}\n")
        return 1
    for name, value in told.items():
        sys.stdout.write(f"{name:<14} {value}\n")
    sys.stdout.write(f"{'start':<14} {SERVE.format(**told)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
