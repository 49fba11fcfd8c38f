"""What sending logs; whoever wants to see it attaches a handler."""

import logging

from batch_alias.model import Response, Classification
from batch_alias.sending.work_queue import Work

_ATTEMPTS = logging.getLogger("batch_alias.attempts")
_RETRIES = logging.getLogger("batch_alias.retries")


def log_attempt(work: Work, reply: Response, verdict: Classification) -> None:
    """One record per attempt, its facts in ``fields``: no key, no secret, no alias."""
    if _ATTEMPTS.isEnabledFor(logging.INFO):
        fields = {
            "row": work.row.number,
            "attempt": work.history.requests + 1,
            "host": reply.host,
            "status": reply.status,
            "code": reply.code,
            "verdict": verdict.action.value,
            "meaning": verdict.meaning,
            "message": reply.message,
            "latency_ms": round(reply.latency * 1000, 1),
            "request_id": reply.request_id,
        }
        _ATTEMPTS.info("row %d: %s", work.row.number, verdict.meaning, extra={"fields": fields})


def log_retry(work: Work, reply: Response, verdict: Classification, wait: float) -> None:
    """One record per row that is sent again."""
    _RETRIES.info(
        "Row %d, attempt %d: %s%s; again in %.1f s",
        work.row.number,
        work.history.requests + 1,
        verdict.meaning,
        f" ({reply.message})" if reply.message else "",
        wait,
    )
