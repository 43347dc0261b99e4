"""What the service is asked and what it answers, as JSON; every refusal names the field and the way out."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from cortex_rec.errors import CortexRecError

MOST_ITEMS: Final = 100
LARGEST_BODY: Final = 256 * 1024
EXAMPLE: Final = '{"user_id": "208", "n": 10}'

Id = Annotated[str, Field(min_length=1, max_length=200)]


class Refused(CortexRecError):
    """A request that cannot be answered as it is.

    Parameters
    ----------
    message
        The field, what was expected, and the way out.
    error
        A short name for programs.
    status
        HTTP status, 400 to 499.
    """

    def __init__(self, message: str, *, error: str, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


class Asked(BaseModel):
    """The body of `POST /recommend`; without a user and without items it asks for what is popular."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Id | None = None
    #: what lies in the basket now
    items: Annotated[tuple[Id, ...], Field(max_length=500)] = ()
    store_id: Id | None = None
    n: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 10

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read a JSON body; raises `Refused`."""
        try:
            return cls.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise _refusal(error, tuple(cls.model_fields)) from None

    @classmethod
    def from_query(cls, user_id: str, query: Sequence[tuple[str, str]]) -> Self:
        """Read a path and its query; raises `Refused`."""
        known = ("n", "store_id")
        for name, _ in query:
            if name not in known:
                raise _unknown(name, known)
            if sum(name == other for other, _ in query) > 1:
                raise Refused(f"`{name}` is given more than once. Give it once.", error="invalid_field", status=422)
        try:
            return cls.model_validate_strings({**dict(query), "user_id": user_id})
        except ValidationError as error:
            raise _refusal(error, known) from None


class Item(BaseModel):
    """One recommended item; `probability` is that of a purchase within one window of the release, null for who has no history."""

    item_id: str
    title: str
    score: float
    probability: float | None
    reasons: tuple[str, ...]


class Answer(BaseModel):
    """Recommended items, best first; `fallback` says why they are not personal, null when they are."""

    items: tuple[Item, ...]
    release: str
    impression_id: str
    took_ms: float
    fallback: str | None


class Problem(BaseModel):
    """Why there is no answer: a short name for programs, a sentence for people."""

    error: str
    detail: str


class Version(BaseModel):
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


def _refusal(error: ValidationError, known: Iterable[str]) -> Refused:
    """The first fault in words; the others are as a rule its consequences."""
    fault = error.errors(include_url=False, include_context=False)[0]
    if fault["type"] == "json_invalid":
        place = fault["msg"].removeprefix("Invalid JSON: ")
        return Refused(f"The body is not JSON: {place}. Send for example {EXAMPLE}.", error="not_json", status=400)
    if not fault["loc"]:
        return Refused(f"The body is JSON, but not an object. Send for example {EXAMPLE}.", error="not_an_object", status=422)
    if fault["type"] == "extra_forbidden":
        return _unknown(str(fault["loc"][-1]), known)
    field, *inside = fault["loc"]
    where = f"`{field}`" + "".join(f"[{part}]" for part in inside)
    return Refused(f"{where}: {_expected(str(field), bool(inside))}, got {_shown(fault['input'])}.", error="invalid_field", status=422)


def _unknown(name: str, known: Iterable[str]) -> Refused:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    return Refused(f"`{name[:80]}` is not a known field. {hint} Known: {', '.join(known)}.", error="unknown_field", status=422)


def _expected(field: str, inside: bool) -> str:
    if field == "n":
        return f"expected a whole number from 1 to {MOST_ITEMS}"
    if field == "items" and not inside:
        return 'expected a list of at most 500 item ids, for example ["1029743"]'
    return 'expected an id as text of 1 to 200 characters, for example "208" in quotes'


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
