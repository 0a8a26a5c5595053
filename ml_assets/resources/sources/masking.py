"""No password in anything a person may read: URLs and messages with their secrets replaced by `***`."""

import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"
_USER_INFO = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^\s/@:]*):[^\s/]*@")
_SECRET_PARAMETER = re.compile(r"(?i)(?P<start>[?&][\w.-]*(?:pass|pwd|secret|token|key|sig|credential)[\w.-]*=)[^&\s]*")


def mask_url(url: str) -> str:
    """The URL without its password and without the values of query parameters that are named like secrets.

    >>> mask_url("https://me:hunter2@host/trips.csv?part=1&X-Amz-Signature=ab12")
    'https://me:***@host/trips.csv?part=1&X-Amz-Signature=***'
    """
    without_password = _USER_INFO.sub(rf"\g<start>:{MASK}@", url)
    return _SECRET_PARAMETER.sub(rf"\g<start>{MASK}", without_password)


def scrub(message: str, secrets: Iterable[str]) -> str:
    """A message of a driver or library on one line, in which none of the secrets occurs."""
    for secret in secrets:
        if secret:
            message = message.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    return mask_url(" ".join(message.split()))
