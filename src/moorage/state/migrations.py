"""The schema's versions, oldest first.

Before a release, version 1 is the sum of what each repository declares. After it, a
change of schema is one more script at the end: a script that ran somewhere is never
edited.
"""

from typing import Final

from moorage.state import containers, images, networks, volumes

_NOUNS: Final = (containers, images, networks, volumes)

VERSION_1: Final = "".join(noun.SCHEMA for noun in _NOUNS)

VERSION_2: Final = images.USES

MIGRATIONS: Final = (VERSION_1, VERSION_2)
