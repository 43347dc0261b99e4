"""What several modules use: the small shop's release, the window that it was judged on, a server of S3, and a webhook."""

import prefect_server
import pytest
from killed import killer as killer
from s3 import place as place
from s3 import s3 as s3
from s3 import server as server
from webhook import hook as hook

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


def pytest_sessionfinish() -> None:
    prefect_server.stop()
