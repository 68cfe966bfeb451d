"""The look-up columns beside each event: copies, compared with the event by verification."""

from greffier.core.events import parse


def well_filed(row: tuple[int, str, int, str, str, str, bytes]) -> bool:
    """Whether the columns of a row (number, identifier, time, tenant, kind, request, bytes) are those of its event."""
    _, identifier, ts, tenant, kind, request_id, data = row
    try:
        event = parse(data)
    except ValueError:  # bytes that are no event: the hash comparison reports them
        return True
    copies = (event.id, event.ts, event.tenant, type(event).__struct_config__.tag, event.request_id)
    return (identifier, ts, tenant, kind, request_id) == copies
