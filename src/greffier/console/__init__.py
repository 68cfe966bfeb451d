"""Server-rendered pages over governance."""
