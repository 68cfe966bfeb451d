"""The embedded model: llama.cpp, prebuilt in xllamacpp, in a process of its own (ADR 0063)."""
