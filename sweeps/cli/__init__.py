"""What a user sees in the terminal: plan, live view, status, summary and the UIs."""
