"""The OpenAPI description as a page for people, at `/docs`: one file, nothing is loaded from elsewhere, no script.

What is described is in `openapi`.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ml_assets.serving.http import Call, Exposed, Reply
from ml_assets.serving.openapi import Describe, document

CONTENT_TYPE = b"text/html; charset=utf-8"
POLICY = b"default-src 'none'; style-src 'unsafe-inline'"
_METHODS = ("get", "post")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; font-size: 1.15rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f4f4f2; }
pre { padding: .7rem; overflow-x: auto; } code { padding: .1rem .25rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #ddd; } .method { font-weight: 700; color: #05548a; }
@media (prefers-color-scheme: dark) { body { background: #16181a; color: #e6e6e6; } .method { color: #7cc4f5; }
code, pre { background: #24272a; } th, td, h2 { border-color: #444; } }
"""


def exposed(parts: Sequence[Describe]) -> Exposed:
    """`GET /docs` for these protocols."""

    async def handle(call: Call) -> Reply:
        page = page_of(document(call.plane, [describe(call.plane) for describe in parts]))
        return Reply(page.encode(), content_type=CONTENT_TYPE, headers=((b"content-security-policy", POLICY),))

    return Exposed("GET", "/docs", handle, "docs")


def page_of(described: dict[str, Any]) -> str:
    """An OpenAPI description as HTML; all that it says is escaped."""
    info, schemas = described["info"], described["components"]["schemas"]
    operations = [
        (method, path, item[method])
        for path, item in described["paths"].items()
        for method in _METHODS
        if method in item
    ]
    # What most people come for first.
    operations.sort(key=lambda one: not one[1].startswith("/predict/"))
    listed = "".join(
        f'<li><a href="#{_anchor(m, p)}"><span class="method">{m.upper()}</span> <code>{escape(p)}</code></a> '
        f"{escape(o['summary'])}</li>"
        for m, p, o in operations
    )
    told = "".join(_operation(m, p, o, schemas) for m, p, o in operations)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} For programs: "
        f'<a href="/openapi.json">/openapi.json</a>.</p><ul>{listed}</ul>{told}</body></html>'
    )


def _operation(method: str, path: str, said: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [
        f'<h2 id="{_anchor(method, path)}"><span class="method">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h2>",
        f"<p>{escape(said['summary'])}</p>",
    ]
    rows = [(p["name"], f"{p['in']}{', required' if p['required'] else ''}", p.get("description", "")) for p in
            said["parameters"]]  # fmt: skip
    parts += [_table(("parameter", "in", ""), rows)] if rows else []
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        parts += ["<h3>Body</h3>", _body(path, body, schemas)]
    answers = [(status, answer["description"]) for status, answer in said["responses"].items()]
    return "".join([*parts, "<h3>Answers</h3>", _table(("status", ""), answers)])


def _body(path: str, body: dict[str, Any], schemas: dict[str, Any]) -> str:
    whole = _resolved(body, schemas)
    record = next(
        (o for o in [whole, *(_resolved(o, schemas) for o in whole.get("anyOf", []))] if "properties" in o), {}
    )
    rows = [
        (name, "required" if name in record.get("required", ()) else "optional", one.get("description", ""))
        for name, one in record.get("properties", {}).items()
    ]
    parts = [_table(("field", "", "what it is"), rows)] if rows else []
    if "example" in record:
        sent = json.dumps(record["example"], ensure_ascii=False)
        asked = f"curl http://127.0.0.1:8080{path} \\\n  -H 'content-type: application/json' -d '{sent}'"
        parts.append(f"<pre>{escape(asked)}</pre>")
    schema = json.dumps(whole, indent=1, ensure_ascii=False)
    return "".join([*parts, f"<details><summary>JSON Schema</summary><pre>{escape(schema)}</pre></details>"])


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    found: dict[str, Any] = schemas.get(name, {}) if name else schema
    return found


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{f'<code>{escape(c)}</code>' if i == 0 else escape(c)}</td>" for i, c in enumerate(r))
        + "</tr>"
        for r in rows
    )
    return f"<table><tr>{heads}</tr>{body}</table>"


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}")
