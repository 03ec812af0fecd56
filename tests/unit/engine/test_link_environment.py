"""Variables of legacy links."""

from moorage.engine.containers.link_environment import link_environment
from moorage.engine.containers.records import ContainerState
from moorage.networks.models import Endpoint, Sandbox
from tests.unit.engine.fakes import record

ENDPOINT = Endpoint(
    id="e", network_id="n", network_name="bridge", bridge="b", interface="eth0", host_interface="v", mac="m", mtu=1500,
    ipv4="172.17.0.5/16",
)  # fmt: skip


def test_a_running_target_is_described() -> None:
    sandbox = Sandbox(id="s", container_id="c", container_name="db", endpoints=(ENDPOINT,))
    target = record(
        name="db", state=ContainerState(running=True, sandbox=sandbox),
        config={"exposed_ports": {"5432/tcp": {}, "53/udp": {}}, "env": ["A=1", "PATH=/x"]},
    )  # fmt: skip
    source = record(name="web", host={"links": ["db:my-db"]})
    assert link_environment(source, lambda _: target) == [
        "MY_DB_PORT=udp://172.17.0.5:53",
        "MY_DB_PORT_53_UDP=udp://172.17.0.5:53",
        "MY_DB_PORT_53_UDP_ADDR=172.17.0.5",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.5:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.5",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=1",
    ]


def test_a_stopped_target_gives_nothing() -> None:
    assert link_environment(record(host={"links": ["db:db"]}), lambda _: record(name="db")) == []
