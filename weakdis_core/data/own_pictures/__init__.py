"""Reading, describing and surveying own pictures and their labels."""
