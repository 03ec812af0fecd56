#!/usr/bin/env python3
"""Pull 200 MB in 4 layers from Debian's registry on the loopback interface, into fresh stores.

Usage: bench/pull.py [--rounds N] [--megabytes N] [--docker unix:///path]
       --docker also pulls with that engine, in alternation; it must share this network namespace.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import aiohttp
from tests.support.docker_registry import docker_registry
from tests.support.images import open_engine
from tests.support.registry import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, digest_of, layer_tar

from moorage.oci.reference import parse_reference

_LAYERS = 4
_FILE = 1 << 20


def make_layer(megabytes: int, seed: int) -> bytes:
    """Return a tar of files of which about half compresses away."""
    source = random.Random(seed)
    files = {
        f"layer{seed}/file{number}": source.randbytes(_FILE // 2) + bytes(_FILE // 2) for number in range(megabytes)
    }
    return layer_tar(files)


async def put_image(host: str, megabytes: int) -> int:
    """Store the image in the registry; return the bytes of its layers as sent."""
    layers = [make_layer(megabytes // _LAYERS, seed) for seed in range(_LAYERS)]
    packed = [gzip.compress(layer, 1) for layer in layers]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest_of(blob), "size": len(blob)} for blob in packed],
    }
    async with aiohttp.ClientSession(base_url=f"http://{host}") as session:
        for blob in (config, *packed):
            async with session.post("/v2/bench/blobs/uploads/") as response:
                location = response.headers["Location"]
            async with session.put(f"{location}&digest={digest_of(blob)}", data=blob) as response:
                response.raise_for_status()
        headers = {"Content-Type": OCI_MANIFEST}
        async with session.put("/v2/bench/manifests/1", data=json.dumps(manifest), headers=headers) as response:
            response.raise_for_status()
    return sum(map(len, packed))


async def pull_moorage(host: str, scratch: Path) -> float:
    """Pull into fresh stores; return the seconds it took."""
    with tempfile.TemporaryDirectory(dir=scratch) as root:
        async with open_engine(Path(root)) as engine:
            begin = time.perf_counter()
            await engine.puller.pull(parse_reference(f"{host}/bench:1"), report=lambda _: None)
            return time.perf_counter() - begin


async def pull_docker(host: str, address: str) -> float:
    """Pull with another engine and remove the image; return the seconds of the pull."""
    connector = aiohttp.UnixConnector(path=address.removeprefix("unix://"))
    async with aiohttp.ClientSession(base_url="http://docker", connector=connector) as session:
        begin = time.perf_counter()
        query = {"fromImage": f"{host}/bench", "tag": "1"}
        async with session.post("/images/create", params=query, timeout=aiohttp.ClientTimeout(total=600)) as response:
            told = await response.text()
        took = time.perf_counter() - begin
        if "Downloaded newer image" not in told:
            raise RuntimeError(told[-500:])
        async with session.delete(f"/images/{host}/bench:1", params={"force": "1"}) as response:
            response.raise_for_status()
    return took


def show(name: str, taken: list[float], megabytes: float) -> None:
    """Print one engine's line."""
    median = statistics.median(taken)
    print(f"{name:8} median {median:6.2f} s  best {min(taken):6.2f} s  {megabytes / median:7.1f} MB/s unpacked")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--docker", default="")
    options = parser.parse_args()
    moorage: list[float] = []
    docker: list[float] = []
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as scratch:
        async with docker_registry(Path(scratch) / "registry") as host:
            sent = await put_image(host, options.megabytes)
            print(
                f"{options.megabytes} MB unpacked, {sent / 1e6:.0f} MB sent, {_LAYERS} layers, {os.cpu_count()} cores"
            )
            for _ in range(options.rounds):
                moorage.append(await pull_moorage(host, Path(scratch)))
                if options.docker:
                    docker.append(await pull_docker(host, options.docker))
    show("moorage", moorage, options.megabytes)
    if docker:
        show("docker", docker, options.megabytes)
        print(f"{statistics.median(docker) / statistics.median(moorage):.2f} times faster")
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
