"""Access lists, and the scopes that clients ask for."""

import pytest

from moorage.distribution.access.rules import Scope, parse_access_list, parse_scopes
from moorage.errors import InvalidParameterError

LIST = parse_access_list("""
# users      repositories       actions
alice,bob    team/**            pull,push   # both
alice        team/*             delete
@users       home/{user}/**     *
@everybody   public/*           pull
root         registry:catalog   *
root         **                 *
""")


@pytest.mark.parametrize(
    ("user", "asked", "granted"),
    [
        ("alice", "repository:team/app:pull,push", "pull,push"),
        ("alice", "repository:team/app:*", "pull,push,delete"),
        ("alice", "repository:team/app/deep:*", "pull,push"),
        ("bob", "repository:team/app:pull,push,delete", "pull,push"),
        ("bob", "repository:home/bob/x:delete", "delete"),
        ("bob", "repository:home/alice/x:pull", ""),
        ("carol", "repository:team/app:pull", ""),
        ("carol", "repository:public/app:pull,push", "pull"),
        ("", "repository:public/app:pull,push", "pull"),
        ("", "repository:public/deep/app:pull", ""),
        ("", "repository:home//x:pull", ""),
        ("", "registry:catalog:*", ""),
        ("alice", "registry:catalog:*", ""),
        ("root", "registry:catalog:*", "*"),
        ("root", "registry:other:*", ""),
        ("root", "repository(plugin):any/thing:pull", "pull"),
        ("root", "repository:any/thing:other", ""),
        (".*", "repository:home/alice/x:pull", ""),
        ("a/b", "repository:home/a/b/x:pull", ""),
        ("@users", "repository:team/app:pull", ""),
    ],
)
def test_rights_add_up_and_what_no_line_gives_nobody_has(user: str, asked: str, granted: str) -> None:
    (scope,) = parse_scopes([asked])
    assert ",".join(LIST.granted(scope, user=user).actions) == granted


def test_scopes_may_hold_ports_and_come_several_in_one() -> None:
    assert parse_scopes(["repository:host:5000/a/b:pull repository:c:push", "what is:this:pull", "nothing"]) == [
        Scope(kind="repository", name="host:5000/a/b", actions=("pull",)),
        Scope(kind="repository", name="c", actions=("push",)),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alice team/*", "USERS REPOSITORIES ACTIONS"),
        ("alice team/* pull push", "USERS REPOSITORIES ACTIONS"),
        ("@nobody team/* pull", "unknown users '@nobody'"),
        ("alice,, team/* pull", "unknown users ''"),
        ("alice Team/[a-z]+ pull", "no pattern"),
        ("alice registry:other pull", "no pattern"),
        ("alice team/* read", "unknown action 'read'"),
    ],
)
def test_lines_that_say_nothing_known_are_refused_by_their_number(line: str, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match="access list: line 2: ") as caught:
        parse_access_list("\n" + line)
    assert reason in str(caught.value)
