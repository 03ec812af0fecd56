"""nf_tables expressions: what a rule computes and decides.

A rule is a list of expressions. Each loads something into registers, compares what is
there (and ends the rule when the comparison fails), or acts.

Registers are 32 bits wide and numbered from `REGISTER`; a field of more than four bytes
takes several in a row, which is how concatenated keys are put together.

Spec: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import sys

from moorage.netlink import codec
from moorage.netlink.nftables import VERDICT_GOTO, VERDICT_JUMP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

REGISTER: Final = 8
_VERDICT_REGISTER: Final = 0

BASE_NETWORK: Final = 1
BASE_TRANSPORT: Final = 2

META_INPUT_NAME: Final = 6
META_OUTPUT_NAME: Final = 7
META_FAMILY: Final = 15
META_PROTOCOL: Final = 16
META_INPUT_KIND: Final = 26
META_OUTPUT_KIND: Final = 27

CT_STATE: Final = 0
CT_STATUS: Final = 2
STATE_ESTABLISHED: Final = 2
STATE_RELATED: Final = 4
# Its destination was translated: for us, it came through a published port.
STATUS_DESTINATION_TRANSLATED: Final = 0x20

_HOST_ORDER: Final = sys.byteorder
_ADDRESS_TYPE_LOCAL: Final = 2
_NAT_DESTINATION: Final = 1


def meta(key: int, *, register: int = REGISTER) -> bytes:
    """Load a fact about the packet that is not in it."""
    return _expression("meta", codec.be32(2, key), codec.be32(1, register))


def payload(*, base: int, offset: int, length: int, register: int = REGISTER) -> bytes:
    """Load bytes of a header."""
    numbers = (register, base, offset, length)
    return _expression("payload", *(codec.be32(kind, number) for kind, number in enumerate(numbers, start=1)))


def conntrack(key: int, *, register: int = REGISTER) -> bytes:
    """Load a fact about the packet's connection."""
    return _expression("ct", codec.be32(1, register), codec.be32(2, key))


def load(value: bytes, *, register: int = REGISTER) -> bytes:
    """Put a constant into a register."""
    return _expression("immediate", codec.be32(1, register), codec.nested(2, codec.attribute(1, value)))


def equal(value: bytes, *, register: int = REGISTER) -> bytes:
    """End the rule unless the register holds the value."""
    return _compare(0, value, register)


def unequal(value: bytes, *, register: int = REGISTER) -> bytes:
    """End the rule if the register holds the value."""
    return _compare(1, value, register)


def mask(value: bytes, *, register: int = REGISTER) -> bytes:
    """Clear the bits of the register that are not in `value`."""
    return _expression(
        "bitwise",
        codec.be32(1, register),
        codec.be32(2, register),
        codec.be32(3, len(value)),
        codec.nested(4, codec.attribute(1, value)),
        codec.nested(5, codec.attribute(1, bytes(len(value)))),
    )


def in_set(name: str, *, set_id: int, register: int = REGISTER, inverted: bool = False) -> bytes:
    """End the rule unless (`inverted`: if) the key in the registers is in the set."""
    parts = [codec.text(1, name), codec.be32(2, register), codec.be32(4, set_id)]
    if inverted:
        parts.append(codec.be32(5, 1))
    return _expression("lookup", *parts)


def map_lookup(name: str, *, set_id: int, register: int = REGISTER) -> bytes:
    """Replace the key in the registers by what the map gives; end the rule if it has no such key."""
    return _expression(
        "lookup", codec.text(1, name), codec.be32(2, register), codec.be32(3, register), codec.be32(4, set_id)
    )


def destination_is_local() -> tuple[bytes, bytes]:
    """End the rule unless the destination is an address of this host."""
    result_address_type, destination_flag = 3, 2
    load = _expression(
        "fib", codec.be32(1, REGISTER), codec.be32(2, result_address_type), codec.be32(3, destination_flag)
    )
    return load, equal(bits(_ADDRESS_TYPE_LOCAL))


def verdict(code: int, *, chain: str = "") -> bytes:
    """Decide: one of VERDICT_*; `chain` is where a jump or goto leads."""
    parts = [codec.be32(1, code)]
    if code in {VERDICT_JUMP, VERDICT_GOTO}:
        parts.append(codec.text(2, chain))
    value = codec.nested(2, codec.nested(2, *parts))
    return _expression("immediate", codec.be32(1, _VERDICT_REGISTER), value)


def translate_destination(*, family: int, address: int, port: int) -> bytes:
    """Translate the destination to the address and port in the given registers."""
    return _expression(
        "nat",
        codec.be32(1, _NAT_DESTINATION),
        codec.be32(2, family),
        codec.be32(3, address),
        codec.be32(5, port),
    )


def masquerade() -> bytes:
    """Translate the source to the address of the interface the packet leaves by."""
    return _expression("masq")


def counter() -> bytes:
    """Count packets and bytes."""
    return _expression("counter")


def bits(value: int) -> bytes:
    """Return a 32-bit number as the kernel keeps it in a register."""
    return value.to_bytes(4, _HOST_ORDER)


def _compare(operation: int, value: bytes, register: int) -> bytes:
    return _expression(
        "cmp", codec.be32(1, register), codec.be32(2, operation), codec.nested(3, codec.attribute(1, value))
    )


def _expression(name: str, *attributes: bytes) -> bytes:
    return codec.text(1, name) + codec.nested(2, *attributes)
