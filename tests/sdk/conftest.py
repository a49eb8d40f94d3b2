from harness import (  # noqa: F401
    connected,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_terminal_summary,
    stack,
)
