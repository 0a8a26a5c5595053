"""When assets follow their inputs by themselves (declarative automation)."""

import dagster as dg

# Once per new input, for any partition, and only when nothing upstream is missing or on its way. The training side
# has no condition: it runs when asked.
FOLLOWS_ITS_INPUTS = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("follows_its_inputs")
