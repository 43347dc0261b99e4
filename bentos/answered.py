"""What the service answers, as JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response


class Answered(BaseModel):
    """What all answers have in common: every field is there."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Item(Answered):
    """One item; `probability` is that of a purchase within one window of the release, null where nothing tells it."""

    item_id: str
    title: str
    score: float
    probability: float | None
    reasons: tuple[str, ...]


class Assigned(Answered):
    """The running experiment that an answer is part of."""

    name: str
    arm: Annotated[str, Field(description="The arm that answered; `interleaved` when two have drafted the items in turns.")]


class Answer(Answered):
    """Items, best first."""

    items: tuple[Item, ...]
    release: Annotated[
        str, Field(description="The release that all of this comes from; two, with `+` between them, when both have drafted the items.")
    ]
    experiment: Annotated[Assigned | None, Field(description="What the user takes part in; null when in nothing.")] = None
    impression_id: Annotated[str, Field(description="Unique for each answer: send it with the feedback on these items.")]
    took_ms: float
    fallback: Annotated[str | None, Field(description="Why the items are not personal; null when they are.")]
    degraded: Annotated[
        tuple[str, ...], Field(description="What failed or came too late, so that the answer is not as good as it could be.")
    ]
    widened: Annotated[int, Field(description="How many times retrieval looked further for items that pass the filters.")]
    trace: Annotated[dict[str, Any] | None, Field(description="What each stage did, when asked for.")]


class Answers(Answered):
    """One answer for each request, in their order."""

    answers: tuple[Answer, ...]


def assigned(answered: Answered) -> dict[str, str]:
    """What the log tells of the experiment that an answer, or answers, are part of: nothing when of none."""
    answers = answered.answers if isinstance(answered, Answers) else [answered] if isinstance(answered, Answer) else []
    parts = [answer.experiment for answer in answers if answer.experiment is not None]
    return {"experiment": parts[0].name, "arm": ",".join(sorted({part.arm for part in parts}))} if parts else {}


class ItemFacts(Answered):
    """What is known of an item."""

    item_id: str
    title: str
    description: str
    groups: Annotated[dict[str, str], Field(description="Its groups and attributes, as far as they are known.")]
    price: Annotated[float | None, Field(description="Mean of the last week that it was sold in, null when not known.")]
    sales: Annotated[int, Field(description="Lines in the last four weeks of the release.")]
    release: str


class FoundItem(Answered):
    """An item that was looked up."""

    item_id: str
    title: str


class FoundItems(Answered):
    """Items that match, the best sold first, and how many there are in all."""

    items: tuple[FoundItem, ...]
    total: int


class Added(Answered):
    """An item that can be recommended now, until a release has it: put it into your items table too."""

    item_id: str
    release: str


class Users(Answered):
    """Ids that match, in their order, and how many there are in all."""

    users: tuple[str, ...]
    total: int


class Purchase(Answered):
    """A line of a basket."""

    item_id: str
    title: str
    time: datetime
    quantity: float
    price: float | None


class LiveEvent(Answered):
    """What happened since the release was made."""

    kind: str
    item_id: str
    title: Annotated[str, Field(description="Empty when the release does not know the item.")]
    time: datetime


class Person(Answered):
    """What is known of a user: the latest purchases of the release, the latest first, and what happened since."""

    user_id: str
    known: Annotated[bool, Field(description="Whether the release has purchases of this user.")]
    baskets: int
    purchases: tuple[Purchase, ...]
    events: tuple[LiveEvent, ...]
    release: str


class Accepted(Answered):
    """How many events were kept, durably, and how many had been sent before."""

    accepted: int
    repeated: int


class Forgotten(Answered):
    """How many events and records of what was shown were erased."""

    user_id: str
    events: int
    exposures: int


class Version(Answered):
    """What is running."""

    library: str
    release: str
    name: str
    as_of: str
    git_commit: str | None


class Json(Response):
    """A model as JSON."""

    media_type = "application/json"

    def __init__(self, model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(model.model_dump_json().encode(), status, headers)
