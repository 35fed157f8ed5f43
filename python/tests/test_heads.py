"""What the functions that start heads refuse, before anything is started."""

import pytest

from distributed_computing.api import start_head_node, start_server


@pytest.mark.parametrize("start", [start_server, start_head_node])
def test_a_port_that_nobody_would_learn_of_is_refused(start, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="start_node --head -p 0"):
        start("password", 0)
    with pytest.raises(ValueError, match="port must be between 1 and 65535"):
        start("password", 65536)
    with pytest.raises(TypeError, match="port must be a whole number"):
        start("password", "8899")
    assert list(tmp_path.iterdir()) == []
