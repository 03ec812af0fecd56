"""The grammar: Docker's, not click's."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from moorage.cli.container_flags import container_flags
from moorage.cli.grammar import USAGE_STATUS, Command, FlagValueError, strings_option
from moorage.cli.main import moor
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


@click.command(cls=Command, usage="[OPTIONS] IMAGE", minimum=1, maximum=1)
@click.option("-n", "--last", type=INTEGER, default=-1, help="Show n last created containers (includes all states)")
@click.option("-f", "--filter", "filters", multiple=True, help="Filter output")
@click.option("--tail", default="all", help="Number of lines")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy all received signals to the process")
@click.argument("image", required=False)
def one(image: str, **flags: Any) -> None:
    """Show one image."""
    click.echo(f"{image} {flags}")


def test_too_many_arguments_are_told_in_dockers_words() -> None:
    done = CliRunner().invoke(one, ["a", "b"], prog_name="moor one")
    assert done.exit_code == 1
    assert done.stderr == (
        "moor: 'moor one' requires 1 argument\n\nUsage:  moor one [OPTIONS] IMAGE\n\n"
        "Run 'moor one --help' for more information\n"
    )


def test_the_page_of_a_command_has_dockers_form() -> None:
    assert CliRunner().invoke(one, ["--help"], prog_name="moor one").stdout == (
        "Usage:  moor one [OPTIONS] IMAGE\n"
        "\n"
        "Show one image\n"
        "\n"
        "Options:\n"
        "  -f, --filter filter   Filter output\n"
        "  -n, --last int        Show n last created containers (includes all\n"
        "                        states) (default -1)\n"
        "      --sig-proxy       Proxy all received signals to the process\n"
        "                        (default true)\n"
        '      --tail string     Number of lines (default "all")\n'
    )


def test_a_page_names_every_path_of_its_command() -> None:
    done = CliRunner().invoke(moor, ["container", "ps", "--help"], prog_name="moor")
    assert "Aliases:\n  moor container ls, moor container list, moor container ps, moor ps\n" in done.stdout


def test_a_group_alone_prints_its_page_with_each_command_once() -> None:
    done = CliRunner().invoke(moor, ["checkpoint"], prog_name="moor")
    assert (done.stdout, done.exit_code) == ("", 0)
    assert done.stderr == (
        "Usage:  moor checkpoint COMMAND\n"
        "\n"
        "Manage checkpoints\n"
        "\n"
        "Commands:\n"
        "  create      Create a checkpoint from a running container\n"
        "  ls          List checkpoints for a container\n"
        "  rm          Remove a checkpoint\n"
        "\n"
        "Run 'moor checkpoint COMMAND --help' for more information on a command.\n"
    )


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], ()),
        (["--subnet", ""], ()),
        (["--subnet", "a,b", "--subnet", "c"], ("a", "b", "c")),
        (["--subnet", '"a,b"'], ("a,b",)),
    ],
)
def test_some_flags_take_several_values_at_a_time(words: list[str], values: tuple[str, ...]) -> None:
    @click.command(cls=Command)
    @strings_option("--subnet", text="")
    def several(subnet: tuple[str, ...]) -> None:
        click.echo(repr(subnet))

    assert CliRunner().invoke(several, words).stdout == f"{values!r}\n"


def test_flags_without_effect_are_taken() -> None:
    @click.command(cls=Command)
    @container_flags
    def taking(**flags: Any) -> None:
        click.echo("disable_content_trust" in flags)

    done = CliRunner().invoke(
        taking, ["--disable-content-trust", "--disable-content-trust=false", "--kernel-memory", "1g"]
    )
    assert (done.stdout, done.exit_code) == ("False\n", 0)
