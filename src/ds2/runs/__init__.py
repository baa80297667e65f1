"""Runs: a folder with a recipe, the stages that it describes, and what they left behind."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
