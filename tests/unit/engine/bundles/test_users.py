"""`--user` against the image's own files."""

import pytest

from moorage.engine.bundles.users import ResolvedUser, UserNotFoundError, resolve_user

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv/web:/bin/false\nbroken line\n"
GROUP = "root:x:0:\nweb:x:34:\naudio:x:29:root,web\nvideo:x:44:web\n"


@pytest.mark.parametrize(
    ("text", "uid", "gid", "additional", "home"),
    [
        ("", 0, 0, (29,), "/root"),
        ("web", 33, 34, (29, 44), "/srv/web"),
        ("33", 33, 34, (29, 44), "/srv/web"),
        ("web:video", 33, 44, (), "/srv/web"),
        ("web:7", 33, 7, (), "/srv/web"),
        ("4711", 4711, 0, (), "/"),
        ("1:2", 1, 2, (), "/"),
        ("1:2:nosuch", 1, 2, (), "/"),
    ],
)
def test_resolve_user(text: str, uid: int, gid: int, additional: tuple[int, ...], home: str) -> None:
    expected = ResolvedUser(uid=uid, gid=gid, additional_gids=additional, home=home)
    assert resolve_user(text, passwd=PASSWD, group=GROUP) == expected


def test_group_add_takes_names_and_numbers() -> None:
    assert resolve_user("4711", passwd=PASSWD, group=GROUP, extra_groups=["video", "9"]).additional_gids == (9, 44)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("web:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("4294967296", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_resolve_user_refuses(text: str, message: str) -> None:
    with pytest.raises(UserNotFoundError, match=message):
        resolve_user(text, passwd=PASSWD, group=GROUP)


def test_unknown_added_group_is_named() -> None:
    with pytest.raises(UserNotFoundError, match="Unable to find group render: no matching entries in group file"):
        resolve_user("", passwd=PASSWD, group=GROUP, extra_groups=["render"])
