"""Permission-filtered search, grounding and citations."""
