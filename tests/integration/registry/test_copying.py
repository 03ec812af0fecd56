"""Copies between registries and layouts: everything that belongs to an image, with the same digests."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.copying import ImageCopier, Source, Target
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import BlobAnswerError, RegistryAnswerError, RegistryError
from moorage.registry.layout_directory import LayoutDirectory, LayoutDirectoryError
from moorage.registry.repository import Repository
from tests.integration.distribution.conftest import MANIFEST, Client, digest_of, serving
from tests.support.docker_registry import docker_registry, run
from tests.support.registry import answer, fake_registry

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
async def user() -> AsyncIterator[RegistryClient]:
    made = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=2))
    yield made
    await made.close()


class Pushed:
    """An index of two images; the first has a signature of the old form and a statement that is signed itself."""

    def __init__(self, client: Client, repository: str) -> None:
        self.client = client
        self.repository = repository
        self.all: dict[str, str] = {}

    async def push(self) -> str:
        one = await self._image("one", b"layer of one")
        two = await self._image("two", b"layer of two")
        entries = [_described(one, architecture) for one, architecture in ((one, "amd64"), (two, "arm64"))]
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        await self.client.put_manifest(self.repository, "1", index)
        self.all["index"] = digest_of(index)
        statement = await self._image("statement", b"{}", subject=self.all["one"], artifact="application/x-sbom")
        await self._image("signature of it", b"sig", subject=statement[0], artifact="application/x-signature")
        await self._image("of the index", b"other", subject=self.all["index"], artifact="application/x-note")
        tag = self.all["one"].replace(":", "-") + ".sig"
        self.all["simple"] = await self.client.push_image(self.repository, tag, b"simple")
        return self.all["index"]

    async def _image(self, name: str, layer: bytes, *, subject: str = "", artifact: str = "") -> tuple[str, int]:
        more: dict[str, object] = {"annotations": {"name": name}}
        if subject:
            _, raw = await self.client.call("GET", f"/v2/{self.repository}/manifests/{subject}", status=200)
            media_type = json.loads(raw)["mediaType"]
            more |= {
                "subject": {"mediaType": media_type, "digest": subject, "size": len(raw)},
                "artifactType": artifact,
            }
        digest = self.all[name] = await self.client.push_image(self.repository, "", layer, **more)
        _, raw = await self.client.call("GET", f"/v2/{self.repository}/manifests/{digest}", status=200)
        return digest, len(raw)


def _described(image: tuple[str, int], architecture: str) -> dict[str, object]:
    platform = {"os": "linux", "architecture": architecture}
    return {"mediaType": MANIFEST, "digest": image[0], "size": image[1], "platform": platform}


async def at(user: RegistryClient, name: str) -> Repository:
    return await user.connect(parse_reference(name))


async def copied(source: Source, target: Target, name: str = "1", **options: object) -> list[str]:
    told: list[str] = []
    copier = ImageCopier(source=source, target=target, tell=told.append, **options)  # type: ignore[arg-type]
    await copier.copy(await source.manifest("1"), name=name)
    return told


async def everything(place: Source, digest: str) -> set[str]:
    """Return the digests of a manifest and of all that refers to it or to its parts."""
    found = await place.manifest(digest)
    parts = [entry.digest for entry in getattr(found.document, "manifests", ())]
    referrers = [entry.digest for entry in await place.referrers(found.digest)]
    return {digest}.union(*[await everything(place, each) for each in (*parts, *referrers)])


async def test_everything_that_refers_to_an_image_goes_along(user: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        made = Pushed(one, "team/app")
        index = await made.push()
        source, target = await at(user, f"127.0.0.1:{one.port}/team/app"), await at(user, f"127.0.0.1:{two.port}/x")
        assert len(await everything(source, index)) == 6
        await copied(source, target)
        assert (await target.manifest("1")).digest == index
        assert await everything(target, index) == await everything(source, index)
        tag = made.all["one"].replace(":", "-") + ".sig"
        assert (await target.manifest(tag)).digest == made.all["simple"]
        assert all("already there" in line or "manifest" in line for line in await copied(source, target, "again"))


async def test_or_stays_behind_where_that_is_wanted(user: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        index = await Pushed(one, "app").push()
        target = await at(user, f"127.0.0.1:{two.port}/app")
        await copied(await at(user, f"127.0.0.1:{one.port}/app"), target, referrers=False)
        assert len(await everything(target, index)) == 3
        assert await target.tags() == ["1"]


async def test_blobs_are_mounted_within_one_registry(user: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path) as one:
        await Pushed(one, "app").push()
        source, target = await at(user, f"127.0.0.1:{one.port}/app"), await at(user, f"127.0.0.1:{one.port}/other")
        told = await copied(source, target, sources=["app"])
        assert sum("mounted from app" in line for line in told) > 3
        assert not any(line.endswith(": copied") for line in told)


@pytest.mark.needs("docker-registry")
async def test_a_registry_without_a_list_of_referrers_gets_it_under_a_tag(user: RegistryClient, tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "one") as one, docker_registry(tmp_path / "old") as host, serving(tmp_path / "two") as two
    ):  # fmt: skip
        made = Pushed(one, "app")
        index = await made.push()
        source, old = await at(user, f"127.0.0.1:{one.port}/app"), await at(user, f"{host}/app")
        await copied(source, old)
        assert made.all["one"].replace(":", "-") in await old.tags()
        assert await everything(old, index) == await everything(source, index)
        (statement,) = await old.referrers(Digest(made.all["one"]))
        assert (statement.artifact_type, statement.annotations) == ("application/x-sbom", {"name": "statement"})
        before = await old.tags()
        await copied(source, old)
        assert await old.tags() == before
        # And back again to one that has the list.
        back = await at(user, f"127.0.0.1:{two.port}/back")
        await copied(old, back)
        assert await everything(back, index) == await everything(source, index)


async def test_layouts_keep_it_all_too(user: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        index = await Pushed(one, "app").push()
        source = await at(user, f"127.0.0.1:{one.port}/app")
        await copied(source, LayoutDirectory(tmp_path / "layout", make=True))
        layout = LayoutDirectory(tmp_path / "layout")
        target = await at(user, f"127.0.0.1:{two.port}/app")
        await copied(layout, target)
        assert await everything(target, index) == await everything(source, index)
        assert sorted(await target.tags()) == sorted(await source.tags())


async def test_a_name_in_a_layout_moves(user: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as one:
        first = await one.push_image("app", "1", b"first")
        source, layout = await at(user, f"127.0.0.1:{one.port}/app"), LayoutDirectory(tmp_path / "layout", make=True)
        await copied(source, layout)
        assert (await layout.manifest("")).digest == first
        second = await one.push_image("app", "1", b"second")
        await copied(source, layout)
        assert (await LayoutDirectory(tmp_path / "layout").manifest("1")).digest == second
        await copied(source, layout, "2")
        with pytest.raises(LayoutDirectoryError, match="several images"):
            await layout.manifest("")
        with pytest.raises(RegistryAnswerError, match="no 3 in it"):
            await layout.manifest("3")


async def test_what_is_no_layout_or_damaged_is_refused(user: RegistryClient, tmp_path: Path) -> None:
    with pytest.raises(LayoutDirectoryError, match="not an OCI image layout"):
        LayoutDirectory(tmp_path)
    async with serving(tmp_path / "one") as one:
        digest = await one.push_image("app", "1", b"layer")
        source, root = await at(user, f"127.0.0.1:{one.port}/app"), tmp_path / "layout"
        await copied(source, LayoutDirectory(root, make=True))
        target = await at(user, f"127.0.0.1:{one.port}/other")
        (root / "blobs/sha256" / digest_of(b"layer")[7:]).write_bytes(b"other")
        with pytest.raises(RegistryError, match="digest"):
            await copied(LayoutDirectory(root), target)
        (root / "blobs/sha256" / digest[7:]).write_bytes(b"{}")
        with pytest.raises(LayoutDirectoryError, match="damaged"):
            await LayoutDirectory(root).manifest("1")


async def test_wrong_bytes_do_not_get_into_a_layout(user: RegistryClient, tmp_path: Path) -> None:
    async with fake_registry() as hostile:
        image = hostile.add_image("app", "1", layers=[b"layer"])
        hostile.blobs[digest_of(image.layers[0])] = b"x" * len(image.layers[0])
        layout = LayoutDirectory(tmp_path / "layout", make=True)
        hostile.faults.append(answer("/referrers/", 404, b""))
        with pytest.raises(BlobAnswerError, match="verification failed"):
            await copied(await at(user, f"{hostile.host}/app"), layout)
        assert digest_of(image.layers[0])[7:] not in [path.name for path in (tmp_path / "layout").rglob("*")]


async def test_a_source_that_fails_is_named(user: RegistryClient, tmp_path: Path) -> None:
    async with fake_registry() as broken, serving(tmp_path) as one:
        image = broken.add_image("app", "1", layers=[b"layer"])
        del broken.blobs[digest_of(image.layers[0])]
        with pytest.raises(RegistryError, match="blob unknown to registry"):
            await copied(await at(user, f"{broken.host}/app"), await at(user, f"127.0.0.1:{one.port}/app"))


async def test_a_list_that_lies_about_what_refers_is_not_believed(user: RegistryClient, tmp_path: Path) -> None:
    async with fake_registry() as lying, serving(tmp_path) as one:
        image = lying.add_image("app", "1", layers=[b"layer"])
        other = lying.add_image("app", "other", layers=[b"other"])
        listed = {"mediaType": MANIFEST, "digest": other.digest, "size": len(other.manifest)}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}).encode()
        lying.faults.append(answer("/referrers/", 200, index, headers={"Content-Type": INDEX}))
        target = await at(user, f"127.0.0.1:{one.port}/app")
        await copied(await at(user, f"{lying.host}/app"), target)
        assert await everything(target, image.digest) == {image.digest}
        await one.call("GET", f"/v2/app/manifests/{other.digest}", status=404)


async def test_referrers_are_listed_over_pages(user: RegistryClient) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[])
        pages = [[_described((digest_of(bytes([n])), n), "amd64")] for n in range(3)]
        for number, entries in reversed(list(enumerate(pages))):
            body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
            following = f'</v2/app/referrers/{image.digest}/{number + 1}>; rel="next"' if number < 2 else ""
            path = f"/referrers/{image.digest}" + (f"/{number}" if number else "")
            registry.faults.append(answer(path, 200, body, headers={"Link": following}))
        repository = await at(user, f"{registry.host}/app")
        assert [entry.size for entry in await repository.referrers(Digest(image.digest))] == [0, 1, 2]


@pytest.mark.needs("skopeo")
async def test_the_command_copies_between_registries_and_layouts(tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        made = Pushed(one, "team/app")
        index = await made.push()
        here, there, layout = f"127.0.0.1:{one.port}/team/app:1", f"127.0.0.1:{two.port}/app", tmp_path / "layout"
        shown = await run("moor", "image", "copy", here, there)
        assert f"{there}: digest: {index} size: " in shown
        headers, _ = await two.call("HEAD", "/v2/app/manifests/1", status=200)
        assert headers["docker-content-digest"] == index
        assert await run("moor", "image", "copy", "-q", "--platform", "linux/arm64", here, f"{there}:arm") == (
            made.all["two"] + "\n"
        )
        await run("moor", "image", "copy", "-q", f"{there}:1", f"oci:{layout}")
        raw = await run("skopeo", "inspect", "--raw", f"oci:{layout}:1")
        assert digest_of(raw.encode()) == index
        await run("moor", "image", "copy", "-q", f"oci:{layout}:1", f"{there}-2")
        _, listed = await two.call("GET", f"/v2/app-2/referrers/{made.all['one']}", status=200)
        assert json.loads(listed)["manifests"][0]["artifactType"] == "application/x-sbom"
        shown = await run("moor", "image", "copy", "--platform", "windows/amd64", here, there, fails=True)
        assert "no image for the platform windows/amd64" in shown
        shown = await run("moor", "image", "copy", here, f"{there}@{index}", fails=True)
        assert "a destination has a tag" in shown
