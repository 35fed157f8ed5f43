"""What may be asked of pools with a name: names, keys, and what only they can do. No head is needed."""

import pytest

from distributed_computing._named import checked_key, checked_name, pool_status, split_key
from distributed_computing.api import Pool, PoolNotFound
from distributed_computing.iterators import pickled_item


class Worker:
    def run(self, x):
        return x


@pytest.mark.parametrize("name", ["sweep-1", "Größe 2", "x" * 200])
def test_names(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", ValueError, "1 to 200 bytes"),
        ("ö" * 101, ValueError, "1 to 200 bytes"),
        ("a\nb", ValueError, "no control characters"),
        (7, TypeError, "name must be a string, not int"),
    ],
)
def test_what_cannot_be_a_name_is_refused_before_anything_is_sent(name, error, message):
    with pytest.raises(error, match=message):
        Pool(Worker, None, "secret", server_port=1, name=name)
    with pytest.raises(error, match=message):
        Pool.attach(name, "secret", server_port=1)


def test_steal_needs_a_name():
    with pytest.raises(ValueError, match="steal=True needs the name of a pool"):
        Pool(Worker, None, "secret", server_port=1, steal=True)


@pytest.mark.parametrize("weight", [0, 0.001, -1, 1e9, float("nan"), "1"])
def test_a_weight_is_within_bounds(weight):
    with pytest.raises(ValueError, match="weight must be a number from 0.01 to 100"):
        Pool(Worker, None, "secret", server_port=1, weight=weight)


def test_an_items_key_is_taken_off():
    assert split_key({"args": [1], "key": "a"}, "item 0") == ({"args": [1]}, "a")
    assert split_key({"args": [1]}, "item 0") == ({"args": [1]}, "")
    assert split_key(7, "item 0") == (7, "")


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (7, TypeError, "item 3: a key must be a string, not int"),
        ("", ValueError, "item 3: a key must have 1 to 1024 bytes, this one has 0"),
        ("ö" * 513, ValueError, "this one has 1026"),
    ],
)
def test_what_cannot_be_a_key(key, error, message):
    with pytest.raises(error, match=message):
        checked_key(key, "item 3")


def test_a_key_without_a_named_pool_says_what_is_missing():
    with pytest.raises(TypeError, match="item 3 has a 'key', and this pool has no name: only a pool with a name"):
        pickled_item({"args": [1], "key": "a"}, "item 3")
    with pytest.raises(TypeError, match="unknown key 'argz'"):
        pickled_item({"argz": [1]}, "item 3")


def test_the_status_of_one_pool():
    text = '{"pools": [{"name": null, "workers": 1}, {"name": "sweep", "workers": 2}]}'
    assert pool_status(text, "sweep") == {"name": "sweep", "workers": 2}
    with pytest.raises(PoolNotFound, match="no pool named 'other'"):
        pool_status(text, "other")
