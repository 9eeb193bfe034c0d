"""The old name of a program that scripts in state folders start; `up` writes them anew. It goes
after the next release."""

import sys

from mailroster.servers.quota_warning import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
