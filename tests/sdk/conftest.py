from harness import (  # noqa: F401
    connected,
    pytest_addoption,
    pytest_configure,
    pytest_terminal_summary,
    stack,
)
