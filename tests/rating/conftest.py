"""What is sent again is sent again at once; the key of the tests is in the environment."""

import pytest
from rating_fakes import CANARY


@pytest.fixture(autouse=True)
def set_up(monkeypatch):
    monkeypatch.setattr("ds2.rating.loop.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("ds2.rating.chat._FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("TEST_KEY", CANARY)
