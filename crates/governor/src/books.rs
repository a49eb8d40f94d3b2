//! What is spent and held of budgets.
