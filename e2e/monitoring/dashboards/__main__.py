"""Writes service.json and operator.json into the folder that is named."""

import json
import sys
from pathlib import Path

import operators
import service
from grafana_foundation_sdk.cog.encoder import JSONEncoder

folder = Path(sys.argv[1])
for name, build in (("service", service.build), ("operator", operators.build)):
    text = json.dumps(build().build(), cls=JSONEncoder, indent=1, sort_keys=True)
    (folder / f"{name}.json").write_text(text + "\n")
