"""What a registry refuses, by the codes of the specification.

Spec: distribution-spec, "Error Codes".
"""

import http
from typing import Final

from moorage.errors import MoorageError

_STATUSES: Final = {
    "BLOB_UNKNOWN": http.HTTPStatus.NOT_FOUND,
    "BLOB_UPLOAD_INVALID": http.HTTPStatus.BAD_REQUEST,
    "BLOB_UPLOAD_UNKNOWN": http.HTTPStatus.NOT_FOUND,
    "DENIED": http.HTTPStatus.FORBIDDEN,
    "DIGEST_INVALID": http.HTTPStatus.BAD_REQUEST,
    "MANIFEST_BLOB_UNKNOWN": http.HTTPStatus.BAD_REQUEST,
    "MANIFEST_INVALID": http.HTTPStatus.BAD_REQUEST,
    "MANIFEST_UNKNOWN": http.HTTPStatus.NOT_FOUND,
    "NAME_INVALID": http.HTTPStatus.BAD_REQUEST,
    "NAME_UNKNOWN": http.HTTPStatus.NOT_FOUND,
    "PAGINATION_NUMBER_INVALID": http.HTTPStatus.BAD_REQUEST,
    "RANGE_INVALID": http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    "SIZE_INVALID": http.HTTPStatus.BAD_REQUEST,
    "TAG_INVALID": http.HTTPStatus.BAD_REQUEST,
    "TOOMANYREQUESTS": http.HTTPStatus.TOO_MANY_REQUESTS,
    "UNAUTHORIZED": http.HTTPStatus.UNAUTHORIZED,
    "UNAVAILABLE": http.HTTPStatus.SERVICE_UNAVAILABLE,
    "UNSUPPORTED": http.HTTPStatus.METHOD_NOT_ALLOWED,
}


class RegistryRefusal(MoorageError):  # noqa: N818 - an answer of the protocol rather than a failure
    """A request is answered with an error of the specification.

    Attributes:
        code: Upper-case word of the specification.
        detail: What the client finds beside the message; None for nothing.
        headers: Further headers of the answer.
        status: 413 and the like, where the code alone does not decide.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        detail: object = None,
        headers: dict[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.status = status or int(_STATUSES[code])
