"""What those are told who write what another library takes, or misspell a name."""

import functools

import pytest

from distributed_computing import _hints
from distributed_computing._options import addresses
from distributed_computing.api import Pool, WorkerInterface


class Adder(WorkerInterface):
    def __init__(self, first=0, second=0):
        self.start = first + second

    def run(self, a, b):
        return self.start + a + b


class Idle:
    def rum(self, item):
        return item


def double(item):
    return 2 * item


@pytest.fixture
def pool(monkeypatch):
    """A pool without a connection: what is told before anything is sent."""
    pool = Pool.__new__(Pool)
    pool._client, pool._closed, pool._name = None, False, None
    return pool


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            lambda x: x,
            r"the function <lambda>: write a class .*Pool\(Worker, \.\.\.\)\n\nclass Worker:\n    def run\(",
        ),
        (double, r"(?s)not the function double: write a class.*return double\(item\)"),
        (functools.partial(double, 1), "not the function partial: write a class"),
        (len, "not the function len: write a class"),
        (Adder(), r"give the class, not an instance, Pool\(Adder, init_data, \.\.\.\)"),
        (4, r"must be a class, not 4: write Pool\(WorkerClass, init_data, 'PASSWORD', 'HOST'\)"),
        ("Adder", r"must be a class, not 'Adder': write Pool\(WorkerClass"),
        (Idle, r"has no method run: .*Did you mean that by rum\? Write def run\(self, item\)"),
    ],
)
def test_what_is_no_worker_class(wrong, text):
    with pytest.raises(TypeError, match=f"worker_class .*{text}" if wrong is Idle else text):
        Pool(wrong, None, "secret")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Pool(Adder), r"missing 2 required .*: write Pool\(WorkerClass, init_data, 'PASSWORD', 'HOST'\)"),
        (lambda: Pool(4), "missing 2 required .*: write Pool"),
        (lambda: Pool(Adder, None, "x", job_timout=5), "Pool has no option 'job_timout': did you mean job_timeout=\\?"),
        (lambda: Pool(Adder, None, "x", server_adress="a"), "did you mean server_address="),
        (
            lambda: Pool(Adder, None, "x", adress="a"),
            "no option 'adress': did you mean address=.? Then write server_address='HOST'",
        ),
        (lambda: Pool(Adder, None, "x", processes=4), r"uses every free slot.* start_node\(\.\.\., workers=4\)"),
        (lambda: Pool(Adder, None, "x", initargs=(1,)), r"init_data=\{'args': \[\.\.\.\]\}"),
        (
            lambda: Pool(Adder, None, "x", zebra=1, nmae="x"),
            "'zebra': there are .*'nmae': did you mean name=",
        ),
        (lambda: Pool.attach("n", "x", stael=True), "Pool.attach has no option 'stael': did you mean steal="),
        (lambda: Pool.attach("n"), r"write Pool.attach\('NAME', 'PASSWORD', 'HOST'\)"),
    ],
)
def test_a_pool_is_opened_with_wrong_options(call, text):
    with pytest.raises(TypeError, match=text):
        call()


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (
            [{"args": [1, 2]}],
            {},
            r"a list of items, and this is one item: write pool.METHOD\(\[\{'args': \[1, 2\]\}\]\)",
        ),
        ([{"kwargs": {"a": 1}, "key": "k"}], {}, "this is one item"),
        ([{"a": 1, "b": 2}], {}, r"pool.METHOD\(\[\{'kwargs': mapping\}\]\), .* keys pool.METHOD\(list\(mapping\)\)"),
        ([double], {}, "takes the items alone, not a function: run of the worker class"),
        ([double, [1]], {}, r"3 were given: write pool.METHOD\(items\): run of the worker class"),
        ([5], {}, r"items must be an iterable of jobs, not int: write pool.METHOD\(\[item\]\)"),
        (["text"], {}, "items must be an iterable of jobs, not str"),
        ([[1]], {"chunksize": 10}, "Pool.METHOD has no option 'chunksize': leave it out"),
        ([[1]], {"timeout": 1}, "has no option 'timeout'"),
        ([], {"iterable": [1]}, "has no option 'iterable': write the items first"),
    ],
)
def test_many_jobs_are_given_in_another_shape(pool, method, args, kwargs, text):
    with pytest.raises(TypeError, match=text.replace("METHOD", method)):
        getattr(pool, method)(*args, **kwargs)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("starmap", r"write pool.map\(\{'args': pair\} for pair in pairs\)"),
        ("apply_async", r"write future = pool.submit\(1, 2\)"),
        ("terminate", r"write pool.close\(\)"),
        ("join", "wait for the results"),
        ("sumbit", "no attribute 'sumbit'$"),
    ],
)
def test_a_method_of_another_pool(pool, name, text):
    with pytest.raises(AttributeError, match=text) as caught:
        getattr(pool, name)
    assert caught.value.name == name and not hasattr(pool, name)


