"""What the commands share: options, and how JSON is printed."""

import json
import sys
from typing import Annotated, Any

import typer

ReleasesPlace = Annotated[
    str, typer.Option("--releases", help="Where releases are: a folder, or s3://bucket/prefix.", envvar="CORTEX_REC_RELEASES")
]
ReleaseId = Annotated[str, typer.Option("--release", help="A release's id, or the channel that points to it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of tables.")]
DEFAULT_CONFIG = "configs/complete_journey.yaml"
PRODUCTION = "production"
DEFAULT_RELEASES = "releases"


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
