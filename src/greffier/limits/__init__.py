"""How much: requests, tokens, concurrency and spend, reserved before and settled after."""
