"""Sigstore bundles, as cosign 3 makes them with a key."""

import base64
import json

from moorage.oci.digest import Digest
from moorage.signatures.keys import PrivateKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def bundle(digest: Digest, *, key: PrivateKey, predicate: str = "https://sigstore.dev/cosign/sign/v1") -> bytes:
    """Return the bundle that signs a manifest."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": predicate,
    }
    payload = json.dumps(statement).encode()
    signature = key.sign(b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload))
    document = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return json.dumps(document).encode()
