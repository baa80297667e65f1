import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.endpoints import (
    address_of,
    clean,
    connection,
    is_openai,
    public_address,
    read_key,
    sealed,
)
from ds2.errors import InputError

ELSEWHERE = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("address", "own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1/", True),
        ("http://api.openai.com/v1", False),  # in the clear
        ("https://api.openai.com.example.org/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://api.openai.com@example.org/v1", False),
        ("https://example.org/api.openai.com", False),
        (ELSEWHERE, False),
    ],
)
def test_the_default_key_is_for_openai_alone(monkeypatch, address, own):
    monkeypatch.setenv("OPENAI_API_KEY", "the key")
    assert is_openai(address) is own
    assert read_key(None, address, "A rater") == ("the key" if own else "")
    assert read_key("OPENAI_API_KEY", address, "A rater") == "the key", "named, so meant"


@pytest.mark.parametrize("address", [None, ELSEWHERE])
def test_a_variable_that_is_named_must_be_set(monkeypatch, address):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(InputError, match=r"A rater needs a key and .* 'MY_KEY' is not set"):
        read_key("MY_KEY", address, "A rater")


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_nothing_of_the_account_is_sent_elsewhere(monkeypatch, kind):
    secrets = {
        "OPENAI_ORG_ID": "org-canary",
        "OPENAI_PROJECT_ID": "project-canary",
        "OPENAI_ADMIN_KEY": "admin-canary",
        "OPENAI_CUSTOM_HEADERS": "X-Own: header-canary",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    client = sealed(kind(api_key="none", base_url=ELSEWHERE), ELSEWHERE)
    assert "canary" not in str(client.default_headers)
    own = sealed(kind(api_key="none", base_url="https://api.openai.com/v1"), None)
    assert "org-canary" in str(own.default_headers)


@pytest.mark.parametrize("wrong", ["localhost:8000/v1", "ftp://host/v1", "", "http://", "/v1"])
def test_what_is_no_address_is_refused(wrong):
    with pytest.raises(InputError, match=r"must be an address that begins with http://"):
        address_of(wrong)
    assert address_of(None) == "https://api.openai.com/v1"


@pytest.mark.parametrize("start", ["", "//", "https:/", " https://", "https://a@"])
def test_an_address_that_is_refused_shows_no_user(start):
    with pytest.raises(InputError, match=r"host/v1'") as caught:
        address_of(f"{start}bob:s3/cret@host/v1")
    assert "bob" not in str(caught.value)
    assert "cret" not in str(caught.value)
    assert address_of("https://host/v1/models/m@1") == "https://host/v1/models/m@1"


@pytest.mark.parametrize("key", ["“sk-abcdefgh”", "sk-abc\ndef", "sk-abcdéf"])
def test_a_key_that_no_header_takes_is_said_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(InputError, match="'MY_KEY' holds the character") as caught:
        read_key("MY_KEY", ELSEWHERE, "A rater")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_read_is_said(monkeypatch, tmp_path, text):
    path = tmp_path / "own.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for address in (None, "https://localhost:1/v1", "http://host/v1"):
        with pytest.raises(InputError, match=r"own\.pem' that .* SSL_CERT_FILE names cannot be"):
            connection(address)
    assert "verify" not in connection(ELSEWHERE)


def test_an_address_is_shown_without_credentials():
    shown = public_address("https://user:secret@host.example:8000/v1/?key=secret#x")
    assert shown == "https://host.example:8000/v1"


@pytest.mark.parametrize(
    "address", ["http://bob:s3cret@host:1", "socks5://s3cret@host", "x://bob:s3@cret@host/a@b"]
)
def test_a_message_is_shown_without_the_users_of_its_addresses(address):
    said = clean(f"407, url='{address}' (see https://host/s@x) {address}", "")
    assert "s3" not in said
    assert "cret" not in said
    assert said.count("://***@host") == 2
    assert "https://host/s@x" in said


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.text("abcXYZ-123", min_size=12))
def test_no_text_keeps_the_key(text, key):
    for told in (text + key, key + text, f"{text} {key[:8]}…{key[-5:]} {text}"):
        assert key not in clean(told, key)
