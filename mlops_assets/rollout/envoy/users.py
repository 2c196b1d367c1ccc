"""Tells users apart and takes away what clients may not claim, before anything is routed.

Add here what a request must look like before routing. Keep out which service it goes to (`routes`).
"""

from __future__ import annotations

from mlops_assets.rollout.envoy.tracing import FOREIGN
from mlops_assets.rollout.envoy.upstreams import (
    FORCE_HEADER,
    FORCED,
    METADATA,
    NEW_USER,
    USER_COOKIE,
    USER_HEADER,
    Config,
)

LONGEST_USER = 256
COOKIE_SECONDS = 365 * 24 * 3600
COOKIE_KEY = "cookie"
# The response header's value; empty, and then no header at all, unless the user is new.
COOKIE_VALUE = f"%DYNAMIC_METADATA({METADATA}:{COOKIE_KEY})%"
# Headers that only a proxy may set; and no service needs to know from which address a request came.
CLAIMS = ("x-mlops-", "x-envoy-", "x-forwarded-")
MUTATION = "envoy.http.early_header_mutation.header_mutation"

# Requests that name their user pay one look-up here: the headers stay untouched and so does the route found for them.
SCRIPT = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local user = headers:get("{USER_HEADER}")
  if user ~= nil and user ~= "" then
    if #user > {LONGEST_USER} then
      handle:respond({{[":status"] = "400"}}, "{USER_HEADER}: more than {LONGEST_USER} bytes")
    end
    return
  end
  local cookies = headers:get("cookie")
  user = cookies and string.match("; " .. cookies, "[; ]{USER_COOKIE}=([%w%-]+)")
  if user == nil or #user > 64 then
    user = headers:get("{NEW_USER}")
    handle:streamInfo():dynamicMetadata():set("{METADATA}", "{COOKIE_KEY}",
      "{USER_COOKIE}=" .. user .. "; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax")
  end
  headers:replace("{USER_HEADER}", user)
end
"""


def early_mutations(*, traced: bool) -> list[Config]:
    """What happens to headers before the first look at the routes; `traced`: and before a trace begins."""
    mutations: list[Config] = [
        {"remove": FORCED},
        _set(FORCED, f"%REQ({FORCE_HEADER})%"),
        # A random number for whoever turns out to be new: Lua's own numbers repeat after each start.
        _set(NEW_USER, "%UNIQUE_ID%"),
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in CLAIMS),
        {"remove": "x-served-by"},
        *({"remove": name} for name in (FOREIGN if traced else ())),
    ]
    return header_mutations(mutations)


def header_mutations(mutations: list[Config]) -> list[Config]:
    """These changes of a request's headers, before anything else looks at them."""
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return [{"name": MUTATION, "typed_config": {"@type": f"type.googleapis.com/{kind}", "mutations": mutations}}]


def user_filter() -> Config:
    """The HTTP filter that makes sure that every request has a user."""
    kind = "envoy.extensions.filters.http.lua.v3.Lua"
    code = {"inline_string": SCRIPT}
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", "default_source_code": code},
    }


def _set(header: str, value: str) -> Config:
    return {"append": {"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
