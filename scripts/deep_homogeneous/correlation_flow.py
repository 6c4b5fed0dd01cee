"""NCF flows for L > 2 (deep_homogeneous: Lemma 5.2, Lemmas A.1-A.3, B.1-B.6, D.1).

Random problems on power, polynomial, squared-ReLU and deep linear nets, each flow followed until it has blown up along a fixed
direction, vanished, or come to rest; flows that start at KKT points; flows of degree 2, which stay finite.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from flowcheck import correlation_experiment as experiment
from flowcheck import correlation_lemmas as lemmas
from flowcheck.correlation import Correlation, ascend
from flowcheck.correlation_experiment import FamilySettings
from flowcheck.correlation_study import Ends, Family, follow, lifted, unit_network
from flowcheck.data import unit_vectors
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, main
from flowcheck.flow import blow_up_time, correlation_flow
from flowcheck.gronwall import excess, random_excess
from flowcheck.homogeneity import homogeneity_defects
from flowcheck.networks import Mixture, power_net


class Parameters(experiment.Parameters):
    """`finite_time`: how long flows of degree 2 are followed."""

    gronwall_cases: int
    gronwall_steps: int
    finite_time: float
