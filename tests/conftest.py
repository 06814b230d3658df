"""What all tests share."""

import os
import signal

# Whatever else runs beside the tests, the fake engine's figures are not the point.
os.environ["DYNO_SHARED_MACHINE"] = "1"

# A shell that starts a command in the background has it ignore Ctrl-C, and what it starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
