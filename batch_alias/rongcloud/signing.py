"""RongCloud's request signature.

Source: RongCloud's server API documentation, "Request signature": the lower-case hexadecimal SHA-1 of App Secret, nonce
and timestamp, concatenated as they are sent. URL, body and App Key are not part of it.
"""

import hashlib

from batch_alias.settings import Secret

NONCE_LENGTH = 16
"""Characters of a nonce; RongCloud takes at most 18."""


def sign(secret: Secret, nonce: str, timestamp: str) -> str:
    """The signature for the very strings sent in the headers."""
    # SHA-1 is the vendor's choice; it signs, it protects nothing stored.
    return hashlib.sha1(f"{secret.reveal()}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()


def signed_headers(app_key: str, secret: Secret, *, nonce: str, timestamp_ms: int) -> dict[str, str]:
    """The four headers of a signed request.

    Args:
        app_key: The App Key.
        secret: The App Secret.
        nonce: A fresh random text of at most 18 characters.
        timestamp_ms: Milliseconds since the epoch.
    """
    timestamp = str(timestamp_ms)
    return {
        "App-Key": app_key,
        "Nonce": nonce,
        "Timestamp": timestamp,
        "Signature": sign(secret, nonce, timestamp),
    }
