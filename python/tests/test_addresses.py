"""Addresses and keys of heads as a user gives them."""

import pytest

from distributed_computing import _options

KEY = "sha256:" + "A" * 43


def test_one_address_or_several():
    assert _options.addresses("server_address", "a") == "a"
    assert _options.addresses("server_address", "a,b:8900") == "a,b:8900"
    assert _options.addresses("server_address", ["a", "[::1]:8900"]) == "a,[::1]:8900"
    assert _options.addresses("server_address", ("a",)) == "a"


@pytest.mark.parametrize("wrong", [None, "", [], [""], [1], 5, {"a": 1}])
def test_anything_else_is_named(wrong):
    with pytest.raises(TypeError, match="server_address must be a host name or an address, or a list of them, not"):
        _options.addresses("server_address", wrong)


def test_one_key_or_several():
    assert _options.fingerprint(None) == ""
    assert _options.fingerprint(KEY) == KEY
    assert _options.fingerprint(f"{KEY},{KEY}") == _options.fingerprint([KEY, KEY]) == f"{KEY},{KEY}"


@pytest.mark.parametrize("wrong", ["", "sha256:short", f"{KEY},", [], [KEY, None], 5])
def test_a_key_of_another_form_is_refused(wrong):
    with pytest.raises(ValueError, match="fingerprint must be 'sha256:' and 43 characters"):
        _options.fingerprint(wrong)
