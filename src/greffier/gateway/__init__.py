"""Inbound HTTP: OpenAI, Anthropic, MCP and admin API."""
