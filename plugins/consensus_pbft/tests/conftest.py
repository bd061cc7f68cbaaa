"""The helpers of these tests are modules beside them; under importlib mode nobody else puts them on the path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
