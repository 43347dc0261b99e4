"""What the service is asked, as JSON or in a path and its query; every refusal names the field and the way out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from bentos.problems import Refused, of_fault, unknown_field
from cortex_rec.conditions import MOST_ITEMS, Filters, Id, Ids, Name, Price, Rules, Written

MOST_CANDIDATES: Final = 1_000
MOST_EVENTS: Final = 1_000
MOST_REQUESTS: Final = 100

N = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many items at most.")]


class Asked(Written):
    """What all questions have in common."""

    @classmethod
    def from_body(cls, body: bytes, path: Mapping[str, str]) -> Self:
        """Read a JSON body, and with it what the path says; raises `Refused`."""
        try:
            if path:
                whole = from_json(body)
                if isinstance(whole, dict):
                    for name in path.keys() & whole.keys():
                        raise unknown_field(name, [known for known in cls.model_fields if known not in path])
                    body = to_json(whole | dict(path))
        except ValueError:
            pass  # what is wrong with it is told below, by the model
        try:
            return cls.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise of_fault(error, cls) from None

    @classmethod
    def from_url(cls, path: Mapping[str, Any], query: Sequence[tuple[str, str]]) -> Self:
        """Read the parameters of a path and its query; raises `Refused`."""
        known = [name for name in cls.model_fields if name not in path]
        for name, _ in query:
            if name not in known:
                raise unknown_field(name, known)
            if sum(name == other for other, _ in query) > 1:
                raise Refused(f"`{name}` is given more than once. Give it once.", error="invalid_field", status=422)
        try:
            return cls.model_validate_strings({**dict(query), **path})
        except ValidationError as error:
            raise of_fault(error, cls) from None


class Nothing(Asked):
    """A question without parameters."""


class Recommend(Asked):
    """Who asks for how many items, from where, under which conditions; without a user and without items, what is popular."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "208", "n": 10}]})

    user_id: Annotated[Id | None, Field(description="Who asks; an unknown one is answered too.")] = None
    items: Annotated[Ids, Field(description="What lies in the basket now: counts as the latest purchase, is not recommended.")] = ()
    store_id: Annotated[Id | None, Field(description="Where; the user's usual store when absent.")] = None
    n: N = 10
    filters: Filters = Filters()
    rules: Rules = Rules()
    explain: Annotated[bool, Field(description="Whether each item comes with its reasons.")] = True
    trace: Annotated[bool, Field(description="Whether the answer tells what each stage did.")] = False
    why_not: Annotated[Id | None, Field(description="An item; the trace tells where it fell out.")] = None


class Batch(Asked):
    """Several questions, answered in their order from one release."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"requests": [{"user_id": "208"}, {"items": ["1029743"], "n": 5}]}]})

    requests: Annotated[tuple[Recommend, ...], Field(min_length=1, max_length=MOST_REQUESTS)]


class RankItems(Asked):
    """Your candidates, to be ordered by the ranker."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "208", "items": ["1029743", "1082185"]}]})

    user_id: Annotated[Id | None, Field(description="For whom.")] = None
    items: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MOST_CANDIDATES, description="The candidates.", examples=[["1029743"]])]
    basket: Annotated[Ids, Field(description="What lies in the basket now.")] = ()
    store_id: Annotated[Id | None, Field(description="Where; the user's usual store when absent.")] = None


class RecommendTo(Asked):
    """One user's recommendations."""

    user_id: Id
    store_id: Id | None = None
    n: N = 10


class SimilarTo(Asked):
    """What is like an item."""

    item_id: Id
    n: N = 10


class PopularIn(Asked):
    """What is bought most, everywhere or in one store."""

    store_id: Id | None = None
    n: N = 10


class Trending(Asked):
    """What is bought more than before."""

    n: N = 10


class OneItem(Asked):
    """An item."""

    item_id: Id


class SearchItems(Asked):
    """Items whose titles hold all words of a text, or whose id it is."""

    q: Annotated[str, Field(max_length=200)] = ""
    n: N = 10


class NewItem(Asked):
    """A new product: what it is called, what is said of it, how it looks, what it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Oat milk 1 l", "attributes": {"department": "GROCERY"}}]})

    item_id: Id
    title: Annotated[str, Field(max_length=500, examples=["Oat milk 1 l"])] = ""
    description: Annotated[str, Field(max_length=10_000)] = ""
    image: Annotated[str | None, Field(max_length=6 * 2**20, description="A picture (PNG, JPEG, WebP, GIF) in base64.")] = None
    attributes: dict[Name, Name] = Field(
        default={}, max_length=50, description="Groups and attributes.", examples=[{"department": "GROCERY"}]
    )


class OneUser(Asked):
    """A user."""

    user_id: Id


class SearchUsers(Asked):
    """Users whose id begins with, else holds, a text."""

    q: Annotated[str, Field(max_length=200)] = ""
    n: N = 10


class Event(Asked):
    """Something that a user did, or was shown."""

    event_id: Annotated[Id, Field(description="Unique: an event that is sent twice counts once.", examples=["e-81f3"])]
    kind: Literal["impression", "click", "cart", "purchase", "hide"]
    user_id: Id
    item_id: Annotated[Id, Field(examples=["1029743"])]
    time: Annotated[
        datetime | None,
        Field(description="When, by the clock of the shop's purchases; now when absent.", examples=["2026-11-24T10:15:00Z"]),
    ] = None
    basket_id: Annotated[Id | None, Field(description="Lines of one basket belong together.")] = None
    quantity: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    price: Annotated[Price | None, Field(description="What one unit cost after discounts.")] = None
    impression_id: Annotated[Id | None, Field(description="The `impression_id` of the answer that it followed.")] = None


class Feedback(Asked):
    """What happened, one event or many."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"events": [{"event_id": "e-81f3", "kind": "purchase", "user_id": "208", "item_id": "1029743"}]}]}
    )

    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=MOST_EVENTS)]
