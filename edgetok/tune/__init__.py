"""Schedules found from measured latency and accuracy: what ``edgetok tune`` does.

``goal`` says what is wanted, ``curve`` measures latency against tokens, ``judge`` measures losses, ``study`` searches,
``threshold`` and ``gradient`` calibrate, ``confirm`` compares with constant r on other data, ``run`` puts them
together.
"""

from edgetok.tune.goal import Goal, read_goal
from edgetok.tune.result import Tuned
from edgetok.tune.run import tune
from edgetok.tune.study import StudySettings

__all__ = ["Goal", "StudySettings", "Tuned", "read_goal", "tune"]
