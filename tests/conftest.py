"""What several modules judge: the small shop's release, and the window that it was judged on."""

import pytest

from cortex_rec import splits
from cortex_rec.recommender import Recommender
from cortex_rec.splits import Window
from cortex_rec.testing.release import CONFIG, small_release


@pytest.fixture(scope="session")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return Recommender.load(small_release(tmp_path_factory.mktemp("releases")).path)


@pytest.fixture(scope="session")
def window(recommender: Recommender) -> Window:
    _, test = splits.windows(CONFIG.windows, recommender.data.histories)
    return test
