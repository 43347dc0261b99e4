"""The API keeps to its own OpenAPI document, whatever it is asked."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import app_of
from starlette.types import ASGIApp

from bentos import openapi
from bentos.table import TABLE, Operation
from cortex_rec.testing.release import small_release

#: What a schema cannot say: which items and values a release has, and that an event is not of before 1970.
REFUSALS = [positive_data_acceptance]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ASGIApp:
    folder = tmp_path_factory.mktemp("openapi")
    return app_of(small_release(folder / "releases").path.parent, folder)


@pytest.fixture(scope="module")
def document(app: ASGIApp) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("route", TABLE, ids=lambda route: f"{route.method} {route.template}")
def test_no_request_breaks_the_service_and_every_answer_is_as_the_document_says(
    document: schemathesis.schemas.BaseSchema, route: Operation
) -> None:
    described = document[route.template][route.method]

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=described.as_strategy())
    def holds(case: schemathesis.Case) -> None:
        answer = case.call()
        # A 503 says when to ask again: the encoders of new items load for some seconds.
        left_out = REFUSALS if answer.status_code != 503 else [*REFUSALS, not_a_server_error]
        case.validate_response(answer, excluded_checks=left_out)

    holds()


def test_every_route_is_described_with_its_parameters_and_an_example() -> None:
    document = openapi.document(TABLE)
    described = {(method.upper(), path): told for path, methods in document["paths"].items() for method, told in methods.items()}
    assert set(described) == {(each.method, each.template) for each in TABLE}
    for (method, path), told in described.items():
        assert told["summary"], path
        assert {each["name"] for each in told["parameters"] if each["in"] == "path"} == set(openapi.path_names(path))
        assert ("requestBody" in told) == (method in ("POST", "PUT"))
        if "requestBody" in told:
            assert told["requestBody"]["content"]["application/json"]["example"]
    assert len({told["operationId"] for told in described.values()}) == len(TABLE)
