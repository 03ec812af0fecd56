"""The grammar: Docker's, not click's."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from moorage.cli.grammar import USAGE_STATUS, Command, FlagValueError
from moorage.cli.quantities import BYTES, INTEGER


@click.command(
    cls=Command, usage="[OPTIONS] IMAGE [ARG...]", minimum=1, context_settings={"allow_interspersed_args": False}
)
@click.option("--rm", is_flag=True)
@click.option("-i", "--interactive", is_flag=True)
@click.option("-t", "--tty", is_flag=True)
@click.option("--sig-proxy/--no-sig-proxy", default=True)
@click.option("-p", "--publish", multiple=True)
@click.option("-m", "--memory", type=BYTES, default=0)
@click.option("-n", "--number", type=INTEGER, default=0)
@click.argument("image", required=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def example(image: str, args: tuple[str, ...], **flags: Any) -> None:
    if image == "refused":
        raise FlagValueError("x", "because", flag="--why")
    chosen = {name: value for name, value in flags.items() if value not in {False, ()}}
    click.echo(f"{image} {list(args)} {chosen}")


def run(*words: str) -> Result:
    return CliRunner().invoke(example, list(words), prog_name="moor run")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["busybox"], "busybox [] {'sig_proxy': True}"),
        (["-it", "busybox"], "busybox [] {'interactive': True, 'tty': True, 'sig_proxy': True}"),
        (["-it=false", "busybox"], None),
        (["--rm=true", "busybox"], "busybox [] {'rm': True, 'sig_proxy': True}"),
        (["--rm=false", "busybox"], "busybox [] {'sig_proxy': True}"),
        (["--sig-proxy=false", "busybox"], "busybox [] {}"),
        (["-p80:80", "busybox"], "busybox [] {'publish': ('80:80',), 'sig_proxy': True}"),
        (["-p", "1:2", "--publish=3:4", "b"], "b [] {'publish': ('1:2', '3:4'), 'sig_proxy': True}"),
        (["busybox", "ls", "-l", "--rm=false"], "busybox ['ls', '-l', '--rm=false'] {'sig_proxy': True}"),
        (["--rm", "busybox", "--rm"], "busybox ['--rm'] {'rm': True, 'sig_proxy': True}"),
        (["--", "busybox", "-t"], "busybox ['-t'] {'sig_proxy': True}"),
    ],
)
def test_words_are_read_as_docker_reads_them(words: list[str], output: str | None) -> None:
    result = run(*words)
    assert output is None or result.output.strip() == output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["-p"], "flag needs an argument: 'p' in -p"),
        (["--publish"], "flag needs an argument: --publish"),
        (["-m", "abc", "x"], 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\''),
        (["-n", "x"], 'invalid argument "x" for "-n, --number" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ["--rm=maybe"],
            'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["refused"], 'invalid argument "x" for "--why" flag: because'),
    ],
)
def test_a_bad_flag_is_answered_with_the_usage(words: list[str], text: str) -> None:
    result = run(*words)
    assert result.exit_code == USAGE_STATUS
    assert result.output == (
        f"{text}\n\nUsage:  moor run [OPTIONS] IMAGE [ARG...]\n\nRun 'moor run --help' for more information\n"
    )


def test_too_few_arguments() -> None:
    result = run()
    assert result.exit_code == 1
    assert result.output.startswith("moor: 'moor run' requires at least 1 argument\n\nUsage:  moor run [OPTIONS] IMAGE")
