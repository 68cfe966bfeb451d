"""The law as data: versioned, with source and date; no deadline and no article is written into code."""
