"""Instructions applied to an image's defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import InvalidParameterError
from moorage.images.changes import apply_changes
from moorage.images.words import expand, split_words
from moorage.oci.image_config import ContainerDefaults, Healthcheck

NOTHING = ContainerDefaults()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["a", "b"]', ContainerDefaults(cmd=("a", "b"))),
        ("cmd echo hi", ContainerDefaults(cmd=("/bin/sh", "-c", "echo hi"))),
        ("CMD []", ContainerDefaults(cmd=())),
        ("CMD", ContainerDefaults(cmd=("/bin/sh", "-c"))),
        ("ENTRYPOINT", ContainerDefaults(entrypoint=None)),
        ("EXPOSE 127.0.0.1:90:80", ContainerDefaults(exposed_ports={"80/tcp": {}})),
        ("HEALTHCHECK --interval=0s CMD x", ContainerDefaults(healthcheck=Healthcheck(test=("CMD-SHELL", "x")))),
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
        ("", "file with no instructions"),
        ("# nothing\n \n", "file with no instructions"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("STOPSIGNAL no", "invalid signal: no"),
        ("STOPSIGNAL 77", "the linux daemon does not support signal 77"),
        ("LABEL", "LABEL requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV =x", "ENV names can not be blank"),
        ("ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 80/foo", "invalid proto: foo"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --retries=x CMD y", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("HEALTHCHECK --retries=-1 CMD y", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --interval=1us CMD y", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval CMD y", "missing a value on flag: --interval"),
        ("HEALTHCHECK --timeout=1s --timeout=1s CMD y", "duplicate flag specified: --timeout"),
        ("HEALTHCHECK --nonsense=1 CMD y", "unknown flag: --nonsense"),
        ("USER --from=x y", "unknown flag: --from"),
        ("USER ${A", "failed to process \"${A\": syntax error: missing '}'"),
        ("USER ${:A}", 'failed to process "${:A}": syntax error: bad substitution'),
        ("USER ${A*b}", 'failed to process "${A*b}": unsupported modifier (*) in substitution'),
        ("USER ${A:?needed}", 'failed to process "${A:?needed}": A: needed'),
        ("USER ${A?}", 'failed to process "${A?}": A: is not allowed to be unset'),
        ('USER "x', 'failed to process "\\"x": unexpected end of statement while looking for matching double-quote'),
        ("HEALTHCHECK PING", 'Unknown type "PING" in HEALTHCHECK (try CMD)'),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
    ],
)
def test_instruction_that_cannot_be_applied_says_why(change: str, message: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        apply_changes(NOTHING, [change])
    assert str(caught.value) == message


def test_every_instruction_is_read_before_the_first_is_applied() -> None:
    with pytest.raises(InvalidParameterError, match="RUN is not a valid change command"):
        apply_changes(NOTHING, ["USER ${A", "RUN x"])


def test_lines_go_on_behind_a_backslash_and_comments_are_left_out() -> None:
    changed = apply_changes(NOTHING, ["# first\nENV A=1 \\", "  # between", "\n  B=2", r"USER a\\b"])
    assert (changed.env, changed.user) == (("A=1", "B=2"), r"a\b")
    assert apply_changes(NOTHING, []) == NOTHING


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