def test_methods_look_as_they_did():
    assert str(_hints.inspect.signature(Pool.map)) == "(self, data: 'Iterable[Any]') -> 'list[Any]'"
    assert "password" in _hints.inspect.signature(Pool).parameters
    assert Pool.map.__qualname__ == "Pool.map" and "order of the items" in Pool.map.__doc__


def test_an_error_of_the_function_itself_is_left_alone():
    @_hints.explained("write f(1)", {})
    def f(x):
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="^of its own$"):
        f(1)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://127.0.0.1:45497", "127.0.0.1:45497"),
        ("https://host/", "host"),
        ("tcp://[::1]:8899", "[::1]:8899"),
        ("host:8899/status", "host:8899"),
        ("user@host", "host"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_a_url_as_address(url, meant, several):
    given = ["other", url] if several else url
    with pytest.raises(ValueError, match=f"server_address is .*{url[-4:]}.*write server_address=") as caught:
        addresses("server_address", given)
    assert f"server_address={meant!r}" in str(caught.value)


def test_a_password_in_a_url_is_not_shown():
    with pytest.raises(ValueError, match="'http://…@host:1'") as caught:
        addresses("server_address", "http://me:hush@host:1")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (((1, 2),), " (the item is one tuple, the single argument: for its parts write {'args': [1, 2]})"),
        (([1, 2],), " (the item is one list, the single argument: for its parts write {'args': [1, 2]})"),
        (({"args": [1, 2]},), " (the item is one dict, the single argument: submit takes the arguments themselves,"),
        (((1, 2, 3),), ""),
        (((),), ""),
        ((1,), ""),
        ((1, (2, 3)), ""),
        (({"a": 1, "b": 2},), ""),
    ],
)
def test_parts_of_the_single_argument_were_meant(args, hint):
    found = _hints.of_call(Adder().run, args, {}, "the item")
    assert found.startswith(hint) and bool(found) == bool(hint)


def test_parts_may_have_been_meant_where_the_argument_fits_too():
    def scale(item, factor=2):
        return item * factor

    hint = " (the item is one tuple, the single argument: if its parts were meant, write {'args': [1, 2]})"
    assert _hints.of_call(scale, ((1, 2),), {}, "the item") == hint
    assert _hints.of_call(scale, ((1,),), {}, "the item") == ""


def test_no_hint_where_the_argument_fits_or_nothing_can_be_known():
    assert _hints.of_call(double, ((1, 2),), {}, "the item") == ""
    assert _hints.of_call(dict, ((1, 2),), {}, "the item") == ""
    assert _hints.of_call(None, ((1, 2),), {}, "the item") == ""


def test_a_function_as_first_argument_as_executors_have_it():
    assert "submit takes the arguments of run alone" in _hints.of_call(lambda x: x, (len, [1]), {}, "the job")
    assert _hints.of_call(lambda x: x, ([1], len), {}, "the job") == ""
