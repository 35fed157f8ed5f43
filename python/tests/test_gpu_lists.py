"""How start_node(gpus=…) becomes an option of the command."""

import pytest

from distributed_computing._command_options import gpu_list


@pytest.mark.parametrize(
    ("value", "option"),
    [
        (None, None),
        ("0,2", "0,2"),
        ("none", "none"),
        ([0, 2], "0,2"),
        ((1, "GPU-5c", "0:1"), "1,GPU-5c,0:1"),
        ([], "none"),
    ],
)
def test_a_list_is_written_as_the_command_takes_it(value, option):
    assert gpu_list("gpus", value) == option


def test_an_empty_list_of_exclusions_excludes_none():
    assert gpu_list("exclude_gpus", []) is None


@pytest.mark.parametrize("value", [2, True, [True], [0, False], [1.5], {0: 1}, [None]])
def test_what_is_no_list_of_gpus_is_refused(value):
    with pytest.raises(TypeError, match="gpus is .*such as \\[0, 2\\]; for a number of GPUs use max_gpus"):
        gpu_list("gpus", value)
