"""Whether a model fits this machine, and how fast it will be: from its configuration, before it is downloaded."""

from freehold.fitting.estimating import Demand, Estimate, Fit, Resources, estimate, fit
from freehold.fitting.measuring import Bandwidth, bandwidth
from freehold.fitting.needs import Cache
from freehold.fitting.parts import Part, active_parameters, parameters, parts_of, weight_bytes
from freehold.fitting.subject import Subject, find_subject, is_described, subject_in, subject_of

__all__ = [
    "Bandwidth",
    "Cache",
    "Demand",
    "Estimate",
    "Fit",
    "Part",
    "Resources",
    "Subject",
    "active_parameters",
    "bandwidth",
    "estimate",
    "find_subject",
    "fit",
    "is_described",
    "parameters",
    "parts_of",
    "subject_in",
    "subject_of",
    "weight_bytes",
]
