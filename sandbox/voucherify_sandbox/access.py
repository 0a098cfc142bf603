"""Authentication: the API key pair of the project and its OAuth tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import refusal

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator

APPLICATION_ID = "5a9db0c5-0000-4000-8000-00000000a991"
SECRET_KEY = "5a9db0c5-0000-4000-8000-0000005ec4e7"
LIFETIME_SECONDS = 900
SCOPES = frozenset(
    (
        "api",
        "customers",
        "exports",
        "async-actions",
        "redemptions",
        "publications",
        "campaigns",
        "rewards",
        "referrals",
        "orders",
        "segments",
        "vouchers",
        "events",
        "metadata-schemas",
        "loyalties",
        "products",
        "promotions",
        "validation-rules",
    )
)


@dataclass
class Token:
    """A Bearer token: its scope and when it expires."""

    scope: str
    expires_at: datetime


@dataclass
class Access:
    """One key pair; `revoked` disables it and its tokens."""

    clock: Clock
    application_id: str
    secret_key: str
    revoked: bool = False
    tokens: dict[str, Token] = field(default_factory=dict)

    def is_pair(self, application_id: str, secret_key: str) -> bool:
        """Whether this is the key pair, compared in constant time."""
        same_id = compare_digest(application_id.encode(), self.application_id.encode())
        same_key = compare_digest(secret_key.encode(), self.secret_key.encode())
        return same_id and same_key

    def knows_keys(self, application_id: str, secret_key: str) -> bool:
        """Whether this is the key pair and it is not revoked."""
        return self.is_pair(application_id, secret_key) and not self.revoked

    def knows_token(self, token: str) -> bool:
        """Whether this is a token that has not expired."""
        known = self.tokens.get(token)
        return known is not None and not self.revoked and self.clock.now() < known.expires_at

    def grant(self, form: Json, ids: IdGenerator) -> Json:
        """A new token for a form of `grant_type` and `scope`."""
        if form.get("grant_type") != "client_credentials":
            raise refusal(400, "invalid_grant_type", "Invalid grant_type")
        scope = str(form.get("scope", ""))
        if not scope or not set(scope.split(" ")) <= SCOPES:
            raise refusal(400, "invalid_scope", f"Invalid scope: {scope}")
        token = ids.new("token")
        self.tokens[token] = Token(scope, self.clock.now() + timedelta(seconds=LIFETIME_SECONDS))
        return {"access_token": token, **self.describe(token)}

    def describe(self, token: str) -> Json:
        """The published fields of a valid token."""
        known = self.tokens[token]
        return {
            "client_id": self.application_id,
            "expires_at": int(known.expires_at.timestamp()),
            "expires_in": LIFETIME_SECONDS,
            "scope": known.scope,
            "token_type": "Bearer",
        }
