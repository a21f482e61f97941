"""Drawing of figures from frames."""
