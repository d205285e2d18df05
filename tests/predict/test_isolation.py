"""What a submission can see and do in its container, looked at from inside and from outside."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.predict import runners
from segarena.predict.runners import Limits, podman
from segarena.predict.runners.docker import LABEL, DockerRunner, remove_left_overs

PROBE = """
import ctypes, glob, json, os, resource, socket, subprocess
def status(key):
    return [l.split()[1] for l in open("/proc/self/status") if l.startswith(key + ":")][0]
def tries(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"
def run_from(folder):
    with open(f"{folder}/x", "w") as file:
        file.write("#!/bin/sh\\nexit 0\\n")
    os.chmod(f"{folder}/x", 0o755)
    subprocess.run([f"{folder}/x"], check=True)
def size(folder):
    s = os.statvfs(folder)
    return s.f_blocks * s.f_frsize
import numpy as np
case = np.load("/workspace/inputs/CASE.npz", allow_pickle=True)
print(json.dumps({
    "env": sorted(os.environ), "uid": os.getuid(), "gid": os.getgid(), "caps": status("CapEff"),
    "bounding": status("CapBnd"), "no_new_privs": status("NoNewPrivs"),
    "seccomp": status("Seccomp"),
    "init": open("/proc/1/comm").read().strip(), "hostname": socket.gethostname(),
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "connect": tries(lambda: socket.create_connection(("1.1.1.1", 53), 3)),
    "resolve": tries(lambda: socket.getaddrinfo("example.org", 80)),
    "inputs": os.listdir("/workspace/inputs"), "keys": sorted(case.files),
    "write_input": tries(lambda: open("/workspace/inputs/x", "w")),
    "change_input": tries(lambda: open("/workspace/inputs/CASE.npz", "ab")),
    "outputs": os.listdir("/workspace/outputs"),
    "write_root": tries(lambda: open("/usr/x", "w")),
    "write_workspace": tries(lambda: open("/workspace/x", "w")),
    "mount": ctypes.CDLL(None).mount(b"x", b"/tmp", b"tmpfs", 0, None),
    "device": tries(lambda: os.mknod("/tmp/d", 0o20666, os.makedev(1, 1))),
    "chown": tries(lambda: os.chown("/tmp", 1, 1)),
    "run_from_tmp": tries(lambda: run_from("/tmp")),
    "tmp": size("/tmp"), "shm": size("/dev/shm"),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "sockets": glob.glob("/run/*.sock") + glob.glob("/var/run/*.sock"),
    "mounted": sorted(l.split()[1] for l in open("/proc/mounts") if l.startswith("/dev/")),
    "cpus": len(os.sched_getaffinity(0)),
}), flush=True)
"""


NULL = {"type": "c", "major": 1, "minor": 3}


@pytest.fixture
def probe(call: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A factory: what the probe sees under these limits."""
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    monkeypatch.setenv("HTTP_PROXY", "http://user:password@proxy")

    def look(**limits: Any) -> dict[str, Any]:
        result = call("python3 probe.py", {"probe.py": PROBE}, kind="numpy", limits=limits)
        assert result.status == "no_answer", result.log
        return json.loads(result.log.splitlines()[1])

    return look


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_call_is_shut_in(probe: Any, runtime: str) -> None:
    """No network, no capability, no new privilege, none of the host's environment."""
    seen = probe(shared_memory_gb=0.25, tmp_gb=0.125)
    assert seen["interfaces"] in (["lo"], [])
    assert (seen["connect"], seen["resolve"]) == ("OSError", "gaierror")
    assert (int(seen["caps"], 16), int(seen["bounding"], 16)) == (0, 0)
    assert (seen["no_new_privs"], seen["seccomp"]) == ("1", "2")
    assert set(seen["env"]) <= {
        *("PATH", "HOME", "HOSTNAME", "PWD", "INPUTS", "OUTPUTS", "LC_CTYPE"),
        *("TERM", "container"),  # Podman's
    }
    assert (seen["inputs"], seen["outputs"]) == (["CASE.npz"], [])
    assert "gts" not in seen["keys"]
    assert (seen["write_input"], seen["change_input"]) == ("done", "done")
    assert (seen["mount"], seen["device"]) == (-1, "PermissionError")
    assert seen["chown"] == "PermissionError"
    assert (seen["init"], seen["hostname"]) == (f"{runtime}-init", "submission")
    assert (seen["sockets"], seen["core"]) == ([], 0)
    assert seen["run_from_tmp"] == "done"
    assert (seen["shm"], seen["tmp"]) == (2**28, 2**27)
    assert seen["write_workspace"] == "done"
    ours = {"/submission", "/workspace", "/workspace/inputs", "/workspace/outputs"}
    engines = {
        "/sbin/docker-init",
        "/usr/sbin/docker-init",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/hosts",
        "/run/.containerenv",
        "/run/podman-init",
    }
    assert set(seen["mounted"]) - engines == ours


NAMES = (
    b"a,src=results", b"a,results", b"dst=x,ro", b"a:b:ro", b"a=b", b"back\\slash", b"new\nline",
    b'"quoted"', b"it's", b" space ", b"-leading", b"--mount=x", b"$(id)`id`;id", b"*?[]{}",
    b"\x01\x1b[31m\x7f", "\u00e9\u6f22\u202e".encode(), b"\xff\xfe", b"#x", b"%s%n", b"n" * 255,
)  # fmt: skip


@pytest.mark.parametrize("place", [b"plain", b"an, org:aniser's \"=\\", b"--x\nline"])
@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"], indirect=True)
def test_no_name_of_a_folder_mounts_anything(
    runtime: str,
    place: bytes,
    loaded: Any,
    table: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files of any name are there to read, the run's files are not, wherever the run folder is."""
    run_folder = tmp_path / os.fsdecode(place)
    truth = run_folder / "results/prepare/c1.truth.npz"
    truth.parent.mkdir(parents=True)
    truth.write_text("THE SECRET TRUTH")
    monkeypatch.chdir(run_folder)
    folder = run_folder / "submissions/team"
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / os.fsdecode(name)).write_text(f"<{number}>")
    (folder / "predict.sh").write_text(
        'for f in *; do [ -f "$f" ] && cat -- "$f"; done; cat -- */prepare/* */*/*; ls -A inputs; '
        "find / -name '*truth*' 2>/dev/null"
    )
    base = loaded("tiny", runtime)
    result = table.call(runners.ready(folder, runtime=runtime, base_image=base))
    assert {f"<{number}>" for number in range(len(NAMES))} <= set(re.findall(r"<\d+>", result.log))
    assert "SECRET" not in result.log
    assert "truth.npz" not in result.log
    assert result.status == "no_answer"


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"], indirect=True)
def test_the_temporary_folder_may_have_any_name(
    runtime: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an engine's argument would split at is no matter in TMPDIR."""
    strange = tmp_path / 'tmp, a:b="c" \\d'
    strange.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(strange))
    assert "hello" in call("echo hello").log


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"], indirect=True)
def test_the_throw_away_layer_can_be_switched_off(probe: Any) -> None:
    """With write_beside_code off nothing but /tmp, /dev/shm and the outputs can be written."""
    seen = probe(write_beside_code=False)
    assert (seen["write_root"], seen["write_workspace"]) == ("OSError", "OSError")
    assert seen["run_from_tmp"] == "done"


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_the_callers_uid_can_be_taken(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With user: caller the program runs as whoever runs the benchmark."""
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 5678)
    seen = probe(user="caller")
    assert (seen["uid"], seen["gid"]) == (1234, 5678)


def test_the_engine_is_told_every_limit(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory without swap, processors, processes and the rest stand in the container's settings."""
    settings: dict[str, Any] = {}
    create = docker.APIClient.create_container

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        settings.update(kwargs["host_config"])
        return create(self, *args, **kwargs)

    monkeypatch.setattr(docker.APIClient, "create_container", noted)
    limits = {**table.rules["limits"], "cpus": 0.5, "processes": 77}
    replace(table, rules={**table.rules, "limits": limits}).call(submission({"predict.sh": ""}))
    assert settings["Memory"] == settings["MemorySwap"] == 2**29
    assert (settings["NanoCpus"], settings["PidsLimit"]) == (500_000_000, 77)
    assert (settings["NetworkMode"], settings["IpcMode"]) == ("none", "private")
    assert (settings["CapDrop"], settings["Init"]) == (["ALL"], True)
    assert not settings.get("Privileged") and not settings.get("DeviceRequests")


@pytest.mark.parametrize("runtime", ["podman"], indirect=True)
def test_podman_is_told_every_limit(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on the command line with which Podman creates a container."""
    words: list[str] = []
    ask = podman._ask

    def noted(command: list[str]) -> str:
        words.extend(command)
        return ask(command)

    monkeypatch.setattr(podman, "_ask", noted)
    limits = {**table.rules["limits"], "cpus": 0.5, "processes": 77}
    replace(table, rules={**table.rules, "limits": limits}).call(submission({"predict.sh": ""}))
    assert {f"--memory={2**29}", f"--memory-swap={2**29}", "--cpus=0.5"} <= set(words)
    assert {"--pids-limit=77", "--network=none", "--ipc=private", "--init"} <= set(words)
    assert {"--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(words)
    assert not any(word.startswith(("--privileged", "--device")) for word in words)


NO_GPU = {"docker": "could not select device driver", "podman": "nvidia.com/gpu=0"}


@pytest.mark.parametrize("runtime", NO_GPU, indirect=True)
def test_a_gpu_that_is_not_there_is_our_failure(
    call: Any, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine without a GPU runtime fails the job that should have a GPU, not the submission."""
    monkeypatch.setenv("SEGARENA_GPUS", "0")
    with pytest.raises(EngineError, match=NO_GPU[runtime]):
        call("true")


@pytest.mark.parametrize("runtime", ["podman"], indirect=True)
def test_podman_gives_a_call_the_devices_of_its_job(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands for a GPU in the machine's CDI files is what the container has, and no more."""
    if os.geteuid() != 0:
        pytest.skip("CDI files are read from /etc alone, which needs root")
    gpus = [
        {"name": name, "containerEdits": {"deviceNodes": [{"path": f"/dev/{name}"} | NULL]}}
        for name in ("segarena-1", "segarena-2")
    ]
    file = Path("/etc/cdi/segarena-test.json")
    file.parent.mkdir(exist_ok=True)
    spec = {"cdiVersion": "0.3.0", "kind": "nvidia.com/gpu", "devices": gpus}
    file.write_text(json.dumps(spec))
    try:
        monkeypatch.setenv("SEGARENA_GPUS", "segarena-2")
        assert "/dev/segarena-2\n" in call("ls -d /dev/segarena*").log
    finally:
        file.unlink()
        with contextlib.suppress(OSError):  # others' files are in it
            file.parent.rmdir()


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_peak_memory_is_what_the_program_held(call: Any) -> None:
    """150 MB held for half a second are seen, and file cache is not counted."""
    hold = "import time; x = b'a' * 150_000_000; time.sleep(0.6)"
    result = call(f'python3 -c "{hold}"', kind="numpy")
    assert 150_000_000 < result.record["peak_memory_bytes"] < 200_000_000


def test_nothing_is_left_after_a_call(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a container nor a temporary folder stays, even where files resist."""
    monkeypatch.chdir(tmp_path)  # which labels the container
    script = "mkdir -p outputs/a/b; date > outputs/a/b/c; chmod 000 outputs/a/b outputs/a"
    call(script)
    assert (
        DockerRunner().engine.containers(all=True, filters={"label": f"{LABEL}={Path.cwd()}"}) == []
    )


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_container_that_is_killed_from_outside_costs_no_points(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who kills a container while it runs fails the job, not the submission."""
    start = docker.APIClient.start

    def and_killed(self: Any, container: str, **kwargs: Any) -> None:
        start(self, container, **kwargs)
        self.kill(container)

    monkeypatch.setattr(docker.APIClient, "start", and_killed)
    with pytest.raises(EngineError, match="killed from outside"):
        table.call(submission({"predict.sh": "sleep 100"}))
    assert not (table.folder / "2.json").exists()


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_a_container_that_is_removed_from_outside_costs_no_points(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that vanishes while it runs fails the job, not the submission."""
    start = docker.APIClient.start

    def and_removed(self: Any, container: str, **kwargs: Any) -> None:
        start(self, container, **kwargs)
        self.remove_container(container, force=True)

    monkeypatch.setattr(docker.APIClient, "start", and_removed)
    with pytest.raises(EngineError):
        table.call(submission({"predict.sh": "sleep 100"}))
    assert not (table.folder / "2.json").exists()


def test_a_killed_runs_containers_are_removed_and_no_others(
    engine: str, loaded: Any, tmp_path: Path
) -> None:
    """Only containers labelled with this run's folder are removed."""
    client = DockerRunner().engine
    labels = {"mine": {LABEL: str(tmp_path)}, "other run": {LABEL: "/elsewhere"}, "other": {}}
    ids = {}
    for name, label in labels.items():
        made = client.create_container(loaded("tiny"), ["sleep", "1000"], labels=label)
        ids[name] = made["Id"]
        client.start(made["Id"])
    try:
        assert remove_left_overs(tmp_path) == 1
        running = {container["Id"] for container in client.containers()}
        assert ids["mine"] not in running
        assert {ids["other run"], ids["other"]} <= running
    finally:
        for name in ("other run", "other"):
            client.remove_container(ids[name], force=True)


@pytest.mark.parametrize("runtime", ["podman"], indirect=True)
def test_a_killed_runs_podman_containers_are_removed_and_no_others(
    loaded: Any, runtime: str, tmp_path: Path
) -> None:
    """Podman's containers are looked for in Podman, by the same label."""
    image = loaded("tiny", runtime)
    create = ["podman", "create", "--network=none", f"--label={LABEL}={tmp_path}"]
    mine = podman._ask([*create, image, "true"])
    other = podman._ask([*create[:-1], f"--label={LABEL}=/elsewhere", image, "true"])
    try:
        assert podman.remove_left_overs(tmp_path) == 1
        left = podman._ask(["podman", "ps", "--all", "--quiet", "--no-trunc"]).split()
        assert mine not in left
        assert other in left
    finally:
        podman._ask(["podman", "rm", other])


def test_without_an_engine_there_is_nothing_to_remove(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Looking for left-overs is quiet where no engine answers."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert remove_left_overs(tmp_path) == podman.remove_left_overs(tmp_path) == 0


@pytest.mark.parametrize("runtime", ["podman"], indirect=True)
def test_a_podman_that_sets_no_limits_is_refused(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rootless Podman ignores limits with control groups v1, and says so to nobody."""
    about = {"Rootless": True, "CgroupVersion": "1"}
    monkeypatch.setattr(docker.APIClient, "info", lambda self: about)
    with pytest.raises(EngineError, match="rootless Podman sets no limits"):
        podman.PodmanRunner().ready(tmp_path)


def test_a_missing_podman_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The line says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="no podman on the PATH; install it"):
        podman.PodmanRunner()


def test_no_engine_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The line names the address that was tried."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match=r"no Docker engine answers at .*none\.sock"):
        DockerRunner()


def test_a_folder_that_links_out_of_itself_is_refused(loaded: Any, tmp_path: Path) -> None:
    """A link in a submission's folder could otherwise mount the truth."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "predict.sh").write_text("cat data/*")
    (folder / "data").symlink_to(tmp_path)
    with pytest.raises(SubmissionError, match="data is a link that leaves the folder"):
        DockerRunner(loaded("tiny")).ready(folder)


def test_a_folder_without_a_base_image_is_the_configs_error(engine: str, tmp_path: Path) -> None:
    """Without base_image a folder cannot run in a container, which is told, not scored."""
    with pytest.raises(ConfigError, match="base_image"):
        runners.ready(tmp_path, runtime="docker", base_image="")


@pytest.mark.parametrize("keep_state", [False, True])
def test_a_caller_who_is_not_root_reads_and_removes_what_roots_container_wrote(
    keep_state: bool, engine: str, loaded: Any
) -> None:
    """An answer of mode 600 is read through the engine; root's folders do not stay.

    Where they are for the next call, they become copies that belong to the caller.
    """
    if os.geteuid() != 0:
        pytest.skip("this test changes to another user, which needs root")
    socket = engine.removeprefix("unix://")
    group = Path(socket).stat().st_gid
    place = Path(tempfile.mkdtemp())  # not tmp_path, which other users cannot enter
    for name in ("team", "inputs", "outputs"):
        (place / name).mkdir(parents=True)
    (place / "team/predict.sh").write_text(
        "umask 077; echo whole > outputs/CASE.npz; mkdir -p outputs/a/b; date > outputs/a/b/c"
    )
    script = (
        "import os, sys; from pathlib import Path\n"
        "from segarena.predict.runners import Limits\n"
        "from segarena.predict.runners.docker import DockerRunner\n"
        f"os.setgid({group}); os.setgroups([{group}]); os.setuid(65534)\n"
        f"place = Path({str(place)!r}); runner = DockerRunner({loaded('tiny')!r})\n"
        "places = place / 'inputs', place / 'outputs', place / 'log'\n"
        f"limits = Limits(30, 2**29, keep_state={keep_state})\n"
        "runner.run(runner.ready(place / 'team'), *places, limits)\n"
        "print((place / 'outputs/CASE.npz').read_text())\n"
    )
    for path in (place, *place.rglob("*")):
        shutil.chown(path, 65534)
    (place / "outputs").chmod(0o777)
    try:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "whole\n\n", done.stderr
        assert (place / "outputs/a").exists() == keep_state
        if keep_state:
            kept = place / "outputs/a/b/c"
            assert kept.read_text()
            assert {path.stat().st_uid for path in (kept, *kept.parents[:2])} == {65534}
    finally:
        shutil.rmtree(place)


def test_limits_never_promise_more_memory_than_there_is() -> None:
    """The protocol's memory is cut to the machine's; what it does not say has its default."""
    limits = Limits.of({"memory_gb": 32, "tmp_gb": 1}, seconds=5, machine_memory_bytes=2**34)
    assert (limits.memory_bytes, limits.tmp_bytes, limits.processes) == (2**34, 2**30, 4096)


def test_the_schema_names_the_defaults_that_hold() -> None:
    """Every limit stands in the protocol's schema with the default that the code has."""
    from segarena.protocol import SCHEMAS, read_yaml

    keys = read_yaml(SCHEMAS / "protocol.schema.yaml")["properties"]["limits"]["properties"]
    written = {key: value["default"] for key, value in keys.items() if "default" in value}
    plain = Limits.of({"memory_gb": 1}, seconds=1, machine_memory_bytes=2**40)
    named = Limits.of({"memory_gb": 1, **written}, seconds=1, machine_memory_bytes=2**40)
    assert replace(named, printed_bytes=0) == replace(plain, printed_bytes=0)
    assert abs(named.printed_bytes - plain.printed_bytes) <= 1
    elsewhere = {"seconds", "keep_state", "warm"}  # the protocol's time, state and container
    assert len(keys) == len(Limits.__dataclass_fields__.keys() - elsewhere)
