"""The blend keeps the contract of rankers and weighs its parts; the registry calibrates whichever ranker a configuration names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cortex_rec.config import Blend as BlendConfig
from cortex_rec.config import CompleteJourneySource, Config, LambdaRank, Neural, Ranking
from cortex_rec.errors import ArtifactError
from cortex_rec.ranking import blend, rankers
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.rankers import REGISTRY, Calibrated
from cortex_rec.ranking.training import TrainingLists, spread
from cortex_rec.testing.ranker_contract import RankerContract, small_lists

TREES = LambdaRank(trees=15, leaves=7, min_rows_in_leaf=10)
NETWORK = Neural(width=8, item_width=4, heads=2, deep=(8,), epochs=2, lists_a_step=8)
SMALL = Ranking(lambdarank=TREES, neural=NETWORK)


class TestBlend(RankerContract):
    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        return blend.fit(lists, SMALL, validation=(), seed=7, threads=1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_each_part_weighs_its_share_on_one_scale(share: float) -> None:
    config = SMALL.model_copy(update={"blend": BlendConfig(neural=share)})
    fitted = blend.fit([small_lists(0)], config, validation=[small_lists(1)], seed=7, threads=1)
    apart = small_lists(1)
    scores = [part.score(apart.matrix) for part in (fitted.trees, fitted.neural)]
    trees, network = (each / spread([each], [apart]) for each in scores)
    assert np.allclose(fitted.score(apart.matrix), (1 - share) * trees + share * network, atol=1e-5)


def test_the_spread_is_that_within_the_lists() -> None:
    level = np.repeat(np.arange(60, dtype=np.float32) * 100, 12)
    assert spread([level + np.tile(np.array([-2, 2], np.float32), 360)], [small_lists(0)]) == pytest.approx(2)
    assert spread([level], [small_lists(0)]) == 1


@pytest.mark.parametrize("kind", list(REGISTRY))
def test_every_registered_ranker_is_fitted_calibrated_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    config = Config(name="rankers", threads=1, source=CompleteJourneySource(), ranker=kind, ranking=SMALL)  # type: ignore[arg-type]
    fitted = rankers.fit([small_lists(0), small_lists(1)], config)
    unseen = small_lists(2)
    scores = fitted.score(unseen.matrix)
    chances = fitted.probability(scores)
    assert fitted.kind == kind
    assert np.all((chances >= 0) & (chances <= 1))
    assert np.all(np.diff(chances[np.argsort(scores)]) >= 0)
    assert abs(chances.mean() - unseen.bought.mean()) < 0.05
    fitted.save(tmp_path)
    again = Calibrated.load(tmp_path)
    assert again.probability(again.score(unseen.matrix)).tobytes() == chances.tobytes()
    assert again.score(unseen.matrix).tobytes() == scores.tobytes()


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "oracle"}', None])
def test_a_ranker_of_an_unknown_kind_is_named_as_one(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ranker.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="does not name a ranker of this version, lambdarank, neural, blend"):
        Calibrated.load(tmp_path)
