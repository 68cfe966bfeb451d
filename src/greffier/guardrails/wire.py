"""What a gateway and ``greffier guard serve`` say to each other: JSON over HTTP/1.1, ``POST /v1/measure``.

Only measuring crosses the wire. Rules, edits, pseudonyms and stream windows stay in the gateway, so that there is one
implementation of what a screen means, whichever process measured.
"""

import msgspec

from greffier.guardrails.ports import Measured, Passage

PROTOCOL = 1
"""Grows with every incompatible change; two sides that differ refuse each other, which counts as unavailable."""


class MeasureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Passages to measure with the detectors of one screen.

    Attributes:
        v: `PROTOCOL` of the gateway.
        screen: Name of the screen in the service's own bundle.
        passages: The texts.
        scores: Whether classifiers shall tell scores below their thresholds too.
    """

    v: int
    screen: str
    passages: tuple[Passage, ...]
    scores: bool = False


class MeasureResponse(msgspec.Struct, frozen=True):
    """What was measured, one answer per passage.

    Attributes:
        v: `PROTOCOL` of the service.
        revision: Digest of the bundle that the service has in force.
        measured: In the order of the passages.
    """

    v: int
    revision: str
    measured: tuple[Measured, ...]


class ServiceProblem(msgspec.Struct, frozen=True):
    """Why the service did not measure.

    Attributes:
        error: ``protocol``, ``unknown_screen``, ``not_measured``, ``bad_request``, ``unauthorized`` or ``overloaded``.
        message: For the operator; never content.
        v: `PROTOCOL` of the service.
    """

    error: str
    message: str
    v: int = PROTOCOL
