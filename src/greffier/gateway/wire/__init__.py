"""The dialects as bytes: typed decoding of requests, fast encoding of answers. No I/O."""
