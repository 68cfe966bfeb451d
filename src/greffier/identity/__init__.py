"""Who is asking: credentials in, a `RequestContext` out."""
