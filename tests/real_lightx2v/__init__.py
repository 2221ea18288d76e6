"""The real LightX2V, tiny and on a CPU; its double (tests/double) has to answer the same."""

import pytest

# Where the assertions stand that both packages share.
pytest.register_assert_rewrite("tests.real_lightx2v.contract", "tests.real_lightx2v.queue")
