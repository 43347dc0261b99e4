"""Simulated shoppers at a real service: they ask over HTTP, and send back what they click and buy."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np

from cortex_rec.errors import CortexRecError
from cortex_rec.ids import IdMap
from cortex_rec.simulation.shopping import EMPTY, Shop


class ServiceFailed(CortexRecError):
    """The service did not answer a simulated shopper as it should."""


def shop_for_days(
    client: httpx.Client,
    shop: Shop,
    users: Sequence[str],
    items: IdMap,
    *,
    days: int,
    n: int = 10,
    price: float = 1.0,
    new_day: Callable[[int], None] = lambda day: None,
) -> int:
    """Let shoppers come for some days; gives how many visits there were.

    Parameters
    ----------
    client
        Of a running service.
    users
        The id of each shopper.
    items
        Of the catalogue that the shoppers' habits are told by.
    n
        Length of the lists.
    price
        Of everything.
    new_day
        Called with the number of each day before it begins, for example to set the service's clock.

    Raises
    ------
    ServiceFailed
        If an answer is no success; the message has it.
    """
    visits = 0
    for day in range(days):
        new_day(day)
        for user in shop.visitors().tolist():
            answer = _post(client, "/recommend", {"user_id": users[user], "n": n, "explain": False})
            shown = [item["item_id"] for item in answer["items"]]
            # What the catalogue lacks, such as an item that was added since, nobody has a habit of.
            rows = np.where((known := items.rows(shown)) >= 0, known, EMPTY) if shown else np.zeros(0, np.int64)
            visit = shop.visit(user, float(day), rows)
            from_list = [shown[place] for place in visit.from_list]
            bought = from_list + items.external(np.array(visit.elsewhere, np.int64))
            number, impression = f"{users[user]}-{day}", answer["impression_id"]
            common = {"user_id": users[user], "basket_id": number}
            events = [
                {"event_id": f"{number}-c{place}", "kind": "click", "item_id": shown[place], "impression_id": impression} | common
                for place in visit.clicked
            ]
            # As a shop would: every purchase of the visit names the answer that was on the screen.
            events += [
                {"event_id": f"{number}-p{item}", "kind": "purchase", "item_id": item, "price": price, "impression_id": impression} | common
                for item in bought
            ]
            if events:
                _post(client, "/feedback", {"events": events})
            visits += 1
    return visits


def _post(client: httpx.Client, path: str, body: dict[str, object]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    if answer.status_code != 200:
        raise ServiceFailed(f"{path} answered {answer.status_code}: {answer.text[:500]}. See the service's log.")
    told: dict[str, Any] = answer.json()
    return told
