"""The sandbox, by what jobs in it can and can't do."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from craft import sandbox
from craft.exceptions import ConflictError, InvalidError, UnavailableError
from craft.sandbox import JobFailedError, Limits, OverLimitError, confinement

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own walls")
MB = 1024 * 1024
PROJECT = Path(__file__).resolve().parents[2]


def run(name, payload=None, **kwargs):
    return sandbox.run(f"tests.craft.sandbox_jobs.{name}", payload, **kwargs)


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def eventually(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


# --- Results ---


@pytest.mark.parametrize("value", [None, 1, 1.5, "ü", [1, [2]], {"a": {"b": None}}])
def test_json_goes_in_and_comes_out(value):
    assert run("echo", value) == value


def test_a_large_payload_and_result_pass():
    text = "x" * (5 * MB)
    assert run("echo", text) == text


def test_a_domain_error_of_a_job_is_raised_here_by_its_kind():
    with pytest.raises(ConflictError) as caught:
        run("refuse", raises=[ConflictError])
    assert caught.value.message == "It is taken."
    assert caught.value.details == {"name": "taken"}


def test_a_kind_that_was_not_announced_becomes_invalid():
    with pytest.raises(InvalidError, match="It is taken"):
        run("refuse")


def test_a_bug_in_a_job_is_a_fault_of_ours_with_its_traceback():
    with pytest.raises(JobFailedError, match="ZeroDivisionError: a bug"):
        run("fail")


def test_a_job_that_is_not_there_is_a_fault_of_ours():
    with pytest.raises(JobFailedError, match="nothing_like_it"):
        run("nothing_like_it")


def test_what_jobs_need_can_be_loaded_ahead():
    sandbox.warm_up("tests.craft.sandbox_jobs.echo")
    assert run("echo", "warm") == "warm"


def test_a_job_with_a_rehearsal_gets_a_child_that_is_ready_and_its_own():
    def who():
        return sandbox.run("tests.craft.rehearsed_jobs.who", None)

    found = [who()]
    assert found[0]["rehearsed_in"] == []
    assert eventually(lambda: found.append(who()) or found[-1]["rehearsed_in"])
    assert found[-1]["rehearsed_in"] == [found[-1]["pid"]]
    assert len({child["pid"] for child in found}) == len(found)


# --- Surroundings ---


def test_a_job_finds_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("CRAFT_SECRET_KEY", "canary")
    found = run("surroundings")
    assert "canary" not in json.dumps(found)
    assert set(found["environment"]) <= {"LANG", "PATH", "LC_CTYPE"}
    assert found["folder"] == []
    assert found["django"] is False
    assert found["group"] == found["pid"] != os.getpgid(0)
    assert found["core"] == [0, 0]
    assert not Path(found["cwd"]).exists()


def test_each_job_has_a_process_of_its_own():
    pids = {run("surroundings")["pid"] for _ in range(3)}
    assert len(pids) == 3


def test_a_job_writes_its_folder_and_what_it_left_is_there(tmp_path):
    assert run("write", {"path": "made", "text": "x"}, folder=tmp_path) == 1
    assert (tmp_path / "made").read_text() == "x"


@on_linux
def test_a_job_reads_what_it_was_given_and_nothing_else(tmp_path):
    (tmp_path / "given").write_text("given")
    (tmp_path / "canary").write_text("canary")
    assert (
        run("read", str(tmp_path / "given"), readable=[tmp_path / "given"]) == "given"
    )
    for path in (
        tmp_path / "canary",
        "/etc/passwd",
        "/proc/self/environ",
        f"/proc/{os.getpid()}/environ",
        PROJECT / "manage.py",
        "/proc/1/root/etc/passwd",
    ):
        with pytest.raises(JobFailedError, match=r"Permission|FileNotFound"):
            run("read", str(path), readable=[tmp_path / "given"])


@on_linux
def test_a_job_writes_nowhere_else(tmp_path):
    target = tmp_path / "evil"
    for readable in ([], [tmp_path]):
        with pytest.raises(JobFailedError, match="Permission"):
            run("write", {"path": str(target), "text": "x"}, readable=readable)
    assert not target.exists()


@on_linux
def test_a_job_has_no_network():
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        assert run("connect", canary.getsockname()) == "PermissionError"
        with pytest.raises(TimeoutError):
            canary.accept()


@on_linux
def test_the_zygote_has_left_our_network():
    run("echo")
    zygote = sandbox._zygote().process.pid
    ours, its = (
        Path(f"/proc/{pid}/ns/net").readlink() for pid in (os.getpid(), zygote)
    )
    if its == ours:
        pytest.skip("this kernel lets us make no namespace")
    assert its != ours


@on_linux
@pytest.mark.parametrize(
    "attempt", ["start_process", "fork", "start_thread", "widen_limits"]
)
def test_a_job_starts_nothing_and_widens_nothing(attempt):
    assert run(attempt) in {"PermissionError", "RuntimeError", "ValueError"}


@on_linux
def test_a_job_signals_nobody():
    neighbour = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        assert run("kill", neighbour.pid) == "PermissionError"
        assert neighbour.poll() is None
    finally:
        neighbour.kill()
        neighbour.wait()


# --- Limits ---


@pytest.mark.parametrize("job", ["spin", "sleep"])
def test_a_job_that_takes_too_long_is_ended(job):
    started = time.monotonic()
    with pytest.raises(OverLimitError, match=r"0\.3 seconds") as caught:
        run(job, 60, limits=Limits(seconds=0.3))
    assert caught.value.limit == "time"
    assert time.monotonic() - started < 5


@on_linux
def test_a_job_that_is_ended_is_gone(tmp_path):
    (tmp_path / "pid").touch()
    with pytest.raises(OverLimitError):
        run("write_pid_and_sleep", "pid", folder=tmp_path, limits=Limits(seconds=0.5))
    pid = int((tmp_path / "pid").read_text())
    assert eventually(lambda: gone(pid))


def test_a_job_that_wants_too_much_memory_is_ended_and_we_stay_well():
    before = resident()
    with pytest.raises(OverLimitError, match="512 MB of memory") as caught:
        run("eat_memory", 3000)
    assert caught.value.limit == "memory"
    assert resident() - before < 32 * MB
    assert run("echo", "well") == "well"


def test_a_job_may_use_what_it_was_given():
    assert run("eat_memory", 300) == 300 * MB


def test_a_job_that_dies_of_itself_is_told_as_such():
    for job in ("crash", "exit_early"):
        with pytest.raises(OverLimitError):
            run(job)


def test_a_job_that_answers_too_much_is_cut_off():
    with pytest.raises(OverLimitError, match="1 MB") as caught:
        run("answer_much", 2 * MB, limits=Limits(output_bytes=MB))
    assert caught.value.limit == "output"


def test_a_job_can_not_fill_the_disk():
    with pytest.raises(JobFailedError, match="File too large"):
        run("write", {"path": "x", "text": "x" * 2 * MB}, limits=Limits(file_bytes=MB))


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# --- Many, and after trouble ---


def test_threads_share_one_zygote(settings, monkeypatch):
    settings.SANDBOX_JOBS = 8
    sandbox._slots.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: run("echo", n), range(40)))
    sandbox._slots.cache_clear()
    assert found == list(range(40))


def test_who_waits_too_long_for_a_place_is_told(settings):
    settings.SANDBOX_JOBS = 1
    sandbox._slots.cache_clear()
    busy = threading.Thread(target=lambda: run("sleep", 1.5))
    busy.start()
    assert eventually(lambda: sandbox._slots(os.getpid())._value == 0)
    with pytest.raises(UnavailableError, match="at work"):
        run("echo", limits=Limits(seconds=0.2))
    busy.join()
    sandbox._slots.cache_clear()


def test_a_lost_zygote_is_replaced():
    run("echo")
    lost = sandbox._zygote().process
    os.kill(lost.pid, signal.SIGKILL)
    lost.wait()
    assert run("echo", "again") == "again"
    assert sandbox._zygote().process.pid != lost.pid


@on_linux
def test_a_fork_of_ours_has_a_zygote_of_its_own():
    run("echo")
    ours = sandbox._zygote().process.pid
    pid = os.fork()
    if pid == 0:
        try:
            fine = run("echo", 1) == 1 and sandbox._zygote().process.pid != ours
            sandbox._end_zygote()
            os._exit(0 if fine else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("echo", 2) == 2
    assert sandbox._zygote().process.pid == ours


@on_linux
def test_zygote_and_jobs_end_with_their_parent_even_when_it_is_killed(tmp_path):
    (tmp_path / "pid").touch()
    script = f"""
