"""What an OpenID Connect provider says, checked before anything of it counts: its description, its keys, its id tokens.

Add a check here. Keep out asking the provider (`oidc`). authlib and joserfc do the checks of the protocol; what they
leave open is decided here: one issuer, one audience, signatures that only the provider can make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

CLOCKS_DIFFER_SECONDS = 60
# With a shared secret, whoever can check a token can make one.
SIGNED_BY = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)


class ProviderError(RuntimeError):
    """The provider can't be used now; the message says why, for whoever wants to sign in."""


class RefusedError(ValueError):
    """What came back doesn't prove who somebody is; the message says why and holds nothing of it."""


class UnknownKeyError(RefusedError):
    """None of the keys that are known made the signature; there may be newer ones."""


def checked_description(about: dict[str, Any], issuer: str) -> dict[str, Any]:
    """The provider's description, if it is this issuer's own and leads nowhere less safe. Raises ProviderError."""
    parts = urlsplit(issuer)
    if str(about.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise ProviderError(f"{parts.netloc} calls itself otherwise than MLOPS_OIDC_ISSUER does")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        found = about.get(name)
        if found is None and name == "userinfo_endpoint":
            continue
        if not isinstance(found, str) or urlsplit(found).scheme not in {"https", parts.scheme}:
            raise ProviderError(f"{parts.netloc} names no safe {name}")
    return about


def checked_claims(
    id_token: str,
    told_keys: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    client_id: str,
    nonce: str,
    access_token: str | None,
) -> dict[str, Any]:
    """The claims of an id token: signed by the provider, from it, for us, for this sign-in, and valid now.

    Raises:
        ProviderError: the provider offers no signature that can be checked safely.
        UnknownKeyError: no known key made the signature.
        RefusedError: the token can't be accepted.
    """
    offered = about.get("id_token_signing_alg_values_supported") or ["RS256"]
    algorithms = [name for name in offered if name in SIGNED_BY]
    if not algorithms:
        raise ProviderError(f"{urlsplit(about['issuer']).netloc} signs id tokens in no way that can be checked safely")
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        decoded = jwt.decode(id_token, _key_set(told_keys), registry=registry)
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": about["issuer"]},
                "aud": {"essential": True, "value": client_id},
            },
            {"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        claims.validate(leeway=CLOCKS_DIFFER_SECONDS)
    except (BadSignatureError, InvalidKeyIdError):
        raise UnknownKeyError("the id token isn't signed by the provider") from None
    except ExpiredTokenError:
        raise RefusedError("the provider's id token has expired; do the clocks differ?") from None
    except JoseError as error:
        # The library's own words may quote what came.
        claim = getattr(error, "claim", None)
        raise RefusedError(f"the id token can't be accepted ({claim or error.error})") from None
    except (ValueError, TypeError, KeyError):
        raise RefusedError("the id token can't be read") from None
    return dict(claims)


def _key_set(told: Mapping[str, Any]) -> KeySet:
    """The provider's public keys. Raises JoseError, ValueError, TypeError or KeyError for what are none."""
    # A key of both sides would let whoever knows it make tokens.
    return KeySet.import_key_set({"keys": [key for key in told["keys"] if key.get("kty") != "oct"]})
