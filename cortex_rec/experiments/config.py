"""One small file describes an experiment; the service, the plan and the report read the same one."""

from itertools import accumulate
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cortex_rec.config import read_yaml
from cortex_rec.errors import ConfigError
from cortex_rec.experiments.assignment import unit

#: The arm of answers that both arms have put together.
INTERLEAVED: Final = "interleaved"
_NEAR: Final = 1e-9

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Letters, digits, `_`, `.` and `-`.")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Arm(_Section):
    """What a share of the people is answered from: a release's id, or the channel that is followed."""

    name: Name
    release: Annotated[str, Field(min_length=1)]
    share: Annotated[float, Field(gt=0, le=1)]


class Exploration(_Section):
    """With probability `epsilon`, one place of an answer and one of the items below it, as far as `among` places under the last, swap."""

    epsilon: Annotated[float, Field(gt=0, le=1)]
    among: Annotated[int, Field(ge=1, le=100)] = 10


class Experiment(_Section):
    """Who is answered from which release.

    Parameters
    ----------
    name
        In answers, logs and metrics.
    salt
        Decides with a user's id which arm is theirs. Another salt draws everybody anew, so it never changes while an experiment runs.
    arms
        The first one is what others are compared with. Shares sum to 1.
    kind
        `ab`: each person is answered from one arm. `interleaving`: two arms draft each answer in turns.
    traffic
        Share of the people who take part; the others are answered as without an experiment. It may grow while the experiment runs.
    exploration
        Off when absent.
    days
        How long it is planned to run: what a daily look may spend of the error depends on it.
    primary
        The metric that decides.
    guardrails
        Relative loss that is allowed at most, by metric: 0.05 is five per cent.
    """

    name: Name
    salt: Annotated[str, Field(min_length=1, max_length=200)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=10)]
    kind: Literal["ab", "interleaving"] = "ab"
    traffic: Annotated[float, Field(gt=0, le=1)] = 1.0
    exploration: Exploration | None = None
    days: Annotated[int, Field(ge=1, le=365)] = 28
    primary: Literal["bought", "clicks", "spend", "lines"] = "bought"
    guardrails: dict[Literal["bought", "clicks", "spend", "lines", "hides"], Annotated[float, Field(gt=0, le=1)]] = {
        "spend": 0.05,
        "hides": 0.5,
    }

    @model_validator(mode="after")
    def _possible(self) -> Self:
        names = [arm.name for arm in self.arms]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two arms are named {twice[0]!r}; give each its own name")
        total = sum(arm.share for arm in self.arms)
        if abs(total - 1) > _NEAR:
            raise ValueError(f"the arms' shares sum to {total:.10g}, not to 1; `traffic` says how many people take part at all")
        if len(self.arms) == 1 and self.exploration is None:
            raise ValueError("one arm compares nothing; add another one, or `exploration` if it is for off-policy estimates")
        if self.kind == "interleaving":
            if len(self.arms) != 2 or abs(self.arms[0].share - 0.5) > _NEAR:
                raise ValueError("interleaving drafts from two arms with a share of 0.5 each")
            if self.primary not in ("bought", "clicks"):
                raise ValueError(f"teams are told apart by `bought` or `clicks`, not by {self.primary!r}; choose one, or an `ab` test")
            if self.exploration is not None:
                raise ValueError("interleaving and `exploration` exclude each other; leave one of them out")
            if INTERLEAVED in names:
                raise ValueError(f"no arm can be named {INTERLEAVED!r}, which is what an interleaved answer is called")
        return self

    def arm_of(self, user: str | None) -> Arm | None:
        """Whose answers a user gets in an A/B test; None for who does not take part, such as everybody without an id."""
        if not user or unit(self.salt, "traffic", user) >= self.traffic:
            return None
        drawn = unit(self.salt, "arm", user)
        ends = accumulate(arm.share for arm in self.arms)
        return next((arm for arm, end in zip(self.arms, ends, strict=True) if drawn < end), self.arms[-1])

    def label_of(self, user: str | None) -> str | None:
        """The arm as answers and logs name it; None for who does not take part."""
        arm = self.arm_of(user)
        return None if arm is None else INTERLEAVED if self.kind == "interleaving" else arm.name


def load_experiment(path: Path | str) -> Experiment:
    """Read a YAML or JSON file.

    Raises
    ------
    ConfigError
        If it is missing, cannot be read, or a key or value is not as it must be; the message names the key.
    """
    path = Path(path)
    raw = read_yaml(path, where="configs/experiments/candidate.yaml is an example.")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, got {type(raw).__name__}. See configs/experiments/candidate.yaml.")
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"`{where}` is not a known key; there are {', '.join(Experiment.model_fields)}.")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"`{where}`: {message} (got {fault['input']!r})." if where else f"{message}.")
    return " ".join(lines)
