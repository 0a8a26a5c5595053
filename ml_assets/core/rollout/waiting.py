"""Which rollouts can't end in a release before labels come, and whether their rules leave them the time.

When labels come follows from the label's delay and from how a request finds its label: see `ml_assets.problem`.
"""

from datetime import timedelta

from ml_assets.core.durations import in_words
from ml_assets.core.errors import ConfigError
from ml_assets.core.rollout.rules import TESTS, Rules


def waits_for_labels(rules: Rules) -> tuple[str, ...]:
    """What in the rules asks for labels before the candidate is released; nothing where it can do without.

    >>> waits_for_labels(Rules(min_labels=50))
    ('min_labels: 50',)
    """
    told = [f"strategy: {rules.strategy}"] if rules.strategy in TESTS else []
    if any(rules.rules_out_at(step) for step in range(len(rules.steps))):
        told.append(f"guardrails.loss_ruled_out: {rules.guardrails.loss_ruled_out:g}")
    return (*told, *([f"min_labels: {rules.min_labels}"] if rules.min_labels else ()))


def require_time_for_labels(rules: Rules, wait: timedelta, why: str, owner: str) -> None:
    """Raise a ConfigError where a rollout that needs labels is over before they come.

    Args:
        rules: of the rollout.
        wait: how long after it begins the labels of its first requests may come.
        why: what the wait is made of, in words.
        owner: the file, for the message.
    """
    needing = waits_for_labels(rules)
    if needing and rules.max_age <= wait:
        raise ConfigError(
            f"{owner}, rollout.max_age: {in_words(rules.max_age)}",
            found=f"{', '.join(needing)}: nothing is released without labels, which may take {in_words(wait)} ({why})",
            expected=f"more than {in_words(wait)}, and time to see enough of them",
            cure="leave max_age out, make it longer, or choose what needs no labels: a canary or shadow with "
            "`paired: true`, or `guardrails: {loss_ruled_out: null}`, without min_labels",
        )
