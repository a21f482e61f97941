"""The measured rows of the paper's tables: plan, train what is missing, store, report."""
