"""Detectors of the papers' tables, built by name; their exact costs."""

from repro.models.detection.build import build_detector, detector_names
from repro.models.detection.registry import DETECTORS, Detector

__all__ = ["DETECTORS", "Detector", "build_detector", "detector_names"]
