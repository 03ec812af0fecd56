"""Which of several content types a client would rather have.

Spec: RFC 9110, "Accept".
"""

from collections.abc import Iterator, Sequence


def choose_type(accept: str, offers: Sequence[str], *, default: str) -> str:
    """Return the offer that an Accept field likes best, the first of equals; `default` if it likes none.

    A named type is worth more than a wildcard of the same quality.
    """
    best, liking = default, (0.0, 0)
    for offer in offers:
        for pattern, quality in _read(accept):
            found = (quality, _match(pattern, offer))
            if found[1] and quality > 0 and found > liking:
                best, liking = offer, found
    return best


def _read(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.split(","):
        pattern, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if pattern:
            yield pattern, quality


def _match(pattern: str, offer: str) -> int:
    """Return how exactly a pattern names a type; 0: not at all."""
    if pattern == offer:
        return 3
    if pattern == f"{offer.partition('/')[0]}/*":
        return 2
    return 1 if pattern == "*/*" else 0
