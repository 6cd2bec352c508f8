"""``python -m grpc_lb_lab``."""

import sys

from grpc_lb_lab.cli import main

sys.exit(main())