import threading, time
from pathlib import Path
from craft import sandbox
folder = Path({str(tmp_path)!r})
threading.Thread(target=lambda: sandbox.run("tests.craft.sandbox_jobs.write_pid_and_sleep", "pid", folder=folder, limits=sandbox.Limits(seconds=60))).start()
while not (folder / "pid").read_text():
    time.sleep(0.02)
print(sandbox._zygote().process.pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "craft.settings"}
    parent = subprocess.Popen(  # our own script
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    zygote = int(parent.stdout.readline())
    job = int((tmp_path / "pid").read_text())
    assert not gone(zygote)
    assert not gone(job)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: gone(zygote) and gone(job))


@on_linux
def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run("echo")

    def traces():
        zygote = sandbox._zygote().process.pid
        children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
        return [
            len(list(Path("/proc/self/fd").iterdir())),
            len(list(Path(f"/proc/{zygote}/fd").iterdir())),
            len(children),
            len(list(tmp_path.iterdir())),
        ]

    def no_more_than(most):
        return all(now <= then for now, then in zip(traces(), most, strict=True))

    before = traces()
    for _ in range(5):
        run("echo")
        for job, limits in (
            ("fail", None),
            ("refuse", None),
            ("crash", None),
            ("sleep", Limits(seconds=0.05)),
            ("answer_much", Limits(output_bytes=10)),
        ):
            with pytest.raises(Exception):  # noqa: B017, PT011  # each in its own way
                run(job, 100, limits=limits)
    assert eventually(lambda: no_more_than(before))


def test_where_the_kernel_bounds_no_memory_a_watch_ends_the_job():
    pid = os.fork()
    if pid == 0:
        confinement._watch_memory(64 * MB)
        grown = []
        for _ in range(200):
            grown.append(b"x" * 4 * MB)
            time.sleep(0.01)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
