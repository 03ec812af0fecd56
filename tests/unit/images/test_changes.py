"""Instructions applied to an image's defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import InvalidParameterError
from moorage.images.changes import InvalidChangeError, apply_changes
from moorage.images.words import expand, split_words
from moorage.oci.image_config import ContainerDefaults, Healthcheck

NOTHING = ContainerDefaults()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["a", "b"]', ContainerDefaults(cmd=("a", "b"))),
        ("cmd echo hi", ContainerDefaults(cmd=("/bin/sh", "-c", "echo hi"))),
        ("CMD []", ContainerDefaults(cmd=())),
        ("CMD [not json", ContainerDefaults(cmd=("/bin/sh", "-c", "[not json"))),
        ('ENTRYPOINT ["/x"]', ContainerDefaults(entrypoint=("/x",))),
        ("ENTRYPOINT []", ContainerDefaults(entrypoint=None)),
        ("ENV A=1 B='two words' C=\"x y\"", ContainerDefaults(env=("A=1", "B=two words", "C=x y"))),
        ("ENV A one  two", ContainerDefaults(env=("A=one  two",))),
        ("LABEL a=b", ContainerDefaults(labels={"a": "b"})),
        ("EXPOSE 80 53/UDP 8000-8001", ContainerDefaults(
            exposed_ports={"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}
        )),
        ("VOLUME /a /b", ContainerDefaults(volumes={"/a": {}, "/b": {}})),
        ('VOLUME ["/a b"]', ContainerDefaults(volumes={"/a b": {}})),
        ("WORKDIR /a/../b", ContainerDefaults(working_dir="/b")),
        ("USER 1:2", ContainerDefaults(user="1:2")),
        ("STOPSIGNAL SIGQUIT", ContainerDefaults(stop_signal="SIGQUIT")),
        ("ONBUILD RUN x", ContainerDefaults(on_build=("RUN x",))),
        ("HEALTHCHECK NONE", ContainerDefaults(healthcheck=Healthcheck(test=("NONE",)))),
        ("HEALTHCHECK --interval=5s --retries=3 CMD curl x", ContainerDefaults(
            healthcheck=Healthcheck(test=("CMD-SHELL", "curl x"), interval=5_000_000_000, retries=3)
        )),
        ('HEALTHCHECK CMD ["curl"]', ContainerDefaults(healthcheck=Healthcheck(test=("CMD", "curl")))),
    ],
)  # fmt: skip
def test_instruction_sets_its_default(change: str, expected: ContainerDefaults) -> None:
    assert apply_changes(NOTHING, [change]) == expected


def test_instructions_are_applied_in_order_and_see_the_environment() -> None:
    base = ContainerDefaults(env=("PATH=/bin", "A=1"), working_dir="/a")
    changed = apply_changes(base, ["ENV PATH=$PATH:/opt ${A}x=2", "WORKDIR b\nUSER $A"])
    assert changed.env == ("PATH=/bin:/opt", "A=1", "1x=2")
    assert changed.working_dir == "/a/b"
    assert changed.user == "1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN x", "RUN is not a valid change command"),
        ("nonsense", "nonsense is not a valid change command"),
        ("CMD", "CMD requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "Syntax error - can't find = in 'B'. Must be of the form: name=value"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("HEALTHCHECK --retries=x CMD y", 'Invalid value for HEALTHCHECK --retries: "x"'),
        ("HEALTHCHECK --nonsense=1 CMD y", "Unknown flag: nonsense"),
        ("HEALTHCHECK PING", 'Unknown type "PING" in HEALTHCHECK (try CMD)'),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
    ],
)
def test_instruction_that_cannot_be_applied_says_why(change: str, message: str) -> None:
    with pytest.raises(InvalidChangeError) as caught:
        apply_changes(NOTHING, [change])
    assert str(caught.value) == message


@given(st.text(max_size=60))
def test_any_text_is_applied_or_refused(text: str) -> None:
    for keyword in ("ENV", "LABEL", "EXPOSE", "HEALTHCHECK", "VOLUME", "WORKDIR", "ONBUILD", "CMD"):
        try:
            apply_changes(NOTHING, [f"{keyword} {text}"])
        except InvalidParameterError:
            continue


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A", "1"),
        ("${A}b", "1b"),
        ("$NONE", ""),
        ("${NONE:-x}", "x"),
        ("${E-x}", ""),
        ("${E:-x}", "x"),
        ("${A:+y}", "y"),
        ("${NONE+y}", ""),
        ("'$A'", "$A"),
        ('"$A"', "1"),
        (r"\$A", "$A"),
        (r'"\$A\n"', r"$A\n"),
        ("a$", "a$"),
        ("$$A", "$1"),
    ],
)
def test_words_are_expanded(word: str, value: str) -> None:
    assert expand(word, variables={"A": "1", "E": ""}) == value


@pytest.mark.parametrize("word", ["'a", '"a', "${", "${a", "${a*b}"])
def test_malformed_words_are_refused(word: str) -> None:
    with pytest.raises(InvalidParameterError):
        expand(word, variables={})


def test_blanks_inside_quotes_split_nothing() -> None:
    assert split_words(r"""a 'b c' "d 'e" f\ g  h""") == ["a", "'b c'", '"d \'e"', r"f\ g", "h"]
