"""Every registered retriever keeps the contract, and finds what it says it finds."""

import pytest

from cortex_rec.config import Retrieval
from cortex_rec.retrieval.protocol import Evidence, Retriever
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.testing.retriever_contract import RetrieverContract

CONFIG = Retrieval.model_validate({"graph": {"dimensions": 8, "steps": 2, "batch_size": 64, "negatives": 16}})


class TestEveryRegisteredRetriever(RetrieverContract):
    @pytest.fixture(autouse=True, params=list(REGISTRY))
    def _one_of_the_registry(self, request: pytest.FixtureRequest) -> None:
        self.name: str = request.param

    def fit(self, evidence: Evidence) -> Retriever:
        return REGISTRY[self.name].fit(evidence, getattr(CONFIG, self.name))
