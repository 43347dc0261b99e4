"""What the environment says of a service: every variable, its meaning and its default. `docs/serving.md` has the same table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from cortex_rec.errors import ConfigError
from cortex_rec.releases import channels, places

PREFIX: Final = "CORTEX_REC_"
#: OpenTelemetry's own variables that say where traces go.
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Settings(BaseModel):
    """One field a variable: `watch_seconds` is `CORTEX_REC_WATCH_SECONDS`.

    Parameters
    ----------
    releases
        Where the releases are: a folder, or `s3://bucket/prefix`.
    release
        The id of the one to serve, which then is served whatever is promoted; or the channel that is followed.
    cache
        The folder of what is fetched for this machine: the releases of a bucket.
    state
        The folder of what is kept beside the releases: added items, who is forgotten, events. When absent it is the folder of releases, or
        one in `cache` when they are in a bucket.
    watch_seconds
        How often to look for a newly promoted release and for new items.
    queue
        Questions that may wait; one more is refused with 503.
    wait_seconds
        How long one may wait; it is refused with 503 then.
    deadline_ms
        Milliseconds after which an answer is finished with what there is and says so; 0 is without end.
    keys, keys_file
        API keys, one `name sha256 scopes` a line or after a semicolon; the file is read at start. None: whoever reaches the port may ask.
    rate
        Requests a second by one key, in bursts of a second's worth and ten at least; 0 is without end.
    cors
        Origins of pages elsewhere that may ask, by comma; none when empty.
    events
        Where live events are kept: a file for SQLite, or a `redis://` address; `events.sqlite` in `state` when empty.
    time_zone
        Of the clock that the shop's purchases are told by, such as `Europe/Berlin`: for events without a time or with an offset.
    log
        Which requests get a line in the log: `all`, or only `faults` (status 400 and above).
    experiment
        The file of a running experiment; none when absent.
    exposures
        The folder in which every answer is kept for drift, experiments and off-policy estimates; none is when absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    releases: Annotated[str, BeforeValidator(str)] = "releases"
    release: str = channels.PRODUCTION
    cache: Path = Field(default_factory=places.cache_folder)
    state: Path | None = None
    watch_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    queue: Annotated[int, Field(ge=1, le=10_000)] = 32
    wait_seconds: Annotated[float, Field(gt=0, le=4)] = 1.0
    deadline_ms: Annotated[float, Field(ge=0, le=60_000)] = 500.0
    keys: str = ""
    keys_file: Path | None = None
    rate: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    cors: str = ""
    events: str = ""
    time_zone: str = "UTC"
    log: Annotated[str, Field(pattern="^(all|faults)$")] = "all"
    experiment: Path | None = None
    exposures: Path | None = None

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("is no time zone's name, such as Europe/Berlin")
        return name

    @property
    def beside(self) -> Path:
        """The folder of what is kept beside the releases."""
        return self.state or places.state_of(self.releases, cache=self.cache)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables; one that is empty is as if absent.

        Raises
        ------
        ConfigError
            If a value cannot be used; the message names the variable.
        """
        given = {name: environment.get(PREFIX + name.upper()) for name in cls.model_fields}
        try:
            return cls.model_validate_strings({name: value for name, value in given.items() if value})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            name = PREFIX + str(fault["loc"][0]).upper()
            raise ConfigError(f"{name}={fault['input']}: {fault['msg']}. Set another value, or unset it.") from None


def traced(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's standard variables ask for traces: they name a collector, or `OTEL_TRACES_EXPORTER` is `otlp`.

    Raises
    ------
    ConfigError
        If they ask for another exporter than OTLP, or another protocol than `http/protobuf`.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER={exporter}: traces go out by otlp only. Set otlp, or none for no traces.")
    if not exporter and not any(environment.get(name) for name in _ENDPOINTS):
        return False
    for name in _PROTOCOLS:
        if environment.get(name, "") not in ("", "http/protobuf"):
            raise ConfigError(f"{name}={environment[name]}: traces go out by http/protobuf only. Set it, or unset the variable.")
    return True
