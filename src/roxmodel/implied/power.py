"""What a number of units can carry, before anything is fitted: expected errors and the smallest effects found.

An effect b whose estimate has the standard error s is found with 80 % power at 5 % (two-sided) if b ≥ (t.975 + t.80) s.
Since s depends on b itself, the equation is solved for b: the model is moved, the constructs' variances between units
kept, until both agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.implied.layout import DISTURBANCES, EDGES, Layout
from roxmodel.implied.matrices import filled, implied
from roxmodel.implied.noisy import NoisyMeans, expand_noisy
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray

__all__ = ["Planned", "Power"]
