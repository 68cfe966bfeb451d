"""Incidents and breaches: the case, who must be told of it by when, and the evidence that stays untouched."""
