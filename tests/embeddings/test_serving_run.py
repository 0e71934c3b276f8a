"""The server as a process: where it may listen, a free port, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.embeddings.tiny import tiny_encoder
from trine.core.errors import UsageError
from trine.embeddings.serving.run import KEY, check_address, run_server


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.4.5", "::1", "localhost"])
def test_loopback_needs_no_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert check_address(host) == ""
    monkeypatch.setenv(KEY, " sesame ")
    assert check_address(host) == "sesame"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_everything_else_needs_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for empty in (None, "", "  "):
        if empty is None:
            monkeypatch.delenv(KEY, raising=False)
        else:
            monkeypatch.setenv(KEY, empty)
        with pytest.raises(UsageError, match="set TRINE_API_KEY"):
            check_address(host)
    monkeypatch.setenv(KEY, "sesame")
    assert check_address(host) == "sesame"


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}.*--port 0"):
            run_server(None, "m", host="127.0.0.1", port=port)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot listen"):
        run_server(None, "m", host="no.such.host.invalid", port=0)  # type: ignore[arg-type]


def start(folder: Path, *options: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """The real command on a free port, and the line that it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trine.cli.app", "embeddings", "serve", str(folder), "--port", "0",
         *options],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1", **environment},
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr.readline()


def endless_head(address: str) -> bytes:
    """What the server answers to a head of 4 MB; it must not take it all in."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ")
        with suppress(ConnectionError):  # closed in the middle
            for _ in range(64):
                connection.sendall(b"a" * 65_536)
            connection.sendall(b"\r\n\r\n")
        try:
            return connection.recv(1000)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_ends_cleanly(tmp_path: Path, end: signal.Signals) -> None:
    tiny_encoder(tmp_path)
    key = {} if end is signal.SIGINT else {KEY: "sesame"}
    process, line = start(tmp_path / "tiny", "--threads", "1", **key)
    try:
        match = re.search(r"serving tiny at (http://127\.0\.0\.1:\d+)/v1 \((.*)\)", line)
        assert match, line
        assert match[2] == ("a key is asked for" if key else "no key is asked for")
        headers = {"authorization": "Bearer sesame"} if key else {}
        with httpx.Client(headers=headers, timeout=30) as client:
            answer = client.post(f"{match[1]}/v1/embeddings", json={"input": "one red bird"})
            assert len(answer.json()["data"][0]["embedding"]) == 16
            bare = client.post(f"{match[1]}/v1/embeddings", json={"input": "a"},
                               headers={"authorization": ""})  # fmt: skip
            assert bare.status_code == (401 if key else 200)
        refusal = endless_head(match[1])
        assert not refusal or refusal.startswith(b"HTTP/1.1 400")
        process.send_signal(end)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    said = "WARNING:  Invalid HTTP request received.\n"  # of the endless head
    if end is signal.SIGINT:
        assert (out, err, process.returncode) == ("", f"{said}stopped\n", 0)
    else:  # ends as the signal asks, after an orderly stop
        assert (out, err, process.returncode) == ("", said, -signal.SIGTERM)


def test_an_open_address_without_a_key_does_not_start(tmp_path: Path) -> None:
    tiny_encoder(tmp_path)
    process, line = start(tmp_path / "tiny", "--host", "0.0.0.0", **{KEY: ""})
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "set TRINE_API_KEY" in line
    assert rest == ""
