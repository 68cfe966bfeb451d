"""Spans and metrics from the same events as the audit; may sample, may drop."""
