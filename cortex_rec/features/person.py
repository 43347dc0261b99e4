"""What the shop knows of the person who asks."""

import numpy as np

from cortex_rec.arrays import F32, Ragged
from cortex_rec.people import People
from cortex_rec.queries import Queries


def features(queries: Queries, lists: Ragged, people: People) -> dict[str, F32]:
    """Each recorded attribute, NaN for who has none or is not known; absent in a shop without a users table."""
    asking = queries.users[lists.owner]
    unknown = np.float32(np.nan)
    return {f"person_{name}": np.where(asking >= 0, values[asking], unknown) for name, values in people.attributes.items()}
