"""When assets follow their inputs by themselves (declarative automation).

Once per new input, for any partition, and only when nothing upstream is missing or on its way. The training side
has no condition: it runs when asked.
"""

from typing import Any

import dagster as dg

Condition = Any  # Dagster's own types of conditions do not fit each other


def _once_ready(new_input: Condition) -> Condition:
    return (
        new_input.since_last_handled()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    )


FOLLOWS_ITS_INPUTS = _once_ready(dg.AutomationCondition.any_deps_updated()).with_label("follows_its_inputs")

FOLLOWS_ITS_INPUTS_AND_ITS_YAML = _once_ready(
    dg.AutomationCondition.any_deps_updated() | dg.AutomationCondition.code_version_changed()
).with_label("follows_its_inputs_and_its_yaml")


def follows_its_inputs_and(champion: dg.AssetKey) -> Condition:
    """Follow the inputs; a new champion only for the newest partition, since older ones keep their own champion."""
    pointer = dg.AssetSelection.assets(champion)
    rows = dg.AutomationCondition.any_deps_updated().ignore(pointer)
    released = dg.AutomationCondition.any_deps_updated().allow(pointer)
    return _once_ready(rows | (released & dg.AutomationCondition.in_latest_time_window())).with_label(
        "follows_its_inputs_and_the_champion"
    )
