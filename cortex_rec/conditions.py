"""Filters and rules as people write them, in a body or in a file: each field's name and limits, once."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

MOST_ITEMS: Final = 100

Id = Annotated[str, Field(min_length=1, max_length=200, examples=["208"])]
Ids = Annotated[tuple[Id, ...], Field(max_length=500, examples=[["1029743"]])]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Price = Annotated[float, Field(ge=0, le=1e9)]


class Written(BaseModel):
    """No field that is not known, no number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Filters(Written):
    """What must not be in an answer; retrieval looks further until `n` items are left."""

    exclude: Annotated[Ids, Field(description="Items to leave out.")] = ()
    bought_days: Annotated[
        Annotated[float, Field(ge=0, le=36_500)] | None, Field(description="Leave out what the user bought within so many days.")
    ] = None
    groups: Annotated[
        dict[Name, Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]],
        Field(max_length=20, description="Only items of these values of a group or attribute.", examples=[{"department": ["GROCERY"]}]),
    ] = {}
    price_from: Annotated[Price | None, Field(description="Only items whose recent price is known and not below.")] = None
    price_to: Annotated[Price | None, Field(description="Only items whose recent price is known and not above.")] = None
    in_store: Annotated[bool, Field(description="Only what was sold in the user's store in the last four weeks.")] = False


class Rules(Written):
    """How the ranked list is rearranged."""

    pinned: Annotated[Ids, Field(max_length=MOST_ITEMS, description="Items that stand first, in this order.")] = ()
    boosted: Annotated[
        dict[Id, Annotated[float, Field(gt=0, le=1_000)]],
        Field(max_length=500, description="Factor on the odds of a purchase, by item.", examples=[{"1029743": 2}]),
    ] = {}
    diversity: Annotated[Share, Field(description="0 keeps the ranker's order, 1 wants the items as unlike as can be.")] = 0.0
    caps: Annotated[
        dict[Name, Annotated[int, Field(ge=1, le=MOST_ITEMS)]],
        Field(max_length=20, description="At most so many items with the same value, by group or attribute.", examples=[{"brand": 2}]),
    ] = {}
    new_share: Annotated[Share, Field(description="Share of the places at least for items that the user never bought.")] = 0.0
    tail_share: Annotated[Share, Field(description="Share of the places at least for items outside the best sellers.")] = 0.0
