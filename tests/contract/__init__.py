"""The real LightX2V, tiny and on a CPU; its double (tests/contract/double) has to answer the
same."""

import pytest

# Where the assertions stand that both packages share.
pytest.register_assert_rewrite("tests.contract.contract", "tests.contract.queue")
