"""Looking keys up gives the same whether where each key lies is written down, as for few possible keys, or searched for."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex_rec import arrays
from cortex_rec.arrays import NO_ROW, find

KEYS = st.lists(st.integers(-5, 60), unique=True).map(sorted)
WANTED = st.lists(st.integers(-70, 130))
#: Possible keys for each wanted one up to which places are written down: never, as it is, and always.
WAYS = (0, arrays._DENSE, 1_000_000)


def found(keys: list[int], wanted: list[int], dense: int) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_DENSE", dense)
        result = find(np.array(keys, np.int64), np.array(wanted, np.int64))
    assert result.dtype == np.int64
    return result.tolist()


@given(keys=KEYS, wanted=WANTED)
@example(keys=[], wanted=[-1, 0, 1])
@example(keys=[0, 3], wanted=[])
@example(keys=[0, 3], wanted=[-1, -4, 0, 1, 3, 4, 1_000_000])
@example(keys=[-2, 3], wanted=[-2, -1, 3, 2])
def test_every_way_of_looking_keys_up_finds_their_places(keys: list[int], wanted: list[int]) -> None:
    expected = [keys.index(key) if key in keys else NO_ROW for key in wanted]
    for dense in WAYS:
        assert found(keys, wanted, dense) == expected


def test_places_are_written_down_only_for_keys_that_are_few_for_those_wanted() -> None:
    # 2 ** 60 places do not fit: they would be asked for if this key were written down.
    far = 2**60
    assert find(np.array([1, far]), np.array([far, far - 1, -1, 1])).tolist() == [1, -1, -1, 0]
