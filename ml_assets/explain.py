"""`ml-assets explain`: what a model is and what it learnt from, back to the source's files.

The chain is read by `ml_assets.resources.lineage`; what brings the data back is in `restore`.
"""

import json

import click
import dagster as dg

from ml_assets.core.bundle import Bundle
from ml_assets.core.lineage import Content
from ml_assets.core.releases import told
from ml_assets.resources.home import instance
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.lineage import chains
from ml_assets.resources.models import Models
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store


def explain(version: str, *, as_json: bool) -> None:
    """Print what a model is, and the chain of every partition it learnt from."""
    bundle = Models(root=settings().models).named(version)
    key = dg.AssetKey([str(bundle.facts["pipeline"]), "features"])
    training = bundle.facts["training"]
    with instance() as shared:
        learnt_from = chains(shared, key, training["partitions"])
    stored = {chain.partition: _is_stored(chain) for chain in learnt_from}
    if as_json:
        click.echo(json.dumps(_record(bundle, learnt_from, stored), indent=1, ensure_ascii=False))
        return
    click.echo(f"model {bundle.sha256}")
    for line in (
        *_about(bundle),
        "",
        f"learnt from {len(learnt_from)} partitions, each made from what stands under it:",
    ):
        click.echo(line)
    for chain in learnt_from:
        first, *rest = chain.in_words("  ")
        note = "" if stored[chain.partition] else f"  (overwritten since: ml-assets restore --model {version})"
        for line in (first + note, *rest):
            click.echo(line)


def _about(bundle: Bundle) -> list[str]:
    training, label = bundle.facts["training"], bundle.facts["label"]
    rows = ", ".join(f"{n:,} {part}" for part, n in training["rows"].items())
    events = Ledger(url=settings().ledger).events(str(bundle.facts["pipeline"]))
    happened = [told(e) for e in events if e.facts.get("bundle") == bundle.sha256]
    return [
        f"  pipeline    {bundle.facts['pipeline']}, predicts {label['name']} ({label['unit']})",
        f"  trained     as of the end of {bundle.as_of}, {_kind(bundle)}, seed {bundle.facts['seed']}",
        f"  rows        {rows}",
        f"  versions    {'kept by DVC' if training.get('versions') else 'not versioned (versioning: off)'}",
        *(f"  {line}" for line in happened),
    ]


def _kind(bundle: Bundle) -> str:
    """What it is: its kind, or what an ensemble is made of."""
    names = [f"{m['kind']} ({m['name']})" for m in bundle.facts["models"]]
    return f"{bundle.facts['iterations']} iterations of {names[0]}" if len(names) == 1 else f"all of {', '.join(names)}"


def _record(bundle: Bundle, learnt_from: list[Content], stored: dict[str, bool]) -> dict[str, object]:
    return {
        "model": bundle.sha256,
        "pipeline": bundle.facts["pipeline"],
        "training": bundle.facts["training"],
        "models": bundle.facts["models"],
        "seed": bundle.facts["seed"],
        "learnt_from": [{**chain.to_json(), "stored": stored[chain.partition]} for chain in learnt_from],
    }


def _is_stored(chain: Content) -> bool:
    """Whether the store still holds this content."""
    store, key = Store(root=settings().store), dg.AssetKey.from_user_string(chain.asset)
    return store.path(key, chain.partition).exists() and store.sha256(key, chain.partition) == chain.sha256
