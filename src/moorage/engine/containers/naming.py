"""Names and IDs of containers: which names are allowed, and where a nameless one gets its own.

Pure, but for the dice.
"""

import random
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Final

from moorage.engine.containers.errors import InvalidContainerNameError

_NAME: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ATTEMPTS: Final = 6

_ADJECTIVE_TEXT: Final = """
    able agile alert amber ample azure bold brave breezy bright brisk bronze calm candid capable
    careful cheerful clear clever coastal copper coral crisp curious daring deft devoted diligent
    drifting dry eager early earnest easy eastern fair faithful fearless festive fine firm fleet
    fluent fond frank free fresh friendly gentle genuine gilded glad golden good grand grateful
    great hale handy happy hardy hearty helpful high honest hopeful humble ideal jolly jovial keen
    kind lasting leeward level light lively lofty loyal lucid lucky mellow merry mighty mild
    mindful modest moored neat nimble noble northern open orderly patient peaceful placid plucky
    polite prompt proud prudent quick quiet rapid ready reliable robust sage salty sane seaworthy
    serene sharp silent silver simple sincere smooth snug sober solid southern spirited spry stable
    steady stout sturdy subtle sunny sure swift tame tender thorough tidal tidy tranquil true
    trusty upbeat valiant vigilant vivid warm watchful wavy western wise witty zesty"""
_SURNAME_TEXT: Final = """
    abel agnesi amundsen ampere anning archimedes babbage baird banks barents bassi beaufort
    becquerel bering bernoulli boole bougainville boyle brahe brunel cabot cajal cantor carnot
    cavendish celsius chandrasekhar chatelet cook copernicus cousteau curie dalton darwin diesel
    dirac drake earhart edison einstein ericson euclid euler faraday fermat fermi feynman fibonacci
    franklin fresnel fulton galileo gauss germain goddard goodall halley hamilton harrison heisenberg
    herschel hertz hipparchus hodgkin hooke hopper hubble humboldt huygens hypatia jacquard jenner
    joule kepler khayyam kirchhoff kovalevskaya lagrange laplace lavoisier leibniz leavitt linnaeus
    lister lovelace lyell magellan marconi maury maxwell mcclintock meitner mendel mercator minkowski
    mitchell morse nansen napier newton nightingale nobel noether ohm oppenheim ortelius papin pascal
    pasteur pauling peary piccard planck plimsoll poincare ptolemy pythagoras ramanujan riemann ross
    rutherford sagan scott shackleton shannon slocum somerville stevenson strabo tasman tesla thales
    torricelli turing vasco vernier vespucci volta wallace watt weddell wegener wright wu"""
_ADJECTIVES: Final = tuple(_ADJECTIVE_TEXT.split())
_SURNAMES: Final = tuple(_SURNAME_TEXT.split())


def new_id(draw: Callable[[], str] = lambda: secrets.token_hex(32)) -> str:
    """Return 64 hex digits, of which the first twelve are not all decimal.

    They are the container's host name, and who looks up a name of digits only (one ID in 280)
    is told that it is no address, whatever /etc/hosts says.
    """
    while (drawn := draw())[:12].isdecimal():
        pass
    return drawn


def check_name(name: str) -> str:
    """Return `name` without its leading slash, if a container may be called so.

    Raises:
        InvalidContainerNameError: In Docker's words.
    """
    if not _NAME.fullmatch(name):
        raise InvalidContainerNameError(name)
    return name.removeprefix("/")


def candidate_names(container_id: str, *, choose: Callable[[tuple[str, ...]], str] = random.choice) -> Iterator[str]:
    """Yield names for a nameless container, until the caller finds one free.

    The first is two words, the next five have a digit more, the last is the short ID:
    with thousands of containers the words run out before the patience does.
    """
    for attempt in range(_ATTEMPTS):
        words = f"{choose(_ADJECTIVES)}_{choose(_SURNAMES)}"
        # Names are no secret, so the dice need not be cryptographic.
        yield f"{words}{random.randrange(10)}" if attempt else words  # noqa: S311
    yield container_id[:12]
