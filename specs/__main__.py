"""`python -m specs` writes `specs/schema.json` from the records of `specs.model`."""

import json

from specs.loading import SCHEMA, schema

SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
