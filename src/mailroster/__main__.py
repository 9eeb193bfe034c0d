"""`python3 -m mailroster`."""

import sys

from mailroster.cli import main

sys.exit(main())
