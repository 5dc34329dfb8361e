"""HTTP status of every error that a route may answer with. Knows no routes."""

from __future__ import annotations

from babblefish.errors import BabbleFishError

STATUS = {
    "room_token": 401,
    "member_key": 401,
    "origin": 403,
    "room_locked": 403,
    "room_full": 409,
    "seat": 409,
    "too_many_rooms": 409,
    "not_enrolled": 404,
    "not_found": 404,
    "enrolment": 404,
    "take": 404,
    "unknown_person": 404,
    "incomplete": 409,
    "consent": 422,
    "nothing_chosen": 422,
    "voice": 422,
    "nothing_to_say": 422,
    "unspeakable": 422,
    "model_not_found": 404,
    "bad_value": 422,
    "too_long": 413,
    "file_unreadable": 415,
    "too_slow": 408,
    "broken_off": 400,
    "too_many_enrolments": 503,
    "busy": 503,
    "too_large": 413,
    "bad_input": 422,
    "bad_name": 422,
    "bad_offer": 422,
    "bad_event": 422,
    "language": 422,
    "setting": 422,
    "config": 422,
    "bad_audio": 422,
    "too_fast": 429,
    "glossary": 422,
    "rate_limited": 429,
    "server_full": 503,
    "closing": 503,
    "starting": 503,
    "storage": 503,
    "pair_code": 403,
    "not_looking": 403,
    "refused": 403,
    "ticket": 404,
    "laptop": 404,
    "laptop_secret": 401,
    "certificate": 422,
    "other_version": 409,
    "too_many_laptops": 409,
    "too_many_waiting": 503,
    "api_key": 401,
    "scope": 403,
    "too_many_connections": 503,
    "pair": 422,
    "language_unclear": 422,
    "hung_up": 499,
    "bad_form": 400,
    "no_file": 422,
    "content_type": 415,
    "disk_full": 507,
    "disk": 503,
}
"""HTTP status of each error code"""
STAGE_STATUS = {"audio": 422, "storage": 503, "worker": 503, "translation": 503}
"""of the other codes, by where they come from; anything else is 500"""


def status_of(error: BabbleFishError) -> int:
    """The HTTP status of ``error``."""
    return STATUS.get(error.code, STAGE_STATUS.get(error.stage, 500))
