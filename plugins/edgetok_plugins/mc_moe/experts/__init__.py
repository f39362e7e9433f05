"""One view of experts, however a model keeps them; see ``find_blocks``."""
