"""`python -m specs` writes the schema file anew from the records."""

import json

from specs.loading import SCHEMA, schema

SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
