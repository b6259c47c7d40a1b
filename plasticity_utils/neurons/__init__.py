"""Score, rank and describe neurons: what does each respond to?"""
