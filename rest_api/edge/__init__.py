"""What every request passes before it reaches an endpoint."""

from rest_api.edge.authentication import Authentication
from rest_api.edge.bodies import BodyLimit
from rest_api.edge.observation import Observation

__all__ = ["Authentication", "BodyLimit", "Observation"]
