"""One line a route: the router, the OpenAPI document and the words of a wrong path are made of it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from bentos import operations, people, recommending, things
from bentos.answered import (
    Accepted,
    Added,
    Answer,
    Answered,
    Answers,
    Forgotten,
    FoundItems,
    ItemFacts,
    Person,
    Users,
    Version,
)
from bentos.asked import (
    Asked,
    Batch,
    Feedback,
    NewItem,
    Nothing,
    OneItem,
    OneUser,
    PopularIn,
    RankItems,
    Recommend,
    RecommendTo,
    SearchItems,
    SearchUsers,
    SimilarTo,
    Trending,
)
from bentos.desk import Desk
from bentos.guard import Permission


@dataclass(frozen=True)
class Operation:
    """A route.

    Parameters
    ----------
    template
        Its path, with names of fields in braces.
    asked, answered
        What it reads (from the body of POST and PUT, from the path and its query otherwise) and what it gives.
    call
        What it does; its docstring is the documentation.
    needed
        What an API key must allow.
    """

    method: str
    template: str
    asked: type[Asked]
    answered: type[Answered]
    call: Callable[[Desk, Any], Awaitable[Answered]]
    needed: Permission = "read"

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT")

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields that the path gives."""
        return tuple(re.findall(r"{(\w+)}", self.template))


TABLE: Final = (
    Operation("POST", "/recommend", Recommend, Answer, recommending.recommend),
    Operation("POST", "/recommend/batch", Batch, Answers, recommending.recommend_batch),
    Operation("GET", "/api/recommend/{user_id}", RecommendTo, Answer, recommending.recommend_to),
    Operation("POST", "/rank", RankItems, Answer, recommending.rank),
    Operation("GET", "/api/similar/{item_id}", SimilarTo, Answer, recommending.similar),
    Operation("GET", "/api/popular", PopularIn, Answer, recommending.popular),
    Operation("GET", "/api/trending", Trending, Answer, recommending.trending),
    Operation("POST", "/feedback", Feedback, Accepted, people.feedback, "write"),
    Operation("GET", "/api/users", SearchUsers, Users, people.search_users),
    Operation("GET", "/api/users/{user_id}", OneUser, Person, people.person),
    Operation("DELETE", "/api/users/{user_id}", OneUser, Forgotten, people.forget, "write"),
    Operation("GET", "/api/items", SearchItems, FoundItems, things.search_items),
    Operation("GET", "/api/items/{item_id}", OneItem, ItemFacts, things.item),
    Operation("PUT", "/api/items/{item_id}", NewItem, Added, things.put_item, "write"),
    Operation("GET", "/version", Nothing, Version, operations.version),
)
