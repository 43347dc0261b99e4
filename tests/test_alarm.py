"""A webhook hears of a night that went wrong, and one that fails ends no run."""

import pytest
from webhook import Hook

from flows.alarm import WEBHOOK, tell


def test_it_is_told_in_words(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEBHOOK, hook.address)
    tell("train failed: GateFailed", flow="train")
    assert hook.told == [{"text": "train failed: GateFailed", "flow": "train"}]


def test_without_a_webhook_nobody_is_told(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    tell("train failed", flow="train")
    assert hook.told == []


@pytest.mark.parametrize(("status", "says"), [(500, "answered 500"), (302, "answered 302")])
def test_one_that_refuses_is_told_in_the_log_without_its_address(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, says: str
) -> None:
    hook.status = status
    monkeypatch.setenv(WEBHOOK, hook.address)
    tell("train failed", flow="train")
    (record,) = [each.getMessage() for each in caplog.records if each.name == "flows.alarm"]
    assert record == f"The webhook of {WEBHOOK} {says}: nobody was told."


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/secret", "no address", "http://[secret"])
def test_one_that_is_not_there_is_told_in_the_log_and_ends_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(WEBHOOK, address)
    tell("train failed", flow="train")
    (record,) = [each.getMessage() for each in caplog.records if each.name == "flows.alarm"]
    assert record.startswith(f"The webhook of {WEBHOOK} cannot be reached")
    assert "secret" not in record
