"""What every test shares."""

from hypothesis import settings

# Shared and noisy machines: how long an example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
