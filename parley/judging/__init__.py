"""A judge and its verdicts: what is asked, how often, what becomes of a fault, what is kept."""
