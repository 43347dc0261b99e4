"""LambdaRank keeps the contract of rankers; training lists hold what would have been served, and what was bought."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cortex_rec.arrays import pointers
from cortex_rec.config import LambdaRank as LambdaRankConfig
from cortex_rec.errors import ArtifactError, EmptyTrainingSetError
from cortex_rec.ranking import lambdarank
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.ranking.training import TrainingLists, groups, sample
from cortex_rec.testing.ranker_contract import RankerContract, small_lists

CONFIG = LambdaRankConfig(trees=15, leaves=7, min_rows_in_leaf=10)


class TestLambdaRank(RankerContract):
    def fit(self, lists: Sequence[TrainingLists]) -> Ranker:
        return lambdarank.fit(lists, CONFIG, seed=7, threads=1)
