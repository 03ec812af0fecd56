"""Signed images with the daemon that people run: pushed with a key, pulled under a policy."""

import json
import os
import signal
from pathlib import Path

import pytest

from moorage.signatures.keys import make_key_pair
from tests.support.daemon import IMAGE, CommandError, Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

HOST = "127.0.0.1:5000"


def has_loaded_cryptography(own: Daemon) -> bool:
    return "/cryptography/" in Path(f"/proc/{own.pid}/maps").read_text()


def test_push_signs_and_pull_verifies(own: Daemon) -> None:
    private, public = make_key_pair(password=b"secret")
    files = {"key": private, "pub": public, "password": b"secret"}
    for name, content in files.items():
        (own.base / name).write_bytes(content)
    requirement = {"type": "sigstoreSigned", "keyPath": str(own.base / "pub")}
    policy = {"default": [{"type": "reject"}], "transports": {"docker": {HOST: [requirement]}}}
    (own.base / "policy.json").write_text(json.dumps(policy))
    settings = {
        "signature-policy": str(own.base / "policy.json"),
        "signing": [
            {
                "scope": f"{HOST}/team",
                "key": str(own.base / "key"),
                "password-file": str(own.base / "password"),
            }
        ],
    }
    (own.base / "daemon.json").write_text(json.dumps(settings))
    own.restart("--config-file", str(own.base / "daemon.json"))
    assert own.docker("run", "--rm", IMAGE, "echo", "here") == "here"
    assert not has_loaded_cryptography(own)
    with own.registry(HOST):
        for name in ("team/app:1", "other/app:1"):
            own.docker("tag", IMAGE, f"{HOST}/{name}")
        assert "1: signed sha256:" in own.docker("push", f"{HOST}/team/app:1")
        assert "signed" not in own.docker("push", f"{HOST}/other/app:1")
        own.docker("rmi", f"{HOST}/team/app:1", f"{HOST}/other/app:1")
        own.docker("pull", f"{HOST}/team/app:1")
        assert own.docker("run", "--rm", f"{HOST}/team/app:1", "echo", "signed") == "signed"
        refused = own.run("run", "--rm", f"{HOST}/other/app:1", "true")
        assert refused.returncode == 125
        assert f"signature verification failed for {HOST}/other/app:1" in refused.stderr
        assert "it has no signature" in refused.stderr
        assert f"{HOST}/other/app" not in own.docker("images", "--format", "{{.Repository}}").split()
        with pytest.raises(CommandError, match=r"403 .*it has no signature"):
            own.api("POST", f"/images/create?fromImage={HOST}/other/app&tag=1")
        # A policy that is no longer named is asked no longer.
        (own.base / "daemon.json").write_text("{}")
        os.kill(own.pid, signal.SIGHUP)
        wait_until(lambda: own.run("pull", f"{HOST}/other/app:1").returncode == 0, what="the reload", log=own.log)


def test_rejected_images_are_not_asked_for(own: Daemon) -> None:
    (own.base / "policy.json").write_text('{"default": [{"type": "reject"}]}')
    (own.base / "daemon.json").write_text(json.dumps({"signature-policy": str(own.base / "policy.json")}))
    own.restart("--config-file", str(own.base / "daemon.json"))
    rejected = own.run("pull", "busybox")
    assert "the signature policy does not allow busybox:latest: it rejects all images of this scope" in rejected.stderr
