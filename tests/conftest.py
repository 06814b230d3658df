"""What all tests share."""

import os

# Whatever else runs beside the tests, the fake engine's figures are not the point.
os.environ["DYNO_SHARED_MACHINE"] = "1"
