"""What workers print is shown at the node, line by line with host and slot, and at the client on request."""

import re

from conftest import wait_until
from distributed_computing.api import Pool
from workers import Hostile


def test_output_is_shown_at_the_node_and_on_request_at_the_client(cluster, pool_arguments, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments, show_output=True) as pool:
        pool.submit("prints", "one\ntwo\n").result(30)
        seen = ""

        def both():
            nonlocal seen
            seen += capfd.readouterr().err
            return re.search(r"\[\S+/0\] one\n\[\S+/0\] two\n", seen)

        wait_until(both, "the client shows the lines")
    wait_until(lambda: re.search(r"\[\S+/0\] one\n\[\S+/0\] two\n", cluster.log("node")), "the node shows them too")


def test_without_request_the_client_shows_nothing(cluster, pool_arguments, capfd):
    cluster.head()
    cluster.node(workers=1)
    with Pool(Hostile, None, *pool_arguments) as pool:
        pool.submit("prints", "hidden\n").result(30)
        wait_until(lambda: "hidden" in cluster.log("node"), "the node shows it")
    assert "hidden" not in capfd.readouterr().err
