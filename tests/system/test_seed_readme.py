"""The README that this project grew from, typed to the letter, on one machine without a GPU."""

import re
import subprocess
import sys

from conftest import run_script, wait_until

SCRIPT = """
import sys
from distributed_computing.api import WorkerInterface, Pool

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
prepared = []
download_dataset = preprocess_dataset = do_heavy_work = lambda: prepared.append(1)
network = {}
def train_network(parameter_1, parameter_2): network['score'] = parameter_1 * parameter_2
def evaluate_network(parameter_3): return network['score'] + (parameter_3 or 0)
cache = []
update_cache = cache.append

class WorkerClass(WorkerInterface):
    def __init__(self, init_data):
        # Heavy preparation work is done here (once for each worker)
        download_dataset()
        preprocess_dataset()
        do_heavy_work()

    def run(parameter_1, parameter_2, parameter_3=None):
        # The worker is done here
        train_network(parameter_1, parameter_2)
        result = evaluate_network(parameter_3)

        return result

    def handle_update(self, cache_update):
        # Handle updates sent by the pool owner
        update_cache(cache_update)

init_data = 'digits'
parameter_sets = [{'args': [i, 2], 'kwargs': {'parameter_3': 1}} for i in range(50)]

with Pool(WorkerClass, {'args': [init_data]}, '123456', ADDRESS, PORT) as p:
    results = p.map(parameter_sets)
assert results == [2 * i + 1 for i in range(50)], results

results = []

with Pool(WorkerClass, {'args': [init_data]}, '123456', ADDRESS, PORT) as p:
    for result in p.imap_unordered(parameter_sets):
        results.append(result)
        p.update_workers(result)
assert sorted(results) == [2 * i + 1 for i in range(50)], results
print('as promised')
"""


def test_the_readme_works_to_the_letter(cluster):
    cluster.password = "123456"
    head = cluster.start("head", "--head", "--password=123456", "--workers", "2")
    banner = wait_until(
        lambda: re.search(r"\*{90}\nTo start a worker node, type:\n(start_node .*)\n\*{90}\n", cluster.log("head")),
        "the banner is there",
    )
    # The banner's own line, and the seed's without a fingerprint, typed in other homes (as on other machines).
    line = banner[1].split()
    assert line[:3] == ["start_node", "-p", str(cluster.port)] and line[3] == "-a"
    assert line[5:8] == ["-r", "123456", "--fingerprint"] and line[8].startswith("sha256:")
    wait_until(lambda: len(cluster.nodes()) == 1, "the head's own node has joined")
    cluster.start("node-b", *line[3:], "--workers", "2")
    cluster.start("node-c", "-a", "localhost", "-r", "123456", "--workers", "2")
    wait_until(lambda: len(cluster.nodes()) == 3, "two more nodes have joined")
    done = run_script(cluster, SCRIPT, "localhost", str(cluster.port))
    assert done.returncode == 0, done.stderr
    assert "as promised" in done.stdout
    assert head.poll() is None


def test_the_banners_address_works_on_this_machine(cluster):
    cluster.password = "123456"
    cluster.start("head", "--head", "--password=123456", "--workers", "1")
    address = wait_until(lambda: re.search(r"-a (\S+) -r", cluster.log("head")), "the banner is there")[1]
    wait_until(lambda: len(cluster.nodes()) == 1, "the node has joined")
    done = run_script(cluster, SCRIPT, address, str(cluster.port))
    assert done.returncode == 0, done.stderr


def test_a_script_that_starts_everything_itself(cluster):
    script = f"""
from distributed_computing.api import *
class Worker(WorkerInterface):
    def __init__(self): self.best = None
    def run(self, x): return x * x
    def handle_update(self, result): self.best = result
if __name__ == '__main__':
    terminate, wait = start_head_node('secret', {cluster.port}, workers=2)
    assert is_server_running() and is_client_running()
    with Pool(Worker, None, 'secret', server_port={cluster.port}) as pool:
        pool.wait_for_workers(2, timeout=30)
        results = []
        for result in pool.imap_unordered([{{'args': [i]}} for i in range(100)]):
            results.append(result)
            pool.update_workers(result)
        assert sorted(results) == sorted(i * i for i in range(100))
        assert pool.get_nodes_count() == 1 and pool.get_workers_count() == 2
    terminate()
    assert wait() == 0
    assert not is_server_running() and not is_client_running()
    print('fine')
"""
    done = run_script(cluster, script)
    assert done.stdout == "fine\n" and done.returncode == 0, done.stderr


def test_server_and_node_apart(cluster):
    script = f"""
from distributed_computing.api import *
stop_server, wait_server = start_server('secret', {cluster.port})
stop_node, wait_node = start_node('secret', port={cluster.port}, workers=1)
again, wait_again = start_node('secret', port={cluster.port})
assert wait_again() == 0
again()
try:
    start_server('secret', {cluster.port})
except OSError as error:
    print('refused:', error)
stop_node()
stop_server()
"""
    done = run_script(cluster, script)
    assert "refused:" in done.stdout and "already runs" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def test_python_m_is_not_needed(cluster):
    assert subprocess.run([sys.executable, "-c", "import distributed_computing.api"]).returncode == 0
