"""The bench against servers of today: mosec, LitServe, BentoML, Ray Serve, KServe's and MLServer."""
