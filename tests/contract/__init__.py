"""The real LightX2V, tiny and on a CPU; its double (tests/contract/double) has to answer the
same."""
