"""Statistics from the texts of real cgroup files."""

from pathlib import Path

import pytest

from moorage.cgroups import events, stats, stats_v1, stats_v2


@pytest.mark.parametrize(
    ("text", "limit"), [("max\n", None), ("", None), ("9223372036854771712\n", None), ("4096\n", 4096)]
)
def test_no_limit_has_three_spellings(text: str, limit: int | None) -> None:
    assert stats.parse_limit(text) == limit


def test_block_io_entries_leave_out_the_sum() -> None:
    text = "8:0 Read 4096\n8:0 Write 0\n8:16 77\nTotal 4096\n"
    assert stats.parse_block_io_v1(text) == [(8, 0, "Read", 4096), (8, 0, "Write", 0), (8, 16, "", 77)]


def test_io_stat_has_a_line_per_device() -> None:
    text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n(unknown) \n254:1 \n"
    assert [(major, minor, len(fields)) for major, minor, fields in stats.parse_io_stat(text)] == [
        (8, 0, 6),
        (254, 1, 0),
    ]


def fill(directory: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


def test_v1_numbers_come_from_their_files(tmp_path: Path) -> None:
    directory = fill(
        tmp_path,
        {
            "cpuacct.usage": "300\n",
            "cpuacct.usage_user": "200\n",
            "cpuacct.usage_sys": "100\n",
            "cpuacct.usage_percpu": "100 200 \n",
            "cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 99\n",
            "memory.usage_in_bytes": "5\n",
            "memory.max_usage_in_bytes": "6\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.failcnt": "3\n",
            "memory.stat": "cache 1\ntotal_inactive_file 2\n",
            "pids.current": "7\n",
            "pids.max": "max\n",
            "blkio.throttle.io_serviced_recursive": "8:0 Read 1\nTotal 1\n",
            "hugetlb.2MB.usage_in_bytes": "1\n",
            "hugetlb.2MB.max_usage_in_bytes": "2\n",
            "hugetlb.2MB.failcnt": "3\n",
            "hugetlb.2MB.rsvd.usage_in_bytes": "9\n",
        },
    )
    found = stats_v1.read(dict.fromkeys(("cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb"), directory))
    assert (found.cpu.total, found.cpu.user, found.cpu.kernel, found.cpu.percpu) == (300, 200, 100, [100, 200])
    assert (found.cpu.periods, found.cpu.throttled_periods, found.cpu.throttled_time) == (4, 2, 99)
    assert (found.memory.usage, found.memory.max_usage, found.memory.limit, found.memory.failcnt) == (5, 6, None, 3)
    assert found.memory.detail == {"cache": 1, "total_inactive_file": 2}
    assert (found.pids, found.pids_limit) == (7, None)
    assert found.block_io["io_serviced_recursive"] == [(8, 0, "Read", 1)]
    assert found.hugetlb == {"2MB": (1, 2, 3)}


def test_v2_numbers_come_from_their_files(tmp_path: Path) -> None:
    directory = fill(
        tmp_path,
        {
            "cpu.stat": "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 4\nnr_throttled 2\nthrottled_usec 9\n",
            "memory.current": "5\n",
            "memory.peak": "6\n",
            "memory.max": "4096\n",
            "memory.stat": "anon 1\ninactive_file 2\n",
            "pids.current": "7\n",
            "pids.max": "50\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n",
            "hugetlb.1GB.current": "1\n",
            "hugetlb.1GB.events": "max 4\n",
        },
    )
    found = stats_v2.read(directory)
    assert (found.cpu.total, found.cpu.user, found.cpu.kernel, found.cpu.throttled_time) == (3000, 2000, 1000, 9000)
    assert (found.memory.usage, found.memory.max_usage, found.memory.limit) == (5, 6, 4096)
    assert (found.pids, found.pids_limit) == (7, 50)
    assert found.block_io["io_service_bytes_recursive"] == [(8, 0, "read", 10), (8, 0, "write", 20)]
    assert found.hugetlb == {"1GB": (1, 0, 4)}


def test_a_cgroup_that_is_gone_counts_nothing(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert stats_v2.read(gone).memory.usage == stats_v1.read({"memory": gone}).memory.usage == 0


def test_kills_are_counted_from_either_version() -> None:
    assert events.oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert events.oom_kills("low 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n") == 1
    assert events.oom_kills("") == 0
