"""Every worker its own GPU: real nodes on devices that a stand-in for NVIDIA's library tells of, and on a tree like
AMD's; the masks are read inside the workers."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from conftest import BIN, alive, wait_until
from distributed_computing import api
from distributed_computing.api import NoSuitableDevice, Pool, WorkerDied
from fake_gpus import LIBRARY, MEMORY_MIB, Cards, Looker, Victim, WaitsForFile


@pytest.fixture
def cards(tmp_path, monkeypatch):
    assert LIBRARY.exists(), "build first: make build"
    made = Cards(tmp_path / "nvml").write()
    monkeypatch.setenv("FAKE_NVML_FILE", str(made.file))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_NVML", str(LIBRARY))
    monkeypatch.setenv("DISTRIBUTED_COMPUTING_SYSFS", str(tmp_path / "sys"))
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    return made


def start_node(cluster, *options, name="node"):
    """Start a node with its own idea of how many slots it has, and wait until the head knows it."""
    process = cluster.start(name, *options)
    wait_until(lambda: any(n["pid"] == process.pid for n in cluster.nodes()), f"{name} has joined")
    return process


def slots(cluster):
    return [slot for node in cluster.nodes() for slot in node["slots"]]


def slot_of(cluster, gpu):
    return next(slot for slot in slots(cluster) if slot["gpu"] == gpu)


def masks(pool, count):
    """Return what `count` workers see, one job on each."""
    pool.wait_for_workers(count, 60)
    looks = pool.map([0.5] * count)
    assert len({look["pid"] for look in looks}) == count, "each job ran on a worker of its own"
    return looks


def test_eight_devices_are_eight_workers_with_one_each(cluster, pool_arguments, cards, monkeypatch):
    monkeypatch.setenv("ZE_AFFINITY_MASK", "0.1")
    cards.add(8)
    cards.change("GPU-3aaa", memory=5000)
    cluster.head()
    start_node(cluster)
    shown = slots(cluster)
    assert [slot["gpu"] for slot in shown] == cards.uuids
    assert [slot["gpu_memory_mib"] for slot in shown] == [5000 if i == 3 else MEMORY_MIB for i in range(8)]
    with Pool(Looker, None, *pool_arguments) as pool:
        looks = masks(pool, 8)
    assert sorted(look["CUDA_VISIBLE_DEVICES"] for look in looks) == sorted(cards.uuids)
    assert {look["CUDA_DEVICE_ORDER"] for look in looks} == {"PCI_BUS_ID"}
    assert {look["ZE_AFFINITY_MASK"] for look in looks} == {"0.1"}


def test_an_outer_mask_is_honoured_in_the_order_of_pci_addresses(cluster, pool_arguments, cards, monkeypatch):
    cards.add(8)
    for number, uuid in enumerate(cards.uuids):
        cards.change(uuid, pci=f"0000:{8 - number:02x}:00.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments) as pool:
        seen = {look["CUDA_VISIBLE_DEVICES"] for look in masks(pool, 2)}
    assert seen == {"GPU-5aaa", "GPU-2aaa"}
    assert len(slots(cluster)) == 2


def test_seven_slices_are_seven_workers(cluster, pool_arguments, cards):
    cards.add(1, mig=1)
    cards.instances = [f"mig GPU-0aaa MIG-{i}bbb memory=4864 place={i}/0 name=A100_MIG_1g.5gb" for i in range(7)]
    cards.write()
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments, device="gpu") as pool:
        looks = masks(pool, 7)
    assert sorted(look["CUDA_VISIBLE_DEVICES"] for look in looks) == [f"MIG-{i}bbb" for i in range(7)]
    assert {slot["device"] for slot in slots(cluster)} == {"A100 MIG 1g.5gb"}


def test_options_choose(cluster, pool_arguments, cards):
    cards.add(4)
    cluster.head()
    options = ["--gpus", "3,GPU-0,1", "--exclude-gpus", "GPU-0aaa", "--max-gpus", "1", "--workers-per-gpu", "2"]
    start_node(cluster, *options)
    with Pool(Looker, None, *pool_arguments) as pool:
        assert [look["CUDA_VISIBLE_DEVICES"] for look in masks(pool, 2)] == ["GPU-3aaa"] * 2


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--gpus", "7"], 2, "--gpus names the GPU 7, which is not here: there are 0 (Fake A100, GPU-0aaa)"),
        (["--gpus", "all"], 2, "for a number of GPUs use --max-gpus"),
        (["--exclude-gpus", "GPU-x"], 2, "--exclude-gpus names the GPU GPU-x"),
        (["--workers-per-gpu", "0"], 2, "--workers-per-gpu"),
    ],
)
def test_wrong_options_are_explained(cluster, cards, options, code, words):
    cards.add(2)
    process = cluster.start("node", *options)
    assert process.wait(30) == code
    assert words in cluster.log("node")


def test_without_a_gpu_there_is_a_slot_for_each_core(cluster, pool_arguments, cards):
    cluster.head()
    start_node(cluster)
    assert len(slots(cluster)) == len(os.sched_getaffinity(0))
    assert {slot["gpu"] for slot in slots(cluster)} == {None}


def test_gpus_may_be_left_out_and_are_hidden_then(cluster, pool_arguments, cards):
    cards.add(2)
    cluster.head()
    start_node(cluster, "--gpus", "none", "--workers", "2")
    with Pool(Looker, None, *pool_arguments, device="cpu") as pool:
        assert [look["CUDA_VISIBLE_DEVICES"] for look in masks(pool, 2)] == ["", ""]
    with Pool(Looker, None, *pool_arguments, device="gpu") as pool, pytest.raises(NoSuitableDevice):
        pool.map([0])


def test_a_worker_of_several_gpus_sees_them_all(cluster, pool_arguments, cards):
    cards.add(4)
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments, gpus_per_worker=2) as pool:
        seen = [look["CUDA_VISIBLE_DEVICES"].split(",") for look in masks(pool, 2)]
    assert sorted(seen[0] + seen[1]) == cards.uuids


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_workers_run_near_their_card(cluster, pool_arguments, cards):
    near = max(os.sched_getaffinity(0))
    cards.add(1, cpus=near)
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments) as pool:
        assert masks(pool, 1)[0]["affinity"] == [near]
    cluster.processes["node"].send_signal(signal.SIGINT)
    assert cluster.processes["node"].wait(20) == 0
    start_node(cluster, "--no-affinity", name="other")
    with Pool(Looker, None, *pool_arguments) as pool:
        assert masks(pool, 1)[0]["affinity"] == sorted(os.sched_getaffinity(0))


def test_cards_of_amd(cluster, pool_arguments, cards, tmp_path):
    def put(file, text):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(f"{text}\n")

    put("dev/kfd", "")
    for number, (identity, gigabytes) in enumerate(((0xAA, 64), (0, 0.5), (0xBB, 64))):
        facts = {"simd_count": 416, "location_id": (number + 1) << 8, "drm_render_minor": 128, "unique_id": identity}
        node = "\n".join(f"{name} {value}" for name, value in facts.items())
        put(f"sys/class/kfd/kfd/topology/nodes/{number}/properties", node)
        device = f"sys/bus/pci/devices/0000:0{number + 1}:00.0"
        put(f"{device}/mem_info_vram_total", int(gigabytes * 2**30))
        put(f"{device}/product_name", "MI250")
    put("dev/dri/renderD128", "")
    cluster.head()
    start_node(cluster)
    assert {slot["device"] for slot in slots(cluster)} == {"MI250"}
    assert "0000:02:00.0 is taken for the graphics inside of the processor" in cluster.log("node")
    with Pool(Looker, None, *pool_arguments) as pool:
        looks = masks(pool, 2)
    seen = sorted(look["ROCR_VISIBLE_DEVICES"] for look in looks)
    assert seen == ["GPU-00000000000000aa", "GPU-00000000000000bb"]
    assert {look["CUDA_VISIBLE_DEVICES"] for look in looks} == {None}


def test_python_takes_the_options_too(cluster, pool_arguments, cards, monkeypatch):
    cards.add(4)
    cluster.head()
    with pytest.raises(TypeError, match="for a number of GPUs use max_gpus"):
        api.start_node(cluster.password, port=cluster.port, gpus=2)
    with pytest.raises(api.DistributedComputingError, match="--gpus names the GPU 9"):
        api.start_node(cluster.password, port=cluster.port, gpus=[9])
    chosen = {"gpus": [1, "GPU-2", 3], "exclude_gpus": ["3"], "max_gpus": 2, "workers_per_gpu": 2, "affinity": False}
    terminate, _ = api.start_node(cluster.password, port=cluster.port, **chosen)
    try:
        wait_until(lambda: len(slots(cluster)) == 4, "the node has joined")
        assert [slot["gpu"] for slot in slots(cluster)] == ["GPU-1aaa", "GPU-2aaa"] * 2
    finally:
        terminate()


def test_a_card_whose_memory_is_not_known_is_not_called_full(cluster, cards):
    cards.add(1)
    cards.say("fail nvmlDeviceGetMemoryInfo 999")
    cluster.head()
    start_node(cluster)
    table = subprocess.run(
        [BIN / "distributed-computing", "status", "-p", str(cluster.port)],
        env=cluster.environment("head"),
        capture_output=True,
        text=True,
    ).stdout
    assert "        GPU-0aaa, memory not known\n" in table
    assert "1 slot on Fake A100 (GPU-0aaa), memory not known\n" in cluster.log("node")


# --- What happens to devices ------------------------------------------------------------------------------------


def test_a_card_held_by_a_stranger_waits_and_joins(cluster, pool_arguments, cards, capfd):
    cards.add(2)
    cards.change("GPU-1aaa", used=9000)
    cards.say(f"process GPU-1aaa {os.getpid()} memory=9000 name=colleague")
    cluster.head()
    start_node(cluster)
    held = f"held by colleague (pid {os.getpid()}, 9000 MiB)"
    assert wait_until(lambda: slot_of(cluster, "GPU-1aaa")["trouble"], "the trouble is told") == held
    with Pool(Looker, None, *pool_arguments) as pool:
        assert {look["CUDA_VISIBLE_DEVICES"] for look in pool.map([0.05] * 20)} == {"GPU-0aaa"}
    err = []
    with ThreadPoolExecutor() as executor:
        opening = executor.submit(Pool, Looker, None, *pool_arguments, min_workers=2)
        wait_until(lambda: err.append(capfd.readouterr().err) or held in "".join(err), "the client says who holds it")
        assert not opening.done()
        cards.change("GPU-1aaa", used=0)
        cards.say()
    with opening.result(30) as pool:
        assert len({look["CUDA_VISIBLE_DEVICES"] for look in masks(pool, 2)}) == 2
    assert slot_of(cluster, "GPU-1aaa")["trouble"] is None


def test_more_memory_than_any_card_has_is_an_error_that_lists_them(cluster, pool_arguments, cards):
    cards.add(2)
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments, min_gpu_memory_required=MEMORY_MIB + 1) as pool:
        with pytest.raises(NoSuitableDevice, match=f"2 x Fake A100 with {MEMORY_MIB} MiB"):
            pool.map([0])


def test_a_slot_waits_until_the_memory_of_its_dead_worker_is_back(cluster, pool_arguments, cards):
    cards.add(1)
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments) as pool:
        (look,) = masks(pool, 1)
        cards.change("GPU-0aaa", used=6000)
        cards.say(f"process GPU-0aaa {look['pid']} memory=6000 name=python")
        running = pool.submit(60)
        wait_until(lambda: cluster.worker_pids("busy"), "the job runs")
        os.kill(look["pid"], signal.SIGKILL)
        cards.say()
        trouble = wait_until(lambda: slot_of(cluster, "GPU-0aaa")["trouble"], "the slot waits")
        assert trouble == "6000 MiB not yet back after the end of a worker"
        wait_until(lambda: slot_of(cluster, "GPU-0aaa")["state"] == "blocked", "nobody is there")
        cards.change("GPU-0aaa", used=0)
        pid = wait_until(lambda: cluster.worker_pids("busy"), "the job runs again")[0]
        assert pid != look["pid"]
        assert slot_of(cluster, "GPU-0aaa")["trouble"] is None
        assert not running.done()


def test_a_dead_worker_tells_what_it_held_and_what_the_driver_reported(cluster, pool_arguments, cards):
    cards.add(1)
    cluster.head()
    start_node(cluster)
    with Pool(Victim, None, *pool_arguments, max_retries=1) as pool:
        pool.wait_for_workers(1, 30)
        pid = cluster.worker_pids()[0]
        cards.change("GPU-0aaa", used=8000)
        stranger = f"process GPU-0aaa {os.getpid()} memory=1000 name=colleague"
        cards.say(f"process GPU-0aaa {pid} memory=7000", stranger)
        # What the stranger took shows that the node has looked.
        wait_until(lambda: slot_of(cluster, "GPU-0aaa")["gpu_memory_free_mib"] == 9000, "the node has looked")
        cards.change("GPU-0aaa", used=1000)
        cards.say(stranger, "xid GPU-0aaa 31")
        with pytest.raises(WorkerDied) as caught:
            pool.submit("die").result(30)
        words = "on Fake A100 (GPU-0aaa), where it held 7000 of 10000 MiB, of which the driver reported Xid 31"
        assert words in str(caught.value)
        assert pool.submit("fine").result(60) == ("fine", "GPU-0aaa")


def test_a_device_lost_in_mid_map_costs_one_retry(cluster, pool_arguments, cards, tmp_path):
    cards.add(2)
    cluster.head()
    start_node(cluster)
    file = tmp_path / "go"
    with Pool(WaitsForFile, None, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        jobs = [pool.submit(i, str(file)) for i in range(20)]
        wait_until(lambda: len(cluster.worker_pids("busy")) == 2, "both work")
        doomed = slot_of(cluster, "GPU-1aaa")["worker_pid"]
        cards.change("GPU-1aaa", lost=1)
        wait_until(lambda: not alive(doomed), "its worker is ended")
        file.touch()
        assert [job.result(30)[0] for job in jobs] == list(range(20))
        trouble = wait_until(lambda: slot_of(cluster, "GPU-1aaa")["trouble"], "the loss is told")
        assert trouble == "lost: GPU is lost (NVML error 15)"
        assert cluster.status()["pools"][0]["jobs_rerun"] == 1
        cards.restore("GPU-1aaa", "lost")
        pool.wait_for_workers(2, 30)
    assert cluster.log("node").count("joined the head") == 1


def test_a_driver_that_hangs_stalls_nobody(cluster, pool_arguments, cards):
    cards.add(2)
    cluster.head()
    start_node(cluster)
    with Pool(Looker, None, *pool_arguments) as pool:
        pool.wait_for_workers(2, 30)
        cards.say("hang nvmlDeviceGetMemoryInfo")
        wait_until(lambda: "has not answered for" in cluster.log("node"), "the operator is told", 40)
        # Longer than a silent node would be kept.
        jobs = [pool.submit(0.2) for _ in range(10)]
        assert not wait(jobs, 30).not_done
        (node,) = cluster.nodes()
        assert node["connected"]
        assert cluster.log("node").count("joined the head") == 1
        cards.say()
        wait_until(lambda: "answers again" in cluster.log("node"), "it is back")


def test_a_driver_that_hangs_at_the_start_is_not_waited_for(cluster, cards):
    cards.add(2)
    cards.say("hang nvmlInit_v2")
    cluster.head()
    started = time.monotonic()
    process = start_node(cluster)
    assert time.monotonic() - started < 25
    assert "the GPU driver has not answered within 15 s" in cluster.log("node")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0, "it ends all the same"
    process = cluster.start("other")
    wait_until(lambda: (cluster.root / "other/run/node.json").exists(), "the other one waits for the driver")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0, "long before the driver's time is over"
